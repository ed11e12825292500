"""Files and folders: what a step needs before its start is made, what it left is read, and the rest deleted."""

import contextlib
import os
import stat
from collections.abc import Iterable
from typing import Any

STATE_BYTES, MOST_STATE_FILES = 64 * 1024, 4
ANY_TROUBLE = contextlib.suppress(OSError)


def prepare(entries: Iterable[list[Any]]) -> None:
    """Make directories, files and links: [kind, path, ...]; parents exist or come first."""
    for kind, path, *rest in entries:
        if kind == "dir":
            mode, uid, gid = rest
            try:
                os.mkdir(path, mode)
            except FileExistsError:
                continue
            if mode & ~0o755:
                os.chmod(path, mode)
            if uid >= 0:
                os.chown(path, uid, gid)
        elif kind == "tree":
            os.makedirs(path, exist_ok=True)
        elif kind == "mode":
            os.chmod(path, rest[0])
        elif kind == "file":
            mode, text, *owner = rest
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with open(fd, "wb") as file:
                file.write(text.encode(errors="surrogateescape"))
            os.chmod(path, mode)
            if owner:
                os.chown(path, owner[0], owner[1])
        elif kind == "copy":
            copy_file(rest[0], path)
        elif kind == "opaque":
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif kind == "link":
            with contextlib.suppress(FileExistsError):
                os.symlink(rest[0], path)


def read_folder(path: str) -> tuple[dict[str, str], bool]:
    """The small plain files of a folder that a step wrote, by name (of a larger one the end); and whether nothing at all is in it."""
    found: dict[str, str] = {}
    is_empty = False
    with ANY_TROUBLE, os.scandir(path) as entries:
        is_empty = True
        for entry in entries:
            is_empty = False
            if entry.is_file(follow_symlinks=False) and len(found) < MOST_STATE_FILES:
                fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                with open(fd, "rb") as file:
                    file.seek(max(0, entry.stat().st_size - STATE_BYTES))
                    found[entry.name] = file.read(STATE_BYTES).decode(errors="replace")
    return found, is_empty


def unlink(path: str) -> None:
    """Delete a file, if it can be."""
    with ANY_TROUBLE:
        os.unlink(path)


def read_end(path: str) -> str:
    """The end of a small plain file that a step may have written, which is deleted; "" where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(fd, "rb") as file, contextlib.suppress(OSError):
        os.unlink(path)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            file.seek(max(0, os.fstat(fd).st_size - STATE_BYTES))
            return file.read(STATE_BYTES).decode(errors="replace")
    return ""


def discard(path: str) -> None:
    """Delete a directory if it is empty, the overlay's own empty folders included."""
    try:
        os.rmdir(path)
    except OSError:
        pass
    else:
        return
    with contextlib.suppress(OSError):
        os.unlink(f"{path}/work/incompat/volatile/dirty")
        for below in ("/work/incompat/volatile", "/work/incompat", "/work"):
            os.rmdir(path + below)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def copy_file(source: str, target: str) -> None:
    """Copy a file with its mode."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while os.sendfile(writer.fileno(), reader.fileno(), None, 1 << 24):
            pass
        os.chmod(target, os.fstat(reader.fileno()).st_mode & 0o777)


def delete_tree(path: str) -> None:
    """Delete a folder and all that is in it."""
    with contextlib.suppress(OSError):
        with os.scandir(path) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                delete_tree(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(path)


def write_text(path: str, text: str) -> None:
    """Write a small existing file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
