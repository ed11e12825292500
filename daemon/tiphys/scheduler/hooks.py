"""Lifecycle hooks (semantics 2.12): expressions that fire once, and exit handlers of steps, tasks and the workflow."""

from collections.abc import Iterable

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import environment, expr, tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import ABSENT, ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import nodes, plans, resolving, sources, todo, variables
from tiphys.scheduler.calls import Call, HookCall
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.scheduler.resolved import Resolved
from tiphys.spec.artifacts import Artifact
from tiphys.spec.status import Phase
from tiphys.spec.templates import Arguments, LifecycleHook

HOSTS = frozenset({Role.TASK, Role.STEP, Role.ITEM})


def moved(draft: Draft, node: Node) -> None:
    """The node's phase has changed: fire the hooks whose expression is true now."""
    if not draft.state.watched or node.phase.fulfilled or node.settled:
        return
    _fire(draft, node, (call for call in _of(draft, node) if not call.exit))


def over(draft: Draft, node: Node) -> int:
    """The node is over: fire what fires now, exit hooks too. Returns how many hooks are not settled yet.

    A daemon that was settled when it was ready fires none: nobody would wait for them.
    """
    if draft.state.hooked and not _abandoned(draft, node) and not node.settled:
        node = _fire(draft, node, _of(draft, node))
    return _open(draft, node)


def settled(draft: Draft, host: Node) -> int:
    """A hook of `host` is over. Returns how many hooks must still be waited for; never 0 while the host runs, unless it is a daemon."""
    if not host.phase.fulfilled and not host.daemoned:
        return -1
    return _open(draft, host)


def _abandoned(draft: Draft, node: Node) -> bool:
    """Whether what the node is in was ended around it: nothing more begins in there."""
    return bool(node.boundary) and draft.node(node.boundary).phase.fulfilled


def _open(draft: Draft, node: Node) -> int:
    if not node.fired:
        return 0
    if _abandoned(draft, node):
        return sum(1 for suffix in node.fired if (hook := draft.named(f"{node.name}.{suffix}")) is not None and not hook.settled)
    return sum(1 for suffix in node.fired if (hook := draft.named(f"{node.name}.{suffix}")) is None or not hook.settled)


def restart(draft: Draft, node: Node) -> None:
    """After a restart: start hooks that had fired but have no node."""
    missing = [call for call in _of(draft, node) if call.suffix in node.fired and draft.named(f"{node.name}.{call.suffix}") is None]
    for call in missing:
        _start(draft, node, call)


def _of(draft: Draft, node: Node) -> Iterable[HookCall]:
    if node.role is Role.ROOT:
        hooks = draft.state.manifest.workflow.spec.hooks or {}
        return [HookCall(suffix=f"hooks.{name}", hook=hook, exit=False) for name, hook in hooks.items() if name != "exit"]
    if node.role not in HOSTS:
        return ()
    plan = plans.plan_of(draft, draft.node(node.boundary))
    declared = plan.tasks[plans.base(node.task)].hooks
    if not declared:
        return ()
    if node.role is Role.ITEM:
        return [call for call in declared if call.exit]
    return declared


def _fire(draft: Draft, node: Node, calls: Iterable[HookCall]) -> Node:
    for call in calls:
        if call.suffix in node.fired:
            continue
        try:
            if not _wanted(draft, node, call):
                continue
        except TiphysError as error:
            return _broken(draft, node, str(error))
        node = draft.change(draft.node(node.id), fired=(*node.fired, call.suffix))
        _start(draft, node, call)
    return node


def uncreated(draft: Draft, call: Call, message: str) -> None:
    """A hook's node could not be created: so much for its host, but in a DAG an exit hook's error is its own (semantics 2.12)."""
    host = draft.node(call.owner)
    if host.boundary and call.name == f"{host.name}.onExit" and isinstance(plans.plan_of(draft, draft.node(host.boundary)), plans.DagPlan):
        return
    _broken(draft, host, message)


def _broken(draft: Draft, node: Node, message: str) -> Node:
    """A hook cannot be evaluated or made: the task is an Error, and of a step the group will be, when its steps have come to their ends.
    The workflow's exit handler runs all the same.
    """
    if node.role is Role.STEP:
        group = draft.node(node.owner)
        if not group.execution_error:
            draft.change(group, execution_error=True, message=message)
        return node
    if node.role is not Role.ROOT:
        node = draft.change(node, execution_error=True)
    if node.phase is Phase.ERROR:
        return node  # what went wrong first is what is to be mended
    if node.phase.fulfilled:
        return draft.change(node, phase=Phase.ERROR, message=message)
    nodes.abandon(draft, node, message)
    nodes.stop(draft, node)
    return nodes.end(draft, node, Phase.ERROR, message)


def _wanted(draft: Draft, node: Node, call: HookCall) -> bool:
    if call.exit:
        if not node.phase.completed or draft.run.shutdown is Shutdown.TERMINATE:
            return False
        if not call.hook.expression:
            return True
    elif draft.run.shutdown is not Shutdown.NONE:
        return False
    if not call.hook.expression:
        raise resolving.ResolveError(f"Expression required for hook {node.name}")
    scope = _scope(draft, node)
    scope = ChainScope(_item(draft, node, call.hook), scope)
    program = expr.compile(tags.render_plain(call.hook.expression, scope, Unresolved.KEEP, draft.chance(node.name)))
    roots: dict[str, object] = {path[0]: {} for path in program.references if environment.present(path[:1], scope)}
    return program.holds(roots | environment.nested(program, scope), draft.chance(node.name))


def _scope(draft: Draft, node: Node) -> Scope:
    """What a hook may name: the enclosing scope and its own node, by its display name and as declared."""
    if node.role is Role.ROOT:
        return GlobalScope(draft)
    boundary = draft.node(node.boundary)
    plan = plans.plan_of(draft, boundary)
    prefix = "steps" if isinstance(plan, plans.StepsPlan) else "tasks"
    own: dict[str, object] = {}
    for name in {node.task, node.display_name, plans.base(node.task)}:
        for key in variables.node_keys(draft, node):
            value = variables.node_value(draft, node, key)
            if isinstance(value, str) or key.startswith("outputs.artifacts."):
                own[f"{prefix}.{name}.{key}"] = value
    return ChainScope(FlatScope(own), variables.TaskScope(draft, boundary, plan, lambda _: True), plans.outer(draft, plan))


def _item(draft: Draft, node: Node, hook: LifecycleHook) -> Scope:
    """The item of the expanded step or task whose hook names it (semantics 2.5.2, stage 4: the hooks are part of the text)."""
    index = plans.item_index(node.task)
    if index is None or node.role is Role.ROOT or b"item" not in msgspec.json.encode(hook):
        return FlatScope({})
    boundary = draft.node(node.boundary)
    plan = plans.plan_of(draft, boundary)
    task = plan.tasks[plans.base(node.task)]
    if task.found_items is None:
        scope = ChainScope(variables.TaskScope(draft, boundary, plan, lambda _: True), plans.outer(draft, plan))
        task.found_items = resolving.items(task, scope, draft.chance(f"{boundary.name}.{task.name}"))
    return FlatScope(resolving.item_variables(task.found_items[index]))


def _named(hook: LifecycleHook, scope: Scope, chance: Chance) -> LifecycleHook:
    """The hook with the tags in its template's name replaced; where that fails, as it is written."""
    called = Resolved(template=hook.template, template_ref=hook.template_ref)
    text = msgspec.json.encode(called).decode()
    if "{{" not in text:
        return hook
    try:
        called = msgspec.json.decode(tags.compile(text).render(scope, Unresolved.KEEP, chance), type=Resolved)
    except TiphysError:
        return hook
    return structs.replace(hook, template=called.template, template_ref=called.template_ref)


def of_the_workflow(draft: Draft) -> Arguments:
    """The arguments of an exit handler that declares none."""
    given = draft.state.manifest.workflow.spec.arguments or Arguments()
    return Arguments(parameters=draft.run.parameters, artifacts=given.artifacts)


def _start(draft: Draft, node: Node, call: HookCall) -> None:
    hook = call.hook
    scope = ChainScope(_item(draft, node, hook), _scope(draft, node))
    chance = draft.chance(f"{node.name}.{call.suffix}")
    arguments = hook.arguments
    absent: tuple[str, ...] = ()
    try:
        if call.exit and (arguments is None or not (arguments.parameters or arguments.artifacts)):
            arguments = of_the_workflow(draft)
        elif arguments is not None:
            absent = tuple(p.name for p in arguments.parameters if (tag := tags.sole_tag(p.value or "")) and scope.get(tag) is ABSENT)
            given = tuple(p for p in arguments.parameters if p.name not in absent)
            text = msgspec.json.encode(Arguments(parameters=given)).decode()
            rendered = msgspec.json.decode(tags.compile(text).render(scope, Unresolved.KEEP, chance), type=Arguments)
            artifacts = tuple(found for a in arguments.artifacts if (found := _followed(a, scope, chance)) is not None)
            arguments = Arguments(parameters=rendered.parameters, artifacts=artifacts)
    except TiphysError:
        arguments = hook.arguments
    hook = _named(hook, scope, chance)
    draft.later(
        todo.Start(
            Call(
                name=f"{node.name}.{call.suffix}",
                role=Role.HOOK,
                owner=node.id,
                boundary=node.boundary,
                template=hook.template,
                reference=hook.template_ref,
                scope=node_scope(draft, node),
                arguments=arguments,
                absent=absent,
                parents=(node.id,),
                depth=node.depth + 1,
                in_exit=node.in_exit or call.exit,
            )
        )
    )


def _followed(artifact: Artifact, scope: Scope, chance: Chance) -> Artifact | None:
    """The artifact that is referred to; one that is not there stays as it is written, and its input may do without."""
    try:
        return resolving.artifact(artifact, scope, chance)
    except TiphysError:
        return artifact


def node_scope(draft: Draft, node: Node) -> str:
    """Where a hook's template name is looked up: beside the step or task that declares it."""
    if node.role is Role.ROOT or not node.boundary:
        return sources.local_scope(draft)
    return plans.plan_of(draft, draft.node(node.boundary)).source.scope
