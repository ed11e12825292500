"""A call becomes a node: Argo's executeTemplate (semantics 2.3), once for each node instead of once for each pass."""

import re

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import durations
from tiphys.expressions.scope import ChainScope, FlatScope
from tiphys.scheduler import binding, bodies, decision, nodes, room, sources, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import POD_KINDS, Inputs, Outputs, Template

MAX_DEPTH = 100
TYPES = {"steps": NodeType.STEPS, "dag": NodeType.DAG, "suspend": NodeType.SUSPEND, "http": NodeType.HTTP, "plugin": NodeType.PLUGIN}
TOO_DEEP = "Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/ for details"
DISPLAY_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9-.]{0,61}[a-zA-Z0-9]$")
DEADLINE_PASSED = "Step exceeded its deadline"


def start(draft: Draft, call: Call) -> None:
    """Make the call's node, or let the call wait for room. A call whose node is there (after a restart) is done."""
    if draft.named(call.name) is not None:
        return
    if call.boundary and draft.node(call.boundary).phase.fulfilled:
        return
    if call.skipped is not None:
        nodes.end(draft, nodes.create(draft, call, NodeType.SKIPPED, Phase.PENDING), Phase.SKIPPED, call.skipped)
        return
    if call.depth > MAX_DEPTH:
        nodes.fail(draft, call, TOO_DEEP)
        return
    found = sources.find(draft, call.template, call.reference, call.inline, call.scope)
    if isinstance(found, str):
        nodes.fail(draft, call, found)
        return
    outer = ChainScope(FlatScope(bodies.own_names(draft, call.name, call.task, found)), GlobalScope(draft))
    try:
        inputs = binding.bind(found.template, call.arguments, call.absent, outer, draft.state.manifest, draft.chance(call.name))
    except TiphysError as error:
        nodes.fail(draft, call, str(error))
        return
    if room.refuses(draft, call):
        return
    call = structs.replace(call, template=found.name)
    if bodies.strategy(draft, found.template) is not None:
        wrapper = nodes.create(draft, call, NodeType.RETRY, Phase.RUNNING, inputs=inputs)
        draft.later(todo.NextAttempt(wrapper.id))
    else:
        _dispatch(draft, call, found, inputs)


def attempt(draft: Draft, wrapper: Node) -> None:
    """Make the next attempt of a Retry node, or let it wait for room."""
    if wrapper.phase.fulfilled:
        return
    index = sum(1 for node in draft.owned(wrapper.id) if node.role is Role.ATTEMPT)
    call = Call(
        name=f"{wrapper.name}({index})",
        role=Role.ATTEMPT,
        owner=wrapper.id,
        boundary=wrapper.boundary,
        task=wrapper.task,
        template=wrapper.template,
        reference=wrapper.reference,
        inline=wrapper.inline,
        scope=wrapper.scope,
        parents=(wrapper.id,),
        depth=wrapper.depth,
        in_exit=wrapper.in_exit,
    )
    if not room.refuses(draft, call):
        _dispatch(draft, call, bodies.source_of(draft, wrapper), wrapper.inputs)


def _dispatch(draft: Draft, call: Call, source: sources.Source, inputs: Inputs | None) -> None:
    """Make the node by its template's kind (semantics 2.3, step 14)."""
    kind = source.kind
    composite = kind in ("steps", "dag")
    type_ = NodeType.POD if kind in POD_KINDS else TYPES[kind]
    node = nodes.create(draft, call, type_, Phase.RUNNING if composite else Phase.PENDING, inputs=inputs)
    try:
        template = bodies.body(draft, node, source)
        node = _named(draft, node, template)
        if composite:
            draft.later(todo.Begin(node.id))
        elif kind == "suspend":
            _suspend(draft, node, template)
        else:
            _leaf(draft, node, template)
    except TiphysError as error:
        nodes.error(draft, node, str(error))


def _named(draft: Draft, node: Node, template: Template) -> Node:
    """The node with the displayName that the template's annotation gives it (semantics 2.1.1)."""
    name = (template.annotations or {}).get("workflows.argoproj.io/display-name")
    if name is None:
        return node
    if DISPLAY_NAME.fullmatch(name) is None:
        raise binding.BindingError(f"displayName must match the regex {DISPLAY_NAME.pattern}")
    return draft.change(node, display_name=name)


def _leaf(draft: Draft, node: Node, template: Template) -> None:
    run = draft.run
    if run.shutdown is not Shutdown.NONE and not (node.in_exit and run.shutdown is Shutdown.STOP):
        nodes.end(draft, node, Phase.FAILED, f"workflow shutdown with strategy: {run.shutdown}")
        return
    if run.deadline_passed and not node.in_exit:
        nodes.end(draft, node, Phase.FAILED, DEADLINE_PASSED)
        return
    limits = [durations.parse_loose(text) for text in (template.timeout, template.pending_timeout) if text]
    if limits:
        node = draft.change(node, wake_at=draft.at + min(limits))
        draft.command(decision.SetTimer(uid=run.uid, key=node.id, at=draft.at + min(limits)))
    draft.command(decision.Launch(uid=run.uid, node_id=node.id, attempt=node.attempt))


def _suspend(draft: Draft, node: Node, template: Template) -> None:
    assert template.suspend is not None
    if draft.run.shutdown is not Shutdown.NONE:
        nodes.end(draft, node, Phase.FAILED, f"Stopped with strategy '{draft.run.shutdown}'")
        return
    wake = None
    if template.suspend.duration:
        wake = draft.at + durations.parse_loose(template.suspend.duration)
        draft.command(decision.SetTimer(uid=draft.run.uid, key=node.id, at=wake))
    draft.change(node, phase=Phase.RUNNING, wake_at=wake, outputs=_supplied(template))
    draft.later(todo.Moved(node.id))


def _supplied(template: Template) -> Outputs | None:
    """The outputs that a person is to fill in: their defaults are kept beside the missing value (semantics 2.13)."""
    if template.outputs is None:
        return None
    given = {p.name: p for p in template.inputs.parameters} if template.inputs is not None else {}
    waiting: list[Parameter] = []
    for parameter in template.outputs.parameters:
        source = parameter.value_from
        if source is not None and source.supplied is not None and source.default is None and parameter.name in given:
            default = given[parameter.name].default
            waiting.append(structs.replace(parameter, value_from=structs.replace(source, default=default)))
        else:
            waiting.append(parameter)
    return Outputs(parameters=tuple(waiting))
