"""The kernel's word on the drop folder, where it can be had; whoever listens must be able to do without."""

import contextlib
import errno
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from asyncinotify import Inotify, Mask

COME = Mask.CLOSE_WRITE | Mask.MOVED_TO
GONE = Mask.DELETE | Mask.MOVED_FROM
LOST = Mask.Q_OVERFLOW | Mask.IGNORED | Mask.UNMOUNT | Mask.MOVE_SELF | Mask.DELETE_SELF
CACHED = 32
"""Events of the longest names that are read at once; of usual names about five times as many."""

REASONS = {
    errno.ENOSPC: "fs.inotify.max_user_watches is used up",
    errno.EMFILE: "fs.inotify.max_user_instances, or this process's open files, are used up",
}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A file was closed after writing or moved in (`came`), or went away; without a name: what happened is not known."""

    name: str = ""
    came: bool = False
    ended: bool = False  # the folder itself went: nothing more will be heard


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[Inotify]:
    """A watch on the folder; events count from now on. Raises OSError where none can be had."""
    with Inotify(cache_size=CACHED) as inotify:
        inotify.add_watch(folder, COME | GONE | Mask.MOVE_SELF | Mask.DELETE_SELF | Mask.ONLYDIR)
        yield inotify


async def heard(inotify: Inotify) -> AsyncIterator[Heard]:
    """What happens in the folder, until the folder itself is gone. Raises OSError."""
    while True:
        event = await inotify.get()
        if event.mask & LOST:
            ended = not event.mask & Mask.Q_OVERFLOW
            yield Heard(ended=ended)
            if ended:
                return
        elif event.name is not None:
            yield Heard(name=os.fspath(event.name), came=bool(event.mask & COME))


def reason(error: OSError) -> str:
    """Why there is no watch, for a person."""
    return REASONS.get(error.errno or 0, error.strerror or str(error))
