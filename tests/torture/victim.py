"""A real daemon in a process of its own, with state, settings, drop folder and witness of its own: started, fed, killed, looked into."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from tiphys.executors.process import places
from tiphys.executors.process.places import Directories

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "daemon"
TELL = 'printf "%s\\n" "$TIPHYS_NOTICE_ID" >>"$0"; sync "$0"'
PASSED = ("PATH", "HOME", "LANG", "TZ")
READY_SECONDS = 90.0


class Local(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Victim:
    """Everything of one daemon below the folder `top`."""

    def __init__(self, top: Path, *, isolation: str) -> None:
        self.top = top
        self.isolation = isolation
        self.state = top / "state"
        self.drop = self.state / "drop"
        self.open = top / "open"  # what steps may write
        self.book, self.notices, self.requests = self.open / "book", top / "notices", top / "requests"
        self.log = top / "daemon.log"
        self.place = str(self.open / "files") if isolation == "none" else "/tmp/torture"
        (self.open / "files").mkdir(parents=True)
        step = self.open / "step.sh"
        step.write_bytes((HERE / "step.sh").read_bytes())
        self.config = top / "tiphys.yaml"
        self.config.write_text(yaml.safe_dump(self._settings()), encoding="utf-8")
        self.directories: Directories = places.directories(self.state / "attempts", None)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(top / "notify"))
        self._server = subprocess.Popen(
            [sys.executable, "-I", str(HERE / "server.py"), str(self.requests)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        self.server = f"http://127.0.0.1:{self._server.stdout.readline().strip()}"
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0

    def _settings(self) -> Mapping[str, object]:
        return {
            "state_directory": str(self.state),
            "process": {
                "isolation": self.isolation,
                "writable": [str(self.open)],
                "parallelism": 10,
                "grace_seconds": 1.0,
                "env": {"TORTURE_BOOK": str(self.book)},
            },
            "daemon": {"socket": str(self.top / "api.sock"), "parallelism": 8, "log_format": "json"},
            "drop": {"sweep_seconds": 1.0, "settle_seconds": 0.1},
            "retention": {"completed": 60, "pod_gc_delay_seconds": 0.1},
            "notifications": {
                "told": {"command": ["sh", "-c", TELL, str(self.notices)], "phases": ["Running", "Succeeded", "Failed", "Error"]},
            },
        }

    # -------------------------------------------------------------------------------------------------------- its life
    def start(self, fault: str = "") -> None:
        """Start the daemon; `fault`: where it will kill itself."""
        self._drain_notify()
        environment = {name: os.environ[name] for name in PASSED if name in os.environ}
        environment |= {"PYTHONPATH": str(SOURCES), "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "torture-bytecode"))}
        environment |= {"NOTIFY_SOCKET": str(self.top / "notify"), "PYTHONUTF8": "1"}
        if fault:
            environment["TIPHYS_FAULT"] = fault
        command = [sys.executable, "-c", "from tiphys.__main__ import tiphysd; tiphysd()", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.began = time.monotonic()
            self.process = subprocess.Popen(command, env=environment, cwd=self.top, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _drain_notify(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._notify.recv(4096, socket.MSG_DONTWAIT):
                pass

    def wait(self, seconds: float, *, for_ready: bool = False) -> str:
        """Wait until it has ended ("ended"), says that it is ready ("ready"), or the time is over ("")."""
        assert self.process is not None
        until = time.monotonic() + seconds
        pid = os.pidfd_open(self.process.pid)
        try:
            while (left := until - time.monotonic()) > 0:
                readable, _, _ = select.select([pid, self._notify], [], [], left)
                if pid in readable:
                    self.process.wait()
                    return "ended"
                if self._notify in readable and b"READY=1" in self._notify.recv(4096) and for_ready:
                    return "ready"
        finally:
            os.close(pid)
        return ""

    def kill(self) -> int:
        """SIGKILL; how it ended, which may have been before."""
        assert self.process is not None
        self.process.kill()
        code = self.process.wait()
        self.process = None
        return code

    def end(self, seconds: float = 60.0) -> int | None:
        """SIGTERM; its exit code, None: it does not end."""
        assert self.process is not None
        self.process.terminate()
        if self.wait(seconds) != "ended":
            self.kill()
            return None
        code, self.process = self.process.returncode, None
        return code

    # ---------------------------------------------------------------------------------------------------------- its launcher
    def launchers(self) -> list[int]:
        """The launchers of this daemon's steps."""
        own = str(self.directories.root).encode()
        found = {pid for pid, words in _processes("cmdline") if b"launcher.py" in words and own in words.split(b"\0")}
        return [pid for pid in found if _parent(pid) not in found]  # a step that is just being started looks like its launcher

    def kill_launcher(self) -> bool:
        """SIGKILL for the launcher; whether there was one."""
        found = self.launchers()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    def steps(self) -> list[int]:
        """Processes of this daemon's steps, whatever has become of daemon and launcher."""
        mark = f"TORTURE_BOOK={self.book}".encode()
        return [pid for pid, words in _processes("environ") if mark in words.split(b"\0")]

    # ----------------------------------------------------------------------------------------------------------- its socket
    def ask(self, method: str, path: str, body: str = "{}", kind: str = "application/json", seconds: float = 10.0) -> tuple[int, str]:
        """The status and text of the daemon's answer; 0: it was killed before it gave one."""
        connection = Local(self.top / "api.sock", seconds)
        try:
            connection.request(method, f"/api/v1/workflows/default{path}", body.encode(), {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    # ----------------------------------------------------------------------------------------------------------- its folder
    def put(self, name: str, text: str) -> None:
        """Drop a file, as one should: written aside, then renamed."""
        self.drop.mkdir(parents=True, exist_ok=True)
        aside = self.drop / f".{name}"
        aside.write_text(text, encoding="utf-8")
        aside.rename(self.drop / name)

    def dropped(self) -> list[str]:
        """Files of work that are still to be taken, or on their way."""
        waiting = [path.name for path in self.drop.glob("*.yaml") if path.name.startswith("w-")]
        return waiting + [path.name for path in (self.drop / "claimed").glob("*")]

    def complaints(self) -> list[str]:
        """What the daemon said of mistakes of its own."""
        found = []
        if not self.log.exists():
            return found
        for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                found.append(text)
                continue
            refused = line.get("event") == "file rejected" and "-broken" not in line.get("file", "")
            if line.get("level") in {"error", "critical"} or "exception" in line or refused:
                found.append(text)
        return found

    def close(self) -> None:
        """End all of it."""
        if self.process is not None:
            self.kill()
        for pid in self.launchers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 10
        while self.launchers() and time.monotonic() < until:
            time.sleep(0.02)
        self.kill_launcher()
        for pid in self.steps():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.kill()
        self._server.wait()
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._notify.close()


def _processes(what: str) -> list[tuple[int, bytes]]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((int(path.name), (path / what).read_bytes()))
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0
