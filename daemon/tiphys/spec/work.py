"""The words that scheduler and executors share: one attempt as an order, and how it ended.

The scheduler writes a WorkOrder and never learns how it is carried out; an executor carries it out and never learns why.
Secret values are not in an order: it names Secret keys, and the executor resolves them right before launch.
"""

import enum
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, dataclass_transform, runtime_checkable

import msgspec

from tiphys.spec.artifacts import Artifact
from tiphys.spec.containers import Container, Volume
from tiphys.spec.templates import HTTP, Data, Template
from tiphys.spec.workflows import ConfigMap


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Words(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The base of the structs of this module."""


class WorkflowIdentity(Words):
    """The run an attempt belongs to."""

    uid: str
    name: str
    namespace: str
    labels: dict[str, str] = {}


class Command(Words, tag="command"):
    """Run one program: the `main` container of a container or script template, all tags replaced.

    `source` is a script's text (None: not a script); its file's path is appended as the last argument.
    `volumes` are the template's volumes over the workflow's.
    """

    container: Container
    source: str | None = None
    volumes: tuple[Volume, ...] = ()


class Request(Words, tag="http"):
    """Make one HTTP request."""

    http: HTTP


class Listing(Words, tag="data"):
    """List artifact keys and transform the list (a data template)."""

    data: Data


class PodWork(Words, tag="pod"):
    """A pod template beyond one command (containerSet, init containers, sidecars, a daemon's probe, resource); all of it, tags replaced.

    `volumes` are the template's volumes over the workflow's.
    """

    template: Template
    volumes: tuple[Volume, ...] = ()


class PluginWork(Words, tag="plugin"):
    """Have an executor plugin carry a template out: the whole of it, all tags replaced."""

    template: Template


Work = Command | Request | Listing | PodWork | PluginWork


class InputArtifact(Words):
    """An artifact to bring in before the start: `artifact` has its location and its `path`."""

    artifact: Artifact


class OutputParameter(Words):
    """A file to read after the end; `default` stands in for a missing file (None: a missing file is an Error)."""

    name: str
    path: str
    default: str | None = None


class OutputArtifact(Words):
    """A file or folder to save after the end. `artifact` has its path, archive strategy and complete location (key included)."""

    artifact: Artifact


class Wanted(Words):
    """What an attempt must give back. `result`: keep the last 256 KiB of stdout, one trailing newline trimmed. `logs`: save what it
    printed; `container_logs`: save that of each container of a containerSet, by name, instead.
    """

    result: bool = False
    parameters: tuple[OutputParameter, ...] = ()
    artifacts: tuple[OutputArtifact, ...] = ()
    logs: Artifact | None = None
    container_logs: dict[str, Artifact] = {}


class WorkOrder(Words):
    """One attempt. `id` is `<workflow uid>/<node id>/<attempt>`: launching twice finds the first.

    `deadline`: absolute UTC time at which the attempt is stopped (None: never); `deadline_message` is the Failed message then.
    `grace_seconds`: between SIGTERM and SIGKILL. `idempotency_key`: the node id, stable across retries. `daemon`: it stays up until it
    is stopped, and its executor reports when it is ready. `template`: all of it with tags replaced, for the variable ARGO_TEMPLATE.
    `config_maps`: those that came with the submission, which go before all others.
    """

    id: str
    workflow: WorkflowIdentity
    node_id: str
    node_name: str
    pod_name: str
    template_name: str
    attempt: int
    executor: str
    work: Work
    inputs: tuple[InputArtifact, ...] = ()
    wanted: Wanted = Wanted()
    deadline: datetime | None = None
    deadline_message: str = ""
    grace_seconds: float = 30.0
    idempotency_key: str = ""
    daemon: bool = False
    template: Template = Template()
    config_maps: tuple[ConfigMap, ...] = ()


class OutcomeKind(enum.StrEnum):
    """How an attempt ended: `failed` is the user's, `error` the engine's, `interrupted` lost, `stopped` by us."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


class Usage(Words):
    """What an attempt used: CPU seconds (user and system) and peak memory in bytes; None where it cannot be known."""

    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class ContainerPhase(enum.StrEnum):
    """Where one container of several is: `error` is a container that was not run because what it depends on failed."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERROR = "error"


class ContainerState(Words):
    """One container of a containerSet: where it is, and how it ended. Times are UTC."""

    name: str
    phase: ContainerPhase
    exit_code: int | None = None
    message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Report(Words):
    """What a running attempt says of itself, as far as it differs from what was said before.

    `ready`: all its containers are, so that a daemon's dependents may go on; `ip` is where they reach it. `progress`: `N/M` as last
    written to ARGO_PROGRESS_FILE. `containers`: those of a containerSet that changed.
    """

    ready: bool = False
    ip: str = ""
    progress: str = ""
    containers: tuple[ContainerState, ...] = ()


class Outcome(Words):
    """How an attempt ended. `message` is Argo's wording (`main: Error (exit code 3)`); times are UTC. `containers`: a containerSet's.

    `transient`: the cause is one that OnTransientError retries. `retry_after_seconds`: the least wait a server asked for.
    """

    kind: OutcomeKind
    exit_code: int | None = None
    message: str = ""
    result: str | None = None
    parameters: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    usage: Usage = Usage()
    transient: bool = False
    retry_after_seconds: float | None = None
    progress: str = ""
    containers: tuple[ContainerState, ...] = ()


class Handle(Words):
    """Opaque text by which its executor finds an attempt again."""

    executor: str
    text: str
    host: str = ""


class Moment(NamedTuple):
    """So many lines of an attempt's output had come before this time (UTC), and the next one came then or later."""

    lines: int
    at: datetime


class Severity(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class Finding(Words):
    """Something an executor says of a template: `field` is the field's path inside it, such as `container.securityContext`."""

    severity: Severity
    field: str
    message: str


class Course(Protocol):
    """What becomes of one attempt that was begun: its executor calls this, on the loop, in this order and once each."""

    def started(self, handle: Handle) -> None:
        """It runs."""
        ...

    def over(self, outcome: Outcome | None) -> None:
        """It is over; None: what came of it is still to be collected, which `Executor.wait` does."""
        ...


@runtime_checkable
class Prompt(Protocol):
    """An executor that can begin some attempts at once, and tell of them without anybody waiting: no task, no turn of the loop."""

    def begin(self, order: WorkOrder, course: Course) -> bool:
        """Begin an attempt, and tell its course; nothing is told before this returns. False: nothing was done, `launch` it."""
        ...

    def hold(self) -> None:
        """What is begun from now on, in this turn of the loop, is set going by `flush`, which follows for certain."""
        ...

    def flush(self) -> None:
        """Set going what was begun, now and not at the end of this turn of the loop."""
        ...


class Executor(Protocol):
    """Runs WorkOrders somewhere. Staging of inputs and outputs is the executor's own."""

    name: str

    async def launch(self, order: WorkOrder) -> Handle:
        """Start the attempt, or find it started: the same id always gives the first one's handle.

        An attempt that cannot be started still gives a handle; its `wait` then tells the Outcome.
        """
        ...

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """Find the attempt again after a restart; None means that it never started and may be launched."""
        ...

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:
        """Wait for the end and collect the outputs."""
        ...

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Ask the attempt to end, and make it after the grace; unknown: nothing happens."""
        ...

    def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """What running attempts say of themselves, with their orders' ids, for ever; at least what is new after `launch` or `adopt`.

        A daemon's readiness is reported again after it was adopted.
        """
        ...

    def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What the attempt printed, stdout and stderr in order; with `follow`, until it ends."""
        ...

    async def release(self, workflow_uid: str) -> None:
        """Delete what the claims of a run's volumeClaimTemplates hold, if this executor keeps such."""
        ...

    async def running(self) -> Mapping[str, Handle]:
        """The attempts that run, whoever launched them, by their orders' ids; none where they end with the process that launched them."""
        ...

    async def remove(self, order_id: str) -> None:
        """Forget a finished attempt and delete what it left."""
        ...

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget all attempts of a run and delete what they left; one that goes on is ended."""
        ...

    async def sweep(self, known: Collection[str]) -> None:
        """Delete what runs left whose uids are not among these."""
        ...

    def supports(self, template: Template) -> Sequence[Finding]:
        """What this executor cannot do of `template` (errors), or does not need (notices)."""
        ...
