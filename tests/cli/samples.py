"""Workflows with a status, written short."""

from tiphys.spec import names
from tiphys.spec.status import NodeFlag, NodeStatus, NodeType, Phase, WorkflowStatus
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow, WorkflowSpec

START = "2026-01-02T15:04:05Z"


def node(
    name: str,
    kind: str = "Pod",
    phase: str = "Succeeded",
    *,
    boundary: str = "",
    template: str = "work",
    children: tuple[str, ...] = (),
    started: int | None = 0,
    took: int | None = 4,
    message: str = "",
    hooked: bool = False,
    **more: object,
) -> NodeStatus:
    """A node of workflow `wf`; `boundary` and `children` are full names, `started` seconds after START."""
    return NodeStatus(
        id=names.node_id("wf", name),
        name=name,
        display_name=names.display_name(name, boundary),
        type=NodeType(kind),
        phase=Phase(phase),
        template_name=template,
        boundary_id=names.node_id("wf", boundary) if boundary else "",
        children=tuple(names.node_id("wf", child) for child in children),
        started_at=None if started is None else at(started),
        finished_at=None if took is None or started is None else at(started + took),
        message=message,
        node_flag=NodeFlag(hooked=True) if hooked else None,
        **more,
    )


def at(seconds: int) -> str:
    """START and some seconds."""
    minutes, rest = divmod(5 + seconds, 60)
    return f"2026-01-02T15:{4 + minutes:02}:{rest:02}Z"


def workflow(*nodes: NodeStatus, phase: str = "Succeeded", message: str = "", **spec: object) -> Workflow:
    """A workflow `wf` with these nodes."""
    return Workflow(
        api_version=ARGO_API_VERSION,
        metadata=ObjectMeta(name="wf", namespace="default", uid="u-1", creation_timestamp=START),
        spec=WorkflowSpec(**spec),
        status=WorkflowStatus(
            phase=Phase(phase),
            message=message,
            started_at=START,
            finished_at=at(63) if Phase(phase).completed else None,
            progress="1/1",
            nodes={one.id: one for one in nodes},
        ),
    )
