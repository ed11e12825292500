"""The steps.* and tasks.* variables: what finished nodes show to those after them (argo-variables 3, semantics 2.16.3)."""

import re
from collections.abc import Callable, Iterator, Mapping

from tiphys.errors import TiphysError
from tiphys.expressions import gojson
from tiphys.expressions.scope import ABSENT, MISSING
from tiphys.scheduler import sources
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.plans import DagPlan, StepsPlan, base
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Outputs


class AggregationError(TiphysError):
    """The outputs of a loop cannot be put together; the text is Argo's."""


def aggregate(children: list[Node]) -> dict[str, object]:
    """The aggregates of a loop over its Succeeded children with outputs, in index order: flat keys below `outputs.`.

    Raises AggregationError where a captured result is not JSON.
    """
    done = [child.outputs for child in children if child.phase is Phase.SUCCEEDED and child.outputs is not None]
    results = [_json_value(outputs.result) for outputs in done if outputs.result is not None]
    values: dict[str, list[str]] = {}
    rows: list[dict[str, str]] = []
    for outputs in done:
        row = {p.name: p.value for p in outputs.parameters if p.value is not None}
        if row:
            rows.append(row)
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    found: dict[str, object] = {"outputs.result": gojson.compact(results), "outputs.parameters": gojson.compact(rows)}
    for name, texts in values.items():
        found[f"outputs.parameters.{name}"] = gojson.compact(_nested(texts))
    return found


def _json_value(text: str) -> object:
    try:
        return gojson.parse(text)
    except gojson.InvalidJSON as error:
        raise AggregationError(str(error)) from error


def _nested(texts: list[str]) -> list[object]:
    parsed: list[object] = []
    for text in texts:
        try:
            value = gojson.parse(text)
        except gojson.InvalidJSON:
            return list(texts)
        if not isinstance(value, dict | list):
            return list(texts)
        parsed.append(value)
    return parsed


def loop_children(draft: Draft, owner: Node, task: str) -> list[Node]:
    """The expanded nodes of a loop, by index."""
    if owner.type is NodeType.TASK_GROUP:
        found = [node for node in draft.owned(owner.id) if node.role is Role.ITEM]
    else:
        found = [node for node in draft.owned(owner.id) if node.role is Role.STEP and base(node.task) == task]
    return sorted(found, key=lambda node: loop_index(node.task))


def loop_index(task: str) -> int:
    """The index of an expanded step or task: 2 of `a(2:x)`."""
    match = re.match(r"[^(]*\((\d+):", task)
    return int(match[1]) if match else 0


def aggregated(draft: Draft, owner: Node, task: str) -> dict[str, object]:
    """`aggregate`, remembered: a finished loop's children do not change. Raises AggregationError."""
    cache = draft.state.aggregates
    key = (owner.id, task, draft.run.generation)
    found = cache.get(key)
    if found is None:
        try:
            found = aggregate(loop_children(draft, owner, task))
        except AggregationError as error:
            found = str(error)
        cache[key] = found
    if isinstance(found, str):
        raise AggregationError(found)
    return found


def node_value(draft: Draft, node: Node, key: str) -> object:
    """One variable of a node, by its key below the name, such as `status` or `outputs.parameters.x`."""
    match key.split(".", 2):
        case ["id"]:
            return node.id if node.type is not NodeType.RETRY else (draft.last_owned(node.id, Role.ATTEMPT) or node).id
        case ["ip"]:
            return node.ip or MISSING
        case ["status"]:
            return str(node.phase)
        case ["startedAt"]:
            return MISSING if node.started_at is None else rfc3339(node.started_at)
        case ["finishedAt"]:
            return MISSING if node.finished_at is None else rfc3339(node.finished_at)
        case ["hostNodeName"]:
            return node.handle.host if node.handle is not None and node.handle.host else MISSING
        case ["exitCode"]:
            return MISSING if node.outputs is None or node.outputs.exit_code is None else node.outputs.exit_code
        case ["outputs", "result"]:
            return _result(node)
        case ["outputs", "parameters", name]:
            return _parameter(draft, node, name)
        case ["outputs", "artifacts", name]:
            return _artifact(draft, node, name)
    return MISSING


def _result(node: Node) -> object:
    if node.outputs is not None and node.outputs.result is not None:
        return node.outputs.result
    return ABSENT if node.phase in (Phase.SKIPPED, Phase.OMITTED) else MISSING


def _parameter(draft: Draft, node: Node, name: str) -> object:
    if node.outputs is not None:
        for parameter in node.outputs.parameters:
            if parameter.name == name:
                return MISSING if parameter.value is None else parameter.value
    if node.phase in (Phase.SKIPPED, Phase.OMITTED):
        for parameter in _outputs(draft, node).parameters:
            if parameter.name == name:
                default = parameter.value_from.default if parameter.value_from is not None else None
                return ABSENT if default is None else default
    return MISSING


def _outputs(draft: Draft, node: Node) -> Outputs:
    """The outputs that a node's template declares."""
    if not (node.template or node.reference or node.inline):
        return Outputs()
    source = sources.find(draft, node.template, node.reference, node.inline, node.scope)
    return Outputs() if isinstance(source, str) or source.template.outputs is None else source.template.outputs


def _artifact(draft: Draft, node: Node, name: str) -> object:
    if node.outputs is not None:
        for artifact in node.outputs.artifacts:
            if artifact.name == name:
                return artifact
    if node.phase in (Phase.SKIPPED, Phase.OMITTED):
        return ABSENT
    optional = node.phase.completed and any(a.name == name and a.optional for a in _outputs(draft, node).artifacts)
    return ABSENT if optional else MISSING


def node_keys(draft: Draft, node: Node) -> Iterator[str]:
    """The keys that a node has."""
    yield from ("id", "ip", "status", "startedAt", "finishedAt", "hostNodeName", "exitCode", "outputs.result")
    if node.outputs is not None:
        yield from (f"outputs.parameters.{parameter.name}" for parameter in node.outputs.parameters)
        yield from (f"outputs.artifacts.{artifact.name}" for artifact in node.outputs.artifacts)
    elif node.phase in (Phase.SKIPPED, Phase.OMITTED):
        yield from (f"outputs.parameters.{parameter.name}" for parameter in _outputs(draft, node).parameters)


class TaskScope:
    """steps.* or tasks.* inside one steps or dag node. `visible` says which names the asker may see."""

    __slots__ = ("_boundary", "_draft", "_plan", "_prefix", "_visible")

    def __init__(self, draft: Draft, boundary: Node, plan: StepsPlan | DagPlan, visible: Callable[[str], bool]) -> None:
        self._draft = draft
        self._boundary = boundary
        self._plan = plan
        self._visible = visible
        self._prefix = "steps." if isinstance(plan, StepsPlan) else "tasks."

    def get(self, key: str) -> object:
        """The value of a flat key, MISSING or ABSENT. Raises AggregationError for a loop that cannot be aggregated."""
        if not key.startswith(self._prefix):
            return MISSING
        name, _, rest = key[len(self._prefix) :].partition(".")
        return self._value(name, rest) if rest and name in self._plan.tasks and self._visible(name) else MISSING

    def _value(self, name: str, rest: str) -> object:
        node, looped = self._node(name)
        if node is None:
            return MISSING
        if looped and rest.startswith("outputs."):
            if not node.phase.fulfilled:
                return MISSING
            if isinstance(self._plan, StepsPlan) and all(c.phase is Phase.SKIPPED for c in loop_children(self._draft, node, name)):
                return ABSENT
            return aggregated(self._draft, node, name).get(rest, MISSING)
        return node_value(self._draft, node, rest)

    def _node(self, name: str) -> tuple[Node | None, bool]:
        if isinstance(self._plan, DagPlan):
            node = self._draft.named(f"{self._boundary.name}.{name}")
            return node, node is not None and node.type is NodeType.TASK_GROUP
        group = f"{self._boundary.name}[{self._plan.group_of[name]}]"
        node = self._draft.named(f"{group}.{name}")
        return (node, False) if node is not None else (self._draft.named(group), True)

    def under(self, prefix: str) -> Mapping[str, object]:
        """All keys at or below `prefix`."""
        found: dict[str, object] = {}
        if not (prefix + ".").startswith(self._prefix):
            return found
        wanted = prefix[len(self._prefix) :]
        first = wanted.partition(".")[0]
        for name in [first] if first else list(self._plan.tasks):
            if name in self._plan.tasks and self._visible(name):
                found.update(self._below(name, prefix))
        return found

    def _below(self, name: str, prefix: str) -> Iterator[tuple[str, object]]:
        node, looped = self._node(name)
        if node is None:
            return
        if looped:
            keys = [*(aggregated(self._draft, node, name) if node.phase.fulfilled else ()), "id", "status"]
        else:
            keys = list(node_keys(self._draft, node))
        for key in keys:
            full = f"{self._prefix}{name}.{key}"
            if full == prefix or full.startswith(prefix + "."):
                value = self._value(name, key)
                if value is not MISSING:
                    yield full, value
