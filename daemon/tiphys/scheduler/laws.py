"""The laws of the state, as code. Tests check them after every decision; a broken law is a bug of ours, never of a workflow."""

from collections.abc import Iterator

from tiphys.scheduler import decision
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import LOCK, RunState, State, effects
from tiphys.spec.status import NodeType, Phase


def check(run: RunState) -> list[str]:
    """Which laws a run breaks, in words."""
    return [broken for law in LAWS for broken in law(run)]


def step(before: RunState | None, made: decision.Decision) -> list[str]:
    """Which laws a decision breaks, told from the state before it."""
    broken: list[str] = []
    put = {change.node.id: change.node for change in made.changes if isinstance(change, decision.NodePut)}
    removed = {change.node_id for change in made.changes if isinstance(change, decision.NodeRemoved)}
    for node in put.values():
        old = before.nodes.get(node.id) if before is not None else None
        if old is not None and old.id not in removed and old.settled and node.phase is not old.phase and not _redone(before, made):
            broken.append(f"{node.name} was {old.phase}, settled, and is {node.phase}")
    launched: set[tuple[str, int]] = set()
    for command in made.commands:
        if isinstance(command, decision.Launch):
            key = (command.node_id, command.attempt)
            launched_node = put.get(command.node_id)
            if launched_node is None or launched_node.attempt != command.attempt:
                broken.append(f"{command.node_id} is launched but not part of the decision")
            if key in launched:
                broken.append(f"{command.node_id} is launched twice")
            launched.add(key)
    return broken


def _redone(before: RunState | None, made: decision.Decision) -> bool:
    """Whether the decision is a retry of a finished workflow, which alone may undo an end."""
    return before is not None and before.run.phase.completed and any(isinstance(change, decision.RunPut) for change in made.changes)


def snapshot(state: State, uid: str) -> object:
    """All that must be the same after `decide` as before it: records, counters and queues (caches aside)."""
    run = state.runs.get(uid)
    if run is None:
        return None
    waiting = {name: sorted(entry[:2] for entry in queue) for name, queue in run.parked.items()}
    return run.run, dict(run.nodes), dict(run.counters), dict(state.shared.counters), waiting


def _ended_nodes(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        if node.phase.fulfilled and node.finished_at is None:
            yield f"{node.name} is {node.phase} without an end"
        if node.settled and not node.phase.fulfilled:
            yield f"{node.name} is settled and {node.phase}"
        if node.phase.fulfilled and (node.holding or node.wanting or node.waiting_for):
            yield f"{node.name} is {node.phase} and still has to do with locks"


def _owners(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        for other in (node.owner, node.boundary):
            if other and other not in run.nodes:
                yield f"{node.name} belongs to {other}, which is not there"
        owner = run.nodes.get(node.owner)
        if owner is not None and owner.settled and not node.settled and node.role is not Role.HOOK:
            yield f"{node.name} goes on inside {owner.name}, which is over"


def _attempts(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        if node.type is NodeType.RETRY:
            attempts = [run.nodes[i] for i in run.owned.get(node.id, ()) if run.nodes[i].role is Role.ATTEMPT]
            if sum(1 for attempt in attempts if not attempt.settled) > 1:
                yield f"{node.name} has several attempts at once"
            if any(attempt.phase is Phase.SUCCEEDED for attempt in attempts[:-1]):
                yield f"{node.name} was tried again after a success"


def _counters(run: RunState) -> Iterator[str]:
    counted: dict[tuple[str, ...], int] = {}
    for node in run.nodes.values():
        for key, amount in effects(node):
            counted[key] = counted.get(key, 0) + amount
    for key in {key for key in (*counted, *run.counters) if key[0] in {"active", "failed"}}:
        if counted.get(key, 0) != run.counters.get(key, 0):
            yield f"counter {key} is {run.counters.get(key, 0)}, the rows say {counted.get(key, 0)}"
    for key, amount in counted.items():
        if key[0] == LOCK and run.shared.counters.get(key, 0) < amount:
            yield f"lock {key[1]} is held {amount} times by rows, and counted {run.shared.counters.get(key, 0)} times"


def _limits(run: RunState) -> Iterator[str]:
    limit = run.manifest.workflow.spec.parallelism
    free = run.run.shutdown or run.run.deadline_passed
    if limit is not None and not free and run.counters.get(("active",), 0) > limit:
        yield f"{run.counters[('active',)]} pods are active, {limit} may be"


def _mutexes(run: RunState) -> Iterator[str]:
    for (kind, *rest), held in run.shared.counters.items():
        if kind == LOCK and "/Mutex/" in rest[0] and held > 1:
            yield f"{rest[0]} is held {held} times"


def _groups(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        if node.type is NodeType.STEPS:
            groups = [run.nodes[i] for i in run.owned.get(node.id, ()) if run.nodes[i].role is Role.GROUP]
            for earlier in groups[:-1]:
                if not earlier.settled:
                    yield f"{node.name} went on before {earlier.name} was over"


def _names(run: RunState) -> Iterator[str]:
    for name, node_id in run.ids.items():
        if node_id not in run.nodes or run.nodes[node_id].name != name:
            yield f"{name} is not found under its id {node_id}"
    if len(run.ids) != len(run.nodes):
        yield "two nodes have one name"


def _completed(run: RunState) -> Iterator[str]:
    if not run.run.phase.completed:
        if not any(_alive(run, node) for node in run.nodes.values()) and not _waits(run):
            yield "nothing will ever happen again, and the run is not over"
        return
    if run.run.finished_at is None:
        yield "the run is over without an end"
    if any(run.parked.values()):
        yield "the run is over, and calls wait for room"
    for node in run.nodes.values():
        if not node.phase.fulfilled:
            yield f"the run is over, and {node.name} is {node.phase}"


def _alive(run: RunState, node: Node) -> bool:
    """Whether something will be heard of this node: an attempt, a timer, a person, or a lock that somebody will give back."""
    if node.phase.fulfilled:
        return False
    leaf = node.type in {NodeType.POD, NodeType.HTTP, NodeType.PLUGIN, NodeType.SUSPEND}
    return leaf or node.wake_at is not None or bool(node.waiting_for and run.shared.counters.get((LOCK, node.waiting_for)))


def _waits(run: RunState) -> bool:
    return run.run.suspended or bool(run.run.wanting)


LAWS = (_ended_nodes, _owners, _attempts, _counters, _limits, _mutexes, _groups, _names, _completed)
