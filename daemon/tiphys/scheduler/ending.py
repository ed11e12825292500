"""A node is over: exports, hooks, and then word to its owner."""

from tiphys.scheduler import containers, daemons, dag, giving, hooks, measuring, retention, retrying, steps, todo
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType


def over(draft: Draft, node: Node) -> None:
    """The node has its last phase."""
    giving.export(draft, node)
    measuring.over(draft, node)
    if node.type in (NodeType.STEPS, NodeType.DAG):
        daemons.dismiss(draft, node)
    elif node.type is NodeType.POD:
        containers.over(draft, node)
        retention.pod_over(draft, node)
    if node.role is Role.ATTEMPT:
        draft.later(todo.Settle(node.id))  # the next attempt comes before those that wait for this one's room
    if node.type is not NodeType.STEP_GROUP and (node.role is Role.ATTEMPT or draft.somebody_waits):
        draft.later(todo.Admit(node.boundary))
    if hooks.over(draft, node) == 0 and node.role is not Role.ATTEMPT:
        draft.later(todo.Settle(node.id))


def settle(draft: Draft, node: Node) -> None:
    """The node and its hooks are over."""
    if node.settled:
        if node.daemoned and node.phase.fulfilled:
            _gone(draft, node)
        return
    node = draft.settle(node)
    if node.role is not Role.ATTEMPT and draft.waiting(node.boundary):
        draft.later(todo.Admit(node.boundary))
    match node.role:
        case Role.ROOT | Role.EXIT:
            draft.later(todo.Conclude())
        case Role.GROUP:
            steps.group_settled(draft, draft.node(node.owner), node)
        case Role.STEP:
            steps.step_settled(draft, draft.node(node.owner))
        case Role.TASK:
            dag.task_settled(draft, draft.node(node.owner), node)
        case Role.ITEM:
            dag.item_settled(draft, draft.node(node.owner))
        case Role.ATTEMPT:
            retrying.advance(draft, draft.node(node.owner))
        case Role.HOOK:
            if hooks.settled(draft, draft.node(node.owner)) == 0:
                draft.later(todo.Settle(node.owner))
        case Role.CONTAINER:
            pass  # its pod is what others wait for


def _gone(draft: Draft, node: Node) -> None:
    """A daemon has ended: its Retry node may try again, and the run may wait for this to end itself."""
    if node.role is Role.ATTEMPT:
        retrying.advance(draft, draft.node(node.owner))
    draft.later(todo.Conclude())


def begin(draft: Draft, node: Node) -> None:
    """Set a composite node going, or on again after a restart."""
    if node.phase.fulfilled:
        return
    match node.type:
        case NodeType.STEPS:
            steps.begin(draft, node)
        case NodeType.STEP_GROUP:
            steps.begin_group(draft, node)
        case NodeType.DAG:
            dag.begin(draft, node)
        case NodeType.TASK_GROUP:
            dag.begin_loop(draft, node)
        case NodeType.RETRY:
            retrying.advance(draft, node)
