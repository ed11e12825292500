"""Why something has no node yet: steps and tasks that have not begun, calls that wait for room."""

from collections.abc import Iterator

from tiphys.errors import TiphysError
from tiphys.scheduler import lone, plans, why_conditions, why_limits
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.lone import Lone
from tiphys.scheduler.plans import DagPlan
from tiphys.scheduler.reasons import Kind, Reason
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.scheduler.state import RunState
from tiphys.spec.status import NodeType

MOST_SEARCHED = 500
"""Steps and dag nodes in which a step or task is looked for that is named without its place."""

COMPOSED = frozenset({NodeType.STEPS, NodeType.DAG})


def parked(run: RunState, name: str) -> Call | None:
    """The call that waits for room and will become the node of this name."""
    for queue in run.parked.values():
        for _, called, call in queue:
            if called == name:
                return call
    return None


def call_reasons(draft: Draft, call: Call) -> Iterator[Reason]:
    """Why a call waits."""
    found = list(why_limits.parked(draft, call))
    yield from found
    if not found:
        yield Reason(kind=Kind.PARALLELISM, text="it waited for room, which there is now: it begins at the next event of the workflow")
    if call.boundary and call.task and (one := _lone(draft, draft.node(call.boundary), call.task)) is not None:
        yield from conditions(one)


def _lone(draft: Draft, boundary: Node, task: str) -> Lone | None:
    try:
        return lone.find(draft, boundary, task) if boundary.type in COMPOSED else None
    except (TiphysError, LookupError):
        return None


def conditions(one: Lone) -> Iterator[Reason]:
    """The conditions of a step or task: depends, when, loop."""
    if isinstance(one.plan, DagPlan) and (found := why_conditions.depends(one)) is not None:
        yield found
    if (found := why_conditions.when(one)) is not None:
        yield found
    if (found := why_conditions.loop(one)) is not None:
        yield found


# steps and tasks


def declared(draft: Draft, name: str) -> Lone | None:
    """The step or task that would become the node of this name, full or (in whatever has not ended) as it is declared."""
    boundaries = [node for node in draft.state.nodes.values() if node.type in COMPOSED]
    for boundary in sorted(boundaries, key=lambda node: -len(node.name)):
        if name.startswith((f"{boundary.name}.", f"{boundary.name}[")):
            rest = name[len(boundary.name) :]
            task = rest.partition("].")[2] if rest.startswith("[") else rest[1:]
            if task and (one := _lone(draft, boundary, task)) is not None and plans.base(one.name) == plans.base(name):
                return one
    for boundary in sorted(boundaries, key=lambda node: node.phase.fulfilled)[:MOST_SEARCHED]:
        if name in lone.names(draft, boundary) and (one := _lone(draft, boundary, name)) is not None:
            return one
    return None


def step_reasons(draft: Draft, one: Lone) -> Iterator[Reason]:
    """Why a step or task has not begun."""
    boundary = one.boundary
    if (found := _never(draft, boundary)) is not None:
        yield found
        return
    if not isinstance(one.plan, DagPlan):
        yield _groups_before(draft, one)
    yield from conditions(one)


def _never(draft: Draft, boundary: Node) -> Reason | None:
    run = draft.run
    if boundary.phase.fulfilled:
        text = f"it never began: {boundary.name} ended before, {boundary.phase}"
        return Reason(
            kind=Kind.ENDED, text=text + (f": {boundary.message}" if boundary.message else ""), nodes=(why_limits.who(run, boundary),)
        )
    if run.shutdown is Shutdown.TERMINATE or (run.shutdown is Shutdown.STOP and not boundary.in_exit):
        return Reason(kind=Kind.SHUTDOWN, text=f"the workflow is being ended ({run.shutdown}): nothing new begins", changes="never")
    if run.deadline_passed and not boundary.in_exit:
        return Reason(kind=Kind.DEADLINE, text="the workflow's deadline has passed: nothing new begins", changes="never")
    return None


def _groups_before(draft: Draft, one: Lone) -> Reason:
    """Steps begin when all steps before them have ended."""
    groups = [node for node in draft.owned(one.boundary.id) if node.role is Role.GROUP]
    current = next((group for group in groups if not group.settled), None)
    if current is None:
        return Reason(kind=Kind.ORDER, text=f"the steps before it have not begun: {one.boundary.name} has {len(groups)} groups so far")
    index = current.name[len(one.boundary.name) + 1 : -1]
    open_ = [node for node in draft.owned(current.id) if not node.settled]
    waiting = [name for queue in draft.state.parked.values() for _, name, call in queue if call.owner == current.id]
    names = [node.name for node in open_] + sorted(waiting)
    return Reason(
        kind=Kind.ORDER,
        text=f"it is in group {one.group} of {one.boundary.name}, and group {index} has not ended: {why_limits.listed(names)}",
        changes=f"the end of {why_limits.listed(names)}",
        nodes=tuple(why_limits.who(draft.run, node) for node in open_[: why_limits.MOST]),
    )
