"""The state folders of isolated steps: empty ones, lent to one after another, for on a disk it is dear to make and delete one."""

import os
import stat

from tiphys.launching.folders import delete_tree, discard

MOST_FREE = 64
MODE = 0o700


class States:
    """Those that nobody uses just now, named `free.` for nobody. Isolated steps see none but their own."""

    def __init__(self) -> None:
        self.free: list[str] = []
        self.taken = 0
        self.attributes: list[str] | None = None  # what an untouched one has

    def lend(self, path: str) -> None:
        """Have an empty folder at `path`: one that another step has left as it was, or a new one."""
        if self.free:
            other = self.free.pop()
            try:
                os.rename(other, path)
            except OSError:
                delete_tree(other)
            else:
                return
        try:
            os.mkdir(path, MODE)
        except FileExistsError:
            return
        if self.attributes is None:
            self.attributes = os.listxattr(path)

    def take(self, path: str) -> bool:
        """Take an empty folder back, if the step that had it has left it as it was. Nothing of that step may run any more."""
        if len(self.free) >= MOST_FREE:
            return False
        self.taken += 1
        free = f"{os.path.dirname(path)}/free.{os.getpid()}.{self.taken}"
        try:
            found = os.stat(path, follow_symlinks=False)
            as_made = found.st_mode == stat.S_IFDIR | MODE and (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
            if not as_made or os.listxattr(path) != self.attributes:
                return False
            os.rename(path, free)
        except OSError:
            return False
        self.free.append(free)
        return True

    def discard(self) -> None:
        """Delete them."""
        for path in self.free:
            discard(path)
