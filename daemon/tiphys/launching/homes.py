"""The homes of steps without isolation: empty folders, lent to one after another."""

import os
import stat
from typing import Any

from tiphys.launching.folders import delete_tree, discard, prepare


class Homes:
    """Those that nobody uses just now."""

    def __init__(self, scratch: str) -> None:
        self.scratch = scratch
        self.free: list[str] = []
        self.made = 0

    def lend(self, home: list[Any]) -> str:
        """An empty folder for a step without isolation: one that another has left as it was, or a new one."""
        _, mode, uid, gid = home
        if self.free:
            lent = self.free.pop()
            found = os.stat(lent)
            if stat.S_IMODE(found.st_mode) == mode and uid in {-1, found.st_uid} and not os.listdir(lent):
                return lent
            delete_tree(lent)
        self.made += 1
        lent = f"{self.scratch}/home.{os.getpid()}.{self.made}"
        prepare([["dir", lent, mode, uid, gid]])
        return lent

    def take(self, home: str, kept: str) -> None:
        """An empty home serves again; what a step left in one stays, under the step's own name."""
        try:
            if not os.listdir(home):
                self.free.append(home)
            else:
                os.rename(home, kept)
        except OSError:
            pass

    def discard(self) -> None:
        """Delete them."""
        for home in self.free:
            discard(home)
