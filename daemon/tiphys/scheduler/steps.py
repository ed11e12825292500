"""Steps: groups one after another (semantics 2.7)."""

import itertools
from collections.abc import Iterator

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions.scope import ChainScope
from tiphys.scheduler import expanding, giving, nodes, plans, resolving, room, todo, variables
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
    if index >= plan.count:
        _succeed(draft, node, plan)
        return
    before = draft.named(f"{node.name}[{index - 1}]") if index else None
    empty = before is not None and not draft.owns(before.id)
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


def begin_group(draft: Draft, group: Node, upto: int = 0) -> None:
    """Resolve all steps of the group (`upto`: so many calls are) before any of them starts; steps that are there already (after a restart)
    are kept.
    """
    node = draft.node(group.owner)
    plan = _plan(draft, node)
    index = int(group.name[len(node.name) + 1 : -1])
    if draft.run.generation and any(not draft.node(i).settled for i in _earlier(draft, node, group)):
        return  # a daemon of an earlier group is started again first
    try:
        if not upto and _complete(draft, node, plan, index, group):
            open_ = sum(1 for step in draft.owned(group.id) if not step.settled)
            draft.set_count(open_, "open", group.id)
            if not open_:
                _end_group(draft, group)
            return
        found = _expansion(draft, node, plan, index, group)
        upto += expanding.spend(draft)
        if not found.reach(upto):
            draft.later(todo.Resolve(group.id, "", upto))
            return
    except TiphysError as error:
        what = "unable to resolve references: " if isinstance(error, resolving.UnresolvedArtifact) else ""
        nodes.end(draft, draft.change(group, execution_error=True), Phase.ERROR, f"failed to resolve references: {what}{error}")
        return
    draft.set_count(len(found.calls), "open", group.id)
    expand(draft, group, 0)


def _complete(draft: Draft, node: Node, plan: StepsPlan, index: int, group: Node) -> bool:
    """Whether all steps of a group are there: then there is nothing to resolve again. A retry of the workflow may have taken some away."""
    there = len(draft.owned(group.id))
    if not there or draft.run.generation:
        return False
    scope = visible_before(draft, node, plan, index)
    return there == sum(resolving.count(draft, node, plan, step, scope) for step in plan.group(index))


def _expansion(draft: Draft, node: Node, plan: StepsPlan, index: int, group: Node) -> expanding.Expansion:
    def make() -> Iterator[Call]:
        scope = visible_before(draft, node, plan, index)
        return itertools.chain.from_iterable(resolving.calls(draft, node, plan, step, scope) for step in plan.group(index))

    return expanding.of(draft, group.id, "", make)


def expand(draft: Draft, group: Node, index: int) -> None:
    """Start the calls of a group from the one at `index` on; they are all counted as open."""
    if group.phase.fulfilled:
        return
    node = draft.node(group.owner)
    calls = _expansion(draft, node, _plan(draft, node), int(group.name[len(node.name) + 1 : -1]), group).all()
    end = index + expanding.many(draft)
    settled = 0
    for call in calls[index:end]:
        there = draft.named(f"{group.name}.{call.name}")
        if there is None:
            draft.later(todo.Start(_placed(call, node, group)))
        settled += there is not None and there.settled
    if end < len(calls):
        draft.later(todo.Expand(group.id, end))
    if not calls or (settled and draft.bump(-settled, "open", group.id) == 0):
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
    if variables.ungathered(draft, group):
        draft.later(todo.Gather(group.id, 0))
    else:
        close(draft, group)


def close(draft: Draft, group: Node) -> None:
    """End a group whose steps are all over."""
    plan = _plan(draft, draft.node(group.owner))
    children = variables.failures(draft, group)
    if plan.template.fail_fast and draft.count("failed", group.owner):
        nodes.end(draft, group, Phase.FAILED, room.FAIL_FAST)
        return
    if group.execution_error:  # a hook of one of its steps
        nodes.end(draft, group, Phase.ERROR)
        return
    for child in children:
        if child.execution_error and child.phase is Phase.ERROR and not _tolerated(plan, child):
            message = f"step group deemed errored due to child {child.name} error: {child.message}"
            nodes.end(draft, group, Phase.ERROR, message)
            return
    for child in children:
        if not _tolerated(plan, child):
            late = child.message == nodes.TIMEOUT and child.phase is Phase.FAILED and draft.last_owned(child.id, Role.ATTEMPT) is None
            nodes.end(draft, group, Phase.FAILED, nodes.TIMEOUT if late else f"child '{child.id}' failed")
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
    if variables.ungathered(draft, group):  # after a restart
        draft.later(todo.Gather(group.id, 0))
        draft.later(todo.Begin(node.id))
        return
    index = int(group.name[len(node.name) + 1 : -1])
    try:
        for step in _plan(draft, node).group(index):
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
