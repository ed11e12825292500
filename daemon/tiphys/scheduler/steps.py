"""Steps: groups one after another (semantics 2.7)."""

import itertools
from collections.abc import Iterator

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions.scope import ChainScope
from tiphys.scheduler import giving, nodes, plans, resolving, room, todo, variables
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.plans import StepsPlan
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType, Phase


def begin(draft: Draft, node: Node) -> None:
    """Start the first group, or after a restart the one that follows the last settled one."""
    groups = [group for group in draft.owned(node.id) if group.role is Role.GROUP]
    if not groups:
        _next_group(draft, node, 0)
    elif groups[-1].settled:
        group_settled(draft, node, groups[-1])


def _next_group(draft: Draft, node: Node, index: int) -> None:
    try:
        plan = _plan(draft, node)
    except TiphysError as error:
        nodes.error(draft, node, str(error))
        return
    there = draft.named(f"{node.name}[{index}]")
    while there is not None and there.settled:  # a retry of the workflow went back to an earlier group, for a daemon in it
        index += 1
        there = draft.named(f"{node.name}[{index}]")
    if there is not None:
        draft.later(todo.Begin(there.id))
        return
    if index >= len(plan.groups):
        _succeed(draft, node, plan)
        return
    before = draft.named(f"{node.name}[{index - 1}]") if index else None
    empty = before is not None and not draft.owned(before.id)
    group = nodes.create(
        draft,
        Call(
            name=f"{node.name}[{index}]",
            role=Role.GROUP,
            owner=node.id,
            boundary=node.id,
            parents=(node.id,) if before is None else (before.id,) if empty else (),
            after=() if before is None or empty else (before.id,),
            depth=node.depth,
            scope=node.scope,
            in_exit=node.in_exit,
        ),
        NodeType.STEP_GROUP,
        Phase.RUNNING,
    )
    draft.later(todo.Begin(group.id))


def _plan(draft: Draft, node: Node) -> StepsPlan:
    plan = plans.plan_of(draft, node)
    assert isinstance(plan, StepsPlan)
    return plan


def begin_group(draft: Draft, group: Node) -> None:
    """Resolve all steps of the group before any of them starts; steps that are there already (after a restart) are kept."""
    node = draft.node(group.owner)
    plan = _plan(draft, node)
    index = int(group.name[len(node.name) + 1 : -1])
    if draft.run.generation and any(not draft.node(i).settled for i in _earlier(draft, node, group)):
        return  # a daemon of an earlier group is started again first
    scope = visible_before(draft, node, plan, index)
    calls: list[Call] = []
    for step in plan.groups[index]:
        try:
            calls.extend(resolving.calls(draft, node, plan, step, scope))
        except TiphysError as error:
            nodes.end(draft, draft.change(group, execution_error=True), Phase.ERROR, f"failed to resolve references: {error}")
            return
    calls = [_placed(call, node, group) for call in calls]
    open_ = 0
    for call in calls:
        there = draft.named(call.name)
        if there is None:
            draft.later(todo.Start(call))
        open_ += there is None or not there.settled
    draft.set_count(open_, "open", group.id)
    if not open_:
        _end_group(draft, group)


def _earlier(draft: Draft, node: Node, group: Node) -> Iterator[str]:
    groups = (other.id for other in draft.owned(node.id) if other.role is Role.GROUP)
    return itertools.takewhile(lambda other: other != group.id, groups)


def _placed(call: Call, node: Node, group: Node) -> Call:
    return structs.replace(call, name=f"{group.name}.{call.name}", role=Role.STEP, owner=group.id, boundary=node.id, parents=(group.id,))


def visible_before(draft: Draft, node: Node, plan: StepsPlan, index: int) -> ChainScope:
    """What steps of group `index` may name: all earlier groups."""
    seen = variables.TaskScope(draft, node, plan, lambda name: plan.group_of[name] < index)
    return ChainScope(seen, plans.outer(draft, plan))


def step_settled(draft: Draft, group: Node) -> None:
    """A step of the group is over, hooks included."""
    if draft.bump(-1, "open", group.id) == 0:
        _end_group(draft, group)


def _end_group(draft: Draft, group: Node) -> None:
    plan = _plan(draft, draft.node(group.owner))
    children = [child for child in draft.owned(group.id) if child.role is Role.STEP]
    if plan.template.fail_fast and draft.count("failed", group.owner):
        nodes.end(draft, group, Phase.FAILED, room.FAIL_FAST)
        return
    for child in children:
        if child.execution_error and child.phase is Phase.ERROR and not _tolerated(plan, child):
            message = f"step group deemed errored due to child {child.name} error: {child.message}"
            nodes.end(draft, group, Phase.ERROR, message)
            return
    for child in children:
        if child.phase.failed_or_error and not _tolerated(plan, child):
            nodes.end(draft, group, Phase.FAILED, f"child '{child.id}' failed")
            return
    nodes.end(draft, group, Phase.SUCCEEDED)


def _tolerated(plan: StepsPlan, child: Node) -> bool:
    step = plan.tasks[plans.base(child.task)]
    return step.continues(failed=child.phase is Phase.FAILED)


def group_settled(draft: Draft, node: Node, group: Node) -> None:
    """A group is over: the next one, or the end."""
    if node.phase.fulfilled:
        return
    if group.phase.failed_or_error:
        nodes.end(draft, node, Phase.FAILED, group.message)
        return
    index = int(group.name[len(node.name) + 1 : -1])
    try:
        for step in _plan(draft, node).groups[index]:
            if step.looped and draft.named(f"{group.name}.{step.name}") is None:
                variables.aggregated(draft, group, step.name)
    except TiphysError as error:
        nodes.error(draft, node, str(error))
        return
    _next_group(draft, node, index + 1)


def _succeed(draft: Draft, node: Node, plan: StepsPlan) -> None:
    scope = ChainScope(variables.TaskScope(draft, node, plan, lambda _: True), plans.outer(draft, plan))
    try:
        outputs = giving.outputs(draft, node, plan, scope)
    except TiphysError as error:
        nodes.error(draft, node, str(error))
        return
    nodes.end(draft, node, Phase.SUCCEEDED, outputs=outputs)
