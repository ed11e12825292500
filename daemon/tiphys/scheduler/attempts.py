"""What is heard of attempts: they started, they ended, their time is up."""

from datetime import timedelta

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler import bodies, containers, daemons, decision, nodes, retrying, todo
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Exited, Reported, Started
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Outputs
from tiphys.spec.work import Outcome, OutcomeKind

PHASES = {
    OutcomeKind.SUCCEEDED: Phase.SUCCEEDED,
    OutcomeKind.FAILED: Phase.FAILED,
    OutcomeKind.ERROR: Phase.ERROR,
    OutcomeKind.INTERRUPTED: Phase.ERROR,
    OutcomeKind.STOPPED: Phase.FAILED,
}


def current(draft: Draft, node_id: str, attempt: int) -> Node | Refusal:
    """The node whose attempt is spoken of, if that attempt is the one that is awaited."""
    node = draft.find(node_id)
    if node is None or node.type not in nodes.ATTEMPTED:
        return Refusal(reason=f"no attempt is known as {node_id}")
    if node.attempt != attempt:
        return Refusal(reason=f"attempt {attempt} of {node.name} is not the current one, which is {node.attempt}")
    if node.phase.fulfilled:
        return Refusal(reason=f"{node.name} is over already: {node.phase}")
    return node


def started(draft: Draft, event: Started) -> Refusal | None:
    """An attempt runs now."""
    node = current(draft, event.node_id, event.attempt)
    if isinstance(node, Refusal):
        return node
    if node.phase is Phase.RUNNING and node.handle is not None:
        return Refusal(reason=f"{node.name} runs already")
    draft.change(node, phase=Phase.RUNNING, handle=event.handle, launched_at=event.launched_at or event.at)
    draft.later(todo.Moved(node.id))
    return None


def reported(draft: Draft, event: Reported) -> Refusal | None:
    """A running attempt said something of itself."""
    node = current(draft, event.node_id, event.attempt)
    if isinstance(node, Refusal):
        return node
    report = event.report
    node = draft.change(node, ip=report.ip or node.ip, progress=report.progress or node.progress)
    containers.heard(draft, node, report.containers)
    if report.ready and not node.daemoned and bodies.source_of(draft, node).template.daemon:
        daemons.ready(draft, node, node.ip)
    return None


def exited(draft: Draft, event: Exited) -> Refusal | None:
    """An attempt ended."""
    node = current(draft, event.node_id, event.attempt)
    if isinstance(node, Refusal):
        return node
    outcome = event.outcome
    if outcome.kind is OutcomeKind.INTERRUPTED and node.in_exit and draft.run.shutdown is not Shutdown.TERMINATE and not node.ending:
        _again(draft, node)
        return None
    phase, message = PHASES[outcome.kind], outcome.message
    if node.ending and (node.daemoned or node.ending == daemons.DISMISSED):
        phase, message = Phase.SUCCEEDED, ""
    elif node.ending and phase is not Phase.SUCCEEDED:
        phase, message = Phase.FAILED, node.ending
    elif phase is Phase.SUCCEEDED and bodies.source_of(draft, node).template.daemon:
        phase, message = Phase.FAILED, daemons.LEFT
    retry_after = None
    if outcome.retry_after_seconds is not None:
        retry_after = event.at + timedelta(seconds=outcome.retry_after_seconds)
    try:
        outputs = _outputs(draft, node, outcome)
    except TiphysError as error:
        outputs, phase, message = None, Phase.ERROR, str(error)
    said = outcome.progress or node.progress
    changes: dict[str, object] = {"usage": outcome.usage, "transient": outcome.transient, "retry_after_at": retry_after, "progress": said}
    if event.handle is not None and node.handle is None:
        changes |= {"handle": event.handle, "launched_at": event.launched_at}
    if outcome.containers:
        node, changes = draft.change(node, **changes), {}
        containers.heard(draft, node, outcome.containers)
    nodes.end(draft, node, phase, message, outputs, **changes)
    return None


def _again(draft: Draft, node: Node) -> None:
    """An exit handler's attempt that was cut off is made again, whatever the retry policy: clean-up must come to its end."""
    node = draft.change(node, attempt=node.attempt + 1, phase=Phase.PENDING, handle=None, launched_at=None)
    draft.command(decision.Launch(uid=draft.run.uid, node_id=node.id, attempt=node.attempt))


def _outputs(draft: Draft, node: Node, outcome: Outcome) -> Outputs | None:
    source = bodies.source_of(draft, node)
    declared = source.template.outputs
    parameters: tuple[Parameter, ...] = ()
    artifacts = outcome.artifacts
    if declared is not None:
        if any(p.value is not None or p.global_name for p in declared.parameters) or any(a.global_name for a in declared.artifacts):
            declared = bodies.body(draft, node, source).outputs or declared
        parameters = tuple(
            structs.replace(p, value=outcome.parameters.get(p.name, p.value))
            for p in declared.parameters
            if p.name in outcome.parameters or p.value is not None
        )
        exported = {a.name: a.global_name for a in declared.artifacts if a.global_name}
        artifacts = tuple(structs.replace(a, global_name=exported.get(a.name, "")) for a in artifacts)
    if node.type is NodeType.PLUGIN:  # it gives what it likes, declared or not
        known = {parameter.name for parameter in parameters}
        parameters += tuple(Parameter(name=name, value=value) for name, value in outcome.parameters.items() if name not in known)
    code = None if outcome.exit_code is None else str(outcome.exit_code)
    if not parameters and not artifacts and outcome.result is None and code is None:
        return None
    return Outputs(parameters=parameters, artifacts=artifacts, result=outcome.result, exit_code=code)


def woken(draft: Draft, node: Node) -> Refusal | None:
    """A node's timer went off: a backoff or suspend is over, or a Pending node has waited too long."""
    if node.phase.fulfilled or node.wake_at is None:
        return Refusal(reason=f"{node.name} waits for no timer")
    if draft.at < node.wake_at:
        draft.command(decision.SetTimer(uid=draft.run.uid, key=node.id, at=node.wake_at))
        return None
    if node.waiting_for:
        nodes.end(draft, node, Phase.FAILED, nodes.TIMEOUT)
    elif node.type is NodeType.RETRY:
        retrying.advance(draft, draft.change(node, wake_at=None))
    elif node.type is NodeType.SUSPEND:
        resume(draft, node)
    elif node.phase is Phase.PENDING or node.type is NodeType.HTTP:
        stop(draft, node)
        nodes.end(draft, node, Phase.FAILED, nodes.TIMEOUT)
    else:
        draft.change(node, wake_at=None)
    return None


def missing_default(node: Node) -> str:
    """The first supplied output without a value or default; "" where there is none (semantics 2.13)."""
    for parameter in node.outputs.parameters if node.outputs is not None else ():
        source = parameter.value_from
        if parameter.value is None and source is not None and source.supplied is not None and source.default is None:
            return parameter.name
    return ""


def no_value(name: str) -> str:
    """Argo's words for a supplied output that nobody supplied."""
    return f"raw output parameter '{name}' has not been set and does not have a default value"


def resume(draft: Draft, node: Node, *, defaults: bool = True) -> None:
    """End a suspend node well; its unset outputs take their defaults."""
    outputs = node.outputs
    if outputs is not None and defaults:
        name = missing_default(node)
        if name:
            nodes.end(draft, node, Phase.ERROR, no_value(name))
            return
        outputs = structs.replace(outputs, parameters=tuple(_supplied(p) for p in outputs.parameters))
    nodes.end(draft, node, Phase.SUCCEEDED, outputs=outputs)


def _supplied(parameter: Parameter) -> Parameter:
    if parameter.value is None and parameter.value_from is not None and parameter.value_from.default is not None:
        return structs.replace(parameter, value=parameter.value_from.default, value_from=None)
    return parameter


def stop(draft: Draft, node: Node, *, at_once: bool = False) -> None:
    """Have a live attempt ended; `at_once`: without the grace, which it has had."""
    grace = 0.0 if at_once else draft.state.manifest.chosen.grace_seconds
    draft.command(decision.StopAttempt(uid=draft.run.uid, node_id=node.id, attempt=node.attempt, grace_seconds=grace))


def is_attempt(node: Node) -> bool:
    """Whether the node is carried out by an executor."""
    return node.type in nodes.ATTEMPTED


def key_of(draft: Draft, node: Node) -> str:
    """The idempotency key of a node's attempts: its own id, or the Retry node's, so that it stays the same across retries."""
    return draft.node(node.owner).id if node.role is Role.ATTEMPT else node.id
