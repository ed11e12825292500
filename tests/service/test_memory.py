"""What closed connections leave behind is found although the collector is told to look seldom."""

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tiphys.service import memory

CONNECTIONS = 300


def transports() -> int:
    return sum(type(one).__name__ == "_SelectorSocketTransport" for one in gc.get_objects())


async def connect(path: str) -> None:
    """Connections that come and go, each answered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        for _ in range(CONNECTIONS):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"ping\n")
            assert await reader.readline() == b"ping\n"
            writer.close()
            await writer.wait_closed()


async def leave_nothing(path: str) -> tuple[int, int]:
    """How many transports are there after many connections, and after memory was kept small for a moment."""
    memory.settle()
    await connect(path)
    await anyio.sleep(0.05)
    before = transports()
    with anyio.move_on_after(0.5):
        await memory.kept_small(seconds=0.02)
    return before, transports()


def test_connections_that_are_closed_leave_nothing(tmp_path: Path) -> None:
    code = f"import anyio, tests.service.test_memory as t; print(*anyio.run(t.leave_nothing, {str(tmp_path / 's')!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(int, out.split())
    assert before > CONNECTIONS  # else nobody need look: the collector's turn came by itself
    assert after < 10


ARENAS = """
import ctypes, sys, threading
from tiphys.service import memory

if sys.argv[1] == "one":
    memory.share_one_heap()
there = threading.Barrier(6)

def work():
    there.wait()
    kept = [bytes(5000) for _ in range(200)]
    there.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
[one.start() for one in threads]
[one.join() for one in threads]
ctypes.CDLL(None).malloc_stats()
"""


def arenas(heaps: str) -> int:
    """How many heaps the C library has after some threads worked at once."""
    ran = subprocess.run([sys.executable, "-c", ARENAS, heaps], capture_output=True, text=True, check=True)
    return ran.stderr.count("Arena ")


def test_threads_share_one_heap() -> None:
    usual = arenas("many")
    if usual < 2:
        pytest.skip("this C library keeps no heaps for threads")
    assert arenas("one") == 1
