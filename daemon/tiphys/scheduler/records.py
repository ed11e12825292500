"""The rows of a run: what is checkpointed, and all that recovery has.

Records are frozen. Everything else the scheduler holds in memory is derived from them.
"""

import enum
from datetime import datetime

import msgspec

from tiphys.spec.artifacts import ArtifactLocation
from tiphys.spec.objects import JSON
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import MemoizationStatus, NodeType, Phase
from tiphys.spec.templates import Inputs, Outputs, TemplateRef
from tiphys.spec.work import Handle, Usage
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, Workflow, WorkflowSpec, WorkflowTemplate


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The base of rows. They are trees: the collector of cyclic garbage need not look at them, nor keep a word for each."""


class Role(enum.StrEnum):
    """What a node is to its owner, the node that waits for it."""

    ROOT = "root"
    EXIT = "exit"
    GROUP = "group"
    STEP = "step"
    TASK = "task"
    ITEM = "item"
    ATTEMPT = "attempt"
    HOOK = "hook"
    CONTAINER = "container"


class Shutdown(enum.StrEnum):
    """Argo's shutdown strategies."""

    NONE = ""
    STOP = "Stop"
    TERMINATE = "Terminate"


class Node(Record, frozen=True, kw_only=True):
    """One node.

    `owner` waits for it (`role` says as what); `boundary` is Argo's boundaryID; `parents` are the nodes it hangs under in the graph,
    `after` those whose outbound nodes it hangs under.
    `template`, `reference`, `scope` and `inline` (JSON text) find its template again; `task` is the step's or task's expanded name.
    `settled`: fulfilled, and so are its hooks: nothing more will come of it; or a daemon that is ready. `attempt` is part of the
    WorkOrder's identity.
    `execution_error`: it failed before it could run (a template, an argument, an output), not by its own doing.
    `wake_at`: when a suspend ends, a retry goes on, or a Pending node has waited too long. `ending`: it is being stopped, and this
    is the message it will fail with. `daemoned`: it is ready and stays up for others, who reach it at `ip`. `progress`: `N/M` as its
    program said. `holding` are the locks it has, `wanting` those it waits for, `waiting_for` the one that is not free.
    `original`: the pod of the run that this one resubmits which did its work.
    """

    id: str
    name: str
    display_name: str
    type: NodeType
    role: Role
    phase: Phase
    owner: str = ""
    boundary: str = ""
    message: str = ""
    template: str = ""
    reference: TemplateRef | None = None
    scope: str = ""
    inline: str = ""
    task: str = ""
    depth: int = 0
    parents: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    launched_at: datetime | None = None
    wake_at: datetime | None = None
    attempt: int = 0
    handle: Handle | None = None
    usage: Usage | None = None
    settled: bool = False
    in_exit: bool = False
    execution_error: bool = False
    transient: bool = False
    daemoned: bool = False
    ip: str = ""
    progress: str = ""
    estimated_seconds: int = 0
    fired: tuple[str, ...] = ()
    memo: MemoizationStatus | None = None
    waiting_for: str = ""
    wanting: tuple[str, ...] = ()
    holding: tuple[str, ...] = ()
    ending: str = ""
    retry_after_at: datetime | None = None
    original: str = ""


class Settled(Record, frozen=True):
    """What the engine decided about a run before it began: settings that must not change under it.

    `repository`: where artifacts that only have a key are (None: the configured one), `repository_ref` how status shows its choice.
    `semaphores`: limits by lock name without kind, with or without namespace.
    """

    executor: str = "process"
    key_format: str = "{{workflow.name}}/{{pod.name}}"
    grace_seconds: float = 30.0
    archive_logs: bool = False
    repository: ArtifactLocation | None = None
    repository_ref: JSON = None
    semaphores: dict[str, int] = {}


class Manifest(Record, frozen=True, kw_only=True):
    """What was submitted: the effective workflow and the definitions it may refer to, as they were then.

    `submitted`: its own spec, where the effective one has more, that of a WorkflowTemplate.
    """

    uid: str
    workflow: Workflow
    submitted: WorkflowSpec | None = None
    templates: tuple[WorkflowTemplate, ...] = ()
    cluster_templates: tuple[ClusterWorkflowTemplate, ...] = ()
    config_maps: tuple[ConfigMap, ...] = ()
    chosen: Settled = Settled()


class Run(Record, frozen=True, kw_only=True):
    """One workflow's own row. `generation` counts its retries in place. `holding` and `wanting` are its own locks.

    `key`: under which it was submitted, so that it is submitted once. `postponed`: it waits until fewer workflows run. `deleting`: it goes
    when it has ended, and its artifacts with it, unless it `keeps_artifacts`. `collecting`: artifacts with these artifactGC strategies are
    being deleted. `artifact_gc_error`: why some could not be.
    `overridden`: arguments that its retries gave it, which are shown in place of those that it was submitted with.
    `metrics_error`: why a custom metric could not be computed. `estimated_seconds`: how long it will take, which is as long as the run
    `estimated_from` took.
    """

    uid: str
    name: str
    namespace: str
    phase: Phase = Phase.UNKNOWN
    message: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    deadline_passed: bool = False
    seed: str = ""
    generation: int = 0
    parameters: tuple[Parameter, ...] = ()
    overridden: dict[str, str] = {}
    outputs: Outputs = Outputs()
    shutdown: Shutdown = Shutdown.NONE
    suspended: bool = False
    waiting_for: str = ""
    wanting: tuple[str, ...] = ()
    holding: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    metrics_error: str = ""
    estimated_from: str = ""
    estimated_seconds: int = 0
    key: str = ""
    postponed: bool = False
    deleting: bool = False
    keeps_artifacts: bool = False
    collecting: tuple[str, ...] = ()
    artifact_gc_error: str = ""


class Remains(Record, frozen=True, kw_only=True):
    """What a deleted run leaves in the archive beside its picture: its rows, from which it can be gone on with."""

    manifest: Manifest
    run: Run
    nodes: tuple[Node, ...]
