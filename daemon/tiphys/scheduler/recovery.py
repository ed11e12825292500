"""Going on from rows: after a restart, and after a retry of the whole workflow. Recovery is an event, not a second code path."""

from tiphys.scheduler import attempts, controls, decision, expanding, hooks, retention, submitting, todo
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import State
from tiphys.spec.status import NodeType, Phase

COMPOSITE = frozenset({NodeType.STEPS, NodeType.DAG, NodeType.STEP_GROUP, NodeType.TASK_GROUP, NodeType.RETRY})


def is_outstanding(node: Node) -> bool:
    """Whether something is still to come of a node."""
    return not node.settled or (node.daemoned and not node.phase.fulfilled)


def is_awaited(state: State, order_id: str) -> bool:
    """Whether anything waits for the end of an attempt. What nothing waits for was ended by a decision, or went with its run, and is to be
    stopped: who was killed right after such a decision did not come to that.
    """
    uid, node_id, attempt = order_id.rsplit("/", 2)
    run = state.runs.get(uid)
    if run is None or run.run.phase.completed:
        return False
    node = run.nodes.get(node_id)
    return node is not None and node.attempt == int(attempt) and not node.phase.fulfilled


def go_on(draft: Draft, outstanding: tuple[Node, ...] | None = None) -> None:
    """Take up everything that is outstanding (None: it is looked for): adopt what lives, launch what never started, count again, set
    timers.
    """
    run = draft.run
    if run.phase.completed:
        retention.go_on(draft)
        return
    if run.wanting or run.postponed:
        draft.later(todo.Enter(""))
        return
    if run.phase is not Phase.RUNNING:
        submitting.set_out(draft)
    submitting.time_deadline(draft)
    take_up(draft, tuple(filter(is_outstanding, draft.all_nodes())) if outstanding is None else outstanding, 0)


def take_up(draft: Draft, found: tuple[Node, ...], index: int) -> None:
    """Take up nodes as they were found, from the one at `index` on; then what concerns the run as a whole."""
    end = index + expanding.spend(draft)
    for node in found[index:end]:
        _take_up(draft, node)
    if end < len(found):
        draft.later(todo.TakeUp(found, end))
        return
    controls.go_on(draft)
    retention.clean_again(draft)
    entry = draft.find(draft.run.name)
    if entry is None:
        submitting.begin(draft)
    elif entry.settled:
        draft.later(todo.Conclude())


def _judged(draft: Draft, wrapper: Node) -> bool:
    """Whether the next attempt was decided on and only waited for room: its judgement stands."""
    last = draft.last_owned(wrapper.id, Role.ATTEMPT)
    return last is not None and last.settled


def _take_up(draft: Draft, node: Node) -> None:
    uid = draft.run.uid
    if node.fired:
        hooks.restart(draft, node)
    if node.phase.fulfilled:
        if hooks.settled(draft, node) == 0:
            draft.later(todo.Settle(node.id))
    elif node.waiting_for:
        if draft.node(node.id).waiting_for:  # else it was let in meanwhile
            if node.wake_at is not None:
                draft.command(decision.SetTimer(uid=uid, key=node.id, at=node.wake_at))
            draft.later(todo.Enter(node.id))
    elif node.type in COMPOSITE:
        if node.wake_at is not None:
            draft.command(decision.SetTimer(uid=uid, key=node.id, at=node.wake_at))
        elif node.type is NodeType.RETRY and _judged(draft, node):
            draft.later(todo.NextAttempt(node.id))
        else:
            draft.later(todo.Begin(node.id))
    elif attempts.is_attempt(node):
        if node.wake_at is not None and (node.phase is Phase.PENDING or node.type is NodeType.HTTP):
            draft.command(decision.SetTimer(uid=uid, key=node.id, at=node.wake_at))
        draft.command(decision.Adopt(uid=uid, node_id=node.id, attempt=node.attempt))
        if node.ending:
            attempts.stop(draft, node)
    elif node.wake_at is not None:
        draft.command(decision.SetTimer(uid=uid, key=node.id, at=node.wake_at))
