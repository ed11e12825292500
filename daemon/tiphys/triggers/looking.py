"""What lies in the drop folder, looked at without being fooled: what is opened is what is judged, links are not followed.

All of it blocks and belongs in a thread.
"""

import contextlib
import enum
import errno
import fcntl
import os
import pwd
import signal
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tiphys.triggers import names

OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LINK = "it is a symbolic link: put the file itself here"


class Stamp(NamedTuple):
    """What tells a file's content from another without reading it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int  # of the inode; a rename changes it too

    def same_content(self, other: "Stamp") -> bool:
        """Whether nothing but names and rights can differ."""
        return self[:4] == other[:4]


class Entry(NamedTuple):
    """What lies under a name: `ours` is a file, or a link, which is refused; not a folder, pipe or device."""

    stamp: Stamp
    ours: bool


class Kind(enum.Enum):
    """What was found under a name."""

    FILE = enum.auto()
    WRITING = enum.auto()  # somebody writes to it
    UNFIT = enum.auto()  # refused whatever it holds
    OTHER = enum.auto()  # a folder, pipe, socket or device: none of ours
    GONE = enum.auto()
    FAILED = enum.auto()  # the machine did not let us look


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A look at one name. `data` is of a FILE, `why` of what is UNFIT or FAILED."""

    kind: Kind
    stamp: Stamp | None = None
    data: bytes = b""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Whose files are taken, how large they may be, and whether the kernel can tell that a file is being written (`leases`)."""

    owners: frozenset[int]
    limit: int
    leases: bool


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in a status."""
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def owners(users: Iterable[str]) -> tuple[frozenset[int], tuple[str, ...]]:
    """The uids of root, of this process and of `users`, and those users that there are not."""
    found, unknown = {0, os.geteuid()}, []
    for user in users:
        try:
            found.add(int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid)
        except KeyError:
            unknown.append(user)
    return frozenset(found), tuple(unknown)


def exposed(folder: Path) -> bool:
    """Whether anybody may replace anybody's files there. Raises OSError."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def listing(folder: Path) -> tuple[dict[str, Entry], frozenset[str]]:
    """The entries whose names are manifests', and the names of all. Raises OSError where the folder cannot be read."""
    every = frozenset(os.listdir(folder))  # noqa: PTH208 - ten thousand names need no Paths
    return entries(folder, filter(names.is_manifest, every)), every


def entries(folder: Path, wanted: Iterable[str]) -> dict[str, Entry]:
    """What is under each name now; those that are not there are left out. Raises OSError."""
    found = {}
    for name in wanted:
        with contextlib.suppress(FileNotFoundError):
            status = (folder / name).lstat()
            found[name] = Entry(stamp_of(status), stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode))
    return found


def look(path: Path, rules: Rules) -> Seen:
    """Open, check and read one file."""
    try:
        opened = os.open(path, OPENING)
    except OSError as error:
        return _unopened(path, error)
    try:
        return _read(opened, rules)
    except OSError as error:
        return Seen(kind=Kind.FAILED, why=error.strerror or str(error))
    finally:
        os.close(opened)


def _unopened(path: Path, error: OSError) -> Seen:
    match error.errno:
        case errno.ENOENT | errno.ENAMETOOLONG:  # names of parameters can be too long to exist
            return Seen(kind=Kind.GONE)
        case errno.ENXIO | errno.ENODEV:
            return Seen(kind=Kind.OTHER)
        case errno.ELOOP | errno.EACCES | errno.EPERM:
            why = LINK if error.errno == errno.ELOOP else f"it cannot be read: {error.strerror}"
            try:
                return Seen(kind=Kind.UNFIT, stamp=stamp_of(path.lstat()), why=why)
            except FileNotFoundError:
                return Seen(kind=Kind.GONE)
    return Seen(kind=Kind.FAILED, why=error.strerror or str(error))


def _read(opened: int, rules: Rules) -> Seen:
    before = os.fstat(opened)
    stamp = stamp_of(before)
    if not stat.S_ISREG(before.st_mode):
        return Seen(kind=Kind.OTHER, stamp=stamp)
    if before.st_uid not in rules.owners:
        return Seen(kind=Kind.UNFIT, stamp=stamp, why=_foreign(before.st_uid))
    if rules.leases and _being_written(opened):
        return Seen(kind=Kind.WRITING, stamp=stamp)
    with os.fdopen(opened, "rb", closefd=False) as file:
        data = file.read(rules.limit + 1)
    if not stamp_of(os.fstat(opened)).same_content(stamp):
        return Seen(kind=Kind.WRITING, stamp=stamp)
    return Seen(kind=Kind.FILE, stamp=stamp, data=data)


def _foreign(uid: int) -> str:
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return f"it belongs to {user}, whose files are not taken here: the setting drop.owners lists the users whose files are"


def _being_written(opened: int) -> bool:
    """Whether anybody has the file open for writing: then the kernel gives no read lease on it.

    A lease is held for an instant. Should a writer come in that instant, the kernel would send SIGIO, which kills: SIGURG is ignored.
    """
    try:
        fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN  # else the file is another user's and this process may not ask
    fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def has_leases(folder: Path) -> bool:
    """Whether the file system tells, rightly, that nobody writes to a file; network file systems may not."""
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        opened = os.open(probe, OPENING)
        try:
            fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        finally:
            os.close(opened)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True
