"""Bytes between files and the network without blocking the loop, and several transfers at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import anyio
import anyio.to_thread

from tiphys.artifacts import trees

Job = Callable[[], Awaitable[object]]


async def write(dest: Path, chunks: AsyncIterator[bytes]) -> None:
    """Write the new contents of `dest`."""
    async with await anyio.open_file(dest, "wb") as file:
        async for chunk in chunks:
            await file.write(chunk)


async def read(source: Path) -> AsyncIterator[bytes]:
    """A regular file's bytes, piece by piece."""
    file = await anyio.to_thread.run_sync(trees.open_file, source)
    try:
        while chunk := await anyio.to_thread.run_sync(file.read, trees.CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


async def together(jobs: Iterable[Job], at_once: int) -> None:
    """Run all jobs, some at a time. The first error stops the others and is raised as it is."""
    waiting = iter(jobs)
    errors: list[Exception] = []

    async def work() -> None:
        for job in waiting:
            try:
                await job()
            except Exception as error:  # noqa: BLE001  raised below
                errors.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
    if errors:
        raise errors[0]
