"""Why hooks and exit handlers have run or not: their expressions, with the values that are in them, and whom they wait for."""

from collections.abc import Iterable, Iterator

from tiphys.errors import TiphysError
from tiphys.expressions.scope import ChainScope, FlatScope, Scope
from tiphys.scheduler import concluding, hooks, lone, plans, variables, why_conditions, why_limits
from tiphys.scheduler.calls import HookCall
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.plans import StepsPlan
from tiphys.scheduler.reasons import Kind, Reason
from tiphys.scheduler.records import Node, Role, Shutdown


def declared(draft: Draft, node: Node) -> Iterable[HookCall]:
    """The hooks that a node may have."""
    if node.role is Role.ROOT:
        given = draft.state.manifest.workflow.spec.hooks or {}
        return [HookCall(suffix=f"hooks.{name}", hook=hook, exit=False) for name, hook in given.items() if name != "exit"]
    if node.role not in hooks.HOSTS:
        return ()
    one = _lone(draft, node)
    return () if one is None else [call for call in one.task.hooks if call.exit or node.role is not Role.ITEM]


def _lone(draft: Draft, node: Node) -> lone.Lone | None:
    try:
        return lone.find(draft, draft.node(node.boundary), node.task)
    except (TiphysError, LookupError):
        return None


def outstanding(draft: Draft, node: Node) -> Reason | None:
    """The hooks that an ended node waits for before others go on; None: none."""
    named = {suffix: draft.named(f"{node.name}.{suffix}") for suffix in node.fired}
    open_ = [f"{node.name}.{suffix}" for suffix, hook in named.items() if hook is None or not hook.settled]
    if not open_:
        return None
    nodes = tuple(why_limits.who(draft.run, hook) for hook in named.values() if hook is not None and not hook.settled)
    text = f"it has ended, but its hooks have not: {why_limits.listed(open_)}; what depends on it waits for them"
    return Reason(kind=Kind.HOOKS, text=text, changes="the end of its hooks", nodes=nodes)


def fired(draft: Draft, node: Node) -> Reason | None:
    """For whom a hook or exit handler runs; None: the node is none."""
    if node.role is Role.EXIT:
        entry = draft.find(draft.run.name)
        ended = f"ended {entry.phase}" if entry is not None and entry.phase.fulfilled else "is up"
        text = f"it is the workflow's exit handler: the main part {ended}"
        return Reason(kind=Kind.EXIT_HANDLER, text=text)
    if node.role is not Role.HOOK:
        return None
    host = draft.node(node.owner)
    suffix = node.name[len(host.name) + 1 :]
    call = next((call for call in declared(draft, host) if call.suffix == suffix), None)
    why = f", whose expression became true: {call.hook.expression}" if call is not None and call.hook.expression else ""
    text = f"it is the {'exit handler' if suffix == 'onExit' else 'hook'} of {host.name}{why}"
    return Reason(kind=Kind.HOOKS, text=text, nodes=(why_limits.who(draft.run, host),))


def find(draft: Draft, name: str) -> tuple[Node, HookCall] | None:
    """The hook that would become the node of this name, and whose it is."""
    for end, prefix in ((".onExit", ""), (".hooks.", "hooks.")):
        host, found, suffix = name.rpartition(end)
        node = draft.named(host) if found else None
        if node is not None:
            wanted = f"{prefix}{suffix}" or "onExit"
            return next(((node, call) for call in declared(draft, node) if call.suffix == wanted), None)
    return None


def reasons(draft: Draft, host: Node, call: HookCall) -> Iterator[Reason]:
    """Why a hook has not fired."""
    what = "exit handler" if call.exit else "hook"
    expression = None
    if call.hook.expression:
        expression = why_conditions.program(call.hook.expression, _scope(draft, host), draft.chance(host.name))
    changes = ""
    if call.exit and not host.phase.completed:
        text = f"it is the {what} of {host.name}, which is {host.phase}"
        changes = "" if host.phase.fulfilled else f"{host.name} ends"
    elif draft.run.shutdown is not Shutdown.NONE:
        text, changes = f"the workflow is being ended ({draft.run.shutdown}): this {what} does not run", "never"
    elif expression is not None:
        text = f"the expression of this {what} is {expression.result}: {call.hook.expression}"
        changes = "" if host.phase.fulfilled else f"the phase of {host.name} changes and the expression is true then"
    else:
        text = f"the {what} of {host.name} has not run"
    lines = tuple(f"{key} = {value}" for key, value in (expression.values if expression is not None else {}).items())
    nodes = (why_limits.who(draft.run, host),)
    yield Reason(kind=Kind.HOOKS, text=text, lines=lines, changes=changes, expression=expression, nodes=nodes)


def _scope(draft: Draft, node: Node) -> Scope:
    """What a hook may name: its own step or task as it is now, and all that it could see."""
    one = _lone(draft, node) if node.role is not Role.ROOT else None
    if one is None:
        return GlobalScope(draft)
    prefix = "steps" if isinstance(one.plan, StepsPlan) else "tasks"
    own = {
        f"{prefix}.{name}.{key}": value
        for name in {node.task, node.display_name, plans.base(node.task)}
        for key in variables.node_keys(draft, node)
        if isinstance(value := variables.node_value(draft, node, key), str)
    }
    return ChainScope(FlatScope(own), one.scope())


def exit_handler(draft: Draft) -> Reason | None:
    """How it is with the workflow's exit handler; None: it has none."""
    handler = concluding.exit_handler(draft)
    if handler is None:
        return None
    template = handler.template or (handler.template_ref.template if handler.template_ref is not None else "")
    node = draft.named(f"{draft.run.name}.onExit")
    if node is not None:
        text = f"its exit handler {template} is {node.phase}"
        return Reason(
            kind=Kind.EXIT_HANDLER, text=text, changes="" if node.settled else f"{node.name} ends", nodes=(why_limits.who(draft.run, node),)
        )
    if draft.run.shutdown is Shutdown.TERMINATE:
        return Reason(kind=Kind.EXIT_HANDLER, text=f"its exit handler {template} does not run: the workflow was terminated")
    entry = draft.find(draft.run.name)
    if entry is not None and entry.execution_error and entry.settled:
        return Reason(kind=Kind.EXIT_HANDLER, text=f"its exit handler {template} does not run: the entrypoint could not be executed")
    if draft.run.phase.completed:
        return Reason(kind=Kind.EXIT_HANDLER, text=f"its exit handler {template} did not run: the workflow ended before it began")
    return Reason(kind=Kind.EXIT_HANDLER, text=f"its exit handler {template} has not begun", changes="the end of the main part")
