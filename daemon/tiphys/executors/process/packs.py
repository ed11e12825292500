"""What finished attempts printed, of many at once: straight from their runs' packs, in which the launcher keeps all small logs."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tiphys.executors.process.places import Directories

MOST_RUNS = 16
"""Runs whose journal is known as far as it was read."""


class _End(msgspec.Struct, frozen=True):
    told: str
    id: str = ""
    log: tuple[int, int] | None = None
    printed: int | None = None


class _Run:
    """One run's journal as far as it was read: where in the pack each attempt's log lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = 0
        self._places: dict[str, tuple[int, int]] = {}

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


class Packs:
    """The packs of the runs that were asked for last. Its methods block: they are for a thread."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._lock = threading.Lock()
        self._runs: dict[Path, _Run] = {}

    def printed(self, order_ids: Iterable[str]) -> dict[str, bytes]:
        """What these attempts printed; one that is not in its run's pack (it runs, or printed much, or is gone) is left out."""
        by_run: dict[Path, list[str]] = {}
        for order_id in order_ids:
            by_run.setdefault(self._directories.group(order_id), []).append(order_id)
        found: dict[str, bytes] = {}
        with self._lock:
            for folder, wanted in by_run.items():
                run = self._runs.pop(folder, None) or _Run(folder)
                self._runs[folder] = run
                while len(self._runs) > MOST_RUNS:
                    del self._runs[next(iter(self._runs))]
                try:
                    run.look()
                    found |= run.printed(wanted)
                except FileNotFoundError:
                    self._runs.pop(folder)  # the run was deleted
        return found
