"""Facts, in the past tense. A closed union: a new fact breaks the type check in every place that matters."""

from datetime import datetime

import msgspec

from tiphys.scheduler.items import Definable
from tiphys.scheduler.records import Manifest, Node, Run
from tiphys.spec.status import Phase
from tiphys.spec.work import Handle, Outcome, Report


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, gc=False):
    """The base of events: `at` is when the inbox took it (UTC)."""

    at: datetime


class Submitted(Fact, frozen=True):
    """A workflow was accepted. `seed` is its chance: everything random in it comes from here. `key`: the same submission has the same.
    `nodes`: with which it begins, of the run that it resubmits.
    """

    uid: str
    seed: str
    manifest: Manifest
    key: str = ""
    nodes: tuple[Node, ...] = ()


class Revived(Fact, frozen=True):
    """Somebody wants an archived run retried: it goes on as a new run of its name. `manifest`, `run`, `nodes`: as it had ended."""

    uid: str
    manifest: Manifest
    run: Run
    nodes: tuple[Node, ...]
    wish: "Retry"
    who: str = ""


class Started(Fact, frozen=True):
    """An attempt runs, since `launched_at` (None: since now)."""

    uid: str
    node_id: str
    attempt: int
    handle: Handle
    launched_at: datetime | None = None


class Reported(Fact, frozen=True):
    """A running attempt said something of itself."""

    uid: str
    node_id: str
    attempt: int
    report: Report


class Exited(Fact, frozen=True):
    """An attempt ended; its outputs are stored. `handle`, `launched_at`: of one that was so quick that nobody was told of its beginning."""

    uid: str
    node_id: str
    attempt: int
    outcome: Outcome
    handle: Handle | None = None
    launched_at: datetime | None = None


class TimerFired(Fact, frozen=True):
    """A timer that the scheduler set went off. `key` is the node's id, or "" for the workflow's deadline."""

    uid: str
    key: str


class Suspend(msgspec.Struct, frozen=True, tag=True):
    """Start nothing new."""


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Go on; `nodes` (ids) names suspend nodes, empty means all of them and the workflow itself."""

    nodes: tuple[str, ...] = ()


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End it; exit handlers run."""

    message: str = ""


class Terminate(msgspec.Struct, frozen=True, tag=True):
    """End it; nothing else runs."""


class SetNode(msgspec.Struct, frozen=True, tag=True):
    """Give suspend nodes their outputs, a message or a phase."""

    nodes: tuple[str, ...]
    phase: Phase = Phase.UNKNOWN
    message: str = ""
    parameters: dict[str, str] = {}


class Retry(msgspec.Struct, frozen=True, tag=True):
    """Go on from the failed nodes, and from those (ids) in `restart`."""

    parameters: dict[str, str] = {}
    restart: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Delete the run; one that goes on is terminated first. `force`: artifacts that were to be deleted with it stay."""

    force: bool = False


Wish = Suspend | Resume | Stop | Terminate | SetNode | Retry | Delete


class Asked(Fact, frozen=True):
    """Somebody wants something of a run."""

    uid: str
    wish: Wish
    who: str = ""


class DaemonStarted(Fact, frozen=True):
    """The engine began, with this run's rows of before."""

    uid: str


class Woken(Fact, frozen=True):
    """A lock that the run waits for may be free."""

    uid: str


class Continued(Fact, frozen=True):
    """The decision before left something to do: now is the time."""

    uid: str


class ArtifactsDeleted(Fact, frozen=True):
    """What a run's artifactGC had to delete is deleted, or (`error`) could not be."""

    uid: str
    error: str = ""


class Defined(Fact, frozen=True):
    """The documents in force that come from `source` are now these and no others."""

    source: str
    digest: str = ""
    documents: tuple[Definable, ...] = ()
    uid: str = ""


class Ticked(Fact, frozen=True):
    """A moment of a CronWorkflow's schedule has come, or somebody wants it to run now (`manual`).

    `manifest` is the workflow that it would start, with the uid `child`; None: it cannot be made, `error` says why.
    `missed`: the moment has passed and nothing is to be started for it; why.
    """

    namespace: str
    name: str
    scheduled_at: datetime
    child: str
    seed: str
    manifest: Manifest | None = None
    error: str = ""
    missed: str = ""
    manual: bool = False
    uid: str = ""


class Forgotten(Fact, frozen=True):
    """The submission with this key will not be made again."""

    key: str
    uid: str = ""


class Notified(Fact, frozen=True):
    """A notification was tried. `error`: why it is not delivered; `again_at`: when it is tried again (None: never)."""

    notice_id: str
    error: str = ""
    again_at: datetime | None = None
    uid: str = ""


Event = (
    Submitted
    | Revived
    | Started
    | Reported
    | Exited
    | TimerFired
    | Asked
    | DaemonStarted
    | Woken
    | Continued
    | ArtifactsDeleted
    | Defined
    | Ticked
    | Forgotten
    | Notified
)
