"""Dag: tasks when what they depend on is over (semantics 2.8). Dependencies are counted, never scanned again."""

from collections.abc import Iterable, Iterator

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions.depends import TaskResult
from tiphys.expressions.scope import ChainScope
from tiphys.scheduler import expanding, giving, nodes, plans, resolving, room, todo, variables
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.plans import DagPlan
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.status import NodeType, Phase

OMITTED = "omitted: depends condition not met"


def begin(draft: Draft, node: Node) -> None:
    """Count what every task waits for and start those that wait for nothing; after a restart, from where it was."""
    try:
        plan = _plan(draft, node)
    except TiphysError as error:
        nodes.error(draft, node, str(error))
        return
    there = {task.task: task for task in draft.owned(node.id) if task.role is Role.TASK}
    settled = {name for name, task in there.items() if task.settled}
    draft.set_count(len(plan.order) - len(settled), "open", node.id)
    draft.set_count(len(there) - len(settled), "live", node.id)
    ready: list[str] = []
    again = bool(there) or draft.run.generation > 0
    for name in plan.order:
        waits_for = plan.depends[name].tasks
        over = len(settled.intersection(waits_for)) if settled else 0
        if again and (counted := draft.count("deps", node.id, name)) != over:
            draft.bump(over - counted, "deps", node.id, name)
        if name not in there and over == len(waits_for):
            ready.append(name)
    walk(draft, node, tuple(ready), 0)


def walk(draft: Draft, node: Node, tasks: tuple[str, ...], index: int) -> None:
    """Start tasks that are ready, from the one at `index` on; then see whether the dag is over."""
    if node.phase.fulfilled:
        return
    plan = _plan(draft, node)
    end = index + expanding.many(draft)
    for place, name in enumerate(tasks[index:end], index):
        if (group := _ungathered(draft, node, plan.depends[name].tasks)) is not None:  # after a restart
            draft.later(todo.Gather(group.id, 0))
            draft.later(todo.Walk(node.id, tasks, place))
            return
        _try(draft, node, name)
    if end < len(tasks):
        draft.later(todo.Walk(node.id, tasks, end))
    else:
        _look(draft, node, plan)


def _plan(draft: Draft, node: Node) -> DagPlan:
    plan = plans.plan_of(draft, node)
    assert isinstance(plan, DagPlan)
    return plan


def task_settled(draft: Draft, node: Node, task: Node) -> None:
    """A task is over, hooks included: tell those that depend on it."""
    draft.bump(-1, "open", node.id)
    draft.bump(-1, "live", node.id)
    if node.phase.fulfilled:
        return
    plan = _plan(draft, node)
    ready = [name for name in plan.dependents[task.task] if draft.bump(1, "deps", node.id, name) == len(plan.depends[name].tasks)]
    walk(draft, node, tuple(ready), 0)


def _stopped(draft: Draft, node: Node) -> bool:
    shutdown = draft.run.shutdown
    return shutdown is Shutdown.TERMINATE or (shutdown is Shutdown.STOP and not node.in_exit)


def _try(draft: Draft, node: Node, name: str) -> None:
    """Start a task whose dependencies are all over."""
    if _stopped(draft, node):
        return
    if draft.run.generation and draft.named(f"{node.name}.{name}") is not None:
        return  # a retry goes on with what failed in it, and has started a daemon again that it depends on
    draft.bump(1, "live", node.id)
    resolve(draft, node, name, 0)


def resolve(draft: Draft, node: Node, name: str, upto: int) -> None:
    """Resolve the calls of a task whose dependencies are all over (`upto`: so many are), and start them when that is done."""
    if node.phase.fulfilled:
        return
    if (group := draft.named(f"{node.name}.{name}")) is not None:
        begin_loop(draft, group, upto)
        return
    plan = _plan(draft, node)
    task = plan.tasks[name]
    upstream = tuple(draft.node(_task_id(draft, node, other)).id for other in plan.depends[name].tasks)
    base = Call(
        name=f"{node.name}.{name}",
        role=Role.TASK,
        owner=node.id,
        boundary=node.id,
        task=name,
        parents=() if upstream else (node.id,),
        after=upstream,
        depth=node.depth + 1,
        scope=plan.source.scope,
        in_exit=node.in_exit,
    )
    try:
        asked = plan.depends[name].items
        if not upto and not plan.depends[name].evaluate(lambda other: _result(draft, node, other, items=other in asked)):
            omitted = _with_template(base, plan, name)
            nodes.end(draft, nodes.create(draft, omitted, NodeType.SKIPPED, Phase.PENDING), Phase.OMITTED, OMITTED)
            return
        _aggregate(draft, (draft.node(other) for other in upstream))
        if not task.looped:
            (call,) = _calls(draft, node, plan, name)
            draft.later(todo.Start(_at(call, base)))
            return
        found = expanding.of(draft, node.id, name, lambda: _calls(draft, node, plan, name))
        upto += expanding.spend(draft)
        if not found.reach(upto):
            draft.later(todo.Resolve(node.id, name, upto))
            return
    except TiphysError as error:
        nodes.end(draft, nodes.create(draft, _with_template(base, plan, name), NodeType.SKIPPED, Phase.PENDING), Phase.ERROR, str(error))
        return
    calls = found.calls
    if len(calls) == 1 and calls[0].skipped == resolving.EMPTY_LOOP and calls[0].name == name:
        draft.later(todo.Start(_at(calls[0], base)))
    else:
        _loop(draft, base, calls)


def _calls(draft: Draft, node: Node, plan: DagPlan, name: str) -> Iterator[Call]:
    return resolving.calls(draft, node, plan, plan.tasks[name], _visible(draft, node, plan, name))


def _visible(draft: Draft, node: Node, plan: DagPlan, name: str) -> ChainScope:
    return ChainScope(variables.TaskScope(draft, node, plan, lambda other: plan.sees(name, other)), plans.outer(draft, plan))


def _with_template(call: Call, plan: DagPlan, name: str) -> Call:
    """The call with its template's name: an omitted task's outputs still have their defaults."""
    task = plan.tasks[name]
    resolved = resolving.written(task)
    return structs.replace(call, template=resolved.template, reference=resolved.template_ref, inline=task.inline)


def _at(call: Call, base: Call) -> Call:
    return structs.replace(
        call, name=base.name, role=base.role, owner=base.owner, boundary=base.boundary, parents=base.parents, after=base.after
    )


def _task_id(draft: Draft, node: Node, name: str) -> str:
    found = draft.named(f"{node.name}.{name}")
    if found is None:
        raise LookupError(name)
    return found.id


def _loop(draft: Draft, base: Call, calls: list[Call]) -> None:
    group = nodes.create(
        draft, structs.replace(base, template=calls[0].template, reference=calls[0].reference), NodeType.TASK_GROUP, Phase.RUNNING
    )
    draft.set_count(len(calls), "open", group.id)
    expand(draft, group, 0)


def expand(draft: Draft, group: Node, index: int) -> None:
    """Start the items of a loop from the one at `index` on; they are all counted as open."""
    if group.phase.fulfilled:
        return
    node = draft.node(group.boundary)
    calls = expanding.of(draft, node.id, group.task, lambda: _calls(draft, node, _plan(draft, node), group.task)).all()
    end = index + expanding.many(draft)
    settled = 0
    prefix = group.name[: len(group.name) - len(group.task)]
    for call in calls[index:end]:
        name = prefix + call.name
        there = draft.named(name)
        if there is None:
            placed = structs.replace(call, name=name, role=Role.ITEM, owner=group.id, boundary=group.boundary, parents=(group.id,))
            draft.later(todo.Start(placed))
        settled += there is not None and there.settled
    if end < len(calls):
        draft.later(todo.Expand(group.id, end))
    if settled and draft.bump(-settled, "open", group.id) == 0:
        _end_loop(draft, group)


def begin_loop(draft: Draft, group: Node, upto: int = 0) -> None:
    """Go on with a loop after a restart: start what is missing (`upto`: so many calls are resolved again, where anything is)."""
    node = draft.node(group.boundary)
    plan = _plan(draft, node)
    try:
        if not upto and not draft.run.generation:
            there = [item for item in draft.owned(group.id) if item.role is Role.ITEM]
            task = plan.tasks[group.task]
            if there and len(there) == resolving.count(draft, node, plan, task, _visible(draft, node, plan, group.task)):
                open_ = sum(1 for item in there if not item.settled)
                draft.set_count(open_, "open", group.id)
                if not open_:
                    _end_loop(draft, group)
                return
        found = expanding.of(draft, node.id, group.task, lambda: _calls(draft, node, plan, group.task))
        upto += expanding.spend(draft)
        if not found.reach(upto):
            draft.later(todo.Resolve(node.id, group.task, upto))
            return
    except TiphysError as error:
        nodes.error(draft, group, str(error))
        return
    draft.set_count(len(found.calls), "open", group.id)
    expand(draft, group, 0)


def item_settled(draft: Draft, group: Node) -> None:
    """An item of a loop is over, hooks included."""
    if draft.bump(-1, "open", group.id) == 0:
        _end_loop(draft, group)


def _end_loop(draft: Draft, group: Node) -> None:
    if variables.ungathered(draft, group):
        draft.later(todo.Gather(group.id, 0))
    else:
        close(draft, group)


def close(draft: Draft, group: Node) -> None:
    """End a loop whose items are all over."""
    phase = Phase.SUCCEEDED
    for child in variables.failures(draft, group):
        if child.role is Role.ITEM:
            phase = child.phase
    nodes.end(draft, group, phase)


def _ungathered(draft: Draft, node: Node, tasks: Iterable[str]) -> Node | None:
    """The first of these tasks that is a loop whose outputs are still to be put together slice by slice."""
    for name in tasks:
        task = draft.named(f"{node.name}.{name}")
        if task is not None and task.type is NodeType.TASK_GROUP and variables.ungathered(draft, task):
            return task
    return None


def _aggregate(draft: Draft, tasks: Iterable[Node]) -> None:
    """Put the outputs of loops together, to learn whether that can be done. Raises AggregationError."""
    for task in tasks:
        if task.type is NodeType.TASK_GROUP:
            variables.aggregated(draft, task, task.task)


def _result(draft: Draft, node: Node, name: str, *, items: bool) -> TaskResult:
    """What `depends` sees of a task (semantics 2.6.3); of the `items` of a loop only if they are asked for."""
    task = draft.node(_task_id(draft, node, name))
    any_succeeded = all_failed = False
    if items and task.type is NodeType.TASK_GROUP:
        children = [child.phase for child in draft.owned(task.id) if child.role is Role.ITEM]
        any_succeeded = any(phase is Phase.SUCCEEDED for phase in children)
        all_failed = bool(children) and all(phase is Phase.FAILED for phase in children)
    return TaskResult(
        succeeded=task.phase is Phase.SUCCEEDED,
        failed=task.phase is Phase.FAILED,
        errored=task.phase is Phase.ERROR,
        skipped=task.phase is Phase.SKIPPED,
        omitted=task.phase is Phase.OMITTED,
        daemoned=task.daemoned and task.phase is not Phase.PENDING,
        any_succeeded=any_succeeded,
        all_failed=all_failed,
    )


def look(draft: Draft, node: Node) -> None:
    """End the dag if nothing more will come of its tasks."""
    if not node.phase.fulfilled:
        _look(draft, node, _plan(draft, node))


def _look(draft: Draft, node: Node, plan: DagPlan) -> None:
    """End the dag if nothing more will come of its tasks."""
    if _stopped(draft, node):
        if draft.count("live", node.id) == 0 or draft.count("open", node.id) == 0:
            nodes.end(draft, node, Phase.FAILED)
        return
    if draft.count("open", node.id):
        return
    if (group := _ungathered(draft, node, plan.loops)) is not None:  # after a restart
        draft.later(todo.Gather(group.id, 0))
        draft.later(todo.Look(node.id))
        return
    if plan.template.fail_fast and draft.count("failed", node.id):
        nodes.end(draft, node, Phase.FAILED, room.FAIL_FAST)
        return
    phase = assess(draft, node, plan)
    if phase is not Phase.SUCCEEDED:
        nodes.end(draft, node, phase)
        return
    scope = ChainScope(variables.TaskScope(draft, node, plan, lambda _: True), plans.outer(draft, plan))
    try:
        _aggregate(draft, (task for name in plan.loops if (task := draft.named(f"{node.name}.{name}")) is not None))
        outputs = giving.outputs(draft, node, plan, scope)
    except TiphysError as error:
        nodes.error(draft, node, str(error))
        return
    nodes.end(draft, node, Phase.SUCCEEDED, outputs=outputs)


def assess(draft: Draft, node: Node, plan: DagPlan) -> Phase:
    """The phase of a dag whose tasks are all over: that of the first target branch that failed and may not (semantics 2.8)."""
    if all(task.phase is Phase.SUCCEEDED for task in draft.owned(node.id)):
        return Phase.SUCCEEDED
    branches: dict[str, Phase] = {}
    for name in plan.order:
        task = draft.node(_task_id(draft, node, name))
        if task.phase.completed:
            branches[name] = task.phase
        else:
            handed = [_handed_on(draft, draft.node(_task_id(draft, node, other)), branches[other]) for other in plan.depends[name].tasks]
            branches[name] = _worst(handed)
    for target in plan.targets:
        phase = branches[target]
        if phase.failed_or_error and not plan.tasks[target].continues(failed=phase is Phase.FAILED):
            return phase
    return Phase.SUCCEEDED


def _worst(phases: list[Phase]) -> Phase:
    return next((phase for phase in phases if phase.failed_or_error), Phase.SUCCEEDED)


def _handed_on(draft: Draft, task: Node, branch: Phase) -> Phase:
    """The branch phase that leaves a task's outbound nodes: a nested template hands on what its last inner nodes ended with."""
    phase = task.phase if task.phase.completed else branch
    match task.type:
        case NodeType.RETRY:
            last = draft.last_owned(task.id, Role.ATTEMPT)
            return phase if last is None else _handed_on(draft, last, phase)
        case NodeType.TASK_GROUP:
            return _worst([_handed_on(draft, child, phase) for child in draft.owned(task.id) if child.role is Role.ITEM] or [phase])
        case NodeType.STEPS:
            group = draft.last_owned(task.id, Role.GROUP)
            return (
                phase
                if group is None
                else _worst([_handed_on(draft, child, group.phase) for child in draft.owned(group.id)] or [group.phase])
            )
        case NodeType.DAG:
            inner = [child for child in draft.owned(task.id) if child.role is Role.TASK]
            named = {other for child in inner for other in child.after}
            return _worst([_handed_on(draft, child, phase) for child in inner if child.id not in named] or [phase])
    return phase
