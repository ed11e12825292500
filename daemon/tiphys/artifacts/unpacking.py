"""Archives back into files, from anybody's hands: nothing is written outside the folder, no link leads out of what was unpacked."""

import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from calendar import timegm
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from tiphys.artifacts import trees
from tiphys.artifacts.errors import ArtifactError
from tiphys.artifacts.trees import Check, Parts, unwatched

GZIP_MAGIC = b"\x1f\x8b"
ENTRIES = 1_000_000
NAME_BYTES = 4096
HEADER_BYTES = 4 * 1024 * 1024
SPOILT = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError, OverflowError)


class _BoundedGzip(gzip.GzipFile):
    """The tar reader takes a header in one read, a file's bytes in small ones: a header as large as memory is refused."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > HEADER_BYTES:
            raise ArtifactError("the archive has a header larger than 4 MiB")
        return super().read(size)


@dataclass(kw_only=True)
class _Unpacking:
    """A folder while it is filled. Links are made last, so that nothing can be written through one."""

    root: Path
    limit_bytes: int
    check: Check
    links: dict[Parts, str] = field(default_factory=dict)
    folders: dict[Parts, tuple[int, float | None]] = field(default_factory=dict)
    bytes_seen: int = 0
    entries_seen: int = 0

    def count(self, size: int) -> None:
        """Count one entry of `size` bytes; too much of either raises."""
        self.check()
        self.entries_seen += 1
        self.bytes_seen += max(size, 0)
        if self.bytes_seen > self.limit_bytes or self.entries_seen > ENTRIES:
            raise ArtifactError(f"the archive holds more than {self.limit_bytes} bytes or {ENTRIES} entries")

    def folder(self, parts: Parts, mode: int = trees.DIRECTORY_MODE, changed: float | None = None) -> Path:
        """Make a folder and its parents."""
        missing: list[Parts] = []
        above = parts
        while above and above not in self.folders:
            missing.append(above)
            above = above[:-1]
        for new in reversed(missing):
            self.links.pop(new, None)
            self.root.joinpath(*new).mkdir(mode=trees.OWNER)
            self.folders[new] = (trees.DIRECTORY_MODE, None)
        if parts and changed is not None:
            self.folders[parts] = (mode, changed)
        return self.root.joinpath(*parts)

    def file(self, parts: Parts, reader: IO[bytes], mode: int, changed: float) -> None:
        """Write one file; an earlier one of the same name is replaced."""
        path = self.folder(parts[:-1]) / parts[-1]
        self.links.pop(parts, None)
        if parts in self.folders:
            raise ArtifactError(f"{'/'.join(parts)} is both a folder and a file in the archive")
        path.unlink(missing_ok=True)
        with path.open("xb") as writer:
            while chunk := reader.read(trees.CHUNK_BYTES):
                self.check()
                writer.write(chunk)
            os.fchmod(writer.fileno(), mode & 0o777)
        os.utime(path, (changed, changed))

    def hard_link(self, parts: Parts, target: Parts) -> None:
        """Give an earlier file a second name."""
        source = self.root.joinpath(*target)
        if target in self.links or not source.is_file():
            raise ArtifactError(f"{'/'.join(parts)} is a hard link to {'/'.join(target)}, which is not an earlier file of the archive")
        path = self.folder(parts[:-1]) / parts[-1]
        if path != source:
            path.unlink(missing_ok=True)
            os.link(source, path)

    def link(self, parts: Parts, target: str) -> None:
        """Remember a symbolic link."""
        if not target or len(os.fsencode(target)) > NAME_BYTES:
            raise ArtifactError(f"illegal symlink target: {'/'.join(parts)} -> {target[:100]}")
        self.folder(parts[:-1])
        self.links[parts] = target

    def finish(self) -> Path:
        """Make the links, restore the folders' modes and times; gives what stands for the whole."""
        tops = {parts[0] for parts in self.links} | {path.name for path in self.root.iterdir()}
        only = next(iter(tops)) if len(tops) == 1 else None
        base: Parts = (only,) if only is not None and (only,) in self.folders else ()
        outward = trees.escaping(self.links, base)
        if outward is not None or (only is not None and (only,) in self.links):
            parts = outward or (only or "",)
            raise ArtifactError(f"illegal symlink target: {'/'.join(parts)} -> {self.links[parts]}")
        for parts, target in self.links.items():
            self.root.joinpath(*parts).symlink_to(target)
        for parts, (mode, changed) in sorted(self.folders.items(), reverse=True):
            path = self.root.joinpath(*parts)
            path.chmod((mode & 0o777) | trees.OWNER)
            if changed is not None:
                os.utime(path, (changed, changed))
        if only is None:
            self.root.chmod(trees.DIRECTORY_MODE)
            return self.root
        return self.root / only


def looks_like_tgz(path: Path) -> bool:
    """Tell whether it is a gzip file that begins with a tar header."""
    try:
        with trees.open_file(path) as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                return False
            file.seek(0)
            with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
                tarfile.TarInfo.frombuf(unzipped.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
    except (tarfile.HeaderError, OSError, EOFError, zlib.error):
        return False
    return True


def unpack_tar(archive: Path, folder: Path, limit_bytes: int = trees.UNPACK_BYTES, check: Check = unwatched) -> Path:
    """Unpack tar+gzip into the new folder `folder`.

    Gives the single top-level entry if there is exactly one, else `folder`: the thing that Argo renames onto the artifact's path.
    ArtifactError: the archive is spoilt, too large, or holds names, links or devices that lead out of it; `folder` is gone then.
    """
    with _filling(folder, limit_bytes, check) as unpacking, trees.open_file(archive) as file:
        _untar(file, unpacking)
        return unpacking.finish()


def unpack_zip(archive: Path, folder: Path, limit_bytes: int = trees.UNPACK_BYTES, check: Check = unwatched) -> Path:
    """Unpack a zip into the new folder `folder`; as `unpack_tar`."""
    with _filling(folder, limit_bytes, check) as unpacking, trees.open_file(archive) as file:
        _unzip(file, unpacking)
        return unpacking.finish()


@contextmanager
def _filling(folder: Path, limit_bytes: int, check: Check) -> Iterator[_Unpacking]:
    folder.mkdir(mode=trees.OWNER)
    try:
        yield _Unpacking(root=folder, limit_bytes=limit_bytes, check=check)
    except SPOILT as error:
        trees.remove(folder)
        raise ArtifactError(f"the archive cannot be unpacked: {error}") from error
    except BaseException:
        trees.remove(folder)
        raise


def _parts(name: str) -> Parts:
    if name.startswith("/") or len(os.fsencode(name)) > NAME_BYTES or "\0" in name:
        raise ArtifactError(f"illegal file path: {name[:100]}")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise ArtifactError(f"illegal file path: {name[:100]}")
    return parts


def _untar(file: BinaryIO, unpacking: _Unpacking) -> None:
    with _BoundedGzip(fileobj=file, mode="rb") as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else a million entries stay in memory
            unpacking.count(member.size)
            _untar_member(tar, member, unpacking)


def _untar_member(tar: tarfile.TarFile, member: tarfile.TarInfo, unpacking: _Unpacking) -> None:
    parts = _parts(member.name)
    if not parts:
        return
    if member.isdir():
        unpacking.folder(parts, member.mode, member.mtime)
    elif member.issym():
        unpacking.link(parts, member.linkname)
    elif member.islnk():
        unpacking.hard_link(parts, _parts(member.linkname))
    elif member.isreg() and (reader := tar.extractfile(member)) is not None:
        unpacking.file(parts, reader, member.mode, member.mtime)
    else:
        raise ArtifactError(f"{member.name} is a device or pipe: an artifact holds files, folders and links only")


def _unzip(file: BinaryIO, unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            unpacking.count(member.file_size)
            parts = _parts(member.filename)
            if parts:
                _unzip_member(archive, member, parts, unpacking)


def _unzip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, parts: Parts, unpacking: _Unpacking) -> None:
    mode = member.external_attr >> 16
    changed = float(timegm((*member.date_time, 0, 0, 0)))
    kind = stat.S_IFMT(mode)
    if member.is_dir():
        unpacking.folder(parts, mode & 0o777 or trees.DIRECTORY_MODE, changed)
    elif kind == stat.S_IFLNK:
        if member.file_size > NAME_BYTES:
            raise ArtifactError(f"illegal symlink target: {member.filename} is {member.file_size} bytes long")
        unpacking.link(parts, os.fsdecode(archive.read(member)))
    elif kind in {0, stat.S_IFREG}:
        with archive.open(member) as reader:
            unpacking.file(parts, reader, mode & 0o777 or trees.FILE_MODE, changed)
    else:
        raise ArtifactError(f"{member.filename} is a device or pipe: an artifact holds files, folders and links only")
