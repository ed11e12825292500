"""Argo's status and node JSON: what `-o json`, the API and Argo's own tools read."""

import enum

from msgspec import field

from tiphys.spec.objects import JSON, Object
from tiphys.spec.templates import Inputs, Outputs, TemplateRef


class Phase(enum.StrEnum):
    """Phases of nodes and workflows (semantics 2.1); `UNKNOWN` is a workflow that was not looked at yet."""

    UNKNOWN = ""
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    SKIPPED = "Skipped"
    FAILED = "Failed"
    ERROR = "Error"
    OMITTED = "Omitted"

    @property
    def completed(self) -> bool:
        """Succeeded, Failed or Error."""
        return self in COMPLETED

    @property
    def fulfilled(self) -> bool:
        """Completed, Skipped or Omitted: it will not change again by itself."""
        return self in FULFILLED

    @property
    def failed_or_error(self) -> bool:
        """Failed or Error."""
        return self in FAILED_OR_ERROR


COMPLETED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR})
FULFILLED = COMPLETED | {Phase.SKIPPED, Phase.OMITTED}
FAILED_OR_ERROR = frozenset({Phase.FAILED, Phase.ERROR})


class NodeType(enum.StrEnum):
    """Types of nodes."""

    POD = "Pod"
    CONTAINER = "Container"
    STEPS = "Steps"
    STEP_GROUP = "StepGroup"
    DAG = "DAG"
    TASK_GROUP = "TaskGroup"
    RETRY = "Retry"
    SKIPPED = "Skipped"
    SUSPEND = "Suspend"
    HTTP = "HTTP"
    PLUGIN = "Plugin"


class NodeFlag(Object):
    """Marks of hook nodes and retry attempts."""

    hooked: bool = False
    retried: bool = False


class MemoizationStatus(Object, kw_only=True):
    """What the memo said."""

    hit: bool
    key: str = ""
    cache_name: str = ""


class NodeSynchronizationStatus(Object):
    """The lock a node waits for."""

    waiting: str = ""


class NodeStatus(Object, kw_only=True):
    """One node as Argo shows it. Times are RFC 3339, durations whole seconds."""

    id: str = ""
    name: str = ""
    display_name: str = ""
    type: NodeType
    template_name: str = ""
    template_ref: TemplateRef | None = None
    template_scope: str = ""
    phase: Phase = Phase.UNKNOWN
    boundary_id: str = field(default="", name="boundaryID")
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    estimated_duration: int = 0
    progress: str = ""
    resources_duration: dict[str, int] | None = None
    pod_ip: str = field(default="", name="podIP")
    daemoned: bool | None = None
    node_flag: NodeFlag | None = None
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    children: tuple[str, ...] = ()
    outbound_nodes: tuple[str, ...] = ()
    host_node_name: str = ""
    memoization_status: MemoizationStatus | None = None
    synchronization_status: NodeSynchronizationStatus | None = None
    task_result_synced: bool | None = None
    failed_pod_restarts: int = 0
    restarting_pod_uid: str = field(default="", name="restartingPodUID")


class Condition(Object):
    """One condition of a workflow."""

    type: str = ""
    status: str = ""
    message: str = ""


class WorkflowStatus(Object):
    """Status of a workflow as Argo shows it."""

    phase: Phase = Phase.UNKNOWN
    started_at: str | None = None
    finished_at: str | None = None
    estimated_duration: int = 0
    progress: str = ""
    message: str = ""
    compressed_nodes: str = ""
    nodes: dict[str, NodeStatus] | None = None
    offload_node_status_version: str = ""
    stored_templates: dict[str, JSON] | None = None
    persistent_volume_claims: JSON = None
    outputs: Outputs | None = None
    conditions: tuple[Condition, ...] = ()
    resources_duration: dict[str, int] | None = None
    stored_workflow_template_spec: JSON = None
    synchronization: JSON = None
    artifact_repository_ref: JSON = None
    artifact_gc_status: JSON = field(default=None, name="artifactGCStatus")
    task_results_completion_status: dict[str, bool] | None = None
