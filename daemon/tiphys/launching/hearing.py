"""What steps print is copied from their pipes into their files: of most steps at their end, of longer ones as it comes."""

import functools
import os
import select
import time

from tiphys.launching.attempts import Attempt
from tiphys.launching.launcher import Launcher
from tiphys.launching.marks import YOUNG_SECONDS, Marks, path_beside

READ_BYTES = 64 * 1024
LISTEN_SECONDS = 0.004  # what a step prints is read at its end; of one that runs longer, as it comes


def pipe(launcher: Launcher, attempt: Attempt, *, is_out: bool) -> int:
    """A pipe for what a step prints; returns its writing end.

    Where steps may outlive their launcher, that end can also be read: a step then gets no SIGPIPE, and a later launcher goes on
    reading.
    """
    reader, both = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    if launcher.options.mode != "run":
        writer, both = both, os.open(f"/proc/self/fd/{both}", os.O_RDWR | os.O_CLOEXEC)
        os.close(writer)
    if owner := attempt.request.get("owner"):
        os.fchown(both, owner[0], owner[1])
    attempt.pipes[reader] = is_out
    launcher.unread[attempt] = time.monotonic()
    return both


def listen(launcher: Launcher) -> None:
    """Read what those steps print that have not ended at once."""
    before = time.monotonic() - LISTEN_SECONDS
    while launcher.unread:
        attempt = next(iter(launcher.unread))
        if launcher.unread[attempt] > before:
            break
        del launcher.unread[attempt]
        for fd in attempt.pipes:
            launcher.loop.watch(fd, functools.partial(heard, launcher, attempt, fd))


def heard(launcher: Launcher, attempt: Attempt, fd: int, events: int) -> None:
    """A step has printed something."""
    if events & select.EPOLLIN:
        mark(attempt, attempt.log.size, attempt.log.lines)
    copy(launcher, attempt, fd, rounds=4)


def mark(attempt: Attempt, size: int, lines: int) -> None:
    """What a step prints after so many bytes and lines comes now."""
    if attempt.marks is None:
        if time.time() - attempt.started_at < YOUNG_SECONDS:
            return
        attempt.marks = Marks(path_beside(attempt.log))
    attempt.marks.note(size, lines)


def copy(launcher: Launcher, attempt: Attempt, fd: int, *, rounds: int) -> None:
    """Copy what a step printed to its files."""
    while rounds:
        rounds -= 1
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            attempt.pipes.pop(fd, None)
            launcher.loop.unwatch(fd)
            return
        attempt.log.write(data)
        if attempt.out and attempt.pipes.get(fd):
            attempt.out.write(data)
        if len(data) < READ_BYTES // 16:
            return


def hear_out(launcher: Launcher, attempt: Attempt) -> None:
    """Copy what a step that has ended still had printed."""
    size, lines = attempt.log.size, attempt.log.lines
    for fd in list(attempt.pipes):
        copy(launcher, attempt, fd, rounds=1 << 20)
    if attempt.log.size > size:
        mark(attempt, size, lines)
