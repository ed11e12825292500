"""What a journal is: rows and the event log, recorded together, read once at the start."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from tiphys.errors import TiphysError
from tiphys.scheduler.decision import Adopt, Command, Decision, Launch, NodePut, NodeRemoved, Refusal, RunPut, SetTimer, StopAttempt
from tiphys.scheduler.events import Event
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Remains, Run
from tiphys.spec.workflows import Workflow

Result = TypeVar("Result")


class RecordFailed(TiphysError):
    """The journal could not be written."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A fact and what followed from it."""

    event: Event
    answer: Decision | Refusal


class Touched(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A node that a decision changed, or the run itself (`node_id` is ""); the phase "removed" says that the node is gone."""

    node_id: str
    phase: str
    message: str = ""


class Summary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a decision came to, in brief: whom it touched, what it commanded (`Launch wf-123/0`), or why nothing was done."""

    touched: tuple[Touched, ...] = ()
    commands: tuple[str, ...] = ()
    refusal: str = ""


class Logged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of a run as it was recorded; `number` counts within the run and may skip."""

    number: int
    event: Event
    summary: Summary


class RunRows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of one run; the nodes in the order of their creation."""

    manifest: Manifest
    run: Run
    nodes: tuple[Node, ...]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows; the runs in the order of their submission."""

    runs: tuple[RunRows, ...] = ()
    items: tuple[Item, ...] = ()


class ArchivedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of the archive shows of a run. Times are as in the Workflow object."""

    uid: str
    name: str
    namespace: str
    phase: str
    created_at: str
    started_at: str
    finished_at: str
    labels: dict[str, str]


def archived_run(workflow: Workflow) -> ArchivedRun:
    """A Workflow's line in the archive."""
    meta, status = workflow.metadata, workflow.status
    return ArchivedRun(
        uid=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        phase=str(status.phase) if status is not None else "",
        created_at=meta.creation_timestamp or "",
        started_at=(status.started_at if status is not None else None) or "",
        finished_at=(status.finished_at if status is not None else None) or "",
        labels=dict(meta.labels or {}),
    )


class Journal(Protocol):
    """Checkpoint rows and the event log."""

    async def record(self, entries: Sequence[Entry]) -> None:
        """Store a batch: the changes of its decisions and its events, all of it or nothing. Returns once it is durable.

        An event of a run that is not there (never submitted, or removed) is not kept. Raises RecordFailed, after which the
        journal takes nothing more.
        """
        ...

    async def load(self) -> Rows:
        """All rows as they were last recorded. Raises StateRefused if they are damaged."""
        ...

    async def events(self, uid: str, after: int = 0) -> Sequence[Logged]:
        """Everything that happened to a run after the event of that number, in order; empty for an unknown one. Raises StateRefused if it
        is damaged.
        """
        ...

    async def archive(self, look: Callable[[Iterator[ArchivedRun]], Result]) -> Result:
        """What `look` makes of the archive, the newest first. It is called in a thread, and each line is read as it asks for it, for an
        archive may be long: what it does not keep is not held. Raises StateRefused if what it comes to is damaged, and what it raises.
        """
        ...

    async def archived(self, uid: str) -> Workflow | None:
        """One archived run, as it was shown last."""
        ...

    async def remains(self, uid: str) -> Remains | None:
        """The rows that an archived run left; None: there are none (any more). Raises StateRefused if they are damaged."""
        ...

    async def forget_archived(self, uid: str) -> None:
        """Take a run out of the archive. Raises RecordFailed."""
        ...

    async def tidy(self, archived_before: float, free_share: float) -> None:
        """Drop archived runs older than that (seconds since 1970), and make the store smaller where this share of it is free."""
        ...


def summary(answer: Decision | Refusal) -> Summary:
    """An answer in brief."""
    if isinstance(answer, Refusal):
        return Summary(refusal=answer.reason)
    commands = tuple(map(_brief, answer.commands)) if answer.commands else ()
    if len(answer.changes) == 1 and type(put := answer.changes[0]) is NodePut:  # what nearly every decision is
        return Summary(touched=(Touched(put.node.id, put.node.phase, put.node.message),), commands=commands)
    return Summary(touched=tuple(_touched(answer)), commands=commands)


def _touched(made: Decision) -> Iterator[Touched]:
    for change in made.changes:
        match change:
            case NodePut(node=node):
                yield Touched(node.id, node.phase, node.message)
            case RunPut(run=run):
                yield Touched("", run.phase, run.message)
            case NodeRemoved(node_id=node_id):
                yield Touched(node_id, "removed")
            case _:
                pass  # a run's manifest never changes, and a run that is removed takes its log along


def _brief(command: Command) -> str:
    kind = type(command).__name__
    match command:
        case (
            Launch(node_id=node_id, attempt=attempt)
            | Adopt(node_id=node_id, attempt=attempt)
            | StopAttempt(node_id=node_id, attempt=attempt)
        ):
            return f"{kind} {node_id}/{attempt}"
        case SetTimer(key=key, at=at):
            return f"{kind} {key or 'deadline'} {at.isoformat()}"
        case _:
            return kind
