"""The wire to the launcher: starts one where there is none, writes requests in batches, hands each report to one function."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from tiphys.errors import TiphysError
from tiphys.executors.process import places
from tiphys.executors.process.forms import Form
from tiphys.executors.process.places import Directories
from tiphys.launching import builds

LAUNCHER = Path(__file__).parents[2] / "launcher.py"
CONNECT_SECONDS = 20.0
MOST_FORMS = 512
Json = dict[str, Any]


class LauncherUnreachable(TiphysError):
    """The launcher of steps cannot be started or reached."""


class Wire(asyncio.Protocol):
    """One connection. Requests of one turn of the loop leave in one write."""

    def __init__(self, report: Callable[[Json], None]) -> None:
        self._report = report
        self._transport: asyncio.Transport | None = None
        self._outbox: list[Json] = []
        self._is_held = False
        self._inbox = bytearray()
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(list[Json]).decode
        self._forms: dict[Form, int] = {}
        self.lost = anyio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A call of asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """A call of asyncio's."""
        self._transport = None
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        """A call of asyncio's: complete lines are reported, a begun one waits."""
        self._inbox += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._inbox).split(b"\n")
        self._inbox = bytearray(rest)
        self.hold()
        try:
            for line in lines:
                for report in self._decode(line):
                    self._report(report)
        finally:
            self.flush()

    def send(self, request: Json) -> None:
        """Send at the end of this turn of the loop, or when it is flushed. On a lost connection it goes nowhere; who waits asks again on
        the next.
        """
        self._outbox.append(request)
        if len(self._outbox) == 1 and not self._is_held:
            asyncio.get_running_loop().call_soon(self._flush)

    def number(self, form: Form) -> int:
        """The number by which the launcher knows a form; it is told of it where it does not."""
        number = self._forms.get(form)
        if number is None:
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()  # numbers are given anew; requests are read in their order
            number = self._forms[form] = len(self._forms)
            self.send({"op": "form", "form": number, "fields": form.fields})
        return number

    def forget_forms(self) -> None:
        """Tell of each form again when it is used."""
        self._forms.clear()

    def hold(self) -> None:
        """Send when it is flushed, which follows in this turn of the loop."""
        self._is_held = True

    def flush(self) -> None:
        """Send what waits."""
        self._is_held = False
        if self._outbox:
            self._flush()

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        if self._transport is not None and batch:
            self._transport.write(self._encode(batch) + b"\n")

    def close(self) -> None:
        """Send what waits, and leave."""
        self._flush()
        if self._transport is not None:
            self._transport.close()


def build() -> int:
    """Which build of the launcher comes with this program."""
    return builds.build(str(LAUNCHER.parent))


def start(directories: Directories, mode: str) -> int:
    """Start a launcher; one that finds another in its place ends at once. Blocks for a moment; returns its pid."""
    options = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    argv = [sys.executable, *options, str(LAUNCHER), "--mode", mode, "--runtime", str(directories.runtime)]
    argv += ["--scratch", str(directories.scratch), "--root", str(directories.root), "--owner", str(os.getpid())]
    directories.runtime.mkdir(mode=0o700, exist_ok=True)  # a launcher that just ended may have taken it along
    said = os.open(directories.runtime / "launcher.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        return os.posix_spawn(sys.executable, argv, {"PATH": os.defpath, "LANG": "C.UTF-8"}, file_actions=actions, setsid=True)
    finally:
        os.close(said)


def start_early(root: Path) -> int:
    """Start the launcher of a foreground run whose attempts are in `root`, while others still prepare what needs it; its pid."""
    return start(places.directories(root, None), "run")


class Started:
    """Launchers that this process started; they are its children, so it must let them go."""

    def __init__(self, pid: int = 0) -> None:
        self.pids: set[int] = {pid} - {0}

    def reap(self) -> bool:
        """Collect those that ended; whether any are left."""
        for pid in list(self.pids):
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended = pid
            if ended:
                self.pids.discard(pid)
        return bool(self.pids)


async def connect(directories: Directories, mode: str, started: Started, report: Callable[[Json], None]) -> Wire:
    """A connection to the launcher of these directories. `service`: it is somebody else's to start."""
    wait = 0.002
    with anyio.move_on_after(CONNECT_SECONDS):
        while True:
            try:
                _, wire = await asyncio.get_running_loop().create_unix_connection(lambda: Wire(report), str(directories.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                started.reap()
                if mode != "service" and not started.pids:
                    started.pids.add(await anyio.to_thread.run_sync(start, directories, mode))
            else:
                return wire
            await anyio.sleep(wait)
            wait = min(wait * 1.5, 0.2)
    words = f"in {directories.runtime / 'launcher.log'}" if mode != "service" else "what `systemctl status tiphys-launcher` shows"
    raise LauncherUnreachable(f"no launcher answers at {directories.socket}; its words are {words}")
