"""Folders as they are walked, copied and put in place. Symbolic links are carried, never followed.

`check` is called now and then while a call works; it raises to stop the work (a cancelled task does that).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from tiphys.artifacts.errors import ArtifactError

CHUNK_BYTES = 1024 * 1024
UNPACK_BYTES = 64 * 1024**3  # what an archive may hold
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
OWNER = 0o700  # folders keep these, else a daemon that is not root could not move or delete them
LINK_HOPS = 40  # as the kernel's own limit

Parts = tuple[str, ...]
Check = Callable[[], object]


def unwatched() -> None:
    """The check of work that nobody can stop."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file, folder or link below `parts == ()`, the root. `target` is a link's text, else ""."""

    path: Path
    parts: Parts
    status: os.stat_result
    target: str = ""

    @property
    def is_directory(self) -> bool:
        """A real folder, not a link to one."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """A symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def mode(self) -> int:
        """Permission bits, without set-user-id and its like."""
        return self.status.st_mode & 0o777


def walk(root: Path) -> Iterator[Entry]:
    """All of a file or folder, parents first, names in order; sockets, pipes and devices raise ArtifactError."""
    ahead: list[tuple[Path, Parts]] = [(root, ())]
    while ahead:
        path, parts = ahead.pop()
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            yield Entry(path=path, parts=parts, status=status, target=str(path.readlink()))
        elif stat.S_ISREG(status.st_mode):
            yield Entry(path=path, parts=parts, status=status)
        elif stat.S_ISDIR(status.st_mode):
            yield Entry(path=path, parts=parts, status=status)
            ahead.extend((below, (*parts, below.name)) for below in sorted(path.iterdir(), reverse=True))
        else:
            name = "/".join(parts) or root.name
            raise ArtifactError(f"{name} is a socket, pipe or device: an artifact holds files, folders and links only")


def escaping(links: Mapping[Parts, str], base: Parts = ()) -> Parts | None:
    """The first link that leads out of the folder `base`, however many links it goes through, or in circles."""
    return next((parts for parts in links if not _stays(parts, links, base)), None)


def _stays(link: Parts, links: Mapping[Parts, str], base: Parts) -> bool:
    here = list(link[:-1])
    ahead = [link[-1]]
    hops = 0
    while ahead:
        name = ahead.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            if len(here) <= len(base):
                return False
            here.pop()
            continue
        target = links.get((*here, name))
        if target is None:
            here.append(name)
            continue
        hops += 1
        if target.startswith("/") or hops > LINK_HOPS:
            return False
        ahead.extend(reversed(target.split("/")))
    return True


def refuse_escapes(root: Path) -> None:
    """Raise ArtifactError if a link below `root` leads out of it."""
    links = {entry.parts: entry.target for entry in walk(root) if entry.is_link}
    parts = escaping(links)
    if parts is not None:
        name = "/".join(parts)
        raise ArtifactError(f"the link {name} -> {links[parts]} leads out of the artifact; pack it (archive tar) or leave it out")


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; OSError for a link or anything else. A pipe does not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def copy_file(source: Path, dest: Path, check: Check = unwatched, *, durable: bool = False) -> None:
    """Copy one file's bytes, permission bits and time."""
    with open_file(source) as reader, dest.open("xb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            check()
            writer.write(chunk)
        status = os.fstat(reader.fileno())
        os.fchmod(writer.fileno(), status.st_mode & 0o777)
        writer.flush()
        if durable:
            os.fsync(writer.fileno())
    os.utime(dest, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy(source: Path, dest: Path, check: Check = unwatched, *, durable: bool = False) -> None:
    """Copy a file or folder to `dest`, which must not exist."""
    folders: list[tuple[Path, Entry]] = []
    for entry in walk(source):
        check()
        there = dest.joinpath(*entry.parts)
        if entry.is_link:
            there.symlink_to(entry.target)
        elif entry.is_directory:
            there.mkdir()
            folders.append((there, entry))
        else:
            copy_file(entry.path, there, check, durable=durable)
    for folder, entry in reversed(folders):
        folder.chmod(entry.mode | OWNER)
        os.utime(folder, ns=(entry.status.st_atime_ns, entry.status.st_mtime_ns))
        if durable:
            sync_directory(folder)


def remove(root: Path) -> None:
    """Delete a file or folder however deep it is; what cannot be deleted stays."""
    if not root.is_dir() or root.is_symlink():
        with contextlib.suppress(OSError):
            root.unlink()
        return
    folders = [root]
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(folder / entry.name)
                else:
                    (folder / entry.name).unlink(missing_ok=True)
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def make_directory(path: Path) -> list[Path]:
    """Make `path` and its missing parents, readable by all whatever the umask; gives those that were made, outermost first."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    made: list[Path] = []
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(DIRECTORY_MODE)
        made.append(folder)
    return made


def sync_directory(path: Path) -> None:
    """Make the names in a folder survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(source: Path, dest: Path) -> None:
    """Move `source` onto `dest` in one rename. A folder that is already there takes in what is new; its other entries stay."""
    try:
        source.rename(dest)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.EBUSY}:
            raise
        _place_into(source, dest, error)


def _place_into(source: Path, dest: Path, error: OSError) -> None:
    source_folder = stat.S_ISDIR(source.lstat().st_mode)
    dest_folder = dest.is_dir() and not dest.is_symlink()
    if source_folder and dest_folder:
        for below in sorted(source.iterdir()):
            place(below, dest / below.name)
        source.rmdir()
    elif error.errno == errno.EXDEV:
        halfway = dest.with_name(f".{os.getpid()}-{dest.name}"[:200])
        copy(source, halfway)
        halfway.rename(dest)
    elif dest_folder:
        raise ArtifactError(f"{dest.name} is a folder there already: a file cannot take its place") from error
    elif source_folder:
        raise ArtifactError(f"{dest.name} is a file there already: a folder cannot take its place") from error
    else:
        raise error


def change_mode(root: Path, mode: int, *, recurse: bool) -> None:
    """Set permission bits on a file or folder, and with `recurse` on all below it; links are left alone."""
    entries = list(walk(root)) if recurse else [next(walk(root))]
    for entry in reversed(entries):
        if not entry.is_link:
            entry.path.chmod(mode & 0o777)
