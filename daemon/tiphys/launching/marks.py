"""When what a step printed came: marks, each of so many bytes and lines that had come before that time.

A step that is over soon has none: its lines came when it ran. The marks of a step that runs are in a file beside its log, for those who
follow it and for the next launcher; at its end they go to its run's pack. There are never too many: the older ones become sparse.
"""

import contextlib
import os
import struct
import time

from tiphys.launching.captures import Capture

YOUNG_SECONDS = 0.25
"""So long after its start no mark is made: lines before the first mark came at the start."""

PAUSE_SECONDS = 0.05
MOST = 1024
SHARE = 1 / 64
MARK = struct.Struct("<QQd")
"""Bytes and lines before, seconds since 1970."""

Mark = tuple[int, int, float]


class Marks:
    """The marks of one step."""

    __slots__ = ("due", "fd", "known", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.known: list[Mark] = []
        self.fd = -1
        self.due = 0.0

    def note(self, size: int, lines: int) -> None:
        """What is printed after so many bytes and lines comes now. A full disk loses marks, never the step."""
        if (now := time.monotonic()) < self.due:
            return
        self.due = now + PAUSE_SECONDS
        at = time.time()
        if self.known:
            at = max(at, self.known[-1][2])
        self.known.append((size, lines, at))
        with contextlib.suppress(OSError):
            if len(self.known) > MOST:
                self.known = thinned(self.known)
                self.write()
            elif self.fd < 0:
                self.write()
            else:
                os.write(self.fd, MARK.pack(*self.known[-1]))

    def write(self) -> None:
        """Put all of them into the file, whole or not at all."""
        fresh = f"{self.path}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, self.packed())
            os.rename(fresh, self.path)
        except OSError:
            os.close(fd)
            raise
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = fd

    def packed(self) -> bytes:
        """All of them as bytes."""
        return b"".join(MARK.pack(*mark) for mark in self.known)

    def close(self) -> None:
        """Delete the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def thinned(known: list[Mark]) -> list[Mark]:
    """Three quarters of what there may be, or fewer: the older, the sparser, so that what is lost is a share of how long ago it was."""
    share = SHARE
    while len(known) > MOST * 3 // 4:
        newest = last = known[-1][2]
        kept = [known[-1]]
        for mark in reversed(known[1:-1]):
            if last - mark[2] >= share * (newest - mark[2]):
                kept.append(mark)
                last = mark[2]
        known = [known[0], *reversed(kept)]
        share *= 2
    return known


def unpacked(data: bytes) -> list[Mark]:
    """Marks from bytes; one that is cut short is left out."""
    return list(MARK.iter_unpack(data[: len(data) // MARK.size * MARK.size]))


def taken_over(log: Capture) -> Marks | None:
    """The marks that another launcher made of a step; the lines of its log are counted on from the last."""
    found = Marks(path_beside(log))
    with contextlib.suppress(OSError), open(found.path, "rb") as file:
        found.known = unpacked(file.read())
    at, log.lines = found.known[-1][:2] if found.known else (0, 0)
    log.tail(0)
    while piece := os.pread(log.fd, 1 << 20, at) if log.fd >= 0 else b"":
        log.lines += piece.count(b"\n")
        at += len(piece)
    return found if found.known else None


def path_beside(log: Capture) -> str:
    """Where the marks of a step that runs are."""
    return f"{log.path.removesuffix('.log')}.times"
