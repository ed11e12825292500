"""What a decision is: only what differs. The same value feeds memory, the journal's rows and the world."""

from datetime import datetime

import msgspec

from tiphys.scheduler.calls import Call
from tiphys.scheduler.events import Event
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Remains, Run
from tiphys.scheduler.todo import Todo
from tiphys.spec.artifacts import Artifact
from tiphys.spec.workflows import Workflow


class Words(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """The base of changes and commands."""


class ManifestPut(Words, frozen=True):
    """A workflow's immutable part, once."""

    manifest: Manifest


class RunPut(Words, frozen=True):
    """A run is now this."""

    run: Run


class NodePut(Words, frozen=True):
    """A node is now this."""

    uid: str
    node: Node


class NodeRemoved(Words, frozen=True):
    """A node is gone (a retry of the workflow makes it anew)."""

    uid: str
    node_id: str


class RunRemoved(Words, frozen=True):
    """A run and all that is its."""

    uid: str


class Archived(Words, frozen=True):
    """A run's record goes into the archive as Argo would show the run, and its rows with it. `workflow`: the picture, where it is not to be
    made of the rows (`render.of_remains`), which takes its time for a large run and is left to who records it.
    """

    workflow: Workflow | None = None
    remains: Remains | None = None


class ItemPut(Words, frozen=True):
    """A row that belongs to no single run is now this."""

    item: Item


class ItemRemoved(Words, frozen=True):
    """Such a row is gone; `kind` is its struct's name."""

    kind: str
    key: str


Change = ManifestPut | RunPut | NodePut | NodeRemoved | RunRemoved | Archived | ItemPut | ItemRemoved


class Launch(Words, frozen=True):
    """Start an attempt; the engine asks `orders.build` for the order when it has room."""

    uid: str
    node_id: str
    attempt: int


class Adopt(Words, frozen=True):
    """Find an attempt of before again, or launch it if it never started."""

    uid: str
    node_id: str
    attempt: int


class StopAttempt(Words, frozen=True):
    """End an attempt."""

    uid: str
    node_id: str
    attempt: int
    grace_seconds: float


class SetTimer(Words, frozen=True):
    """Wake the scheduler with `TimerFired(uid, key)`; a later one with the same key replaces it."""

    uid: str
    key: str
    at: datetime


class Wake(Words, frozen=True):
    """Let another run look at its locks again: `Woken(uid)`."""

    uid: str


class Sample(Words, frozen=True):
    """One sample of a custom metric. `key` is the node's id, or "" for the run. `since`: a gauge that counts seconds from then on, until
    a sample of the same key and name without it. `operation`: a gauge's (Set, Add, Sub).
    """

    key: str
    name: str
    kind: str
    help: str
    labels: dict[str, str] = {}
    value: float = 0.0
    operation: str = ""
    buckets: tuple[float, ...] = ()
    since: datetime | None = None


class Measure(Words, frozen=True):
    """Add samples to the custom metrics."""

    uid: str
    samples: tuple[Sample, ...]


class ReleaseClaims(Words, frozen=True):
    """Delete what the run's volumeClaimTemplates hold: nobody needs it any more."""

    uid: str


class Finish(Words, frozen=True):
    """The run has ended: forget its timers, tell who waits."""

    uid: str


class Clean(Words, frozen=True):
    """Delete what ended attempts left (podGC), after a delay. `orders` are the attempts' ids."""

    uid: str
    orders: tuple[str, ...]
    delay_seconds: float


class DeleteArtifacts(Words, frozen=True):
    """Delete output artifacts, and tell `ArtifactsDeleted`."""

    uid: str
    artifacts: tuple[Artifact, ...]


class Erase(Words, frozen=True):
    """The run is deleted: nothing that is on disk because of it is needed any more."""

    uid: str


class Refresh(Words, frozen=True):
    """Definitions are others now: whoever keeps something made from them looks again."""


class Deliver(Words, frozen=True):
    """There are new notifications to deliver."""


class Continue(Words, frozen=True):
    """More follows from the same fact: ask again with `Continued(uid)`, before the run is told anything else."""

    uid: str


Command = (
    Launch
    | Adopt
    | StopAttempt
    | SetTimer
    | Wake
    | Measure
    | ReleaseClaims
    | Finish
    | Clean
    | DeleteArtifacts
    | Erase
    | Refresh
    | Deliver
    | Continue
)


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`changes` are persisted and applied, `commands` performed after that. The rest only moves memory's own arithmetic, which
    recovery derives from the rows: `bumps` move counters by key, `unparked` takes so many calls from the fronts of queues, `parked`
    adds calls to them. `follows` are facts that this one brings about in other runs: they are decided next, and recorded together with it.
    `rest` is what is left to do of a decision that would have been too large; `Continue` is among its commands then.
    """

    uid: str = ""
    changes: tuple[Change, ...] = ()
    commands: tuple[Command, ...] = ()
    bumps: tuple[tuple[tuple[str, ...], int], ...] = ()
    parked: tuple[tuple[str, Call], ...] = ()
    unparked: tuple[tuple[str, int], ...] = ()
    follows: tuple[Event, ...] = ()
    rest: tuple[Todo, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """No, and why: one line an operator can act on. Nothing changed."""

    reason: str


NOTHING = Decision()
