"""What an attempt sees of the host, and where on the host the files of its view are.

Isolated, a step has a private root: an overlay whose lower side is the host and whose upper side is the attempt's folder; or,
where overlays are not allowed, a root composed of read-only binds of the host's entries inside the attempt's folder. Either way a
path that the step writes is a file below that folder. Without isolation a step's path is the host's.

A step's own links decide nothing outside its view: they are resolved here, as the step would see them, never by the host.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from tiphys.executors.process import merging

SYSTEM = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Host directories shown read-only (where they are directories and not links)."""

PROVIDED = ("/proc", "/sys", "/dev")
"""Places that bwrap fills."""

KERNEL = ("/proc/sys", "/proc/fs", "/proc/acpi", "/proc/driver", "/proc/dynamic_debug", "/proc/scsi", "/proc/asound")
"""What of /proc changes the whole machine, for root needs no capability to write there; bwrap covers the rest by itself."""

HIDDEN = ("/tmp", "/run", "/root", "/home")  # noqa: S108 (hidden is the point)
"""Host directories in whose place a step finds an empty one of its own."""

MOST_LINKS = 40


class ViewError(OSError):
    """A path that leads nowhere in a view."""


def normal(path: str) -> str:
    """An absolute path without `.`, `..`, and doubled slashes."""
    return os.path.normpath("/" + path.lstrip("/"))


def within(path: str, top: str) -> bool:
    """Whether `path` is `top` or below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's view.

    `private`: the host folder of the step's own files ("": no isolation, the host is the view). `shared`: view paths that are the
    host's own. `masked`: view paths under which nothing of the host shows. `over_host`: other paths show the host's files until the
    step replaces them (an overlay). `mounts`: volumes, each a view path and its host folder. `writing`: paths are for bringing files
    in: parents are made, the host's files are not shown.
    """

    working_directory: str = "/"
    private: str = ""
    shared: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    over_host: bool = False
    writing: bool = False
    owner: tuple[int, int] | None = None
    mounts: tuple[tuple[str, str], ...] = ()

    def host_path(self, path: str) -> Path:
        """The host's file for a path of the step (a relative one starts at its working directory); it need not exist."""
        absolute = path if path.startswith("/") else f"{self.working_directory}/{path}"
        if not self.private:
            return Path(normal(absolute))
        resolved = self.resolve(absolute)
        if volume := self.in_volume(resolved):
            if self.writing:
                os.makedirs(os.path.dirname(volume), exist_ok=True)
            return Path(volume)
        if self._is_shared(resolved):
            return Path(resolved)
        inside = self.private + resolved
        if self.writing:
            self._make_parents(resolved)
        elif self.over_host and not self._is_masked(resolved) and os.path.lexists(resolved):
            if not os.path.lexists(inside):
                return Path(resolved)
            if merging.is_mixed(Path(inside), Path(resolved)):
                merged = Path(f"{os.path.dirname(self.private)}/merged{resolved}")
                merging.merge(Path(inside), Path(resolved), merged)
                return merged
        return Path(inside)

    def resolve(self, path: str) -> str:
        """The path with the links of its parents followed inside the view. A link at its very end stays."""
        todo = list(reversed(PurePosixPath(normal(path)).parts[1:]))
        done, links = "", 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}"
            target = self._link(here) if todo else None
            if target is None:
                done = here
                continue
            links += 1
            if links > MOST_LINKS:
                raise ViewError(f"{path}: too many levels of symbolic links")
            if target.startswith("/"):
                done = ""
            todo += [name for name in reversed(target.split("/")) if name not in {"", "."}]
        return done or "/"

    def _link(self, path: str) -> str | None:
        for place in self._layers(path):
            try:
                found = os.lstat(place)
            except OSError:
                continue
            if merging.is_whiteout(found):
                return None
            if stat.S_ISLNK(found.st_mode):
                return os.readlink(place)
            return None
        return None

    def in_volume(self, path: str) -> str:
        """The host's file of a path in a volume; "" for other paths."""
        best = max((mount for mount in self.mounts if within(path, mount[0])), key=lambda mount: len(mount[0]), default=None)
        return best[1] + path[len(best[0].rstrip("/")) :] if best else ""

    def _layers(self, path: str) -> Iterable[str]:
        if volume := self.in_volume(path):
            return [volume]
        if self._is_shared(path):
            return [path]
        host = [path] if self.over_host and not self._is_masked(path) else []
        return [self.private + path, *host]

    def _is_shared(self, path: str) -> bool:
        best = max((top for top in self.shared if within(path, top)), key=len, default="")
        return bool(best) and not any(within(path, top) and len(top) > len(best) for top in self.masked)

    def _is_masked(self, path: str) -> bool:
        return any(within(path, top) for top in self.masked)

    def _make_parents(self, path: str) -> None:
        for entry in self.folders(os.path.dirname(path)):
            _, place, mode, uid, gid = entry
            try:
                os.mkdir(place, mode)
            except FileExistsError:
                continue
            os.chmod(place, mode)
            if uid >= 0:
                os.chown(place, uid, gid)

    def folders(self, path: str) -> list[tuple[str, str, int, int, int]]:
        """What makes a directory of the view and its parents exist in the private folder: launcher `prepare` entries.

        A directory that the host has too gets the host's mode and owner, for the overlay shows the upper side's.
        """
        entries = []
        for parent in [*reversed(PurePosixPath(path).parents), PurePosixPath(path)]:
            text = str(parent)
            if text == "/" or self._is_shared(text) or self.in_volume(text):
                continue
            mode, (uid, gid) = 0o755, self.owner or (-1, -1)
            if text in {"/tmp", "/var/tmp"}:  # noqa: S108 (the view's own)
                mode, uid, gid = 0o1777, -1, -1
            elif self.over_host and not self._is_masked(text):
                try:
                    found = os.stat(text)
                    mode, uid, gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
                except OSError:
                    pass
            entries.append(("dir", self.private + text, mode, uid, gid))
        return entries

    def exists(self, path: str) -> bool:
        """Whether the view has this path before the step starts."""
        return any(os.path.lexists(place) for place in self._layers(path))


def submounts(hidden: Sequence[str]) -> list[str]:
    """Mount points of the host's real file systems below `/`: an overlay of `/` shows them empty, so they are bound again."""
    found: list[str] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            place = fields.split()[4].encode().decode("unicode_escape")
            kind = rest.split()[0]
            special = kind in {
                "proc",
                "sysfs",
                "devtmpfs",
                "devpts",
                "cgroup",
                "cgroup2",
                "mqueue",
                "autofs",
                "nsfs",
                "overlay",
                "fuse.portal",
            }
            if place != "/" and not special and not any(within(place, top) for top in (*PROVIDED, *hidden)):
                found.append(place)
    return [place for place in dict.fromkeys(found) if not any(other != place and within(place, other) for other in found)]
