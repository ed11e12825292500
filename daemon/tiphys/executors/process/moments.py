"""When attempts printed what they did: the launcher's marks, of running attempts from beside their logs, of ended ones from their packs."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tiphys.executors.process.logs import data_start
from tiphys.executors.process.packs import Packs
from tiphys.executors.process.places import Directories
from tiphys.launching.marks import Mark, unpacked
from tiphys.spec.work import Moment

READ_BYTES = 1 << 20


def found(directories: Directories, packs: Packs, order_ids: Sequence[str]) -> dict[str, Sequence[Moment]]:
    """The moments of those attempts that have any. Blocks: it is for a thread."""
    kept = packs.marked(order_ids)
    made: dict[str, Sequence[Moment]] = {}
    for order_id in order_ids:
        marked = kept.get(order_id)
        if marked is not None:
            made[order_id] = _moments(directories, order_id, unpacked(marked.data), marked.printed)
        elif marks := _live(directories, order_id):
            made[order_id] = _moments(directories, order_id, marks, marks[-1][0])
    return made


def _live(directories: Directories, order_id: str) -> list[Mark]:
    try:
        return unpacked(directories.live_log(order_id).with_suffix(".times").read_bytes())
    except OSError:
        return []


def _moments(directories: Directories, order_id: str, marks: Sequence[Mark], printed: int) -> Sequence[Moment]:
    """Marks as moments of the lines that are still there. `printed`: bytes, where the log is a file of its own; 0: it is whole."""
    begin, lost = _lost(directories, order_id, marks, printed) if printed else (0, 0)
    return [
        Moment(max(0, lines - lost) if size > begin else 0, datetime.fromtimestamp(at, UTC))
        for number, (size, lines, at) in enumerate(marks)
        if size >= begin or number + 1 == len(marks) or marks[number + 1][0] > begin
    ]


def _lost(directories: Directories, order_id: str, marks: Sequence[Mark], printed: int) -> tuple[int, int]:
    """How many bytes and lines of the beginning were cut off, of a log that became too long."""
    for path, live in ((directories.kept_log(order_id), False), (directories.live_log(order_id), True)):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            begin = data_start(fd) if live else max(0, printed - os.fstat(fd).st_size)
            after = next((mark for mark in marks if mark[0] >= begin), marks[-1])
            first = begin if live else 0
            return begin, after[1] - _count(fd, first, first + max(0, after[0] - begin)) if begin else 0
        finally:
            os.close(fd)
    return 0, 0


def _count(fd: int, at: int, end: int) -> int:
    lines = 0
    while piece := os.pread(fd, min(READ_BYTES, end - at), at):
        lines += piece.count(b"\n")
        at += len(piece)
    return lines
