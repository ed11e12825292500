"""The files that a command line names."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiphys.cli.errors import BadInput

STDIN = "-"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def found(paths: Sequence[str]) -> Iterator[str]:
    """The files that the paths name; of a folder, those below it whose names end like a manifest's.

    What is hidden (a name that begins with a dot) is left out. Raises BadInput.
    """
    for path in paths:
        if path == STDIN or not Path(path).is_dir():
            yield path
        else:
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                shown = [name for name in sorted(names) if not name.startswith(".")]
                yield from (os.path.join(folder, name) for name in shown if Path(name).suffix.lower() in SUFFIXES)  # noqa: PTH118 - keeps the path as it was typed


def read(path: str, limit: int) -> tuple[str, bytes]:
    """A file's name for messages, and its bytes: one more than the limit at most, which is enough to refuse it. Raises BadInput."""
    try:
        if path == STDIN:
            return "<stdin>", sys.stdin.buffer.read(limit + 1)
        with Path(path).open("rb") as opened:
            return path, opened.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
