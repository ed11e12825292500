"""The containers of a containerSet: nodes of their own below the pod's, which only show what is heard of them (semantics 2.18)."""

from collections.abc import Iterable

from tiphys.scheduler import nodes
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.spec.containers import ContainerSetTemplate
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Outputs
from tiphys.spec.work import ContainerPhase, ContainerState

PHASES = {
    ContainerPhase.PENDING: Phase.PENDING,
    ContainerPhase.RUNNING: Phase.RUNNING,
    ContainerPhase.SUCCEEDED: Phase.SUCCEEDED,
    ContainerPhase.FAILED: Phase.FAILED,
    ContainerPhase.ERROR: Phase.ERROR,
}


def create(draft: Draft, pod: Node, group: ContainerSetTemplate) -> None:
    """Make the containers' nodes. One that depends on others hangs under them, else under the pod."""
    ids = {container.name: draft.fresh_id(f"{pod.name}.{container.name}") for container in group.containers}
    for container in group.containers:
        call = Call(
            name=f"{pod.name}.{container.name}",
            role=Role.CONTAINER,
            owner=pod.id,
            boundary=pod.id,
            template=pod.template,
            reference=pod.reference,
            scope=pod.scope,
            inline=pod.inline,
            parents=tuple(ids[name] for name in container.dependencies if name in ids) or (pod.id,),
            depth=pod.depth,
            in_exit=pod.in_exit,
        )
        nodes.create(draft, call, NodeType.CONTAINER, Phase.PENDING)


def heard(draft: Draft, pod: Node, states: Iterable[ContainerState]) -> None:
    """Take in how containers are. A container that has ended keeps its end."""
    for state in states:
        node = draft.named(f"{pod.name}.{state.name}")
        if node is None or node.role is not Role.CONTAINER or node.phase.fulfilled:
            continue
        phase = PHASES[state.phase]
        started = state.started_at or node.started_at
        if not phase.fulfilled:
            draft.change(node, phase=phase, started_at=started)
            continue
        outputs = None if state.exit_code is None else Outputs(exit_code=str(state.exit_code))
        message = state.message
        if not message and phase.failed_or_error and state.exit_code is not None:
            message = f"Error (exit code {state.exit_code})"
        _end(draft, node, phase, message, started_at=started, finished_at=state.ended_at or draft.at, outputs=outputs)


def over(draft: Draft, pod: Node) -> None:
    """The pod has ended: what was not heard of ended with it."""
    for node in draft.owned(pod.id):
        if node.role is Role.CONTAINER and not node.phase.fulfilled:
            _end(draft, node, pod.phase, pod.message, finished_at=draft.at)


def _end(draft: Draft, node: Node, phase: Phase, message: str, **changes: object) -> None:
    draft.change(node, phase=phase, message=message, settled=True, **changes)
