"""How an attempt is fenced in: the bwrap arguments, the overlay, and the folders that must be there before it starts.

What is the same for every attempt is worked out once (`Fence`); what an attempt declares (paths it reads or leaves artifacts at) may
need more of the host's tree to be the attempt's own.
"""

import functools
import os
import pwd
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from tiphys.errors import InvalidSettings
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
STATE = "/run/argo"
"""Where a step says how far it is; Argo's own place for that is /var/run/argo."""
NAMESPACES = ("--unshare-pid", "--unshare-ipc")


@functools.cache
def progress_file() -> str:
    """Where a step's program says how far it is: Argo's own path, if that leads to `STATE` here."""
    return f"/var{STATE}/progress" if os.path.realpath("/var/run") == "/run" else f"{STATE}/progress"


Entry = Sequence[Any]
Made = tuple[View, list[str], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class User:
    """Who steps run as: numbers, name, and whether that needs a change."""

    uid: int
    gid: int
    name: str
    switch: str = ""

    @property
    def other(self) -> bool:
        """Whether it is not the user we run as; `switch` is then the program that changes users."""
        return bool(self.switch)

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
            self.switch,
            "--reuid",
            str(self.uid),
            "--regid",
            str(self.gid),
            *groups,
            "--inh-caps=-all",
        ]


def user_named(name: str) -> User:
    """The user of setting `process.user`. InvalidSettings: there is none, or no way to become it."""
    uid = os.geteuid()
    if not name:
        return User(uid=uid, gid=os.getegid(), name="")
    try:
        found = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise InvalidSettings(f"process.user: there is no user {name!r}") from None
    if found.pw_uid == uid:
        return User(uid=uid, gid=found.pw_gid, name=found.pw_name)
    if uid != 0:
        raise InvalidSettings(f"process.user: only root may run steps as another user ({name!r})")
    switch = shutil.which("setpriv")
    if switch is None:
        raise InvalidSettings(f"process.user: steps cannot run as {name!r}, for setpriv (package util-linux) is not installed")
    return User(uid=found.pw_uid, gid=found.pw_gid, name=found.pw_name, switch=switch)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's place: its view, what to make before the start, and the fields of the launcher's request; the ground it is made for."""

    view: View
    prepare: tuple[Entry, ...] = ()
    request: dict[str, Any]
    ground: "Ground | None" = None

    @property
    def leavings(self) -> View:
        """The view for reading what the step left."""
        return structs.replace(self.view, writing=False)


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
        for path in (STAGING, HOME, SHIMS, STATE):
            entries += layer.folders(path)
        entries.append(("file", self.mask + SCRIPT, 0o755, ""))
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

    def survey(self) -> "Ground":
        """What the host looks like now. Reads it; good for some seconds."""
        system = tuple(real_directories(views.SYSTEM))
        again = tuple(views.submounts(self.masked))
        names = name_service(self.masked)
        shown = (*system, *again, *names, *self.visible)
        hidden = [path for path in self.hidden if os.path.isdir(path) and (not self.mask or any(within(path, top) for top in shown))]
        last = [
            *("--proc", "/proc", "--dev", "/dev"),
            *bind("--ro-bind", [path for path in views.KERNEL if self.root and os.path.isdir(path) and os.listdir(path)]),
            *(word for path in hidden for word in ("--tmpfs", path)),
            *bind("--bind", self.writable),
        ]
        return Ground(bound=(*system, *again), always=("/sys", *names, *self.visible), writable=self.writable, last=tuple(last))

    def plan(self, ground: "Ground", attempt: "Asked") -> Plan:
        """The place of an attempt. Reads the host's tree if the attempt declares paths or a working directory (`Asked.reads_host`)."""
        mounts = tuple((normal(mount.path), mount.source) for mount in attempt.mounts)
        start = View(
            working_directory=attempt.working_directory,
            private=f"{attempt.folder}/upper",
            masked=self.masked,
            over_host=True,
            mounts=mounts,
            writing=True,
            owner=self.user.owner,
        )
        declared = [path if path.startswith("/") else f"{attempt.working_directory}/{path}" for path in attempt.declared]
        own = {start.resolve(path) for path in (*declared, *(path for path, _ in mounts))}
        entries: list[Entry] = [("tree", path) for path in self.writable]
        make = self._overlaid if self.mask else self._composed
        view, words, fields = make(ground, attempt, start, own, entries)
        if attempt.working_directory != "/" and not view.exists(attempt.working_directory):
            entries += view.folders(view.resolve(attempt.working_directory + "/."))
        for path, source in attempt.files:
            words += ["--ro-bind", source, path]
        if attempt.state:
            words += ["--bind", attempt.state, STATE]
        for mount in attempt.mounts:
            if not mount.filled:
                entries += [("tree", mount.source), ("mode", mount.source, 0o777)]
            words += ["--ro-bind" if mount.read_only else "--bind", mount.source, normal(mount.path)]
        entries += _begun_in_volume(view, attempt)
        if "overlay" in fields and (len(entries) > len(self.writable) + len(mounts) * 2 or attempt.brings_in or attempt.own_root):
            entries[:0] = [
                ("tree", attempt.folder),
                ("dir", view.private, 0o755, -1, -1),
                ("dir", fields["overlay"]["work"], 0o700, -1, -1),
            ]
            fields["tidy"] = [fields["overlay"]["work"], view.private, attempt.folder]
        elif "overlay" in fields:
            fields["overlay"] = {"lower": fields["overlay"]["lower"], "bound": fields["overlay"]["bound"], "keep": attempt.folder}
        request = {"isolated": True, "bwrap": self.bwrap, "view": [*NAMESPACES, *self._rights(), *words, "--chdir", view.working_directory]}
        return Plan(view=view, prepare=tuple(entries), request=request | fields, ground=ground)

    def _overlaid(self, ground: "Ground", attempt: "Asked", view: View, own: set[str], _entries: list[Entry]) -> Made:
        """The launcher mounts the overlay itself, in its own mount namespace; its folders are the attempt's, or borrowed until needed."""
        bound = [*(path for path in ground.bound if not any(within(one, path) for one in own)), *ground.always]
        overlay = {"lower": [self.mask, "/"], "bound": bound, "upper": view.private, "work": f"{attempt.folder}/work"}
        return structs.replace(view, shared=(*bound, *ground.writable)), list(ground.last), {"overlay": overlay}

    def _composed(self, ground: "Ground", attempt: "Asked", view: View, own: set[str], entries: list[Entry]) -> Made:
        entries += [("tree", attempt.folder), ("dir", view.private, 0o755, -1, -1)]
        shared: list[str] = []
        self._compose("/", own, view.private, entries, shared)
        made = structs.replace(view, shared=(*shared, *ground.always, *ground.writable), over_host=False)
        for path in ("/tmp", "/run", HOME, STAGING, STATE):  # noqa: S108 (the view's own)
            entries += made.folders(path)
        words = [
            "--bind",
            view.private,
            "/",
            *bind("--ro-bind-try", [*shared, *ground.always]),
            "--ro-bind",
            self.shims,
            SHIMS,
            *ground.last,
        ]
        return made, words, {}

    def _compose(self, top: str, own: set[str], private: str, entries: list[Entry], shared: list[str]) -> None:
        """Share the host's entries below `top`, but make the ancestors of the attempt's own paths directories of its own."""
        try:
            names = sorted(os.listdir(top))
        except OSError:
            return
        for name in names:
            path = top.rstrip("/") + "/" + name
            if path in {*views.PROVIDED, *views.HIDDEN, "/argo", "/lost+found"}:
                continue
            if path in own:  # a file of the host's comes along, for it may be read or replaced; a folder begins empty
                if os.path.isfile(path):
                    entries.append(("copy", private + path, path))
                continue
            if os.path.islink(path):
                entries.append(("link", private + path, os.readlink(path)))
            elif any(within(one, path) for one in own):
                entries.append(("dir", private + path, 0o755, -1, -1))
                self._compose(path, own, private, entries, shared)
            else:
                shared.append(path)

    def _rights(self) -> list[str]:
        return ["--cap-drop", "ALL", *(word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}"))] if self.root else []


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The host as it looked a moment ago. `bound`: what is shown read-only if an attempt has nothing of its own there; `always`: and
    what is shown even then; `last`: the mounts after all others.
    """

    bound: tuple[str, ...]
    always: tuple[str, ...]
    writable: tuple[str, ...]
    last: tuple[str, ...]


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A volume: the host folder or file `source` shown at `path`. `filled`: somebody else makes it, with what is in it."""

    path: str
    source: str
    read_only: bool = False
    filled: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt asks of its place. `files`: view paths of read-only files, and the host's. `state`: the host folder in which it says
    how far it is. `brings_in`: files are put in before the start. `own_root`: mount points are made in its root.
    """

    folder: str
    working_directory: str
    declared: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    state: str = ""
    brings_in: bool = False
    own_root: bool = False

    @property
    def reads_host(self) -> bool:
        """Whether planning has to look at the host's tree."""
        return bool(self.declared or self.mounts or self.working_directory != "/")


def _begun_in_volume(view: View, attempt: Asked) -> list[Entry]:
    """What makes the working directory, if it lies in a volume that can be written to: it is made if missing, there as anywhere."""
    place = view.in_volume(view.resolve(attempt.working_directory + "/."))
    fixed = any(mount.filled or mount.read_only for mount in attempt.mounts if within(place, mount.source))
    return [("tree", place)] if place and not fixed and all(place != mount.source for mount in attempt.mounts) else []


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


def plain_plan(asked: Asked, user: User, home: str, writable: Sequence[str]) -> Plan:
    """The place of an attempt without isolation: the host itself, with a home of its own, which it leaves at `home` if it uses it."""
    entries: list[Entry] = [("tree", path) for path in writable]
    if asked.working_directory != "/":
        entries.append(("tree", asked.working_directory))
    view = View(working_directory=asked.working_directory)
    kept = (home, 0o700, *(user.owner or (-1, -1)))
    return Plan(view=view, prepare=tuple(entries), request={"cwd": asked.working_directory, "home": kept})
