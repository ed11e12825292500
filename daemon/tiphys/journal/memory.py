"""The journal that forgets: for tests and rehearsals, under the same contract as the one on disk."""

from collections.abc import Sequence

from tiphys.journal.batch import RunChanges, folded
from tiphys.journal.protocol import Entry, Logged, Rows, RunRows, summary
from tiphys.scheduler.records import Manifest, Node, Run


class _Kept:
    """One run."""

    def __init__(self) -> None:
        self.manifest: Manifest | None = None
        self.run: Run | None = None
        self.nodes: dict[str, Node] = {}
        self.log: list[Logged] = []

    def take(self, changes: RunChanges) -> None:
        self.manifest = changes.manifest or self.manifest
        self.run = changes.run or self.run
        for node_id in changes.removed:
            self.nodes.pop(node_id, None)
        self.nodes.update(changes.nodes)
        for entry in changes.entries:
            self.log.append(Logged(number=len(self.log) + 1, event=entry.event, summary=summary(entry.answer)))


class MemoryJournal:
    """A Journal in memory. A second engine on the same one finds what the first recorded."""

    def __init__(self) -> None:
        self._runs: dict[str, _Kept] = {}

    async def record(self, entries: Sequence[Entry]) -> None:
        """Keep a batch."""
        for uid, changes in folded(entries).items():
            if changes.anew:
                self._runs.pop(uid, None)
            if changes.run is not None and uid not in self._runs:
                self._runs[uid] = _Kept()
            if uid in self._runs:
                self._runs[uid].take(changes)

    async def load(self) -> Rows:
        """All rows."""
        return Rows(runs=tuple(_rows(kept) for kept in self._runs.values()))

    async def events(self, uid: str) -> Sequence[Logged]:
        """A run's log."""
        kept = self._runs.get(uid)
        return () if kept is None else tuple(kept.log)


def _rows(kept: _Kept) -> RunRows:
    assert kept.manifest is not None, "a run comes with its manifest"
    assert kept.run is not None
    return RunRows(manifest=kept.manifest, run=kept.run, nodes=tuple(kept.nodes.values()))
