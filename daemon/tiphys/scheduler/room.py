"""Whether there is room to start something: suspension, parallelism, failFast (semantics 2.11, 2.8).

What finds no room waits as a call, without a node; `admit` lets calls in when something ended.
"""

from tiphys.scheduler import bodies, nodes, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.status import Phase
from tiphys.spec.templates import Template

RUN = ""
"""The queue of calls that wait for the whole run; a boundary's own queue is named by its id."""

FAIL_FAST = "template has failed or errored children and failFast enabled"


def refuses(draft: Draft, call: Call) -> bool:
    """Whether the call must wait; it is then parked."""
    shutdown = draft.run.shutdown
    if shutdown is not Shutdown.NONE and not (call.in_exit and shutdown is Shutdown.STOP):
        return False
    if draft.run.suspended or full(draft):
        draft.park(RUN, call)
        return True
    if not call.boundary or call.role in (Role.ATTEMPT, Role.HOOK):
        return False
    limit = template_of(draft, draft.node(call.boundary))
    if limit.fail_fast and draft.count("failed", call.boundary):
        draft.park(call.boundary, call)
        return True
    if limit.parallelism is not None and draft.count("active", call.boundary) >= limit.parallelism:
        draft.park(call.boundary, call)
        return True
    return False


def full(draft: Draft) -> bool:
    """Whether the run's own parallelism is used up."""
    limit = draft.state.manifest.workflow.spec.parallelism
    return limit is not None and draft.count("active") >= limit


def template_of(draft: Draft, boundary: Node) -> Template:
    """The template of a steps or dag node; its limits cannot hold tags."""
    return bodies.source_of(draft, boundary).template


def admit(draft: Draft, boundary: str) -> None:
    """Something of `boundary` ended: let one waiting call in, one of the boundary first, and then look again."""
    if draft.run.suspended:
        return
    if boundary and draft.waiting(boundary) and _admit_boundary(draft, draft.node(boundary)):
        draft.later(todo.Admit(boundary))
    elif draft.waiting(RUN) and not full(draft):
        _go(draft, draft.unpark(RUN))
        draft.later(todo.Admit(RUN))


def _admit_boundary(draft: Draft, boundary: Node) -> bool:
    if boundary.phase.fulfilled or full(draft):
        return False
    limit = template_of(draft, boundary)
    if limit.fail_fast and draft.count("failed", boundary.id):
        if not draft.count("active", boundary.id):
            for _ in range(draft.waiting(boundary.id)):
                draft.unpark(boundary.id)
            for group in draft.owned(boundary.id):
                if group.role is Role.GROUP:
                    nodes.end(draft, group, Phase.FAILED, FAIL_FAST)
            nodes.end(draft, boundary, Phase.FAILED, FAIL_FAST)
        return False
    if limit.parallelism is not None and draft.count("active", boundary.id) >= limit.parallelism:
        return False
    _go(draft, draft.unpark(boundary.id))
    return True


def _go(draft: Draft, call: Call) -> None:
    draft.later(todo.NextAttempt(call.owner) if call.role is Role.ATTEMPT else todo.Start(call))
