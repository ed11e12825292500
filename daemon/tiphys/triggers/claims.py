"""Files taken out of the drop folder: renamed, never copied, so that each is in exactly one place whatever happens.

The claim's id goes before the name and is the submission's key. `claimed/` holds what is on its way, `accepted/` what was recorded
(for people to look at; nothing here deletes it), `rejected/` what was refused, with the reason beside it. A manifest's
parameters go before it into `claimed/` and after it out of there, so that a manifest that is claimed always has its parameters.

All of it blocks and belongs in a thread; all of it raises OSError where the disk says no, having changed nothing or one rename.
"""

import contextlib
import errno
import os
import re
import stat
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.errors import TiphysError
from tiphys.triggers import looking, names
from tiphys.triggers.looking import Stamp

MODE = 0o750
WHY_MODE = 0o640
ID = re.compile(r"(?P<key>[0-9a-f]{16})-(?P<name>.+)", re.DOTALL)


class NoFolder(TiphysError):
    """The drop folder cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A file that was taken: the submission's key and the file's former name."""

    key: str
    name: str

    @property
    def file(self) -> str:
        """Its name since."""
        return f"{self.key}-{self.name}"


class Claims:
    """The folders beside the dropped files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.claimed = folder / "claimed"
        self.accepted = folder / "accepted"
        self.rejected = folder / "rejected"

    def prepare(self) -> None:
        """Make the folder and those below where they are missing. Raises NoFolder, also where one below is another user's or a link."""
        try:
            self.folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise NoFolder(f"{error.filename}: {error.strerror}") from error
        self.prepare_below()

    def prepare_below(self) -> None:
        """As `prepare`; the folder itself must be there."""
        try:
            for below in (self.claimed, self.accepted, self.rejected):
                below.mkdir(mode=MODE, exist_ok=True)
                status = below.lstat()
                if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, os.geteuid()):
                    raise NoFolder(f"{below} is not a folder of this daemon's: remove it")
        except OSError as error:
            raise NoFolder(f"{error.filename}: {error.strerror}") from error

    def take(self, name: str, parameters: str) -> Claim:
        """Claim a file, and its parameters (their name, "" without any) before it."""
        claim = Claim(key=uuid.uuid4().hex[:16], name=names.fitting(name))
        if parameters:
            (self.folder / parameters).rename(self.claimed / (claim.file + names.PARAMETERS))
            sync(self.claimed)
        try:
            (self.folder / name).rename(self.claimed / claim.file)
        except OSError:
            if parameters:
                self._put_back(claim.file + names.PARAMETERS, parameters)
            raise
        return claim

    def is_as_judged(self, claim: Claim, stamp: Stamp) -> bool:
        """Whether what was claimed is what was looked at before; another file may have taken its place in between."""
        return looking.stamp_of((self.claimed / claim.file).lstat()).same_content(stamp)

    def accept(self, claim: Claim) -> None:
        """The submission is recorded."""
        self._move(claim, self.accepted)

    def reject(self, claim: Claim, why: str) -> None:
        """It is refused, for good."""
        self._write(self.rejected / (claim.file + names.WHY), why)
        self._move(claim, self.rejected)

    def _move(self, claim: Claim, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.claimed / claim.file).rename(folder / claim.file)
        with contextlib.suppress(FileNotFoundError):
            (self.claimed / (claim.file + names.PARAMETERS)).rename(folder / (claim.file + names.PARAMETERS))

    def report(self, name: str, why: str) -> None:
        """Say beside a file that stays what is wrong with it."""
        self._write(self.folder / (name + names.WHY), why)

    def unreport(self, name: str) -> None:
        """Nothing is wrong with it any more."""
        try:
            (self.folder / (name + names.WHY)).unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # then there never was one
                raise

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all, and never through a link that somebody put there."""
        made = self.claimed / f".{uuid.uuid4().hex}"
        try:
            opened = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, WHY_MODE)
            with os.fdopen(opened, "wb") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
            made.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                made.unlink(missing_ok=True)
            raise

    def waiting(self) -> Sequence[Claim]:
        """What is claimed and on its way nowhere, after the remains of a crash were put right and are on disk.

        Only while nothing else is at work here.
        """
        found = {entry.name for entry in os.scandir(self.claimed)}
        for name in found:
            if name.startswith("."):
                (self.claimed / name).unlink(missing_ok=True)
            elif names.is_parameters(name) and name[: -len(names.PARAMETERS)] not in found:
                self._orphan(name)
        if found:
            self.sync(self.claimed, self.folder)
        claims = [claim_of(name) for name in sorted(found) if not names.is_parameters(name)]
        return [claim for claim in claims if claim is not None]

    def _orphan(self, parameters: str) -> None:
        """Parameters without their manifest, which went on before them or was not claimed yet."""
        manifest = parameters[: -len(names.PARAMETERS)]
        for folder in (self.accepted, self.rejected):
            if os.path.lexists(folder / manifest):
                (self.claimed / parameters).rename(folder / parameters)
                return
        claim = claim_of(parameters)
        if claim is not None:
            self._put_back(parameters, claim.name)

    def _put_back(self, parameters: str, name: str) -> None:
        """Into the folder again; not over newer ones of that name, to which they give way."""
        if os.path.lexists(self.folder / name):
            (self.claimed / parameters).rename(self.rejected / parameters)
        else:
            (self.claimed / parameters).rename(self.folder / name)

    def accepted_keys(self) -> Sequence[str]:
        """The keys of all files that were accepted."""
        found = (claim_of(entry.name) for entry in os.scandir(self.accepted) if not names.is_parameters(entry.name))
        return [claim.key for claim in found if claim is not None]

    def sync(self, *folders: Path) -> None:
        """Make renames outlive a power failure: where to first, where from last."""
        for folder in folders:
            sync(folder)


def claim_of(file: str) -> Claim | None:
    """The claim that a file's name tells of; None where it is none."""
    found = ID.fullmatch(file)
    return Claim(key=found["key"], name=found["name"]) if found else None


def sync(folder: Path) -> None:
    """Force a folder's entries to disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def unreported(every: Iterable[str]) -> Sequence[str]:
    """The manifests of which only the report is left, among the names of a folder."""
    present = set(every)
    manifests = (name[: -len(names.WHY)] for name in present if name.endswith(names.WHY))
    return [name for name in manifests if names.is_manifest(name) and name not in present]
