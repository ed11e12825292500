"""What finished attempts printed and when, of many at once: straight from their runs' packs, in which the launcher keeps all small logs,
and the marks of when something came.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from tiphys.executors.process.places import Directories

MOST_RUNS = 16
"""Runs whose journal is known as far as it was read."""

Found = TypeVar("Found")


class _End(msgspec.Struct, frozen=True):
    told: str
    id: str = ""
    log: tuple[int, int] | None = None
    printed: int | None = None
    marks: tuple[int, int] | None = None


class Marked(NamedTuple):
    """The marks of an ended attempt, and how many bytes it had printed, which may be more than were kept."""

    data: bytes
    printed: int


class _Run:
    """One run's journal as far as it was read: where in the pack each attempt's log lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._marks: dict[str, tuple[int, int, int]] = {}

    def look(self) -> None:
        """Read what has come to the journal."""
        try:
            with (self._folder / "journal").open("rb") as journal:
                journal.seek(self._read)
                data = journal.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if b'"ended"' not in line:
                continue
            try:
                end = msgspec.json.decode(line, type=_End)
            except msgspec.MsgspecError:
                continue  # cut off by a crash
            if end.told == "ended" and end.marks is not None:
                self._marks[end.id] = (*end.marks, end.printed or 0)
            if end.told == "ended" and end.log is not None:
                self._places[end.id] = end.log
            elif end.told == "ended" and end.printed == 0:
                self._places[end.id] = (0, 0)

    def printed(self, order_ids: Iterable[str]) -> dict[str, bytes]:
        """The logs of those that are known."""
        places = {order_id: self._places[order_id] for order_id in order_ids if order_id in self._places}
        found = {order_id: b"" for order_id, (_, length) in places.items() if not length}
        if len(found) == len(places):
            return found
        fd = os.open(self._folder / "output", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for order_id, (offset, length) in places.items():
                if length:
                    found[order_id] = os.pread(fd, length, offset)
        finally:
            os.close(fd)
        return found

    def marked(self, order_ids: Iterable[str]) -> dict[str, Marked]:
        """The marks of those that have any."""
        places = {order_id: self._marks[order_id] for order_id in order_ids if order_id in self._marks}
        if not places:
            return {}
        fd = os.open(self._folder / "output", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return {
                order_id: Marked(os.pread(fd, length, offset), printed if order_id not in self._places else 0)
                for order_id, (offset, length, printed) in places.items()
            }
        finally:
            os.close(fd)


class Packs:
    """The packs of the runs that were asked for last. Its methods block: they are for a thread."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._lock = threading.Lock()
        self._runs: dict[Path, _Run] = {}

    def printed(self, order_ids: Iterable[str]) -> dict[str, bytes]:
        """What these attempts printed; one that is not in its run's pack (it runs, or printed much, or is gone) is left out."""
        return self._of_runs(order_ids, _Run.printed)

    def marked(self, order_ids: Iterable[str]) -> dict[str, Marked]:
        """When these attempts, which have ended, printed what they did; one that printed nothing later on is left out."""
        return self._of_runs(order_ids, _Run.marked)

    def _of_runs(self, order_ids: Iterable[str], read: Callable[[_Run, Sequence[str]], dict[str, Found]]) -> dict[str, Found]:
        by_run: dict[Path, list[str]] = {}
        for order_id in order_ids:
            by_run.setdefault(self._directories.group(order_id), []).append(order_id)
        found: dict[str, Found] = {}
        with self._lock:
            for folder, wanted in by_run.items():
                run = self._runs.pop(folder, None) or _Run(folder)
                self._runs[folder] = run
                while len(self._runs) > MOST_RUNS:
                    del self._runs[next(iter(self._runs))]
                try:
                    run.look()
                    found |= read(run, wanted)
                except FileNotFoundError:
                    self._runs.pop(folder)  # the run was deleted
        return found
