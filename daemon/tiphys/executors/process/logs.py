"""What attempts printed: followed while they run, read from their run's pack or their own file afterwards."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread

from tiphys.executors.process.connection import Json
from tiphys.executors.process.link import Link
from tiphys.executors.process.places import Directories

CHUNK = 64 * 1024
LOOK_SECONDS, LONGEST_SECONDS = 0.1, 0.5
"""How often what an attempt prints is looked for: the longer it prints nothing, the more rarely."""


def is_large(record: Json) -> bool:
    """Whether a log was too large for its run's pack, and so is a file in memory."""
    return bool(record.get("printed")) and "log" not in record


async def keep(directories: Directories, order_id: str, record: Json, *, wanted: bool) -> Path | None:
    """Move a large log from memory to the attempt's run; returns a file with the whole log where one is wanted."""
    return await anyio.to_thread.run_sync(_keep, directories, order_id, record, wanted)


def _keep(directories: Directories, order_id: str, record: Json, wanted: bool) -> Path | None:
    live, kept = directories.live_log(order_id), directories.kept_log(order_id)
    if "log" not in record and live.exists():
        fresh = kept.with_name(f".{kept.name}")
        with live.open("rb") as source, fresh.open("wb") as target:
            source.seek(data_start(source.fileno()))
            shutil.copyfileobj(source, target)
        fresh.replace(kept)
        live.unlink(missing_ok=True)
    if wanted and not kept.exists():
        kept.write_bytes(packed(directories, order_id, record))
    return kept if wanted else None


def data_start(fd: int) -> int:
    """Where a file begins that was cut from its front."""
    try:
        return os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:
        return 0


def packed(directories: Directories, order_id: str, record: Json) -> bytes:
    """A small log, from its run's pack; nothing, where that was deleted."""
    if "log" not in record:
        return b""
    offset, length = record["log"]
    try:
        with (directories.group(order_id) / "output").open("rb") as pack:
            return os.pread(pack.fileno(), length, offset)
    except FileNotFoundError:
        return b""


async def read(link: Link, order_id: str, *, follow: bool) -> AsyncIterator[bytes]:
    """The output of an attempt in pieces; with `follow` until it ends. Nothing, where nobody knows it."""
    ended = await link.end_of(order_id)
    if ended is None:
        return
    position = 0
    fd = -1
    pause = LOOK_SECONDS
    try:
        while not ended.is_set():
            if fd < 0:
                fd = await anyio.to_thread.run_sync(_open, link.directories.live_log(order_id))
            while fd >= 0 and (data := await anyio.to_thread.run_sync(_next, fd, position)):
                position = data[0] + len(data[1])
                pause = LOOK_SECONDS
                yield data[1]
            if not follow:
                return
            with anyio.move_on_after(pause):
                await ended.wait()
            pause = min(LONGEST_SECONDS, 1.3 * pause)
        while fd >= 0 and (data := await anyio.to_thread.run_sync(_next, fd, position)):
            position = data[0] + len(data[1])
            yield data[1]
        if fd >= 0:
            return
    finally:
        if fd >= 0:
            os.close(fd)
    async for piece in _finished(link, order_id):
        yield piece
    link.settle(order_id)


async def _finished(link: Link, order_id: str) -> AsyncIterator[bytes]:
    record = await link.ended(order_id) or {}
    if "log" in record:
        yield await anyio.to_thread.run_sync(packed, link.directories, order_id, record)
        return
    for path in (link.directories.kept_log(order_id), link.directories.live_log(order_id)):
        fd = await anyio.to_thread.run_sync(_open, path)
        if fd < 0:
            continue
        try:
            position = 0
            while data := await anyio.to_thread.run_sync(_next, fd, position):
                position = data[0] + len(data[1])
                yield data[1]
        finally:
            os.close(fd)
        return


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _next(fd: int, position: int) -> tuple[int, bytes] | None:
    """The next piece and where it begins: what was cut from the front meanwhile is stepped over."""
    position = max(position, data_start(fd))
    data = os.pread(fd, CHUNK, position)
    return (position, data) if data else None
