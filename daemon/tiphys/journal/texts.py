"""The large texts of runs, each a row of its own, which a run's other rows name by the text's digest.

A text is stored in the transaction of the first row that names it, stays as long as its run, and goes with it.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import cast

import apsw

from tiphys.journal import queries
from tiphys.journal.references import Find
from tiphys.journal.rows import Damaged

MOST_HELD = 1 << 26
"""So many characters of texts that are stored are known to be; most of them are those that the state holds in any case."""
SQL = queries.named()
Execute = Callable[..., apsw.Cursor]


def digest(text: bytes) -> bytes:
    """What names a text, and tells whether it is as it was written."""
    return hashlib.sha256(text).digest()


class Keeper:
    """Stores texts; a part of the writer's transaction."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._known: dict[int, dict[str, bytes]] = {}
        self._held = 0

    def keep(self, run: int, text: str) -> bytes:
        """A text's digest; it is there now."""
        found = self._known.get(run, {}).get(text)
        if found is None:
            data = text.encode()
            found = digest(data)
            self._execute(SQL["put_text"], (run, found, data))
            self._note(run, text, found)
        return found

    def has(self, run: int) -> bool:
        """Whether a run has any."""
        return run in self._known or bool(self._execute(SQL["has_texts"], (run,)).get)

    def forget(self, run: int) -> None:
        """Delete those of a run."""
        self._execute(SQL["remove_texts"], (run,))
        self._held -= sum(map(len, self._known.pop(run, {})))

    def _note(self, run: int, text: str, found: bytes) -> None:
        if self._held + len(text) > MOST_HELD:
            self._known.clear()
            self._held = 0
        self._known.setdefault(run, {})[text] = found
        self._held += len(text)


class Finder:
    """Finds texts again, each once however many rows name it; for one look at the journal."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._found: dict[tuple[int, bytes], str] = {}

    def of(self, run: int) -> Find:
        """A run's texts by what names them. The function raises Damaged."""
        return functools.partial(self._find, run)

    def _find(self, run: int, name: bytes) -> str:
        found = self._found.get((run, name))
        if found is None:
            data = cast("bytes | None", self._execute(SQL["text"], (run, name)).get)
            found = self._found[run, name] = read(name, data)
        return found


def read(name: bytes, data: bytes | None) -> str:
    """A stored text (None: there is none). Raises Damaged, which names it."""
    if data is None:
        raise Damaged(f"its text {name.hex()[:16]} is not there")
    if digest(data) != name:
        raise Damaged(f"its text {name.hex()[:16]} is not as it was written")
    return data.decode()
