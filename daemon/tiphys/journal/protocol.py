"""What a journal is: rows and the event log, recorded together, read once at the start."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tiphys.scheduler.decision import Decision, Refusal
from tiphys.scheduler.events import Event
from tiphys.scheduler.records import Manifest, Node, Run


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A fact and what followed from it."""

    event: Event
    answer: Decision | Refusal


class RunRows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of one run."""

    manifest: Manifest
    run: Run
    nodes: tuple[Node, ...]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All rows."""

    runs: tuple[RunRows, ...] = ()


class Journal(Protocol):
    """Checkpoint rows and the event log."""

    async def record(self, entries: Sequence[Entry]) -> None:
        """Store a batch: the changes of its decisions and its events, all of it or nothing. Returns once it is durable."""
        ...

    async def load(self) -> Rows:
        """All rows as they were last recorded."""
        ...
