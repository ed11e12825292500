"""The daemon as it is installed, measured from outside: a workflow's seconds by its own recorded times, CPU by the kernel's."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.running import Tiphysd, until
from tiphys.scheduler.records import Run
from tiphys.spec.status import Phase

CPU_CLOCK = 2
"""What Linux makes of a process' number is the clock of its CPU time, in nanoseconds (clock_getcpuclockid)."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A workflow that ran: how long, and what it cost the daemon and its launcher in CPU seconds."""

    run: Run
    seconds: float
    daemon_cpu: float
    launcher_cpu: float


class Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=600)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(600)
        self.sock.connect(str(self.path))


@dataclass(kw_only=True)
class Subject:
    """A daemon that is ready."""

    daemon: Tiphysd

    @property
    def pid(self) -> int:
        assert self.daemon.process is not None
        return self.daemon.process.pid

    def ask(self, method: str, path: str, body: bytes | None = None, form: str = "application/json") -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = Connection(self.daemon.socket)
        connection.request(method, path, body, {"Content-Type": form} if body else {})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def timed(self, path: str) -> tuple[float, int]:
        """Seconds until all of an answer was there, and its bytes."""
        return timed(self.daemon.socket, path)

    def submit(self, workflow: dict[str, object]) -> float:
        """Submit; seconds until it was accepted."""
        return self.send(json.dumps({"workflow": workflow}).encode(), "application/json")

    def send(self, body: bytes, form: str) -> float:
        """Submit a workflow in this form; seconds until it was accepted."""
        began = time.perf_counter()
        status, said = self.ask("POST", "/api/v1/workflows/default", body, form)
        assert status == 200, said[:500]
        return time.perf_counter() - began

    def carry_out(self, workflow: dict[str, object], *, seconds: float = 600) -> Ran:
        """Submit a workflow and wait for its end, looking now and then at the journal, which costs the daemon nothing."""
        launcher = self.daemon.launcher() if self.daemon.settings.get("executor") != "scripted" else 0
        before = cpu(self.pid), cpu(launcher) if launcher else 0.0
        self.submit(workflow)
        run = self.ended(workflow["metadata"]["name"], seconds)  # type: ignore[index]
        after = cpu(self.pid), cpu(launcher) if launcher else 0.0
        assert run.phase is Phase.SUCCEEDED, run
        assert run.finished_at is not None
        taken = (run.finished_at - run.created_at).total_seconds()
        return Ran(run=run, seconds=taken, daemon_cpu=after[0] - before[0], launcher_cpu=after[1] - before[1])

    def ended(self, name: str, seconds: float) -> Run:
        """A run that is over."""

        def look() -> Run | None:
            time.sleep(0.1)
            found = self.daemon.run(name)
            return found if found is not None and found.phase.completed else None

        return until(look, f"the end of {name}", seconds)

    def stalls(self) -> tuple[int, float]:
        """How often the daemon held its own loop up by computing, and for how many seconds of its CPU the longest time."""
        _, said = self.ask("GET", "/healthz?verbose")
        found = json.loads(said)["stalls"]
        return found["own"], found["longest_own_seconds"] if found["own"] else 0.0


def timed(path: Path, target: str) -> tuple[float, int]:
    """Seconds until all of an answer was read, a piece at a time as a careful client does, and its bytes."""
    began, size = time.perf_counter(), 0
    connection = Connection(path)
    connection.request("GET", target)
    answer = connection.getresponse()
    assert answer.status == 200
    room = bytearray(1 << 18)
    while count := answer.readinto(room):
        size += count
    connection.close()
    return time.perf_counter() - began, size


def cpu(pid: int) -> float:
    """CPU seconds of a process, threads that have ended and all; its children not counted."""
    return time.clock_gettime(~pid << 3 | CPU_CLOCK)


def memory(pid: int, kind: str = "Rss") -> int:
    """Bytes of a process' memory: resident, or of one `kind` of the kernel's (Anonymous: what it has allocated itself)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


@contextmanager
def daemon(*, isolation: str = "none", parallelism: int = 8, synchronous: str = "normal", **settings: object) -> Iterator[Subject]:
    """A fresh daemon over fresh state."""
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as top:
        made = Tiphysd(top=Path(top))
        made.settings = {
            "daemon": {"log_level": "warning"},
            "journal": {"synchronous": synchronous},
            "process": {"isolation": isolation, "parallelism": parallelism},
            "drop": {"sweep_seconds": 5.0, "settle_seconds": 0.5},
            **settings,
        }
        try:
            made.start(ready=False)
            wait_until_ready(made)
            yield Subject(daemon=made)
        finally:
            made.clear()


def wait_until_ready(made: Tiphysd, seconds: float = 120.0) -> None:
    """Until the daemon says on its socket that it is well."""

    def well() -> bool:
        assert made.process is not None
        assert made.process.poll() is None, made.log
        connection = Connection(made.socket)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    until(well, "a daemon that is well", seconds)


def workflow(name: str, templates: list[dict[str, object]], **spec: object) -> dict[str, object]:
    """A Workflow whose entrypoint is `main`."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"entrypoint": "main", "templates": templates, **spec},
    }


def command(name: str, *words: str, inputs: list[str] | None = None) -> dict[str, object]:
    """A template that runs a command."""
    made: dict[str, object] = {"name": name, "container": {"image": "busybox", "command": list(words)}}
    if inputs:
        made["inputs"] = {"parameters": [{"name": one} for one in inputs]}
    return made


def loop(count: int, *words: str, name: str = "loop") -> dict[str, object]:
    """`count` steps that do not wait for each other."""
    main = {"name": "main", "steps": [[{"name": "each", "template": "one", "withSequence": {"count": str(count)}}]]}
    return workflow(name, [main, command("one", *words)])


def chain(count: int, *words: str, name: str = "chain") -> dict[str, object]:
    """`count` steps one after another."""
    main = {"name": "main", "steps": [[{"name": f"s{number}", "template": "one"}] for number in range(count)]}
    return workflow(name, [main, command("one", *words)])


def fan(count: int, name: str = "fan") -> dict[str, object]:
    """`count` steps that each print their number, and one that gets all they printed as one list."""
    each = {
        "name": "each",
        "template": "echo",
        "withSequence": {"count": str(count)},
        "arguments": {"parameters": [{"name": "text", "value": "{{item}}"}]},
    }
    whole = {"name": "all", "template": "all", "dependencies": ["each"]}
    take = {"name": "all", "inputs": {"parameters": [{"name": "list"}]}, "script": {"image": "busybox", "command": ["sh"]}}
    take["script"]["source"] = "cat >/dev/null <<'END'\n{{inputs.parameters.list}}\nEND\n"  # type: ignore[index]
    whole["arguments"] = {"parameters": [{"name": "list", "value": "{{tasks.each.outputs.result}}"}]}
    return workflow(
        name,
        [{"name": "main", "dag": {"tasks": [each, whole]}}, command("echo", "echo", "{{inputs.parameters.text}}", inputs=["text"]), take],
    )


def compiled(source: str, folder: Path) -> Path | None:
    """A C program of this folder, made now; None: this machine has no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    made = folder / source.removesuffix(".c")
    subprocess.run([compiler, "-O2", "-o", str(made), str(Path(__file__).with_name(source))], check=True)
    return made


def prepare(folder: Path) -> None:
    """Measure what is installed, not what is compiled at its first start: byte code is kept, here at least."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
