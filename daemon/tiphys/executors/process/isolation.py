"""How an attempt is fenced in: the bwrap arguments, the overlay, and the folders that must be there before it starts.

What is the same for every attempt is worked out once (`Fence`); what an attempt declares (paths it reads or leaves artifacts at) may
need more of the host's tree to be the attempt's own.
"""

import os
import pwd
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tiphys.executors.process import view as views
from tiphys.executors.process.view import View, normal, within

CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
)
"""A container's usual set, without MKNOD and NET_RAW: a step shares the host's devices' numbers and its network."""

STAGING = "/argo/staging"
SCRIPT = f"{STAGING}/script"
HOME = "/argo/home"
SHIMS = "/argo/bin"
NAMESPACES = ("--unshare-pid", "--unshare-ipc")

Entry = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class User:
    """Who steps run as: numbers, name, and whether that needs a change."""

    uid: int
    gid: int
    name: str
    other: bool = False

    @property
    def owner(self) -> tuple[int, int] | None:
        """Whom a step's own folders are given to; None: nobody but us."""
        return (self.uid, self.gid) if self.other else None

    def prefix(self) -> list[str]:
        """What to put before a command to run it as this user."""
        if not self.other:
            return []
        groups = ["--init-groups"] if self.name else ["--clear-groups"]
        return [
            shutil.which("setpriv") or "/usr/bin/setpriv",
            "--reuid",
            str(self.uid),
            "--regid",
            str(self.gid),
            *groups,
            "--inh-caps=-all",
        ]


def user_named(name: str) -> User:
    """The user of setting `process.user`. ValueError: there is none, or only root may switch."""
    uid = os.geteuid()
    if not name:
        return User(uid=uid, gid=os.getegid(), name="")
    try:
        found = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"process.user: there is no user {name!r}") from None
    if found.pw_uid == uid:
        return User(uid=uid, gid=found.pw_gid, name=found.pw_name)
    if uid != 0:
        raise ValueError(f"process.user: only root may run steps as another user ({name!r})")
    return User(uid=found.pw_uid, gid=found.pw_gid, name=found.pw_name, other=True)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One attempt's place: its view, what to make before the start, and the fields of the launcher's request."""

    view: View
    prepare: tuple[Entry, ...] = ()
    request: dict[str, Any]

    @property
    def leavings(self) -> View:
        """The view for reading what the step left."""
        return replace(self.view, writing=False)


@dataclass(frozen=True, kw_only=True)
class Fence:
    """What full isolation looks like on this host. `mask`: the folder of the overlay's middle layer ("": no overlays here)."""

    bwrap: str
    mask: str
    shims: str
    visible: tuple[str, ...]
    writable: tuple[str, ...]
    hidden: tuple[str, ...]
    user: User
    root: bool

    @property
    def masked(self) -> tuple[str, ...]:
        """View paths where nothing of the host shows."""
        return (*views.HIDDEN, "/argo", *self.hidden)

    def mask_entries(self) -> list[Entry]:
        """What makes the overlay's middle layer: empty directories over what is hidden, mount points, the step's home."""
        layer = View(private=self.mask, masked=(*views.HIDDEN, "/argo"), over_host=True, owner=self.user.owner)
        entries: list[Entry] = [("tree", self.mask)]
        for path in (*views.HIDDEN, *self.hidden):
            if os.path.isdir(path) and not os.path.islink(path):
                entries += layer.folders(path)
                entries.append(("opaque", self.mask + path))
        for path in (STAGING, HOME, SHIMS):
            entries += layer.folders(path)
        entries.append(("file", f"{self.mask}{SHIMS}/python", 0o755, Path(self.shims, "python").read_text(encoding="utf-8")))
        for path in (*self.visible, *self.writable, *name_service(self.masked)):
            if any(within(path, top) for top in views.HIDDEN):
                entries += layer.folders(path if os.path.isdir(path) else os.path.dirname(path))
                if not os.path.isdir(path):
                    entries.append(("file", self.mask + path, 0o644, ""))
        return entries

    def probe(self) -> list[str]:
        """A command that works exactly where full isolation does."""
        return [self.bwrap, *self._rights(), *NAMESPACES, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"]

    def plan(self, folder: str, working_directory: str, declared: Iterable[str]) -> Plan:
        """The place of an attempt whose artifacts and parameters lie at `declared` view paths. Reads the host's tree."""
        paths = [normal(path if path.startswith("/") else f"{working_directory}/{path}") for path in declared]
        return self._overlaid(folder, working_directory, paths) if self.mask else self._composed(folder, working_directory, paths)

    def _overlaid(self, folder: str, working_directory: str, declared: Sequence[str]) -> Plan:
        upper, work = f"{folder}/upper", f"{folder}/work"
        bare = View(private=upper, masked=self.masked, over_host=True, working_directory=working_directory)
        own = {bare.resolve(path) for path in declared}
        system = [path for path in real_directories(views.SYSTEM) if not any(within(one, path) for one in own)]
        again = [path for path in views.submounts(self.masked) if not any(within(one, path) for one in own)]
        mounts = [*bind("--ro-bind", [*system, *again]), *self._common()]
        view = View(
            working_directory=working_directory,
            private=upper,
            shared=("/sys", *system, *again, *self.visible, *self.writable, *name_service(self.masked)),
            masked=self.masked,
            over_host=True,
            writing=True,
            owner=self.user.owner,
        )
        entries: list[Entry] = [("tree", folder), ("dir", upper, 0o755, -1, -1), ("dir", work, 0o700, -1, -1)]
        overlay = {"lower": [self.mask, "/"], "upper": upper, "work": work}
        return self._plan(view, entries, mounts, {"overlay": overlay, "tidy": [work, upper, folder]})

    def _composed(self, folder: str, working_directory: str, declared: Sequence[str]) -> Plan:
        private = f"{folder}/upper"
        bare = View(private=private, masked=self.masked, over_host=True, working_directory=working_directory)
        own = {bare.resolve(path) for path in declared}
        entries: list[Entry] = [("tree", folder), ("dir", private, 0o755, -1, -1)]
        shared: list[str] = []
        self._compose("/", own, private, entries, shared)
        view = View(
            working_directory=working_directory,
            private=private,
            shared=("/sys", *shared, *self.visible, *self.writable, *name_service(self.masked)),
            masked=self.masked,
            writing=True,
            owner=self.user.owner,
        )
        for path in ("/tmp", "/run", HOME):  # noqa: S108 (the view's own)
            entries += view.folders(path)
        mounts = ["--bind", private, "/", *bind("--ro-bind-try", shared), "--ro-bind", self.shims, SHIMS, *self._common()]
        return self._plan(view, entries, mounts, {"tidy": []})

    def _compose(self, top: str, own: set[str], private: str, entries: list[Entry], shared: list[str]) -> None:
        """Share the host's entries below `top`, but make the ancestors of the attempt's own paths directories of its own."""
        try:
            names = sorted(os.listdir(top))
        except OSError:
            return
        for name in names:
            path = top.rstrip("/") + "/" + name
            if path in {*views.PROVIDED, *views.HIDDEN, "/argo", "/lost+found"} or path in own:
                continue
            if os.path.islink(path):
                entries.append(("link", private + path, os.readlink(path)))
            elif any(within(one, path) for one in own):
                entries.append(("dir", private + path, 0o755, -1, -1))
                self._compose(path, own, private, entries, shared)
            else:
                shared.append(path)

    def _common(self) -> list[str]:
        hidden = [path for path in self.hidden if os.path.isdir(path) and (not self.mask or self._shown_again(path))]
        return [
            *("--ro-bind", "/sys", "/sys", "--proc", "/proc", "--dev", "/dev"),
            *bind("--ro-bind-try", [*name_service(self.masked), *self.visible]),
            *(word for path in hidden for word in ("--tmpfs", path)),
            *bind("--bind", self.writable),
        ]

    def _shown_again(self, path: str) -> bool:
        return any(within(path, top) for top in (*real_directories(views.SYSTEM), *self.visible, *views.submounts(views.HIDDEN)))

    def _rights(self) -> list[str]:
        return ["--cap-drop", "ALL", *(word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}"))] if self.root else []

    def _plan(self, view: View, entries: list[Entry], mounts: list[str], fields: dict[str, Any]) -> Plan:
        if not view.exists(view.working_directory):
            entries += view.folders(view.resolve(view.working_directory))
        made = [*(("tree", path) for path in self.writable), *entries]
        words = [*NAMESPACES, *self._rights(), *mounts, "--chdir", view.working_directory]
        return Plan(view=view, prepare=tuple(made), request={"isolated": True, "bwrap": self.bwrap, "view": words, **fields})


def bind(option: str, paths: Iterable[str]) -> list[str]:
    """Each path bound at its own place."""
    return [word for path in paths for word in (option, path, path)]


def real_directories(paths: Iterable[str]) -> list[str]:
    """Those that are directories and no links."""
    return [path for path in paths if os.path.isdir(path) and not os.path.islink(path)]


def name_service(masked: Sequence[str]) -> tuple[str, ...]:
    """The file that says where names are resolved, if it lies in a hidden place (systemd-resolved keeps it in /run)."""
    real = os.path.realpath("/etc/resolv.conf")
    return (real,) if os.path.exists(real) and any(within(real, top) for top in masked) else ()


def plain_plan(folder: str, working_directory: str, user: User, scratch_home: str) -> Plan:
    """The place of an attempt without isolation: the host itself, with a home of its own."""
    entries: list[Entry] = [("dir", scratch_home, 0o700, *(user.owner or (-1, -1)))]
    if working_directory != "/":
        entries.append(("tree", working_directory))
    view = View(working_directory=working_directory)
    return Plan(view=view, prepare=tuple(entries), request={"cwd": working_directory, "tidy": [folder, scratch_home]})


def ancestors(path: str) -> list[str]:
    """The directories above a path, outermost first, without the root."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) != "/"]
