"""The rows that belong to no single run: definitions, cron workflows and their ticks, and what is remembered of submissions."""

import uuid
from datetime import datetime

import msgspec

from tiphys.scheduler.records import Record
from tiphys.spec.notices import Notice
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, CronWorkflow, Document, WorkflowEventBinding, WorkflowTemplate

Definable = WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow | ConfigMap | WorkflowEventBinding
"""Documents that stay in force. A Secret is never one: its values are in no row."""

API_SOURCES = "api/"
"""How the sources of definitions begin that were made through the API."""

BORN = uuid.UUID("6d1f5f3e-6d0b-4f52-9f0b-0a5a1c6a2b11")
"""The uid of a definition from a file is derived from its name."""


class Definition(Record, frozen=True, kw_only=True, tag=True):
    """A document in force. `source` is the file it came from, with the `digest` of its bytes, or "api"."""

    document: Definable
    source: str
    digest: str = ""
    at: datetime

    @property
    def key(self) -> str:
        """Its kind, namespace and name."""
        return definition_key(self.document)

    @property
    def uid(self) -> str:
        """Its uid: what the API gave it, or what follows from its name."""
        return self.document.metadata.uid if self.source.startswith(API_SOURCES) else str(uuid.uuid5(BORN, self.key))


class Cron(Record, frozen=True, kw_only=True, tag=True):
    """How far a CronWorkflow is (semantics 2.20). `last_scheduled_at` is its last tick, `last_used` the schedules then, `last_started_at`
    the last tick that started a workflow: Argo's lastScheduledTime. `stopped`: its stopStrategy said so.

    `succeeded` and `failed` count its workflows that ended; `error` is why it cannot run, `error_kind` the condition's type.
    """

    namespace: str
    name: str
    last_scheduled_at: datetime | None = None
    last_used: str = ""
    last_started_at: datetime | None = None
    stopped: bool = False
    succeeded: int = 0
    failed: int = 0
    error: str = ""
    error_kind: str = ""

    @property
    def key(self) -> str:
        """Its namespace and name."""
        return f"{self.namespace}/{self.name}"


class Tick(Record, frozen=True, kw_only=True, tag=True):
    """A moment of a schedule, and what became of it: the workflow `uid` was started, or it was `skipped` for a reason.

    `missed`: skipped since nobody was there; where the clock shows that moment again, it may start after all.
    """

    namespace: str
    name: str
    scheduled_at: datetime
    at: datetime
    uid: str = ""
    workflow: str = ""
    skipped: str = ""
    missed: bool = False
    manual: bool = False

    @property
    def key(self) -> str:
        """The cron workflow, and when."""
        return f"{self.namespace}/{self.name}/{self.scheduled_at.isoformat()}"


class Claim(Record, frozen=True, kw_only=True, tag=True):
    """A submission that may be made again (its file lies where it did): the run that it became."""

    key: str
    uid: str
    at: datetime


class Outbox(Record, frozen=True, kw_only=True, tag=True):
    """A notification that is not delivered yet."""

    notice: Notice

    @property
    def key(self) -> str:
        """The notice's own."""
        return self.notice.id


Item = Definition | Cron | Tick | Claim | Outbox


def definition_key(document: Definable) -> str:
    """What tells a definition from every other."""
    namespace = "" if isinstance(document, ClusterWorkflowTemplate) else document.metadata.namespace
    return f"{type(document).__name__}/{namespace}/{document.metadata.name}"


def is_definable(document: Document) -> bool:
    """Whether a document is one that stays in force."""
    return isinstance(document, Definable)


class Target(Record, frozen=True, kw_only=True):
    """Who is told of phases: of which, in which namespaces (empty: all), of runs whose labels the selector matches."""

    name: str
    phases: frozenset[str]
    namespaces: frozenset[str] = frozenset()
    selector: str = ""


class Rules(Record, frozen=True, kw_only=True):
    """What settings say about all runs together; they may change while runs go on. 0: no limit.

    `cleans`: finished runs and what they left are deleted as they say (ttlStrategy, podGC, artifactGC). `completed`, `failed`,
    `errored`: how many of the newest that ended so are kept. `transient_pattern`: failure messages that it finds are transient, too.
    """

    slice: int = 300
    parallelism: int = 0
    namespace_parallelism: int = 0
    namespaces: dict[str, int] = msgspec.field(default_factory=dict)
    cleans: bool = True
    completed: int = 0
    failed: int = 0
    errored: int = 0
    archive: bool = True
    pod_gc_delay_seconds: float = 5.0
    targets: tuple[Target, ...] = ()
    transient_pattern: str = ""

    def limit(self, namespace: str) -> int:
        """How many workflows of a namespace may run at once."""
        return self.namespaces.get(namespace, self.namespace_parallelism)
