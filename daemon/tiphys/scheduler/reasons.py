"""What an explanation is made of: reasons as typed values, each with a sentence that a person can read.

A machine reads `kind` and the part that belongs to it; a person reads `text`, `lines` below it and `changes`.
"""

import enum
from datetime import datetime

import msgspec


class Kind(enum.StrEnum):
    """Why something is as it is."""

    DEPENDS = "depends"
    WHEN = "when"
    LOOP = "loop"
    ORDER = "order"
    PARALLELISM = "parallelism"
    TEMPLATE_PARALLELISM = "templateParallelism"
    FAIL_FAST = "failFast"
    SUSPENDED = "suspended"
    SUSPEND = "suspend"
    LOCK = "lock"
    MEMO = "memo"
    BACKOFF = "backoff"
    RETRY = "retry"
    SLOT = "slot"
    RUNNING = "running"
    DAEMON = "daemon"
    INSIDE = "inside"
    HOOKS = "hooks"
    EXIT_HANDLER = "exitHandler"
    PLACE = "place"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    ENDED = "ended"
    OMITTED = "omitted"
    SKIPPED = "skipped"
    ARTIFACTS = "artifacts"
    DELETION = "deletion"
    TTL = "ttl"
    CRON = "cron"


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of what is shown."""


class Who(Shown, frozen=True):
    """A node, or (`node` "") a workflow."""

    workflow: str
    node: str = ""
    id: str = ""
    phase: str = ""
    since: datetime | None = None

    def __str__(self) -> str:
        return f"{self.workflow}/{self.node}" if self.node else self.workflow


class Expression(Shown, frozen=True):
    """A condition: as written, with its values in it, and what it comes to. `open`: tags without a value yet, with what they wait for.

    `values`: the names in it and what they stand for.
    """

    written: str
    value: str = ""
    result: str = ""
    open: dict[str, str] = {}
    values: dict[str, str] = {}


class Operand(Shown, frozen=True):
    """One task that a `depends` names. `wanted`: the ends any of which will do; `holds`: whether it ended so; None: it has not ended."""

    task: str
    status: str
    wanted: tuple[str, ...] = ()
    holds: bool | None = None
    message: str = ""


class Limit(Shown, frozen=True):
    """A bound on how much goes on at once. `place`: how many wait before this one, plus one; 0: it does not wait."""

    limit: int
    used: int
    active: tuple[Who, ...] = ()
    place: int = 0
    waiting: int = 0
    before: tuple[Who, ...] = ()


class Lock(Shown, frozen=True):
    """A mutex or semaphore. `limit` 0: it cannot be known, `problem` says why."""

    name: str
    limit: int
    holders: tuple[Who, ...] = ()
    place: int = 0
    waiting: int = 0
    before: tuple[Who, ...] = ()
    problem: str = ""


class Attempt(Shown, frozen=True):
    """One attempt of a node."""

    name: str
    phase: str
    message: str = ""
    exit_code: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Retries(Shown, frozen=True):
    """A retryStrategy and how far it is. `limit` None: no bound; `counts`: whether the last failure is one that is retried, and why."""

    policy: str
    limit: int | None
    made: int
    attempts: tuple[Attempt, ...] = ()
    counts: str = ""
    expression: Expression | None = None


class Room(Shown, frozen=True):
    """How full an executor is. `limit` 0: no bound; `before`: how many attempts wait before this one, None: this one does not wait."""

    executor: str
    limit: int
    live: int
    before: int | None = None


class Reason(Shown, frozen=True):
    """Why something is as it is. `changes`: what would make it otherwise, `at`: when that is sure to happen."""

    kind: Kind
    text: str
    lines: tuple[str, ...] = ()
    changes: str = ""
    at: datetime | None = None
    expression: Expression | None = None
    operands: tuple[Operand, ...] = ()
    limit: Limit | None = None
    lock: Lock | None = None
    retries: Retries | None = None
    room: Room | None = None
    nodes: tuple[Who, ...] = ()
    missing: tuple[str, ...] = ()


class Told(Shown, frozen=True, gc=False):
    """One event of the log as it concerns whom it is told of. `became`: what the decision made of it."""

    number: int
    at: datetime
    event: str
    who: str = ""
    text: str = ""
    became: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    refusal: str = ""


class Explanation(Shown, frozen=True):
    """Why a node is as it is. `phase` "": there is no node yet. `decided`: the events that brought it about, the last one last."""

    workflow: str
    namespace: str
    uid: str
    node: str
    id: str = ""
    type: str = ""
    template: str = ""
    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    decided: tuple[Told, ...] = ()
    output: str = ""


class Link(Shown, frozen=True):
    """One node of a critical path: seconds in which nothing of it went on, by why, and in which it ran."""

    node: str
    id: str
    template: str = ""
    phase: str = ""
    began: float = 0.0
    waited: dict[str, float] = {}
    ran: float = 0.0


class CriticalPath(Shown, frozen=True):
    """The chain of nodes whose ends and beginnings made a workflow last as long as it did, or does.

    `seconds` in all; `totals` by what they were spent on; `overhead`: the share that neither ran nor waited for anything that the
    workflow asked for. `work`: seconds that all attempts together ran, and of which templates the most.
    """

    seconds: float = 0.0
    links: tuple[Link, ...] = ()
    totals: dict[str, float] = {}
    overhead: float = 0.0
    work: float = 0.0
    by_template: dict[str, float] = {}


class Waiting(Shown, frozen=True):
    """Something of a run that has not ended, with its first reason in a line."""

    node: str
    phase: str
    kind: Kind
    text: str
    at: datetime | None = None


class RunExplanation(Shown, frozen=True):
    """Why a workflow is as it is. `open`: what of it has not ended (the first of it), `counts`: all of that by kind of reason."""

    workflow: str
    namespace: str
    uid: str
    created_at: datetime
    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    open: tuple[Waiting, ...] = ()
    counts: dict[str, int] = {}
    path: CriticalPath | None = None
    decided: tuple[Told, ...] = ()


class Ticked(Shown, frozen=True):
    """A moment of a schedule and what became of it: a `workflow`, or nothing, since it was `skipped` for a reason."""

    scheduled_at: datetime
    at: datetime
    workflow: str = ""
    skipped: str = ""
    manual: bool = False


class CronExplanation(Shown, frozen=True):
    """Why a cron workflow starts something at its next tick or does not, and what became of the last ones, the oldest first."""

    name: str
    namespace: str
    schedules: str
    timezone: str = ""
    next_at: datetime | None = None
    succeeded: int = 0
    failed: int = 0
    reasons: tuple[Reason, ...] = ()
    ticks: tuple[Ticked, ...] = ()
