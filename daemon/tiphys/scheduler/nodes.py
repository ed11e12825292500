"""Making nodes and ending them: the few moves that every part of the scheduler shares."""

from tiphys.scheduler import decision, estimates, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.spec import names
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Inputs, Outputs

ATTEMPTED = frozenset({NodeType.POD, NodeType.HTTP, NodeType.PLUGIN})
"""Types of nodes that an executor carries out."""

TIMEOUT = "timeout"
"""The message of a node that was Pending for too long, and of the step group that it was in."""


def create(draft: Draft, call: Call, type_: NodeType, phase: Phase, *, message: str = "", inputs: Inputs | None = None) -> Node:
    """Put the call's node into the draft."""
    boundary = draft.node(call.boundary).name if call.boundary else ""
    node = Node(
        id=draft.fresh_id(call.name),
        name=call.name,
        display_name=names.display_name(call.name, boundary),
        type=type_,
        role=call.role,
        phase=phase,
        owner=call.owner,
        boundary=call.boundary,
        message=message,
        template=call.template,
        reference=call.reference,
        scope=call.scope,
        inline=call.inline,
        task=call.task,
        depth=call.depth,
        parents=call.parents,
        after=call.after,
        inputs=inputs,
        started_at=draft.at,
        attempt=draft.run.generation,
        in_exit=call.in_exit,
        estimated_seconds=estimates.of_node(draft, call.name),
    )
    draft.put(node)
    if draft.state.watched:
        draft.later(todo.Moved(node.id))
    return node


def end(draft: Draft, node: Node, phase: Phase, message: str | None = None, outputs: Outputs | None = None, **changes: object) -> Node:
    """Give a node its last phase, and what else `changes` with it. A node that already has one keeps it."""
    if node.phase.fulfilled and node.finished_at is not None:
        return node
    if node.holding:
        draft.later(todo.Freed(node.holding))
    changed = draft.change(
        node,
        phase=phase,
        message=node.message if message is None else message,
        outputs=node.outputs if outputs is None else outputs,
        finished_at=draft.at,
        wake_at=None,
        ending="",
        waiting_for="",
        wanting=(),
        holding=(),
        **changes,
    )
    draft.later(todo.Over(node.id))
    return changed


def abandon(draft: Draft, node: Node, message: str) -> None:
    """Fail everything unfinished that a node waits for: nothing inside an ended node goes on."""
    for inner in draft.owned(node.id):
        if not inner.phase.fulfilled:
            abandon(draft, inner, message)
            stop(draft, inner)
            end(draft, inner, Phase.SUCCEEDED if inner.daemoned else Phase.FAILED, "" if inner.daemoned else message)


def stop(draft: Draft, node: Node) -> None:
    """Have the attempt of a node ended, if it is one that an executor carries out."""
    if node.type not in ATTEMPTED:
        return
    if node.id not in draft.state.nodes:
        draft.withdraw(node.id)
    else:
        grace = draft.state.manifest.chosen.grace_seconds
        draft.command(decision.StopAttempt(uid=draft.run.uid, node_id=node.id, attempt=node.attempt, grace_seconds=grace))


def error(draft: Draft, node: Node, message: str) -> Node:
    """End a node that could not be executed: an Error that its parent learns of (semantics 2.3, 2.7, 2.8)."""
    if node.role in (Role.TASK, Role.ITEM):
        message = f"task '{node.name}' errored: {message}"
    return end(draft, draft.change(node, execution_error=True), Phase.ERROR, message)


def fail(draft: Draft, call: Call, message: str) -> Node:
    """Make the node of a call that cannot even be created: type Skipped, phase Error (semantics 2.1)."""
    return error(draft, create(draft, call, NodeType.SKIPPED, Phase.PENDING), message)
