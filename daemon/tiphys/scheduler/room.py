"""Whether there is room to start something: suspension, parallelism, failFast (semantics 2.11, 2.8).

What finds no room waits as a call, without a node; `admit` lets calls in when something ended.
"""

from msgspec import structs

from tiphys.scheduler import bodies, locks, nodes, plans, todo, variables
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Template

RUN = ""
"""The queue of calls that wait for the whole run; a boundary's own queue is named by its id."""

FAIL_FAST = "template has failed or errored children and failFast enabled"


def refuses(draft: Draft, call: Call) -> bool:
    """Whether the call must wait; it is then parked."""
    shutdown = draft.run.shutdown
    if shutdown is not Shutdown.NONE and not (call.in_exit and shutdown is Shutdown.STOP):
        return False
    if draft.run.deadline_passed and not call.in_exit:
        return False
    if call.boundary and not _exempt(draft, call) and _boundary_refuses(draft, call):
        return True
    if draft.run.suspended or full(draft):
        _park(draft, RUN, call)
        return True
    return False


def _exempt(draft: Draft, call: Call) -> bool:
    """Whether a template's limits do not hold for a call: hooks, and attempts that others may wait for, since they keep locks."""
    if call.role is not Role.ATTEMPT:
        return call.role is Role.HOOK
    wrapper = draft.node(call.owner)
    return wrapper.role is Role.HOOK or bool(wrapper.holding)


def failing_fast(draft: Draft, boundary: str) -> bool:
    """Whether nothing more is started in a steps or dag node, since something in it failed and its template says failFast."""
    return bool(boundary) and draft.count("failed", boundary) > 0 and bool(template_of(draft, draft.node(boundary)).fail_fast)


def _boundary_refuses(draft: Draft, call: Call) -> bool:
    if failing_fast(draft, call.boundary):
        _park(draft, call.boundary, call)
        draft.later(todo.Admit(call.boundary))
        return True
    limit = template_of(draft, draft.node(call.boundary)).parallelism
    if limit is not None and draft.count("active", call.boundary) >= limit:
        _park(draft, call.boundary, call)
        return True
    return False


def _park(draft: Draft, queue: str, call: Call) -> None:
    turn = call.turn or _place(draft, call.boundary, call.task, call.owner if call.role in (Role.ATTEMPT, Role.HOOK) else "")
    draft.queue(queue).put(structs.replace(call, turn=turn))


def _place(draft: Draft, boundary: str, task: str, owner: str) -> tuple[int, ...]:
    """Where a step or task stands in the walk from the entrypoint on: group or task, and loop index, at every level."""
    if owner:
        task = draft.node(owner).task
    place: list[int] = []
    while boundary:
        node = draft.node(boundary)
        plan = plans.plan_of(draft, node)
        place += [variables.loop_index(task), plan.position(plans.base(task))]
        boundary, task = node.boundary, node.task
    return tuple(reversed(place))


def holds_back(draft: Draft) -> bool:
    """Whether nothing that has waited for its locks may go on yet. Argo asks again each time it looks at such a node (checkParallelism)."""
    return draft.run.suspended or full(draft)


def full(draft: Draft) -> bool:
    """Whether the run's own parallelism is used up."""
    limit = draft.state.manifest.workflow.spec.parallelism
    return limit is not None and draft.count("active") >= limit


def template_of(draft: Draft, boundary: Node) -> Template:
    """The template of a steps or dag node; its limits cannot hold tags."""
    return bodies.source_of(draft, boundary).template


def admit(draft: Draft, boundary: str) -> None:
    """Something of `boundary` ended: let one waiting call in, whichever of the boundary's and the run's comes first in the walk, and then
    look again. In which of the two a call waits follows from what was full when it came, and so decides nothing.
    """
    if draft.run.suspended:
        return
    if draft.count("waiting") and (node := locks.could_take(draft)) is not None and not full(draft):
        draft.later(todo.Enter(node.id))  # it was there before those that are not nodes yet
        draft.later(todo.Admit(boundary))
        return
    free = bool(draft.waiting(RUN)) and not full(draft)
    own = bool(boundary) and bool(draft.waiting(boundary))
    later = own and free and draft.queue(RUN).front() < draft.queue(boundary).front()
    if own and not later and _admit_boundary(draft, draft.node(boundary)):
        draft.later(todo.Admit(boundary))
    elif later:
        _go(draft, draft.queue(RUN).pop())
        draft.later(todo.Admit(boundary))
    elif free:
        _go(draft, draft.queue(RUN).pop())
        draft.later(todo.Admit(RUN))


def _admit_boundary(draft: Draft, boundary: Node) -> bool:
    if boundary.phase.fulfilled:
        return False
    if failing_fast(draft, boundary.id):
        if not draft.count("active", boundary.id) and not _hooks_outstanding(draft, boundary):
            for _ in range(draft.waiting(boundary.id)):
                draft.queue(boundary.id).pop()
            nodes.abandon(draft, boundary, FAIL_FAST)
            nodes.end(draft, boundary, Phase.FAILED, FAIL_FAST)
        return False
    limit = template_of(draft, boundary).parallelism
    if limit is not None and draft.count("active", boundary.id) >= limit:
        return False
    _go(draft, draft.queue(boundary.id).pop())  # where the run has no room it waits for that, in the run's queue
    return True


def _hooks_outstanding(draft: Draft, node: Node) -> bool:
    """Whether something that ended inside a node still has hooks to be waited for."""
    for inner in draft.owned(node.id):
        if inner.phase.fulfilled and not inner.settled:
            return True
        if (inner.role is Role.GROUP or inner.type is NodeType.TASK_GROUP) and _hooks_outstanding(draft, inner):
            return True
    return False


def _go(draft: Draft, call: Call) -> None:
    draft.later(todo.NextAttempt(call.owner) if call.role is Role.ATTEMPT else todo.Start(call))
