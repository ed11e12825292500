"""Steps' output as it grows: whole lines of the files that steps write to, each with its node's name.

Files are read, never held open: a log may be moved to its last place when the step ends, and is then read on from there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

POLL_SECONDS = 0.15
CHUNK = 1 << 20
LONGEST_LINE = 1 << 16
TAIL_BYTES = 1 << 16


@dataclass
class _Followed:
    """A node's log, and how much of it was seen."""

    name: str
    offset: int = 0
    rest: bytes = b""


class Follower:
    """Follows any number of logs. `log_file` finds a node's log by its id; `show(name, line)` is called for each line."""

    def __init__(self, log_file: Callable[[str], Path | None], show: Callable[[str, str], None]) -> None:
        self._log_file = log_file
        self._show = show
        self._followed: dict[str, _Followed] = {}

    def start(self, node_id: str, name: str) -> None:
        """Follow a node from its beginning; again is nothing new."""
        self._followed.setdefault(node_id, _Followed(name))

    async def finish(self, node_id: str) -> None:
        """Show what is left of a node's output, also an unfinished last line, and forget it."""
        if (followed := self._followed.get(node_id)) is None:
            return
        while await self._read(node_id, followed):
            pass
        if followed.rest:
            self._show(followed.name, _text(followed.rest))
        self._followed.pop(node_id, None)

    async def run(self) -> None:
        """Looks for new output until cancelled."""
        while True:
            for node_id, followed in list(self._followed.items()):
                await self._read(node_id, followed)
            await anyio.sleep(POLL_SECONDS)

    async def _read(self, node_id: str, followed: _Followed) -> bool:
        """Show new lines; whether there may be more."""
        path = self._log_file(node_id)
        if path is None:
            return False
        offset = followed.offset
        data = await to_thread.run_sync(_part, path, offset)
        if followed.offset != offset or not data:  # somebody else read on meanwhile, or there is nothing
            return followed.offset != offset
        followed.offset += len(data)
        *lines, followed.rest = (followed.rest + data).split(b"\n")
        for line in lines:
            self._show(followed.name, _text(line))
        if len(followed.rest) > LONGEST_LINE:
            self._show(followed.name, _text(followed.rest))
            followed.rest = b""
        return True


def _part(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)
    except OSError:  # not there yet, or just being moved
        return b""


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read()
    except OSError:
        return []
    found = data.split(b"\n")
    if size > TAIL_BYTES and len(found) > 1:
        found = found[1:]  # its beginning is not there
    if found and not found[-1]:
        found.pop()
    return [_text(line) for line in found[-lines:]]


def _text(line: bytes) -> str:
    """A line as a terminal may show it: no control characters, and only what stands after the last carriage return."""
    text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode("utf-8", "replace")
    return "".join(letter if letter == "\t" or letter.isprintable() else "\ufffd" for letter in text)
