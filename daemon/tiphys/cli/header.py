"""The block above the tree, as Argo's `get` prints it (semantics part 3): a label padded to 20, a blank, a value. Pure."""

from datetime import datetime

import msgspec

from tiphys.cli import times, tree
from tiphys.spec.artifacts import Artifact
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import Phase
from tiphys.spec.workflows import Workflow

CONDITION_ICONS = {"MetricsError": "✖", "SpecWarning": "⚠", "SpecError": "✖", "ArtifactGCError": "✖"}


def status_word(workflow: Workflow) -> str:
    """The phase, except `Running (Suspended)`, `Failed (Terminated)` and `Pending` for a workflow nobody looked at yet."""
    status = workflow.status
    phase = status.phase if status else Phase.UNKNOWN
    nodes = (status.nodes if status else None) or {}
    if phase is Phase.RUNNING and (workflow.spec.suspend or any(map(tree.active_suspend, nodes.values()))):
        return "Running (Suspended)"
    if phase is Phase.FAILED and workflow.spec.shutdown:
        return "Failed (Terminated)"
    return str(phase) or "Pending"


def lines(workflow: Workflow, now: datetime, *, utf8: bool = True) -> list[str]:
    """The header of a workflow; `now` (aware) gives the ages and the time zone."""
    metadata, spec, status = workflow.metadata, workflow.spec, workflow.status
    account = spec.service_account_name or "unset (will run with the default ServiceAccount)"
    pairs = [
        ("Name:", metadata.name),
        ("Namespace:", metadata.namespace),
        ("ServiceAccount:", account),
        ("Status:", status_word(workflow)),
    ]
    if status and status.message:
        pairs.append(("Message:", status.message))
    if status and status.conditions:
        pairs.append(("Conditions:", ""))
        for condition in status.conditions:
            sign = CONDITION_ICONS.get(condition.type, "") if utf8 else ""
            pairs.append((f"{sign} {condition.type}", condition.message or condition.status))
    if metadata.creation_timestamp:
        pairs.append(("Created:", times.stamp(metadata.creation_timestamp, now)))
    if status and status.started_at:
        pairs.append(("Started:", times.stamp(status.started_at, now)))
    if status and status.finished_at:
        pairs.append(("Finished:", times.stamp(status.finished_at, now)))
    if status and (taken := times.seconds(status.started_at, status.finished_at, now)) is not None:
        pairs.append(("Duration:", times.spoken(taken)))
    if status and status.phase is Phase.RUNNING and status.estimated_duration:
        pairs.append(("EstimatedDuration:", times.spoken(status.estimated_duration)))
    pairs.append(("Progress:", status.progress if status else ""))
    if status and status.resources_duration:
        pairs.append(("ResourcesDuration:", tree.resources(status.resources_duration)))
    if spec.arguments and spec.arguments.parameters:
        pairs += [("Parameters:", ""), *_parameters(spec.arguments.parameters)]
    if status and status.outputs and status.outputs.parameters:
        pairs += [("Output Parameters:", ""), *_parameters(status.outputs.parameters)]
    if status and status.outputs and status.outputs.artifacts:
        pairs.append(("Output Artifacts:", ""))
        pairs += [(f"  {artifact.name}:", _place(artifact)) for artifact in status.outputs.artifacts]
    return [f"{label:<20} {value}".rstrip() for label, value in pairs]


def _parameters(parameters: tuple[Parameter, ...]) -> list[tuple[str, str]]:
    return [(f"  {parameter.name}:", parameter.value) for parameter in parameters if parameter.value is not None]


def _place(artifact: Artifact) -> str:
    """Where an artifact is, as compact JSON without what only says how to get in; its path where it has no place."""
    location = next(((name, place) for name in KINDS_OF_PLACE if (place := getattr(artifact, name)) is not None), None)
    if location is None:
        return artifact.path
    shown = msgspec.to_builtins(location[1])
    text = {key: value for key, value in shown.items() if isinstance(value, str)}
    return msgspec.json.encode({location[0]: text}).decode()


KINDS_OF_PLACE = ("s3", "gcs", "azure", "oss", "hdfs", "artifactory", "http", "git", "plugin")
