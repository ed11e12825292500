"""The journal that forgets: for tests and rehearsals, under the same contract as the one on disk."""

import time
from collections.abc import Callable, Iterator, Sequence

from tiphys.journal.batch import RunChanges, folded
from tiphys.journal.protocol import ArchivedRun, Entry, Logged, Result, Rows, RunRows, archived_run, summary
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Remains, Run
from tiphys.spec.workflows import Workflow


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
        self._items: dict[tuple[str, str], Item] = {}
        self._archive: dict[str, tuple[float, Workflow]] = {}
        self._remains: dict[str, Remains] = {}

    async def record(self, entries: Sequence[Entry]) -> None:
        """Keep a batch."""
        runs, others = folded(entries)
        for key, item in others.items.items():
            if item is None:
                self._items.pop(key, None)
            else:
                self._items[key] = item
        for workflow, remains in others.archived:
            self._archive[workflow.metadata.uid] = (time.time(), workflow)
            if remains is not None:
                self._remains[workflow.metadata.uid] = remains
        for uid, changes in runs.items():
            if changes.anew:
                self._runs.pop(uid, None)
            if changes.run is not None and uid not in self._runs:
                self._runs[uid] = _Kept()
            if uid in self._runs:
                self._runs[uid].take(changes)

    async def load(self) -> Rows:
        """All rows."""
        return Rows(runs=tuple(_rows(kept) for kept in self._runs.values()), items=tuple(self._items[key] for key in sorted(self._items)))

    async def events(self, uid: str, after: int = 0) -> Sequence[Logged]:
        """A run's log."""
        kept = self._runs.get(uid)
        return () if kept is None else tuple(one for one in kept.log if one.number > after)

    async def archive(self, look: Callable[[Iterator[ArchivedRun]], Result]) -> Result:
        """What somebody makes of the archive."""
        return look(archived_run(workflow) for _, workflow in reversed(self._archive.values()))

    async def archived(self, uid: str) -> Workflow | None:
        """One of it."""
        found = self._archive.get(uid)
        return None if found is None else found[1]

    async def remains(self, uid: str) -> Remains | None:
        """What one of it left."""
        return self._remains.get(uid)

    async def forget_archived(self, uid: str) -> None:
        """Without one."""
        self._archive.pop(uid, None)
        self._remains.pop(uid, None)

    async def tidy(self, archived_before: float, free_share: float) -> None:  # noqa: ARG002 - memory is not made smaller
        """Drop old archived runs."""
        for uid in [uid for uid, (at, _) in self._archive.items() if at < archived_before]:
            await self.forget_archived(uid)


def _rows(kept: _Kept) -> RunRows:
    assert kept.manifest is not None, "a run comes with its manifest"
    assert kept.run is not None
    return RunRows(manifest=kept.manifest, run=kept.run, nodes=tuple(kept.nodes.values()))
