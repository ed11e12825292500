"""A real `tiphysd` in a place of its own: started, signalled, killed, and looked at from outside, as an operator would."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import apsw

from tiphys.executors.process import places
from tiphys.journal import rows, texts
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Node, Run

TOP = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 40.0
Found = TypeVar("Found")


def until(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` finds, as soon as it finds something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not seen within {seconds} s: {what}")


@dataclass(kw_only=True)
class Tiphysd:
    """One state directory and the daemons that come and go over it. `shared` may be written by steps."""

    top: Path
    settings: dict[str, object] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    limits: Callable[[], None] | None = None

    @property
    def state(self) -> Path:
        return self.top / "state"

    @property
    def dropped(self) -> Path:
        return self.state / "drop"

    @property
    def shared(self) -> Path:
        return self.top / "shared"

    @property
    def socket(self) -> Path:
        return self.top / "api.sock"

    @property
    def log(self) -> str:
        return (self.top / "log").read_text(encoding="utf-8")

    def told(self, event: str) -> list[dict]:
        """The log's lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def configure(self, **settings: object) -> None:
        """Write the settings file."""
        self.settings.update(settings)
        process = {"isolation": "none", "writable": [str(self.shared)], "grace_seconds": 2.0}
        made = {
            "state_directory": str(self.state),
            "process": process,
            **self.settings,
            "daemon": {"socket": str(self.socket), "log_format": "json", "log_level": "debug", **self.settings.get("daemon", {})},
            "drop": {"settle_seconds": 0.1, "sweep_seconds": 0.5, **self.settings.get("drop", {})},
        }
        self.shared.mkdir(parents=True, exist_ok=True)
        (self.top / "tiphys.yaml").write_text(json.dumps(made), encoding="utf-8")

    def start(self, *, ready: bool = True) -> "Tiphysd":
        """Start a daemon; with `ready` until it says that it is."""
        self.configure()
        before = len(self.told("ready")) if (self.top / "log").exists() else 0
        with (self.top / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tiphys.tiphysd", "--config", self.top / "tiphys.yaml"],
                env={**os.environ, "PYTHONPATH": str(TOP / "daemon"), **self.environ},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        if ready:
            until(lambda: len(self.told("ready")) > before or self.process.poll() is not None, "ready")
            assert self.process.poll() is None, self.log
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the daemon and wait for its end; its exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def refused(self, config: Path) -> subprocess.CompletedProcess[str]:
        """A daemon with these settings, which is expected to end by itself."""
        return subprocess.run(
            [sys.executable, "-m", "tiphys.tiphysd", "--config", config],
            env={**os.environ, "PYTHONPATH": str(TOP / "daemon")},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def drop(self, name: str, text: str) -> None:
        """Put a file into the drop folder, whole."""
        fresh = self.dropped / f".{name}"
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(self.dropped / name)

    def _read(self, decoder: "rows.Decoder", sql: str) -> list:
        """The records in rows that come as their run, their checksum and themselves."""
        connection = apsw.Connection(str(self.state / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        find = texts.Finder(connection.execute).of
        try:
            with connection:
                return [rows.read(decoder, total, row, find=find(run)) for run, total, row in connection.execute(sql)]
        finally:
            connection.close()

    def runs(self) -> list[Run]:
        """The runs as they are recorded, while a daemon goes on or not."""
        return self._read(rows.run, "SELECT run, sum, row FROM workflows ORDER BY run")

    def run(self, name: str) -> Run | None:
        """The newest run whose name begins so."""
        return next((run for run in reversed(self.runs()) if run.name.startswith(name)), None)

    def nodes(self, run: Run) -> dict[str, Node]:
        """A run's nodes by their names."""
        query = f"SELECT n.run, n.sum, n.row FROM nodes n JOIN workflows w ON w.run = n.run WHERE w.uid = '{run.uid}'"
        return {node.name: node for node in self._read(rows.node, query)}

    def items(self) -> list[Item]:
        """The rows that belong to no single run."""
        return self._read(rows.item, "SELECT 0, sum, row FROM items")

    def ended(self, name: str, seconds: float = PATIENCE_SECONDS) -> Run:
        """The run of that name, once it is completed."""
        return until(lambda: run if (run := self.run(name)) is not None and run.phase.completed else None, f"the end of {name}", seconds)

    def launcher(self) -> int:
        """The launcher's pid."""

        def found() -> int | None:
            pids = [pid for pid in processes() if str(self.state / "attempts") in command(pid) and "launcher.py" in command(pid)]
            return pids[0] if len(pids) == 1 else None  # one that finds another in its place ends at once

        return until(found, "one launcher")

    def log_of(self, node: Node) -> str:
        """What a node's last attempt printed, from the pack or file of its run."""
        folder = self.state / "attempts" / node.handle.text.split("/")[0]
        for line in (folder / "journal").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["told"] == "ended" and record["id"] == node.handle.text and "log" in record:
                offset, length = record["log"]
                return (folder / "output").read_bytes()[offset : offset + length].decode()
        return ""

    def clear(self) -> None:
        """End everything that is left."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        marks = re.compile(re.escape(str(self.top)))
        for _ in range(100):
            left = [pid for pid in processes() if marks.search(command(pid)) or marks.search(environment(pid))]
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        if self.state.exists():  # only its own: another's launcher may just be about to listen
            shutil.rmtree(places.directories(self.state / "attempts", None).runtime, ignore_errors=True)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def notify_socket(path: Path) -> Iterator[socket.socket]:
    """A datagram socket where systemd's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(path))
        made.settimeout(PATIENCE_SECONDS)
        yield made
