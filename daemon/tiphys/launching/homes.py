"""The homes of steps without isolation: empty folders, lent to one after another."""

import os
import stat
from typing import Any

from tiphys.launching.folders import delete_tree, discard, prepare


class Homes:
    """Those that nobody uses just now.

    `empty`: the size of an empty folder where a folder's size tells how much is in it (tmpfs), so that one call shows that nothing is;
    None: that is not known yet, -1: it does not tell.
    """

    def __init__(self, scratch: str) -> None:
        self.scratch = scratch
        self.free: dict[tuple[int, int, int], list[str]] = {}
        self.made = 0
        self.empty: int | None = None

    def lend(self, home: list[Any]) -> str:
        """An empty folder for a step without isolation: one that another has left as it was, or a new one."""
        _, mode, uid, gid = home
        if free := self.free.get((mode, uid, gid)):
            return free.pop()
        self.made += 1
        lent = f"{self.scratch}/home.{os.getpid()}.{self.made}"
        prepare([["dir", lent, mode, uid, gid]])
        if self.empty is None:
            self.empty = size_that_tells(lent)
        return lent

    def take(self, lent: str, home: list[Any]) -> None:
        """An empty home that is as it was serves again; what a step left in one stays, under the step's own name."""
        kept, mode, uid, gid = home
        try:
            found = os.stat(lent)
            if not self.is_empty(lent, found):
                os.rename(lent, kept)
            elif stat.S_IMODE(found.st_mode) == mode and uid in {-1, found.st_uid}:
                self.free.setdefault((mode, uid, gid), []).append(lent)
            else:
                delete_tree(lent)
        except OSError:
            pass

    def is_empty(self, home: str, found: os.stat_result) -> bool:
        """Whether nothing is in a home."""
        if self.empty is None or self.empty < 0:
            return not os.listdir(home)
        return found.st_size == self.empty and found.st_nlink == 2

    def discard(self) -> None:
        """Delete them."""
        for homes in self.free.values():
            for home in homes:
                discard(home)


def size_that_tells(folder: str) -> int:
    """The size of an empty folder; -1 where it stays the same with something in it."""
    before, inside = os.stat(folder).st_size, f"{folder}/x"
    os.close(os.open(inside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    filled = os.stat(folder).st_size
    os.unlink(inside)
    return before if filled != before and os.stat(folder).st_size == before else -1
