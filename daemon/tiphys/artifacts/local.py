"""The repository on local disk: keys are paths below one folder. Bytes gather aside and appear with a rename: whole or not at all."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiphys import faults
from tiphys.artifacts import locations, trees
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.trees import Check
from tiphys.spec.artifacts import ArchiveStrategy

ASIDE = ".incoming"
TRIES = 10
"""How often a save begins anew because others delete the folders it makes."""
STALE_SECONDS = 24 * 3600.0


class LocalRepository:
    """Blocking; call it from a thread. `durable`: a saved artifact survives a power loss."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory
        self._aside = directory / ASIDE
        self._durable = durable
        self._swept = False

    def find(self, key: str) -> Path:
        """Where the file or folder of `key` is. ArtifactMissing: nowhere."""
        path = self._path(key)
        if path.is_symlink():
            path = self._inside(path, key)
        if not path.exists():
            raise ArtifactMissing(f"the artifact repository has no {key!r} ({path})")
        return path

    def save(self, key: str, source: Path, archive: ArchiveStrategy | None, check: Check) -> None:
        """Keep `source` under `key`, packed as `archive` says. A folder that is already there takes in the new entries."""
        dest = self._path(key)
        with self._reserved() as halfway:
            if archive is not None and archive.none is not None:
                trees.refuse_escapes(source)
                trees.copy(source, halfway, check, durable=self._durable)
            else:
                with halfway.open("xb") as file:
                    from tiphys.artifacts import packing  # noqa: PLC0415 - tarfile and zipfile are large, and many daemons never pack anything

                    packing.pack(source, file, archive, check)
                    file.flush()
                    if self._durable:
                        os.fsync(file.fileno())
            faults.point("artifact-written")
            self._appear(halfway, dest)

    def keys(self, prefix: str) -> list[str]:
        """The keys of all files at or below `prefix`, in order."""
        cleaned = locations.clean_key(prefix)
        path = self._directory / cleaned
        if not os.path.lexists(path):
            return []
        found = ("/".join((cleaned, *entry.parts)).lstrip("/") for entry in trees.walk(path) if not entry.is_directory)
        return [key for key in found if not key.startswith(f"{ASIDE}/")]

    def delete(self, key: str) -> None:
        """Forget `key`, and all below it if it is a folder; missing is fine."""
        path = self._path(key)
        if path.is_dir() and not path.is_symlink():
            with self._reserved() as gone:
                path.rename(gone)
        else:
            path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == self._directory or not _removed(parent):
                break

    def reserve(self) -> Path:
        """A path that nobody uses, on the repository's disk and out of everybody's sight; `discard` it."""
        if not self._swept:
            self._sweep()
        return self._aside / f"{os.getpid()}-{secrets.token_hex(8)}"

    def discard(self, path: Path) -> None:
        """Delete what is at a reserved path, if anything."""
        trees.remove(path)

    @contextmanager
    def _reserved(self) -> Iterator[Path]:
        path = self.reserve()
        try:
            yield path
        finally:
            trees.remove(path)

    def _path(self, key: str) -> Path:
        cleaned = locations.clean_key(key)
        if not cleaned or cleaned.split("/")[0] == ASIDE:
            raise ArtifactError(f"the artifact key {key!r} is not valid: it names nothing in the repository")
        path = self._directory / cleaned
        return self._inside(path.parent, key) / path.name

    def _inside(self, path: Path, key: str) -> Path:
        """Where a path of the repository really is, through the links that artifacts hold."""
        top = Path(os.path.realpath(self._directory))
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(top):
            raise ArtifactError(f"the artifact key {key!r} leads out of the repository")
        return self._directory / real.relative_to(top)

    def _appear(self, halfway: Path, dest: Path) -> None:
        made: set[Path] = set()
        for left in reversed(range(TRIES)):
            try:
                made.update(trees.make_directory(dest.parent))
                trees.place(halfway, dest)
                break
            except FileNotFoundError:  # a delete took the empty folder away in between
                if not left:
                    raise
            except (FileExistsError, NotADirectoryError) as error:  # so it did, just after it was found there; or there is such an artifact
                if not left or any(path.is_file() for path in dest.parents):
                    raise ArtifactError(f"{dest} cannot be made: an artifact has the name of one of its folders") from error
        if self._durable:
            for folder in {dest.parent, *(path.parent for path in made)}:
                trees.sync_directory(folder)

    def _sweep(self) -> None:
        """Delete what killed processes left aside; the folder is the daemon's alone."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._aside.mkdir(mode=0o700, exist_ok=True)
        for path in self._aside.iterdir():
            with suppress(FileNotFoundError):  # its owner is done with it
                if time.time() - path.lstat().st_mtime > STALE_SECONDS:
                    trees.remove(path)
        self._swept = True


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
