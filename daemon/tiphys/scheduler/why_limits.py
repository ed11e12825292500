"""Who keeps something from going on: holders of locks, whoever is active under a limit, workflows that have the places. Only looked at."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from tiphys.errors import TiphysError
from tiphys.scheduler import locks, queues, room
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import Kind, Limit, Lock, Reason, Who
from tiphys.scheduler.records import Node, Role, Run
from tiphys.scheduler.state import ACTIVE_TYPES, RUNS, RunState, State, effects
from tiphys.spec.status import NodeType, Phase

MOST = 20
"""How many nodes or workflows a list names."""


def workflow(run: Run) -> str:
    """A workflow as people name it."""
    return f"{run.namespace}/{run.name}"


def who(run: Run, node: Node | None = None) -> Who:
    """A node of a run, or the run itself."""
    if node is None:
        return Who(workflow=workflow(run), phase=str(run.phase), since=run.started_at)
    since = node.launched_at or node.started_at
    return Who(workflow=workflow(run), node=node.name, id=node.id, phase=str(node.phase), since=since)


def listed(names: Iterable[object], most: int = 5, all_: int = 0) -> str:
    """Names in a row; where there are too many (`all_`: there are so many), how many more."""
    shown = [str(name) for name in names]
    more = max(len(shown), all_) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# locks


def lock(state: State, draft: Draft, name: str, node_id: str) -> Lock:
    """A lock that a node ("": the run) holds or waits for, as it is now."""
    limit, problem = 0, ""
    try:
        limit = locks.limit(draft, name)
    except TiphysError as error:
        problem = str(error)
    queue = state.shared.waiters(name)
    place = next((i for i, one in enumerate(queue) if (one.uid, one.node_id) == (draft.run.uid, node_id)), -1)
    before = (_waiter(state, one.uid, one.node_id) for one in queue[: max(place, 0)][:MOST])
    held = state.shared.counters.get(("lock", name), 0)
    return Lock(
        name=name,
        limit=limit,
        problem=problem,
        holders=tuple(_holders(state, name, min(held, MOST))),
        place=place + 1,
        waiting=len(queue),
        before=tuple(before),
    )


def _waiter(state: State, uid: str, node_id: str) -> Who:
    run = state.runs[uid]
    return who(run.run, run.nodes.get(node_id))


def _holders(state: State, name: str, held: int) -> Iterator[Who]:
    """Who holds a lock; looked for until all are found, in runs that have not ended."""
    for run in state.runs.values() if held else ():
        if run.run.phase.completed:
            continue
        if name in run.run.holding:
            yield who(run.run)
            held -= 1
        for node in run.nodes.values():
            if node.holding and name in node.holding:
                yield who(run.run, node)
                held -= 1
        if held <= 0:
            return


def waits_for_lock(state: State, draft: Draft, node: Node | None) -> Reason:
    """Why a node (None: the run) that waits for locks has not got them."""
    wanting, awaited = (node.wanting, node.waiting_for) if node is not None else (draft.run.wanting, draft.run.waiting_for)
    found = lock(state, draft, awaited, node.id if node is not None else "")
    lines = [_held(found)]
    if found.before:
        lines.append(f"before it in the queue: {listed(found.before)}")
    if others := [other for other in wanting if other != awaited]:
        lines.append(f"all of its locks are taken together; it also needs {listed(others)}")
    changes = "a holder ends and it is first in the queue" if not found.problem else "the semaphore has a limit again"
    if node is not None and room.holds_back(draft):
        why = "the workflow is suspended" if draft.run.suspended else "as many pods are active as the workflow's parallelism allows"
        lines.append(f"{why}: until that changes it takes no lock, free or not")
    text = f"it waits for the lock {awaited}: number {found.place} of {found.waiting} in the queue"
    return Reason(kind=Kind.LOCK, text=text, lines=tuple(lines), changes=changes, lock=found)


def _held(found: Lock) -> str:
    if found.problem:
        return found.problem
    one = f"{len(found.holders)} of {found.limit} taken" if found.limit > 1 else "it is a mutex" if found.limit else ""
    return f"{one}, held by {listed(found.holders)}" if found.holders else f"{one}, held by nobody at this moment"


# parallelism


def active_in(run: RunState, boundary: str) -> list[Node]:
    """The nodes that count as active: in a steps or dag node, or ("") the pods of the whole run."""
    key = ("active", boundary) if boundary else ("active",)
    return [
        node
        for node in run.nodes.values()
        if node.type in ACTIVE_TYPES and not node.phase.fulfilled and any(counted == key for counted, _ in effects(node))
    ]


def _ahead(run: RunState, call: Call, *names: str) -> tuple[int, int, list[str]]:
    """How many wait in queues, how many of them before a call, and the first of those."""
    heaps = [run.parked[name] for name in dict.fromkeys(names) if name in run.parked]
    own = next((entry[:2] for heap in heaps for entry in heap if entry[1] == call.name), (call.turn, call.name))
    ahead = sum(1 for heap in heaps for entry in heap if entry[:2] < own)
    first = islice(heapq.merge(*(queues.ordered(heap) for heap in heaps), key=lambda entry: entry[:2]), min(ahead, MOST))
    return sum(map(len, heaps)), ahead, [name for _, name, _ in first]


def parked(draft: Draft, call: Call) -> Iterator[Reason]:
    """Why a call waits without a node: everything that keeps it from beginning now."""
    run = draft.state
    if draft.run.suspended:
        yield suspended()
    if call.boundary and not _exempt(draft, call):
        boundary = draft.node(call.boundary)
        template = room.template_of(draft, boundary)
        if room.failing_fast(draft, call.boundary):
            yield failing_fast(draft, boundary)
        if template.parallelism is not None and draft.count("active", boundary.id) >= template.parallelism:
            what = f"the template {template.name} has parallelism {template.parallelism}"
            yield _limited(draft, call, Kind.TEMPLATE_PARALLELISM, what, template.parallelism, boundary.id)
    limit = run.manifest.workflow.spec.parallelism
    if limit is not None and room.full(draft):
        yield _limited(draft, call, Kind.PARALLELISM, f"the workflow has parallelism {limit}", limit, "")


def _exempt(draft: Draft, call: Call) -> bool:
    if call.role is not Role.ATTEMPT:
        return call.role is Role.HOOK
    wrapper = draft.node(call.owner)
    return wrapper.role is Role.HOOK or bool(wrapper.holding)


def _limited(draft: Draft, call: Call, kind: Kind, what: str, limit: int, boundary: str) -> Reason:
    run = draft.state
    active = active_in(run, boundary)
    waiting, ahead, first = _ahead(run, call, room.RUN, boundary)
    found = Limit(
        limit=limit,
        used=len(active),
        active=tuple(who(run.run, node) for node in active[:MOST]),
        place=ahead + 1,
        waiting=waiting,
        before=tuple(Who(workflow=workflow(run.run), node=name) for name in first),
    )
    lines = [f"active: {listed(node.name for node in active)}"]
    if found.before:
        lines.append(f"before it in the queue: {listed(first, all_=ahead)}")
    text = f"{what} and {len(active)} are active; it is number {found.place} of {found.waiting} that wait"
    return Reason(kind=kind, text=text, lines=tuple(lines), changes="one of the active ends", limit=found)


def suspended() -> Reason:
    """The workflow is suspended."""
    return Reason(kind=Kind.SUSPENDED, text="the workflow is suspended: nothing new is started in it", changes="somebody resumes it")


def failing_fast(draft: Draft, boundary: Node) -> Reason:
    """Something failed in a template with failFast."""
    failed = [node for node in _inside(draft.state, boundary) if node.phase.failed_or_error]
    active = [node for node in _inside(draft.state, boundary) if not node.phase.fulfilled]
    template = room.template_of(draft, boundary).name
    return Reason(
        kind=Kind.FAIL_FAST,
        text=f"{listed(node.name for node in failed)} failed and the template {template} has failFast: nothing more is started in it",
        changes=f"{boundary.name} fails when {listed(node.name for node in active)} has ended" if active else f"{boundary.name} fails",
        nodes=tuple(who(draft.run, node) for node in failed[:MOST]),
    )


def _inside(run: RunState, boundary: Node) -> list[Node]:
    return [node for node in run.nodes.values() if node.boundary == boundary.id and node.type in ACTIVE_TYPES]


# places among workflows


def place(state: State, run: RunState) -> Reason:
    """Why a run waits until fewer run."""
    rules, shared, own = state.shared.rules, state.shared, run.run
    within = rules.limit(own.namespace)
    taken, taken_here = shared.counters.get((RUNS,), 0), shared.counters.get((RUNS, own.namespace), 0)
    narrow = bool(within) and taken_here >= within and not (rules.parallelism and taken >= rules.parallelism)
    running = [
        who(one.run)
        for one in state.runs.values()
        if not one.run.phase.completed
        and not one.run.postponed
        and one.run.phase is not Phase.UNKNOWN
        and (not narrow or one.run.namespace == own.namespace)
    ]
    queue = [one for one in shared.crowd.postponed if not narrow or one.namespace == own.namespace]
    index = next((i for i, one in enumerate(queue) if one.rank[2] == own.uid), 0)
    before = tuple(who(state.runs[one.rank[2]].run) for one in queue[:index][:MOST])
    limit = within if narrow else rules.parallelism
    where = f"in the namespace {own.namespace}" if narrow else "at once"
    found = Limit(limit=limit, used=len(running), active=tuple(running[:MOST]), place=index + 1, waiting=len(queue), before=before)
    lines = [f"running: {listed(found.active)}"] if running else []
    if before:
        lines.append(f"before it, by priority and age: {listed(before)}")
    text = f"{limit} workflows may run {where} and {len(running)} do; it is number {found.place} of {found.waiting} that wait"
    if limit == 0 or len(running) < limit:
        text = f"it waits for a place among workflows: number {found.place} of {found.waiting}"
    return Reason(kind=Kind.PLACE, text=text, lines=tuple(lines), changes="one of them ends", limit=found)


def executed(node: Node) -> bool:
    """Whether an executor carries the node out."""
    return node.type in (NodeType.POD, NodeType.HTTP, NodeType.PLUGIN)
