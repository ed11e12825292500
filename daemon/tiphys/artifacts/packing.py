"""A file or folder into one archive file, always the same bytes for the same tree: names in order, times kept, owners left out."""

import gzip
import stat
import tarfile
import time
import zipfile
from pathlib import Path
from typing import BinaryIO

from tiphys.artifacts import trees
from tiphys.artifacts.errors import ArtifactError
from tiphys.artifacts.trees import Check, Entry, unwatched
from tiphys.spec.artifacts import ArchiveStrategy

DEFAULT_LEVEL = -1
LEVELS = range(-1, 10)
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


class _Watched:
    """A file that checks before each read."""

    def __init__(self, file: BinaryIO, check: Check) -> None:
        self._file = file
        self._check = check

    def read(self, size: int = -1) -> bytes:
        self._check()
        return self._file.read(size)


def pack(source: Path, dest: BinaryIO, archive: ArchiveStrategy | None, check: Check = unwatched) -> None:
    """Write `source` as tar+gzip (the default) or zip into `dest`; the one top-level entry has the name of `source`."""
    if archive is not None and archive.zip is not None:
        _zip(source, dest, check)
        return
    tar = archive.tar if archive is not None else None
    level = DEFAULT_LEVEL if tar is None or tar.compression_level is None else tar.compression_level
    if level not in LEVELS:
        raise ArtifactError(f"archive.tar.compressionLevel {level} is not one of -1 to 9")
    _tar(source, dest, level, check)


def _tar(source: Path, dest: BinaryIO, level: int, check: Check) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=dest, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for entry in trees.walk(source):
            check()
            member = _tar_member(source, entry)
            if member.isreg():
                with trees.open_file(entry.path) as file:
                    tar.addfile(member, _Watched(file, check))
            else:
                tar.addfile(member)


def _tar_member(source: Path, entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo("/".join((source.name, *entry.parts)))
    member.mode = entry.mode
    member.mtime = int(entry.status.st_mtime)
    if entry.is_link:
        member.type = tarfile.SYMTYPE
        member.linkname = entry.target
    elif entry.is_directory:
        member.type = tarfile.DIRTYPE
    else:
        member.size = entry.status.st_size
    return member


def _zip(source: Path, dest: BinaryIO, check: Check) -> None:
    with zipfile.ZipFile(dest, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in trees.walk(source):
            check()
            member = _zip_member(source, entry)
            if entry.is_link:
                archive.writestr(member, entry.target.encode(errors="surrogateescape"))
            elif entry.is_directory:
                archive.writestr(member, b"")
            else:
                with trees.open_file(entry.path) as reader, archive.open(member, "w", force_zip64=True) as writer:
                    while chunk := reader.read(trees.CHUNK_BYTES):
                        check()
                        writer.write(chunk)


def _zip_member(source: Path, entry: Entry) -> zipfile.ZipInfo:
    name = "/".join((source.name, *entry.parts))
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise ArtifactError(f"the name {name!r} is not UTF-8 and cannot be in a zip; use archive tar")
    moment = time.gmtime(entry.status.st_mtime)[:6]
    member = zipfile.ZipInfo(name + "/" if entry.is_directory else name, max(moment, ZIP_EPOCH))
    member.create_system = UNIX
    kind = stat.S_IFLNK if entry.is_link else stat.S_IFDIR if entry.is_directory else stat.S_IFREG
    member.external_attr = (kind | entry.mode) << 16
    member.compress_type = zipfile.ZIP_STORED if entry.is_directory or entry.is_link else zipfile.ZIP_DEFLATED
    return member
