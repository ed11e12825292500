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
MOST_PIPES = 64
PIPE = os.O_CLOEXEC | os.O_NONBLOCK


def pipe(launcher: Launcher, attempt: Attempt, *, is_out: bool) -> int:
    """A pipe for what a step prints; returns its writing end.

    Where steps may outlive their launcher, that end can also be read: a step then gets no SIGPIPE, and a later launcher goes on
    reading. A pipe to which nobody could write any more serves again, but among steps without isolation only: what they can do to
    each other they can do without it.
    """
    writer = -1
    if launcher.pipes and is_shared(attempt):
        reader = launcher.pipes.pop()
    else:
        reader, writer = os.pipe2(PIPE)
    both = os.open(str(reader), (os.O_WRONLY if launcher.options.mode == "run" else os.O_RDWR) | os.O_CLOEXEC, dir_fd=launcher.descriptors)
    if writer >= 0:
        os.close(writer)
    if owner := attempt.request.get("owner"):
        os.fchown(both, owner[0], owner[1])
    attempt.pipes[reader] = is_out
    return both


def is_shared(attempt: Attempt) -> bool:
    """Whether a step may have a pipe that another had."""
    return not (attempt.isolated or "owner" in attempt.request)


def listen(launcher: Launcher) -> None:
    """Read what those steps print that have not ended at once, and tell that they run."""
    before = time.monotonic() - LISTEN_SECONDS
    while launcher.fresh:
        attempt = next(iter(launcher.fresh))
        if launcher.fresh[attempt] > before:
            break
        del launcher.fresh[attempt]
        for fd in attempt.pipes:
            launcher.loop.watch(fd, functools.partial(heard, launcher, attempt, fd))
        launcher.tell(f'{{"told":"started","id":{attempt.name}}}'.encode())


def heard(launcher: Launcher, attempt: Attempt, fd: int, events: int) -> None:
    """A step has printed something, or will print nothing more."""
    if events & select.EPOLLIN:
        mark(attempt, attempt.log.size, attempt.log.lines)
    if copy(attempt, fd, rounds=4):
        del attempt.pipes[fd]
        launcher.loop.unwatch(fd)


def mark(attempt: Attempt, size: int, lines: int) -> None:
    """What a step prints after so many bytes and lines comes now."""
    if attempt.marks is None:
        if time.time() - attempt.started_at < YOUNG_SECONDS:
            return
        attempt.marks = Marks(path_beside(attempt.log))
    attempt.marks.note(size, lines)


def copy(attempt: Attempt, fd: int, *, rounds: int) -> bool:
    """Copy what a step printed to its files; whether nobody can write to that pipe any more."""
    while rounds:
        rounds -= 1
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            return True
        attempt.log.write(data)
        if attempt.out and attempt.pipes.get(fd):
            attempt.out.write(data)
        if len(data) < READ_BYTES // 16:
            rounds = min(rounds, 1)  # that was all, as a rule: only who may still write is to be found out
    return False


def hear_out(launcher: Launcher, attempt: Attempt) -> None:
    """Copy what a step that has ended still had printed, and let go of its pipes."""
    size, lines = attempt.log.size, attempt.log.lines
    for fd in list(attempt.pipes):
        silent = copy(attempt, fd, rounds=1 << 20)
        if silent and is_shared(attempt) and not attempt.adopted and len(launcher.pipes) < MOST_PIPES:
            if fd in launcher.loop.by_fd:
                launcher.loop.forget(fd)
            launcher.pipes.append(fd)
        else:
            launcher.loop.unwatch(fd)
    attempt.pipes.clear()
    if attempt.log.size > size:
        mark(attempt, size, lines)
