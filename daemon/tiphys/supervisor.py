"""The supervisor: runs the containers of one pod as processes that share one place, in Argo's order (semantics 2.18).

Init containers run one after another; then the main containers, each once what it depends on has exited 0, with the sidecars beside
them, which are ended when the last main container is over. It tells how they are in a file, for its executor to read now or later.
It is started in the step's own place as `python -I -S supervisor.py SPEC STATE`, imports nothing but the standard library, and knows
neither workflows nor templates: SPEC is a JSON file that says what to run.

SPEC: {"grace": seconds, "containers": [{"name", "role": init|main|sidecar, "argv", "env", "cwd", "needs": [names], "tries": n,
"pause": seconds, "result": bool, "log": path|"", "probe": {...}|null}]}.
STATE: {"ready": bool, "containers": [{"name", "role", "phase", "code", "failure", "started_at", "ended_at"}]}, replaced as a whole at
each change.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any

CANNOT_START = 64  # what Argo's own wrapper exits with where a command cannot be started, or what it depends on failed
KILLED = frozenset({128 + signal.SIGKILL, 128 + signal.SIGTERM})
TICK_SECONDS = 1.0
COPY_SECONDS = 5.0
OVER = frozenset({"succeeded", "failed", "error"})
Json = dict[str, Any]


class Container:
    """One container: what to run, and how it is."""

    def __init__(self, spec: Json) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.role: str = spec["role"]
        self.process: subprocess.Popen[bytes] | None = None
        self.phase = "pending"
        self.code: int | None = None
        self.failure = ""
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.tries = 0
        self.again_at = 0.0
        self.ready = False
        self.copies: list[threading.Thread] = []

    @property
    def over(self) -> bool:
        """Whether it has ended for good."""
        return self.phase in OVER

    def start(self) -> None:
        """Start it, or find that this cannot be done."""
        self.tries += 1
        self.again_at = 0.0
        self.started_at = self.started_at or time.time()
        environment = {os.fsencode(key): value.encode("latin-1") for key, value in self.spec["env"].items()}
        try:
            if not os.path.isdir(self.spec["cwd"]):
                os.makedirs(self.spec["cwd"], exist_ok=True)
            out, log = 1 if self.spec["result"] else 2, self.spec["log"]
            self.process = subprocess.Popen(
                self.spec["argv"],
                env=environment,
                cwd=self.spec["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if log else out,
                stderr=subprocess.PIPE if log else None,
                start_new_session=True,
            )
            if log:
                self.keep(log, out)
        except (OSError, ValueError) as error:
            self.failure = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            self.end(CANNOT_START)
            return
        self.phase = "running"

    def keep(self, log: str, out: int) -> None:
        """Copy what it prints to a file of its own, too."""
        assert self.process is not None
        for stream, to in ((self.process.stdout, out), (self.process.stderr, 2)):
            assert stream is not None
            self.copies.append(threading.Thread(target=copy, args=(stream.fileno(), to, log, stream), daemon=True))
            self.copies[-1].start()

    def look(self) -> bool:
        """Whether its process has ended since the last look. What a process leaves behind in its session dies with it."""
        if self.process is None or (code := self.process.poll()) is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None
        self.ready = False
        for thread in self.copies:
            thread.join(COPY_SECONDS)
        self.copies = []
        code = code if code >= 0 else 128 - code
        if code and self.tries < self.spec["tries"] and not STOPPING:
            self.again_at = time.monotonic() + self.spec["pause"]
        else:
            self.end(code)
        return True

    def end(self, code: int) -> None:
        """It has ended for good."""
        self.code, self.ended_at = code, time.time()
        self.phase = "succeeded" if code == 0 else "error" if code == CANNOT_START else "failed"

    def signal(self, number: int) -> None:
        """Signal its whole session."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def shown(self) -> Json:
        """How it is, for the state file."""
        names = ("name", "role", "phase", "code", "failure", "started_at", "ended_at")
        return {name: getattr(self, name) for name in names}


def copy(source: int, to: int, log: str, _held: object) -> None:
    """Copy a stream to its end into a file and to another stream."""
    with open(log, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while data := os.read(source, 65536):
            file.write(data)
            view = memoryview(data)
            while view:
                view = view[os.write(to, view) :]


STOPPING: list[int] = []
"""Not empty: we were asked to end, and start nothing more. Whoever asks signals every process of the step itself."""


class Pod:
    """All containers of one attempt."""

    def __init__(self, spec: Json, state: str) -> None:
        self.containers = [Container(one) for one in spec["containers"]]
        self.by_name = {container.name: container for container in self.containers}
        self.grace: float = spec["grace"]
        self.state = state
        self.told = ""
        self.wakes, self.wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def of(self, role: str) -> list[Container]:
        """The containers of a role, in the template's order."""
        return [container for container in self.containers if container.role == role]

    def run(self) -> int:
        """Run everything to its end; the exit code of the whole."""
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda number, _frame: STOPPING.append(number))
        self.tell()
        if self.initialise():
            for container in (*self.of("sidecar"), *self.of("main")):
                self.watch(container)
            self.carry_on(self.of("main"))
            self.end_sidecars()
        self.tell()
        return self.verdict()

    def initialise(self) -> bool:
        """Run the init containers one after another; whether all exited 0."""
        for container in self.of("init"):
            if not STOPPING:
                self.carry_on([container])
            if container.code != 0:
                return False
        return True

    def carry_on(self, wanted: list[Container]) -> None:
        """Start what may start and wait until all of `wanted` are over."""
        beside = self.of("sidecar") if wanted and wanted[0].role == "main" else []
        while True:
            for container in (*beside, *wanted):
                self.go_on(container)
            self.tell()
            if all(container.over for container in wanted):
                return
            if STOPPING and not any(container.process for container in wanted):
                return
            self.wait()
            for container in self.containers:
                container.look()

    def go_on(self, container: Container) -> None:
        """Start a container whose turn it is, for the first time or again."""
        if container.over or container.process is not None or STOPPING:
            return
        if container.tries:
            if time.monotonic() >= container.again_at:
                container.start()
            return
        needs = [self.by_name[name] for name in container.spec["needs"]]
        if any(need.over and need.code != 0 for need in needs):
            container.failure = "a container it depends on failed"
            container.end(CANNOT_START)
        elif all(need.over for need in needs):
            container.start()

    def end_sidecars(self) -> None:
        """SIGTERM, the grace, SIGKILL."""
        sidecars = self.of("sidecar")
        kill_at = time.monotonic() + self.grace
        for container in sidecars:
            container.spec["tries"] = 0
            container.signal(signal.SIGTERM)
        while any(container.process for container in sidecars):
            if time.monotonic() >= kill_at:
                for container in sidecars:
                    container.signal(signal.SIGKILL)
            self.wait()
            for container in sidecars:
                container.look()

    def wait(self) -> None:
        """Until a child ends, a signal comes, a probe has news, or something is due."""
        due = [container.again_at for container in self.containers if container.again_at]
        timeout = min([TICK_SECONDS, *(max(0.0, at - time.monotonic()) for at in due)])
        select.select([self.wakes], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakes, 4096)

    def verdict(self) -> int:
        """The exit code that speaks for the pod: of init, then main, then sidecars that were not just ended."""
        for role in ("init", "main", "sidecar"):
            for container in self.of(role):
                if container.code and not (role == "sidecar" and container.code in KILLED):
                    return container.code
        return 128 + signal.SIGTERM if STOPPING else 0

    def tell(self) -> None:
        """Write the state down, if it has changed."""
        serving = (*self.of("main"), *self.of("sidecar"))
        ready = all(one.over if one.phase == "succeeded" else one.phase == "running" and self.answers(one) for one in serving)
        text = json.dumps({"ready": ready, "containers": [container.shown() for container in self.containers]})
        if text != self.told:
            self.told = text
            with open(f"{self.state}.new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(f"{self.state}.new", self.state)

    def answers(self, container: Container) -> bool:
        """Whether a running container is ready: at once without a probe."""
        return container.ready or container.spec["probe"] is None

    def watch(self, container: Container) -> None:
        """Let a thread ask the container's readiness probe, for ever."""
        if container.spec["probe"] is not None:
            threading.Thread(target=self.probe, args=(container, container.spec["probe"]), daemon=True).start()

    def probe(self, container: Container, probe: Json) -> None:
        """Ask and count, as Kubernetes does."""
        passed = failed = 0
        time.sleep(probe["delay"])
        while not container.over:
            if container.process is not None:
                good = ask(probe, container)
                passed, failed = (passed + 1, 0) if good else (0, failed + 1)
                was = container.ready
                container.ready = passed >= probe["success"] or (was and failed < probe["failure"])
                if was != container.ready:
                    os.write(self.wake, b"p")
            time.sleep(probe["period"])


def ask(probe: Json, container: Container) -> bool:
    """One question of a probe: a command that exits 0, an HTTP answer from 200 to 399, or a port that accepts."""
    timeout = float(probe["timeout"])
    try:
        if command := probe.get("exec"):
            environment = {os.fsencode(key): value.encode("latin-1") for key, value in container.spec["env"].items()}
            quiet = subprocess.DEVNULL
            done = subprocess.run(
                command, env=environment, cwd=container.spec["cwd"], timeout=timeout, stdin=quiet, stdout=quiet, stderr=quiet, check=False
            )
            return done.returncode == 0
        if request := probe.get("http"):
            return ask_http(request, timeout)
        import socket

        with socket.create_connection((probe["tcp"]["host"], probe["tcp"]["port"]), timeout):
            return True
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def ask_http(request: Json, timeout: float) -> bool:
    """One GET; certificates are not looked at, as Kubernetes does not."""
    import http.client
    import ssl

    where = (request["host"], request["port"])
    try:
        if request["tls"]:
            context = ssl._create_unverified_context()  # noqa: S323, SLF001 (a probe asks whether somebody answers, not who)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(*where, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(*where, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("GET", request["path"], headers=dict(request["headers"]))
            return 200 <= connection.getresponse().status < 400
    except http.client.HTTPException:
        return False


def main() -> int:
    """Run the pod that the arguments name."""
    spec, state = sys.argv[1:3]
    with open(spec, encoding="utf-8") as file:
        return Pod(json.load(file), state).run()


if __name__ == "__main__":
    sys.exit(main())
