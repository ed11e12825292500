"""Private roots: overlays over the host's tree in mount namespaces of their own, one for each isolated step at a time."""

import contextlib
import errno
import os
from typing import Any

from tiphys.launching import kernel
from tiphys.launching.folders import delete_tree

MOST_ROOTS = 64
Json = dict[str, Any]


class Root:
    """An overlay in a mount namespace of its own: the private root of one attempt at a time.

    `bound`: host paths shown in it read-only. To mount them here once is cheaper than to let bwrap do it for every step; and bwrap's
    own cost grows with the mounts it sees, so each root has a namespace where there are no others.
    """

    def __init__(self, mountpoint: str, upper: str, work: str, shape: Json) -> None:
        self.mountpoint, self.upper, self.work = mountpoint, upper, work
        self.lower, self.bound = shape["lower"], shape["bound"]
        self.namespace = -1

    def mount(self, home: int) -> None:
        """Make the namespace, mount everything, and go back to the namespace `home`."""
        kernel.checked(kernel.libc.unshare(kernel.CLONE_NEWNS), "unshare")
        try:
            self.mount_here()
            self.namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            kernel.checked(kernel.libc.setns(home, kernel.CLONE_NEWNS), "setns")

    def mount_here(self) -> None:
        """Mount it; `volatile`, for unmounting would otherwise write the whole disk's pending data out."""
        lower = ":".join(map(escape_overlay, self.lower))
        options = f"lowerdir={lower},upperdir={escape_overlay(self.upper)},workdir={escape_overlay(self.work)}"
        options += ",xino=off,redirect_dir=off,metacopy=off,volatile"
        kernel.checked(kernel.libc.mount(b"overlay", self.mountpoint.encode(), b"overlay", 0, options.encode()), "overlay mount")
        for path in self.bound:
            if os.path.exists(path):
                kernel.show(path, self.mountpoint + path)
        kernel.libc.umount2(b"/sys", kernel.MNT_DETACH)  # its many mounts are needed no more

    def unmount(self) -> None:
        """Let go of it: it goes with its namespace."""
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1

    def refresh(self, home: int) -> bool:
        """Forget what the kernel remembers of the lower side, which may change before the next step (a remount does that)."""
        if kernel.libc.setns(self.namespace, kernel.CLONE_NEWNS):
            return False
        try:
            return bool(kernel.libc.mount(b"none", self.mountpoint.encode(), None, kernel.MS_REMOUNT, b"") == 0)
        finally:
            kernel.checked(kernel.libc.setns(home, kernel.CLONE_NEWNS), "setns")

    def is_untouched(self) -> bool:
        """Whether nothing was ever written in it, not even a mode of its top folder."""
        try:
            found = os.stat(self.upper)
            marks = [name for name in os.listxattr(self.upper) if not name.startswith("trusted.overlay.")]
            return not (os.listdir(self.upper) or marks or (found.st_mode & 0o7777, found.st_uid) != (0o755, os.geteuid()))
        except OSError:
            return False


class Roots:
    """The roots of one launcher: those in use are their attempts', those that no step has written in serve again.

    `error`: why there are none. `home`: the launcher's own mount namespace.
    """

    def __init__(self, runtime: str, root: str) -> None:
        self.error = ""
        self.home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.mountpoint = f"{runtime}/root"
        os.makedirs(self.mountpoint, exist_ok=True)
        self.top = f"{root}/.roots"
        self.free: list[Root] = []
        self.made = 0

    def private(self, overlay: Json) -> Root:
        """A private root: over folders of its own, or, if nothing is in them yet, over borrowed ones."""
        if self.error:
            raise OSError(errno.EPERM, f"overlay: {self.error}")
        if "upper" not in overlay:
            return self.borrow(overlay)
        root = Root(self.mountpoint, overlay["upper"], overlay["work"], overlay)
        root.mount(self.home)
        return root

    def borrow(self, shape: Json) -> Root:
        """A mounted root in which no step has written; what the host changed below it meanwhile is seen."""
        while self.free:
            root = self.free.pop()
            if (root.lower, root.bound) == (shape["lower"], shape["bound"]):
                return root
            self.drop(root)
        self.made += 1
        place = f"{self.top}/{os.getpid()}-{self.made}"
        os.makedirs(f"{place}/upper")
        os.mkdir(f"{place}/work")
        root = Root(self.mountpoint, f"{place}/upper", f"{place}/work", shape)
        root.mount(self.home)
        return root

    def give_back(self, root: Root, keep: str) -> None:
        """A borrowed root in which nothing was written serves again; else what was written becomes the attempt's."""
        if keep and len(self.free) < MOST_ROOTS and root.is_untouched() and root.refresh(self.home):
            self.free.append(root)
            return
        root.unmount()
        if keep:
            keep_upper(os.path.dirname(root.upper), keep)

    def drop_all(self) -> None:
        """Let go of those that are free."""
        for root in self.free:
            self.drop(root)

    def drop(self, root: Root) -> None:
        """Unmount a borrowed root and delete its folders."""
        root.unmount()
        delete_tree(os.path.dirname(root.upper))


def keep_upper(borrowed: str, keep: str) -> None:
    """What was written in a borrowed root becomes the attempt's own folder."""
    with contextlib.suppress(OSError):
        os.makedirs(keep, exist_ok=True)
        os.rename(f"{borrowed}/upper", f"{keep}/upper")
    delete_tree(borrowed)


def escape_overlay(path: str) -> str:
    """A path as mount options of overlays need it."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
