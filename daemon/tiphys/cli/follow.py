"""Steps' output: followed as it grows, whole lines behind their node's name; or kept in a file after a failure."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from tiphys.errors import TiphysError

LATE_SECONDS = 5.0
LONGEST_LINE = 1 << 16
TAIL_BYTES = 1 << 16


class _Followed:
    """A node whose output is being shown; `done` is set when all of it was."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = anyio.Event()


class Follower:
    """Follows any number of nodes. `output` gives a node's output until it ends; `show(name, line)` is called for each line."""

    def __init__(self, output: Callable[[str, str], AsyncIterator[bytes]], show: Callable[[str, str], None]) -> None:
        self._output = output
        self._show = show
        self._followed: dict[tuple[str, str], _Followed] = {}

    def start(self, group: TaskGroup, uid: str, node_id: str, name: str) -> None:
        """Follow a node from its beginning; again is nothing new."""
        if (uid, node_id) not in self._followed:
            followed = self._followed[uid, node_id] = _Followed(name)
            group.start_soon(self._follow, uid, node_id, followed)

    async def finish(self, uid: str, node_id: str) -> None:
        """Wait until all that an ended node printed was shown, but not for ever."""
        if followed := self._followed.get((uid, node_id)):
            with anyio.move_on_after(LATE_SECONDS):
                await followed.done.wait()

    async def _follow(self, uid: str, node_id: str, followed: _Followed) -> None:
        rest = b""
        try:
            async for data in self._output(uid, node_id):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._show(followed.name, text(line))
                if len(rest) > LONGEST_LINE:
                    self._show(followed.name, text(rest))
                    rest = b""
        except (TiphysError, OSError) as error:
            self._show(followed.name, f"(its output cannot be read: {error})")
        if rest:
            self._show(followed.name, text(rest))
        followed.done.set()


async def kept(output: AsyncIterator[bytes], path: Path, lines: int) -> list[str]:
    """Write all of an ended node's output to `path`, unless there is none; its last lines."""
    end = b""
    size = 0
    async for data in output:
        await to_thread.run_sync(_append, path, data, size == 0)
        size += len(data)
        end = (end + data)[-TAIL_BYTES:]
    found = end.split(b"\n")
    if size > len(end) and len(found) > 1:
        found = found[1:]  # its beginning is not there
    if found and not found[-1]:
        found.pop()
    return [text(line) for line in found[-lines:]]


def _append(path: Path, data: bytes, new: bool) -> None:
    if new:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb" if new else "ab") as file:
        file.write(data)


def text(line: bytes) -> str:
    """A line as a terminal may show it: no control characters, and only what stands after the last carriage return."""
    shown = line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode("utf-8", "replace")
    return "".join(letter if letter == "\t" or letter.isprintable() else "\ufffd" for letter in shown)
