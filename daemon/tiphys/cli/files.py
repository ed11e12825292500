"""The files that a command line names."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from tiphys.cli.errors import BadInput

STDIN = "-"
UNNAMED = "the name of a file is empty"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def found(paths: Sequence[str]) -> Iterator[str]:
    """The files that the paths name; of a folder, those below it whose names end like a manifest's.

    What no shell has made names of (`*`, `?`, `[`, and `**` for folders at any depth) is matched here. What is hidden (a name that begins
    with a dot) is left out. Raises BadInput.
    """
    for path in (one for typed in paths for one in _matched(typed)):
        if path == STDIN or not _is_folder(path):
            yield path
        else:
            for folder, folders, names in os.walk(path, onerror=_refuse):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                shown = [name for name in sorted(names) if not name.startswith(".")]
                yield from (os.path.join(folder, name) for name in shown if Path(name).suffix.lower() in SUFFIXES)  # noqa: PTH118 - keeps the path as it was typed


def _is_folder(path: str) -> bool:
    if not path:
        raise BadInput(UNNAMED)
    try:
        return Path(path).is_dir()
    except OSError as error:  # a name that is too long, a folder above it that is closed
        return _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise BadInput(f"{error.filename}: {error.strerror or error}") from error


def _matched(path: str) -> list[str]:
    """The path, or what it matches where it is a pattern."""
    if path == STDIN or not glob.has_magic(path) or os.path.lexists(path):
        return [path]
    if not (names := sorted(glob.glob(path, recursive=True))):  # noqa: PTH207 - keeps the path as it was typed
        raise BadInput(f"{path}: no file matches")
    return names


def read(path: str, limit: int) -> tuple[str, bytes]:
    """A file's name for messages, and its bytes: one more than the limit at most, which is enough to refuse it. Raises BadInput."""
    if not path:
        raise BadInput(UNNAMED)
    try:
        if path == STDIN:
            return "<stdin>", sys.stdin.buffer.read(limit + 1)
        with Path(path).open("rb") as opened:
            return path, opened.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
