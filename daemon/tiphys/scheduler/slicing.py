"""Slices of what is too much for one decision: each does a part, and puts itself on the list again for the next (`todo.Slice`)."""

from typing import assert_never

from tiphys.scheduler import controls, dag, expanding, recovery, steps, todo, variables
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node
from tiphys.spec.status import NodeType


def go_on(draft: Draft, item: todo.Slice) -> None:
    """Do the slice."""
    match item:
        case todo.TakeUp(nodes=nodes, index=index):
            recovery.take_up(draft, nodes, index)
        case todo.EndAll():
            controls.end_all(draft, item)
        case todo.Release(calls=calls, index=index):
            controls.release(draft, calls, index)
        case todo.Resolve(node_id=node_id, task="", upto=upto):
            steps.begin_group(draft, draft.node(node_id), upto)
        case todo.Resolve(node_id=node_id, task=task, upto=upto):
            dag.resolve(draft, draft.node(node_id), task, upto)
        case todo.Expand(node_id=node_id, index=index):
            _expand(draft, draft.node(node_id), index)
        case todo.Gather(node_id=node_id, index=index):
            _gather(draft, draft.node(node_id), index)
        case todo.Close(node_id=node_id):
            _close(draft, draft.node(node_id))
        case todo.Walk(node_id=node_id, tasks=tasks, index=index):
            dag.walk(draft, draft.node(node_id), tasks, index)
        case _:
            assert_never(item)


def _expand(draft: Draft, group: Node, index: int) -> None:
    if group.type is NodeType.TASK_GROUP:
        dag.expand(draft, group, index)
    else:
        steps.expand(draft, group, index)


def _gather(draft: Draft, group: Node, index: int) -> None:
    if not variables.gather(draft, group, index):
        draft.later(todo.Gather(group.id, index + expanding.many(draft)))
    elif not group.phase.fulfilled:  # else after a restart: whoever needs it looks again
        draft.spent += draft.state.shared.rules.slice  # to look at all nodes once more is a slice of its own
        draft.later(todo.Close(group.id))


def _close(draft: Draft, group: Node) -> None:
    if group.type is NodeType.TASK_GROUP:
        dag.close(draft, group)
    else:
        steps.close(draft, group)
