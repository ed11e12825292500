"""The laws of the state, as code. Tests check them after every decision; a broken law is a bug of ours, never of a workflow."""

import itertools
from collections.abc import Iterable, Iterator

from tiphys.errors import TiphysError
from tiphys.scheduler import decision, locks, plans, recovery, retrying, room
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import ACTIVE_PHASES, ACTIVE_TYPES, LOCK, RUNS, SHARED, RunState, State, effects, run_effects
from tiphys.spec.status import NodeType, Phase


def check(run: RunState) -> list[str]:
    """Which laws a run breaks, in words. In the middle of a decision only some of them hold."""
    return [broken for law in (BETWEEN if run.rest else LAWS) for broken in law(run)]


def common(state: State) -> list[str]:
    """Which laws the runs together break, in words. To be asked when everything that follows from a fact has been decided."""
    return [broken for law in COMMON for broken in law(state)]


def step(before: RunState | None, made: decision.Decision) -> list[str]:
    """Which laws a decision breaks, told from the state before it."""
    broken: list[str] = []
    put = {change.node.id: change.node for change in made.changes if isinstance(change, decision.NodePut)}
    removed = {change.node_id for change in made.changes if isinstance(change, decision.NodeRemoved)}
    for node in put.values():
        old = before.nodes.get(node.id) if before is not None else None
        if old is None or old.id in removed or _redone(before, made):
            continue
        if old.phase.fulfilled and node.phase is not old.phase:
            broken.append(f"{node.name} was {old.phase} and is {node.phase}")
        if old.settled and not node.settled:
            broken.append(f"{node.name} was settled and is not")
    launched: set[tuple[str, int]] = set()
    known = put.keys() | (before.nodes.keys() if before is not None else set())
    for command in made.commands:
        if isinstance(command, decision.Launch | decision.Adopt | decision.StopAttempt) and command.node_id not in known:
            broken.append(f"a command speaks of {command.node_id}, which is not there")
        if isinstance(command, decision.Launch):
            if _ordered(before, command, removed):
                broken.append(f"{command.node_id} is ordered again, and an order of it is open")
            key = (command.node_id, command.attempt)
            launched_node = put.get(command.node_id)
            if launched_node is None or launched_node.attempt != command.attempt:
                broken.append(f"{command.node_id} is launched but not part of the decision")
            if key in launched:
                broken.append(f"{command.node_id} is launched twice")
            launched.add(key)
    return broken


def _ordered(before: RunState | None, command: decision.Launch, removed: set[str]) -> bool:
    """Whether the attempt that is launched was launched before: it was there, and waited for no lock."""
    old = before.nodes.get(command.node_id) if before is not None and command.node_id not in removed else None
    return old is not None and old.attempt == command.attempt and not old.waiting_for


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
        if node.settled and not node.phase.fulfilled and not node.daemoned:
            yield f"{node.name} is settled and {node.phase}"
        if node.phase.fulfilled and (node.holding or node.wanting or node.waiting_for):
            yield f"{node.name} is {node.phase} and still has to do with locks"


def _owners(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        for other in (node.owner, node.boundary):
            if other and other not in run.nodes:
                yield f"{node.name} belongs to {other}, which is not there"
        owner = run.nodes.get(node.owner)
        if owner is None or node.role is Role.HOOK or node.daemoned:
            continue
        if owner.phase.fulfilled and not node.phase.fulfilled:
            yield f"{node.name} goes on inside {owner.name}, which is over"


def _attempts(run: RunState) -> Iterator[str]:
    draft = Draft(run, run.run.created_at)
    for node in run.nodes.values():
        if node.type is NodeType.RETRY:
            attempts = _owned(run, node, Role.ATTEMPT)
            limit = retrying.limit_of(retrying.strategy_of(draft, node))
            if limit is not None and len(attempts) > limit + 1:
                yield f"{node.name} has {len(attempts)} attempts, {limit} retries are allowed"
            if sum(1 for attempt in attempts if not attempt.settled) > 1:
                yield f"{node.name} has several attempts at once"
            if any(attempt.phase is Phase.SUCCEEDED for attempt in attempts[:-1]):
                yield f"{node.name} was tried again after a success"


def _counters(run: RunState) -> Iterator[str]:
    counted: dict[tuple[str, ...], int] = {}
    for node in run.nodes.values():
        for key, amount in effects(node):
            counted[key] = counted.get(key, 0) + amount
    for key in {key for key in (*counted, *run.counters) if key[0] in {"active", "failed", "daemons"}}:
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


def _template_limits(run: RunState) -> Iterator[str]:
    """Hooks, attempts whose Retry node keeps locks, and what a retry of the workflow goes on with, need no room of their template."""
    if run.run.shutdown or run.run.deadline_passed:
        return
    draft = Draft(run, run.run.created_at)
    active: dict[str, int] = {}
    for node in run.nodes.values():
        if node.boundary and node.type in ACTIVE_TYPES and node.phase in ACTIVE_PHASES and node.role is not Role.HOOK and not node.daemoned:
            if node.attempt < run.run.generation:
                continue
            owner = run.nodes.get(node.owner)
            if node.role is not Role.ATTEMPT or owner is None or not (owner.role is Role.HOOK or owner.holding):
                active[node.boundary] = active.get(node.boundary, 0) + 1
    for boundary, count in active.items():
        limit = room.template_of(draft, run.nodes[boundary]).parallelism
        if limit is not None and count > limit:
            yield f"{count} children of {run.nodes[boundary].name} are active, {limit} may be"


def _mutexes(run: RunState) -> Iterator[str]:
    for (kind, *rest), held in run.shared.counters.items():
        if kind == LOCK and "/Mutex/" in rest[0] and held > 1:
            yield f"{rest[0]} is held {held} times"


def _gone_on_with(run: RunState, node: Node) -> bool:
    """Whether a retry goes on inside a node: a daemon that it depends on is started again beside it."""
    return run.run.generation > 0 and node.type in recovery.COMPOSITE


def _groups(run: RunState) -> Iterator[str]:
    for node in run.nodes.values():
        if node.type is NodeType.STEPS:
            groups = _owned(run, node, Role.GROUP)
            for earlier, later in itertools.pairwise(groups):
                if not earlier.settled and any(not step.settled and not _gone_on_with(run, step) for step in _owned(run, later, Role.STEP)):
                    yield f"{node.name} went on before {earlier.name} was over"


def _owned(run: RunState, owner: Node, role: Role) -> list[Node]:
    return [run.nodes[i] for i in run.owned.get(owner.id, ()) if run.nodes[i].role is role]


def _waiting(run: RunState) -> dict[str, list[Call]]:
    """Calls that wait for room, by their owner."""
    found: dict[str, list[Call]] = {}
    for queue in run.parked.values():
        for _, _, call in queue:
            found.setdefault(call.owner, []).append(call)
    return found


def _progress(run: RunState) -> Iterator[str]:
    """What is unfinished inside a node is counted right, and there is something unfinished as long as the node is."""
    if run.run.wanting or run.run.postponed:
        return  # a retried run, which goes on when it may
    draft = Draft(run, run.run.created_at)
    waiting = _waiting(run)
    for node in run.nodes.values():
        calls = [call for call in waiting.get(node.id, ()) if call.role is not Role.HOOK]
        if node.phase.fulfilled:
            if not node.settled and not _outstanding_hooks(run, node, waiting.get(node.id, ())):
                yield f"{node.name} is {node.phase}, and nothing will settle it"
            continue
        if node.phase is Phase.PENDING:
            continue
        match node.type:
            case NodeType.STEP_GROUP if _behind(run, node):
                pass
            case NodeType.STEP_GROUP | NodeType.TASK_GROUP:
                live = [n for n in _owned(run, node, _inner(node)) if not n.settled]
                yield from _counted(run, ("open", node.id), len(live) + len(calls), node, "open calls")
                if not live and not calls:
                    yield f"{node.name} runs with nothing in it"
            case NodeType.DAG:
                yield from _dag(run, draft, node, calls)
            case NodeType.STEPS:
                groups = _owned(run, node, Role.GROUP)
                if not groups or groups[-1].settled:
                    yield f"{node.name} runs without a group"
            case NodeType.RETRY:
                attempts = _owned(run, node, Role.ATTEMPT)
                if not calls and node.wake_at is None and (not attempts or (attempts[-1].phase.fulfilled and attempts[-1].settled)):
                    yield f"{node.name} runs without an attempt"


def _behind(run: RunState, group: Node) -> bool:
    """Whether a group waits for one before it that a retry of the workflow went back to."""
    groups = _owned(run, run.nodes[group.owner], Role.GROUP)
    return any(not earlier.settled for earlier in groups[: groups.index(group)])


def _inner(group: Node) -> Role:
    return Role.STEP if group.type is NodeType.STEP_GROUP else Role.ITEM


def _counted(run: RunState, key: tuple[str, ...], wanted: int, node: Node, what: str) -> Iterator[str]:
    if run.counters.get(key, 0) != wanted:
        yield f"{node.name} counts {run.counters.get(key, 0)} {what}, there are {wanted}"


def _dag(run: RunState, draft: Draft, node: Node, calls: list[Call]) -> Iterator[str]:
    plan = plans.plan_of(draft, node)
    assert isinstance(plan, plans.DagPlan)
    tasks = {task.task: task for task in _owned(run, node, Role.TASK)}
    settled = {name for name, task in tasks.items() if task.settled}
    yield from _counted(run, ("open", node.id), len(plan.order) - len(settled), node, "open tasks")
    yield from _counted(run, ("live", node.id), len(tasks) - len(settled) + len(calls), node, "live tasks")
    if len(tasks) == len(settled) and not calls:
        yield f"{node.name} runs with nothing in it"
    for name in plan.order:
        needed = set(plan.depends[name].tasks)
        yield from _counted(run, ("deps", node.id, name), len(needed & settled), node, f"settled dependencies of {name}")
        there = name in tasks and not _gone_on_with(run, tasks[name])
        if not needed <= settled and (there or any(call.task == name for call in calls)):
            yield f"{node.name}.{name} is there before what it depends on is over"


def _outstanding_hooks(run: RunState, node: Node, calls: Iterable[Call]) -> bool:
    return any(call.role is Role.HOOK for call in calls) or any(not hook.settled for hook in _owned(run, node, Role.HOOK))


def _queues(run: RunState) -> Iterator[str]:
    """A call waits only while there is no room for it, once, and without a node."""
    draft = Draft(run, run.run.created_at)
    seen: set[str] = set()
    for queue, entries in run.parked.items():
        for _, _, call in entries:
            if call.name in run.ids:
                yield f"{call.name} waits for room and is there"
            if call.name in seen:
                yield f"{call.name} waits twice"
            seen.add(call.name)
        if not run.run.suspended and not _full(run, draft, queue):
            yield f"there is room in {run.nodes[queue].name if queue else 'the run'} for {entries[0][1]}, and it waits"


def _full(run: RunState, draft: Draft, queue: str) -> bool:
    if not queue:
        return room.full(draft)
    limit = room.template_of(draft, run.nodes[queue]).parallelism
    return room.failing_fast(draft, queue) or (limit is not None and draft.count("active", queue) >= limit)


def _names(run: RunState) -> Iterator[str]:
    for name, node_id in run.ids.items():
        if node_id not in run.nodes or run.nodes[node_id].name != name:
            yield f"{name} is not found under its id {node_id}"
    if len(run.ids) != len(run.nodes):
        yield "two nodes have one name"


def _completed(run: RunState) -> Iterator[str]:
    if not run.run.phase.completed:
        if not any(_alive(node) for node in run.nodes.values()) and not _waits(run):
            yield "nothing will ever happen again, and the run is not over"
        return
    if run.run.finished_at is None:
        yield "the run is over without an end"
    if any(run.parked.values()):
        yield "the run is over, and calls wait for room"
    for node in run.nodes.values():
        if not node.phase.fulfilled:
            yield f"the run is over, and {node.name} is {node.phase}"


def _alive(node: Node) -> bool:
    """Whether something will be heard of this node: an attempt, a timer, a person, or somebody who is in the way of its locks."""
    if node.phase.fulfilled:
        return False
    leaf = node.type in {NodeType.POD, NodeType.HTTP, NodeType.PLUGIN, NodeType.SUSPEND}
    return leaf or node.wake_at is not None or bool(node.waiting_for)


def _waits(run: RunState) -> bool:
    return run.run.suspended or bool(run.run.wanting) or run.run.postponed


def _places(state: State) -> Iterator[str]:
    """Places taken are those of the rows."""
    counted: dict[tuple[str, ...], int] = {}
    for run in state.runs.values():
        for key, amount in run_effects(run.run):
            counted[key] = counted.get(key, 0) + amount
        for node in run.nodes.values():
            for key, amount in effects(node):
                if key[0] in SHARED:
                    counted[key] = counted.get(key, 0) + amount
    if counted != state.shared.counters:
        yield f"places and locks are counted {state.shared.counters}, the rows say {counted}"


def places(state: State) -> dict[tuple[str, ...], int]:
    """How many places are taken, in all and by namespace."""
    return {key: count for key, count in state.shared.counters.items() if key[0] == RUNS}


def over_limits(before: dict[tuple[str, ...], int], state: State) -> Iterator[str]:
    """A place was given (`before`: the places then) where more are taken than may be: a lowered limit takes none away, but gives none."""
    for key, count in places(state).items():
        limit = state.shared.rules.limit(key[1]) if key[1:] else state.shared.rules.parallelism
        if limit and count > max(limit, before.get(key, 0)):
            yield f"{count} workflows run {'in ' + key[1] if key[1:] else 'in all'}, {limit} may"


def _postponed(state: State) -> Iterator[str]:
    """Nobody waits for a place while there is room."""
    rules, taken = state.shared.rules, state.shared.counters
    for run in state.runs.values():
        of = run.run.namespace
        if run.run.postponed and not (rules.parallelism and taken.get((RUNS,), 0) >= rules.parallelism):
            limit = rules.limit(of)
            if not limit or taken.get((RUNS, of), 0) < limit:
                yield f"{run.run.name} is postponed, and there is room"
        if run.run.postponed and (run.run.phase is not Phase.PENDING or run.run.wanting or run.run.holding):
            yield f"{run.run.name} is postponed, {run.run.phase}, and has to do with locks"


def _deletions(state: State) -> Iterator[str]:
    """A run that is to be deleted and has ended is gone, or has artifacts that are not."""
    for run in state.runs.values():
        if run.run.deleting and run.run.phase.completed and not (run.run.collecting or run.run.artifact_gc_error):
            yield f"{run.run.name} is to be deleted, has ended, and is there"


def _derived(state: State) -> Iterator[str]:
    """What is kept of all runs and items together is what their rows give."""
    fresh = State()
    fresh.shared.rules = state.shared.rules
    fresh.load_items(state.shared.registry.items())
    for run in state.runs.values():
        fresh.load(run.manifest, run.run, run.nodes.values())
    for name in ("crowd", "memos", "registry"):
        have, rows = vars(getattr(state.shared, name)), vars(getattr(fresh.shared, name))
        for part in rows:
            if have[part] != rows[part]:
                yield f"{name}: {part} is {have[part]}, the rows say {rows[part]}"
    have_ends, ends = ({key: [end[:2] for end in found] for key, found in s.shared.succeeded.items()} for s in (state, fresh))
    if have_ends != ends:
        yield f"the successes are {have_ends}, the rows say {ends}"
    waiting, waits = ({key: [(one.uid, one.node_id) for one in queue] for key, queue in s.shared.queues.items()} for s in (state, fresh))
    if waiting != waits:
        yield f"locks are awaited, in this order, by {waiting}, the rows say {waits}"


def _locks(state: State) -> Iterator[str]:
    """Nobody waits for locks that it could take or has no use for, and nobody holds any after its end."""
    for run in state.runs.values():
        if run.run.phase.completed and (run.run.holding or run.run.wanting):
            yield f"{run.run.name} is over, and has to do with locks"
        draft = Draft(run, run.run.created_at)
        if run.run.waiting_for and not _missing(draft, run.run.wanting):
            yield f"{run.run.name} waits for {run.run.waiting_for}, and nothing is in its way"
        for node in run.nodes.values():
            if node.waiting_for and not node.in_exit and (run.run.shutdown or run.run.deadline_passed):
                yield f"{run.run.name} is being ended, and {node.name} waits for {node.waiting_for}"
        if room.holds_back(draft):
            continue
        for node in run.nodes.values():
            if node.waiting_for and not _missing(draft, node.wanting):
                yield f"{run.run.name}: {node.name} waits for {node.waiting_for}, and nothing is in its way"


def _missing(draft: Draft, wanting: tuple[str, ...]) -> str:
    """The lock that cannot be had of those."""
    try:
        return locks.blocked(draft, wanting, used=True)[0]
    except TiphysError as error:
        return str(error)


def held(state: State) -> dict[tuple[str, ...], int]:
    """How many hold each lock."""
    return {key: count for key, count in state.shared.counters.items() if key[0] == LOCK}


def over_locked(before: dict[tuple[str, ...], int], state: State) -> Iterator[str]:
    """A lock was given (`before`: who held it then) of which more are held than may be: a lowered limit takes none away, but gives none."""
    if not state.runs:
        return
    draft = Draft(next(iter(state.runs.values())), next(iter(state.runs.values())).run.created_at)
    for key, count in held(state).items():
        most = locks.most(draft, key[1])
        if count > max(most, before.get(key, 0)):
            yield f"{key[1]} is held {count} times, {most} may hold it"


COMMON = (_places, _postponed, _deletions, _derived, _locks)
BETWEEN = (_ended_nodes, _owners, _attempts, _counters, _limits, _template_limits, _mutexes, _groups, _names)
LAWS = (*BETWEEN, _progress, _queues, _completed)
