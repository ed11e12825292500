"""Where foreground runs keep their state: `runs/<workflow name>` in the state directory, each used by one process at a time.

A name that was used before gets `.2`, `.3` and so on; runs that nobody touched for the set time are removed.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiphys.errors import StateRefused

LOCK = "run.lock"
MOST_REMOVED = 50  # at one go: the user waits


def fresh(runs: Path, name: str) -> Path:
    """A new directory for a run of this name. Raises StateRefused where none can be made."""
    number = 1
    try:
        runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            path = runs / (name if number == 1 else f"{name}.{number}")
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                number += 1
            else:
                return path
    except OSError as error:
        raise _unusable(runs, error) from error


def latest(runs: Path, name: str, prefix: str) -> Path | None:
    """The newest run of a name, or of a generateName `prefix`; None where there is none."""
    if not runs.is_dir():
        return None
    found = [path for path in runs.iterdir() if path.is_dir() and _is_run_of(path.name, name, prefix)]
    return max(found, key=lambda path: (path / LOCK).stat().st_mtime if (path / LOCK).exists() else 0.0, default=None)


def _is_run_of(folder: str, name: str, prefix: str) -> bool:
    stem, dot, number = folder.rpartition(".")
    base = stem if dot and number.isdigit() else folder
    return base == name if name else bool(prefix) and base.startswith(prefix) and "-" not in base[len(prefix) :]


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """The directory is this process's alone while the context lasts. Raises StateRefused where another one has it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            raise StateRefused(f"{path}: another tiphys run (process {holder or 'unknown'}) is using this state; wait for it") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _unusable(path: Path, error: OSError) -> StateRefused:
    return StateRefused(f"{path}: cannot keep state here: {error.strerror}; name another place with --state or the setting state_directory")


def sweep(runs: Path, keep_seconds: float, *, now: float | None = None) -> list[Path]:
    """Removes runs whose last change is longer ago than that, unless they are in use; those removed. Never raises."""
    now = time.time() if now is None else now
    removed: list[Path] = []
    try:
        old = [path for path in runs.iterdir() if path.is_dir() and now - _last_change(path) > keep_seconds]
    except OSError:
        return removed
    for path in old[:MOST_REMOVED]:
        try:
            with claimed(path):
                shutil.rmtree(path, ignore_errors=True)
        except StateRefused:
            continue
        removed.append(path)
    return removed


def _last_change(path: Path) -> float:
    """The newest time of a directory and of what is directly in it."""
    newest = path.stat().st_mtime
    with os.scandir(path) as entries:
        for entry in entries:
            newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
    return newest
