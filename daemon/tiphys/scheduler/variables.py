"""The steps.* and tasks.* variables: what finished nodes show to those after them (argo-variables 3, semantics 2.16.3)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import gojson
from tiphys.expressions.scope import ABSENT, MISSING
from tiphys.scheduler import sources
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.expanding import many, spend
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.plans import DagPlan, StepsPlan, base
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Outputs


class AggregationError(TiphysError):
    """The outputs of a loop cannot be put together; the text is Argo's."""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What one Succeeded node of a loop gives to its aggregates, as JSON text. `place`: its index. `values`: each parameter with its
    text, and with its JSON where that is a list or an object. `error`: its captured result is not JSON.
    """

    task: str
    place: int
    result: str | None
    row: str
    values: tuple[tuple[str, str, str | None], ...]
    error: str


def piece(child: Node) -> Piece | None:
    """A node's part in the aggregates of its loop; None: it has none."""
    outputs = child.outputs
    if child.phase is not Phase.SUCCEEDED or outputs is None:
        return None
    result, error = None, ""
    if outputs.result is not None:
        try:
            result = gojson.compact(gojson.parse(outputs.result))
        except gojson.InvalidJSON as wrong:
            error = str(wrong)
    row = {p.name: p.value for p in outputs.parameters if p.value is not None}
    values = tuple((name, gojson.compact(value), _nested(value)) for name, value in row.items())
    return Piece(base(child.task), loop_index(child.task), result, gojson.compact(row) if row else "", values, error)


def _nested(text: str) -> str | None:
    try:
        value = gojson.parse(text)
    except gojson.InvalidJSON:
        return None
    return gojson.compact(value) if isinstance(value, dict | list) else None


class Gathered:
    """What the nodes of a step group or of a task's loop gave, put together as far as `count` of them: by tasks, in their order."""

    __slots__ = ("_last", "_straight", "count", "failed", "pieces", "tasks")

    def __init__(self) -> None:
        self.count = 0
        self.failed: list[str] = []
        """Ids of the nodes that are Failed or an Error."""
        self.tasks: dict[str, Aggregate] = {}
        self._last = -1
        self._straight = True
        self.pieces: list[Piece] = []

    def take(self, nodes: Iterable[Node]) -> None:
        """Put the next nodes to the others."""
        for node in nodes:
            self.count += 1
            one = piece(node)
            if node.phase.failed_or_error:
                self.failed.append(node.id)
            elif one is not None:
                self._straight = self._straight and (one.place > self._last or one.task not in self.tasks)
                self._last = one.place
                self.pieces.append(one)
                self.tasks.setdefault(one.task, Aggregate()).take(one)

    def found(self) -> "dict[str, Aggregate]":
        """All of it, by tasks. Where the nodes did not come in the order of their indices, that is made good."""
        if not self._straight:
            self.tasks = {}
            for one in sorted(self.pieces, key=attrgetter("place")):
                self.tasks.setdefault(one.task, Aggregate()).take(one)
        return self.tasks


class Aggregate:
    """The aggregates of one loop as lists of JSON texts."""

    __slots__ = ("_error", "_results", "_rows", "_values")

    def __init__(self) -> None:
        self._error = ""
        self._results: list[str] = []
        self._rows: list[str] = []
        self._values: dict[str, tuple[list[str], list[str]]] = {}

    def take(self, one: Piece) -> None:
        """Put the next node's part to the others'."""
        self._error = self._error or one.error
        if one.result is not None:
            self._results.append(one.result)
        if one.row:
            self._rows.append(one.row)
        for name, text, nested in one.values:
            texts, nests = self._values.setdefault(name, ([], []))
            texts.append(text)
            if nested is not None:
                nests.append(nested)

    def flat(self) -> dict[str, object] | str:
        """The flat keys below `outputs.`; where a captured result is not JSON, what is wrong with it."""
        if self._error:
            return self._error
        found: dict[str, object] = {"outputs.result": _listed(self._results), "outputs.parameters": _listed(self._rows)}
        for name, (texts, nests) in self._values.items():
            found[f"outputs.parameters.{name}"] = _listed(nests if len(nests) == len(texts) else texts)
        return found


def _listed(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"


def all_skipped(draft: Draft, group: Node, task: str) -> bool:
    """Whether all nodes of a step's loop were skipped."""
    return all(node.phase is Phase.SKIPPED or base(node.task) != task for node in draft.owned_in_turn(group.id))


def loop_index(task: str) -> int:
    """The index of an expanded step or task: 2 of `a(2:x)`."""
    number = task.partition("(")[2].partition(":")[0]
    return int(number) if number.isdecimal() else 0


def ungathered(draft: Draft, owner: Node) -> bool:
    """Whether what the nodes of a step group or of a task's loop gave is so much that it is put together by slices, and was not yet."""
    return draft.owned_count(owner.id) > many(draft) and _gathered(draft, owner) not in draft.state.aggregates


def _gathered(draft: Draft, owner: Node) -> tuple[str, str, int]:
    return owner.id, "", draft.run.generation


def gather(draft: Draft, owner: Node, index: int) -> bool:
    """Put together what the nodes from `index` on gave; whether those were the last."""
    gathered = draft.state.gathered.setdefault((owner.id, draft.run.generation), Gathered())
    end = index + spend(draft)
    if gathered.count < end:
        gathered.take(draft.owned_slice(owner.id, gathered.count, end))
    if end < draft.owned_count(owner.id):
        return False
    _remember(draft, owner, gathered)
    draft.state.aggregates[_gathered(draft, owner)] = {}
    return True


def failures(draft: Draft, owner: Node) -> list[Node]:
    """The Failed and Error nodes of a step group or of a task's loop whose nodes are all over."""
    gathered = draft.state.gathered.get((owner.id, draft.run.generation))
    if gathered is not None and gathered.count == draft.owned_count(owner.id):
        return [draft.node(node_id) for node_id in gathered.failed]
    return [node for node in draft.owned(owner.id) if node.phase is Phase.FAILED or node.phase is Phase.ERROR]


def aggregated(draft: Draft, owner: Node, task: str) -> dict[str, object]:
    """The aggregates of a loop, remembered: a finished loop's children do not change. Raises AggregationError."""
    key = (owner.id, task, draft.run.generation)
    found = draft.state.aggregates.get(key)
    if found is None:
        gathered = Gathered()
        if _gathered(draft, owner) not in draft.state.aggregates:  # else nothing of this task was there
            gathered.take(node for node in draft.owned(owner.id) if base(node.task) == task)
        _remember(draft, owner, gathered)
        found = draft.state.aggregates.setdefault(key, Aggregate().flat())
    if isinstance(found, str):
        raise AggregationError(found)
    return found


def _remember(draft: Draft, owner: Node, gathered: Gathered) -> None:
    for task, aggregate in gathered.found().items():
        draft.state.aggregates[owner.id, task, draft.run.generation] = aggregate.flat()


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
            skipped = all_skipped(self._draft, node, name)
            if skipped and isinstance(self._plan, StepsPlan):
                return ABSENT
            found = aggregated(self._draft, node, name).get(rest, MISSING)
            return ABSENT if found is MISSING and skipped and rest.startswith("outputs.parameters.") else found
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

    def _aggregates(self, owner: Node, name: str) -> Iterable[str]:
        if not owner.phase.fulfilled:
            return ()
        if not all_skipped(self._draft, owner, name):
            return aggregated(self._draft, owner, name)
        declared = next((_outputs(self._draft, node).parameters for node in self._draft.owned(owner.id) if base(node.task) == name), ())
        return ["outputs.result", "outputs.parameters", *(f"outputs.parameters.{parameter.name}" for parameter in declared)]

    def _below(self, name: str, prefix: str) -> Iterator[tuple[str, object]]:
        node, looped = self._node(name)
        if node is None:
            return
        keys = [*self._aggregates(node, name), "id", "status"] if looped else list(node_keys(self._draft, node))
        for key in keys:
            full = f"{self._prefix}{name}.{key}"
            if full == prefix or full.startswith(prefix + "."):
                value = self._value(name, key)
                if value is not MISSING:
                    yield full, value
