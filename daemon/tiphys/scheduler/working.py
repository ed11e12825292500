"""What a node does once nothing holds it back: launch, wait, or begin what is inside it."""

import re

import msgspec
from msgspec import structs

from tiphys.expressions import durations
from tiphys.scheduler import binding, bodies, containers, decision, measuring, nodes, sources, todo
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Inputs, Outputs, Template

DISPLAY_NAME_KEY = "workflows.argoproj.io/display-name"
DISPLAY_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9-.]{0,61}[a-zA-Z0-9]$")
DEADLINE_PASSED = "Step exceeded its deadline"


def begin(draft: Draft, node: Node, source: sources.Source) -> None:
    """Set a new node going by its type (semantics 2.3, step 14). Raises a TiphysError whose text is the node's Error."""
    measuring.begun(draft, node, source)
    if node.type is NodeType.RETRY:
        if DISPLAY_NAME_KEY in (source.template.annotations or {}):
            node = _named(draft, node, bodies.body(draft, node, source))
        draft.later(todo.Moved(draft.change(node, phase=Phase.RUNNING, wake_at=None).id))
        draft.later(todo.NextAttempt(node.id))
        return
    template = bodies.body(draft, node, source)
    if node.role is not Role.ATTEMPT:
        node = _named(draft, node, template)
    if node.type in (NodeType.STEPS, NodeType.DAG):
        draft.later(todo.Moved(draft.change(node, phase=Phase.RUNNING).id))
        bodies.keep(draft, node, source, template)
        draft.later(todo.Begin(node.id))
    elif node.type is NodeType.SUSPEND:
        _suspend(draft, node, template)
    else:
        _leaf(draft, node, template)


def _named(draft: Draft, node: Node, template: Template) -> Node:
    """The node with the displayName that the template's annotation gives it, a wrapper rather than its attempts (semantics 2.1.1, 2.3)."""
    name = (template.annotations or {}).get(DISPLAY_NAME_KEY)
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
    node = be_patient(draft, node, template)
    if template.container_set is not None:
        containers.create(draft, node, template.container_set)
    draft.command(decision.Launch(uid=run.uid, node_id=node.id, attempt=node.attempt))


def be_patient(draft: Draft, node: Node, template: Template) -> Node:
    """Have a Pending node ended when its timeout or pendingTimeout is over, which count from its start (semantics 2.10)."""
    limits = [durations.parse_loose(text) for text in (template.timeout, template.pending_timeout) if text]
    if not limits:
        return node
    at = (node.started_at or draft.at) + min(limits)
    if node.wake_at != at:
        draft.command(decision.SetTimer(uid=draft.run.uid, key=node.id, at=at))
    return draft.change(node, wake_at=at)


def too_late(draft: Draft, node: Node) -> str:
    """Why a node no longer waits, for a person or for locks: the run is being ended; "" where it waits."""
    run = draft.run
    if run.shutdown is not Shutdown.NONE and not (node.in_exit and run.shutdown is Shutdown.STOP):
        return f"Stopped with strategy '{run.shutdown}'"
    return DEADLINE_PASSED if run.deadline_passed and not node.in_exit else ""


def _suspend(draft: Draft, node: Node, template: Template) -> None:
    assert template.suspend is not None
    if message := too_late(draft, node):
        nodes.end(draft, node, Phase.FAILED, message)
        return
    wake = None
    if template.suspend.duration:
        wake = draft.at + durations.parse_loose(template.suspend.duration)
        draft.command(decision.SetTimer(uid=draft.run.uid, key=node.id, at=wake))
    draft.change(node, phase=Phase.RUNNING, wake_at=wake, inputs=_offered(node.inputs), outputs=_supplied(template))
    draft.later(todo.Moved(node.id))


def _offered(inputs: Inputs | None) -> Inputs | None:
    """The inputs with the choices made at run time: those in a value that is itself a parameter (semantics 2.13)."""
    if inputs is None or not any((parameter.value or "").startswith("{") for parameter in inputs.parameters):
        return inputs
    return structs.replace(inputs, parameters=tuple(map(_with_choices, inputs.parameters)))


def _with_choices(parameter: Parameter) -> Parameter:
    try:
        made = msgspec.json.decode(parameter.value or "", type=Parameter)
    except msgspec.MsgspecError:
        return parameter
    if not made.enum:
        return parameter
    return structs.replace(parameter, enum=made.enum, default=made.enum[0] if parameter.default is None else parameter.default)


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
