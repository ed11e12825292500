"""The workflow.* variables (argo-variables 1)."""

import json
from collections.abc import Mapping
from datetime import datetime

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import gojson
from tiphys.expressions.scope import MISSING
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Run
from tiphys.spec import names
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.workflows import Workflow


class GlobalError(TiphysError):
    """The workflow's own variables cannot be set."""


SCHEDULED_TIME = "workflows.argoproj.io/scheduled-time"
STRFTIME = "BbmAadHIMSYypZz"


def rfc3339(at: datetime) -> str:
    """A time as Argo prints it: whole seconds, `Z`."""
    return f"{at.isoformat()[:19]}Z"


def parameters_json(parameters: tuple[Parameter, ...]) -> str:
    """The JSON list of parameter objects that `{{workflow.parameters}}` and `{{inputs.parameters}}` stand for."""
    return gojson.safe(msgspec.json.encode(parameters).decode())


def fixed(run: Run, workflow: Workflow, listed: str | None = None) -> dict[str, str]:
    """The variables that stay the same for the whole run. `listed`: its parameters as JSON, where that is known."""
    spec = workflow.spec
    if listed is None:
        listed = parameters_json(run.parameters)
    values = {
        "workflow.name": run.name,
        "workflow.namespace": run.namespace,
        "workflow.uid": run.uid,
        "workflow.mainEntrypoint": spec.entrypoint,
        "workflow.serviceAccountName": spec.service_account_name,
        "workflow.parameters": listed,
        "workflow.parameters.json": listed,
    }
    if spec.priority is not None:
        values["workflow.priority"] = str(spec.priority)
    if SCHEDULED_TIME in run.annotations:
        values["workflow.scheduledTime"] = run.annotations[SCHEDULED_TIME]
    for parameter in run.parameters:
        if parameter.value is not None:
            values[f"workflow.parameters.{parameter.name}"] = parameter.value
    _map(values, "workflow.labels", run.labels)
    _map(values, "workflow.annotations", run.annotations)
    _creation(values, run.created_at)
    return values


def _map(values: dict[str, str], name: str, entries: Mapping[str, str]) -> None:
    text = gojson.compact(entries)
    values[name] = values[f"{name}.json"] = text
    for key, value in entries.items():
        values[f"{name}.{key}"] = value


def _creation(values: dict[str, str], at: datetime) -> None:
    name = "workflow.creationTimestamp"
    values[name] = values[f"{name}.RFC3339"] = rfc3339(at)
    values[f"{name}.s"] = str(int(at.timestamp()))
    values[f"{name}.L"] = f".{at.microsecond // 1000:03d}"
    for letter in STRFTIME:
        values[f"{name}.{letter}"] = at.strftime(f"%{letter}")


def failures(draft: Draft) -> str:
    """`workflow.failures`: a JSON list of every Failed or Error node, quoted once more; "null" in quotes where there is none."""
    failed = [_failure(draft, node) for node in draft.all_nodes() if node.phase.failed_or_error]
    text = gojson.safe(json.dumps(failed, separators=(",", ":"), ensure_ascii=False)) if failed else "null"
    return json.dumps(text, ensure_ascii=False)


def _failure(draft: Draft, node: Node) -> dict[str, str | None]:
    return {
        "displayName": node.display_name,
        "message": node.message,
        "templateName": node.template,
        "phase": str(node.phase),
        "podName": names.pod_name(draft.run.name, node.name, node.template) if node.type is NodeType.POD else "",
        "finishedAt": rfc3339(node.finished_at) if node.finished_at else None,
    }


class GlobalScope:
    """The workflow.* variables as they are in a draft."""

    __slots__ = ("_draft",)

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def _fixed(self) -> dict[str, str]:
        run, state = self._draft.run, self._draft.state
        known = state.globals
        if known is None or known[0] is not run:
            listed = known[1]["workflow.parameters"] if known is not None and known[0].parameters is run.parameters else None
            known = state.globals = run, fixed(run, state.manifest.workflow, listed)
        return known[1]

    def get(self, key: str) -> object:
        """The value of a flat key, or MISSING."""
        if not key.startswith("workflow."):
            return MISSING
        value = self._fixed().get(key)
        return self._changing(key) if value is None else value

    def under(self, prefix: str) -> Mapping[str, object]:
        """All keys at or below `prefix`."""
        below = f"{prefix}."
        found: dict[str, object] = {k: v for k, v in self._fixed().items() if k == prefix or k.startswith(below)}
        run = self._draft.run
        changing = ["workflow.duration", "workflow.status", "workflow.failures"]
        changing += [f"workflow.outputs.parameters.{parameter.name}" for parameter in run.outputs.parameters]
        changing += [f"workflow.outputs.artifacts.{artifact.name}" for artifact in run.outputs.artifacts]
        for key in changing:
            if (key == prefix or key.startswith(below)) and (value := self._changing(key)) is not MISSING:
                found[key] = value
        return found

    def _changing(self, key: str) -> object:
        draft = self._draft
        match key.split(".", 3):
            case ["workflow", "duration"]:
                began = draft.run.started_at or draft.at
                return f"{(draft.at - began).total_seconds():f}"
            case ["workflow", "status"]:
                return str(entry_phase(draft))
            case ["workflow", "failures"]:
                return failures(draft)
            case ["workflow", "outputs", "parameters", name]:
                return next((p.value or "" for p in draft.run.outputs.parameters if p.name == name), MISSING)
            case ["workflow", "outputs", "artifacts", name]:
                return next((a for a in draft.run.outputs.artifacts if a.name == name), MISSING)
        return MISSING


def entry_phase(draft: Draft) -> Phase:
    """What `workflow.status` says: the entry node's phase once it has one, and never Skipped or Omitted."""
    entry = draft.find(draft.run.name)
    if entry is None:
        return draft.run.phase
    if entry.phase in (Phase.SKIPPED, Phase.OMITTED):
        return Phase.SUCCEEDED
    return entry.phase
