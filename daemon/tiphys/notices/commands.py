"""Commands: a program of the operator's that gets the JSON on its standard input."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

import anyio
import anyio.to_thread
from anyio.abc import Process

from tiphys.notices.errors import SendFailed, shown

TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
SAID_BYTES = 4096
LAST_WORDS_SECONDS = 0.5
REAPING_SECONDS = 5.0


async def run(command: Sequence[str], body: bytes, environment: Mapping[str, str]) -> None:
    """Run the program, not through a shell, in a session and process group of its own; exit code 0 is success, else SendFailed.

    Whoever cancels this (a timeout, say) kills the whole group. What the program leaves running after an exit is left alone.
    Its standard output goes nowhere; of standard error the last line is told.
    """
    said_by, said_to = os.pipe()
    try:
        try:
            process = await _started(command, body, environment, said_to)
        finally:
            os.close(said_to)
        code, said = await _ended(process, said_by)
    finally:
        os.close(said_by)
    if code != 0:
        # All of these may be mended while the notification waits: nothing is lost by trying again.
        raise SendFailed(_told(code, said), transient=True)


async def _started(command: Sequence[str], body: bytes, environment: Mapping[str, str], said_to: int) -> Process:
    given = await anyio.to_thread.run_sync(_in_memory, body)
    try:
        return await anyio.open_process(
            list(command), stdin=given, stdout=subprocess.DEVNULL, stderr=said_to, env=environment, start_new_session=True
        )
    except OSError as error:
        raise SendFailed(f"it cannot be started: {error.strerror or error}", transient=True) from error
    except ValueError as error:
        raise SendFailed(f"it cannot be started: {error}", transient=False) from error
    finally:
        os.close(given)


def _in_memory(body: bytes) -> int:
    """A file that is on no disk and holds the body: with a pipe, a program that does not read could block us."""
    descriptor = os.memfd_create("notice")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(body)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def _ended(process: Process, said_by: int) -> tuple[int, bytes]:
    """The exit code and the end of standard error."""
    said = bytearray()
    closed = anyio.Event()
    os.set_blocking(said_by, False)

    async def listen() -> None:
        while True:
            await anyio.wait_readable(said_by)
            chunk = os.read(said_by, SAID_BYTES)
            if not chunk:
                break
            said.extend(chunk)
            del said[:-SAID_BYTES]
        closed.set()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            code = await process.wait()
            # What it left running may hold its standard error open for ever.
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                await closed.wait()
            group.cancel_scope.cancel()
    except BaseException:
        await _killed(process)
        raise
    return code, bytes(said)


async def _killed(process: Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(REAPING_SECONDS, shield=True):
        await process.wait()


def _told(code: int, said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    what = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if code == TRY_LATER:
        what += " (try again later)"
    return f"{what}: {shown(lines[-1])}" if lines else what
