"""What is measured: one function for each line of the targets, each round of ours beside a round of its limit."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import yaml

from tests.bench import held, subject
from tests.bench.measured import Row
from tests.daemon.running import TOP, Tiphysd


@dataclass(kw_only=True)
class Bench:
    """How much is measured, and where; `..._program` None: this machine has no compiler. `peers`: tools may be installed to compare."""

    quick: bool
    peers: bool = False
    folder: Path
    limit_program: Path | None
    stamp_program: Path | None
    rows: list[Row] = field(default_factory=list)
    stalls: int = 0
    longest_stall: float = 0.0

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5

    def size(self, whole: int, quick: int) -> int:
        """How much work: for a full run, or for a quick one."""
        return quick if self.quick else whole

    def row(self, **fields: object) -> Row:
        """A new line."""
        made = Row(**fields)  # type: ignore[arg-type]
        self.rows.append(made)
        return made

    def spawn_limit(self, count: int, parallel: int, *words: str, files: bool = False) -> float | None:
        """Seconds the C loop takes for the same programs."""
        if self.limit_program is None:
            return None
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            argv = [str(self.limit_program), str(count), str(parallel), made if files else "-", *words]
            return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[0])

    def look_at_stalls(self, made: subject.Subject) -> None:
        """Add up what a daemon says of its own loop."""
        count, longest = made.stalls()
        self.stalls += count
        self.longest_stall = max(self.longest_stall, longest)


def path(program: str) -> str:
    """Where a program is."""
    return shutil.which(program) or f"/bin/{program}"


def spawn(bench: Bench, *, synchronous: str = "normal") -> None:
    """Steps that do nothing; and the same as `full`, where each commit waits for the disk."""
    count = bench.size(1000, 500)
    full = synchronous == "full"
    for parallel in (8,) if full else (8, 32):
        work = f"{count} × true, P={parallel}, {synchronous.upper()}"
        name = "full" if full else "spawn"
        row = bench.row(name=name, work=work, unit="/s", limited_by="C posix_spawn", target=0.65 if full else 0.80)
        make = None
        if shutil.which("make") and not full:
            make = bench.row(name=name, work=work, unit="/s", limited_by=f"make -j{parallel}", target=0.95)
        with subject.daemon(parallelism=parallel, synchronous=synchronous) as ours:
            ours.carry_out(subject.loop(50, "true", name="warm"))
            for number in range(bench.rounds):
                rate = count / ours.carry_out(subject.loop(count, "true", name=f"l{number}")).seconds
                limit = bench.spawn_limit(count, parallel, "/bin/true")
                row.add(rate, None if limit is None else count / limit)
                if make is not None:
                    make.add(rate, count / made_by_make(bench.folder, count, parallel))
            bench.look_at_stalls(ours)


def made_by_make(folder: Path, count: int, parallel: int) -> float:
    """Seconds `make` takes for the same programs."""
    place = folder / f"Makefile.{count}"
    targets = " ".join(f"t{number}" for number in range(count))
    place.write_text(f"all: {targets}\n.PHONY: all {targets}\n{targets}:\n\t@true\n", encoding="utf-8")
    began = time.perf_counter()
    subprocess.run(["make", "-s", f"-j{parallel}", "-f", str(place)], check=True)
    return time.perf_counter() - began


def isolated(bench: Bench) -> None:
    """Steps under the product's own isolation, beside bare bubblewrap with the same namespaces."""
    if shutil.which("bwrap") is None:
        return
    count = bench.size(1000, 200)
    bare = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid", "--unshare-ipc", "/bin/true"]
    for parallel in (8, 32):
        row = bench.row(name="spawn-isolated", work=f"{count} × true, P={parallel}", unit="/s", limited_by="bare bwrap", target=0.80)
        with subject.daemon(isolation="full", parallelism=parallel) as ours:
            ours.carry_out(subject.loop(50, "true", name="warm"))
            for number in range(bench.rounds):
                rate = count / ours.carry_out(subject.loop(count, "true", name=f"l{number}")).seconds
                limit = bench.spawn_limit(count, parallel, path("bwrap"), *bare)
                row.add(rate, None if limit is None else count / limit)


def chain(bench: Bench) -> None:
    """Steps one after another."""
    row = bench.row(name="chain", work="200 × true in turn", unit="/s", limited_by="C posix_spawn, P=1", target=0.60)
    with subject.daemon(parallelism=1) as ours:
        ours.carry_out(subject.chain(20, "true", name="warm"))
        for number in range(bench.rounds):
            rate = 200 / ours.carry_out(subject.chain(200, "true", name=f"c{number}")).seconds
            limit = bench.spawn_limit(200, 1, "/bin/true")
            row.add(rate, None if limit is None else 200 / limit)
        bench.look_at_stalls(ours)


def fan(bench: Bench) -> None:
    """Many steps that print, and one that gets all of it as a list."""
    count = bench.size(10_000, 1000)
    row = bench.row(name="fan", work=f"{count:,} × echo → one list, P=8", unit="/s", limited_by="C posix_spawn into files", target=0.80)
    make = bench.row(name="fan", work=f"{count:,} × echo → one list, P=8", unit="/s", limited_by="make -j8 into files", target=1.1)
    with subject.daemon(parallelism=8) as ours:
        ours.carry_out(subject.fan(20, name="warm"))
        for number in range(min(bench.rounds, 3)):
            rate = count / ours.carry_out(subject.fan(count, name=f"f{number}")).seconds
            limit = bench.spawn_limit(count, 8, "/bin/echo", "12345", files=True)
            row.add(rate, None if limit is None else count / limit)
            make.add(rate, count / fanned_by_make(bench.folder, count))
        bench.look_at_stalls(ours)


def fanned_by_make(folder: Path, count: int) -> float:
    """Seconds `make` takes to have as many files made, and one of all of them."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        rule = "%.out:\n\t@echo $* > $@\n"
        text = f"all: {' '.join(f'{number}.out' for number in range(count))}\n\t@cat *.out > list\n{rule}"
        Path(made, "Makefile").write_text(text, encoding="utf-8")
        began = time.perf_counter()
        subprocess.run(["make", "-s", "-j8"], check=True, cwd=made)
        return time.perf_counter() - began


def cpu(bench: Bench) -> None:
    """CPU of the daemon and its launcher for a step that does nothing."""
    count = bench.size(10_000, 1000)
    work = f"{count:,} × true, P=8"
    total = bench.row(name="cpu", work=work, unit="µs a step", of="ours", least=False, target=250)
    daemon = bench.row(name="cpu: daemon", work=work, unit="µs a step")
    launcher = bench.row(name="cpu: launcher", work=work, unit="µs a step")
    with subject.daemon(parallelism=8) as ours:
        ours.carry_out(subject.loop(50, "true", name="warm"))
        for number in range(min(bench.rounds, 3)):
            ran = ours.carry_out(subject.loop(count, "true", name=f"l{number}"))
            daemon.add(ran.daemon_cpu / count * 1e6)
            launcher.add(ran.launcher_cpu / count * 1e6)
            total.add((ran.daemon_cpu + ran.launcher_cpu) / count * 1e6)
        bench.look_at_stalls(ours)


def http(bench: Bench) -> None:
    """GETs as steps, beside the same client alone; the server is a process of its own."""
    count = bench.size(1000, 500)
    row = bench.row(name="http", work=f"{count} GETs, P=50", unit="/s", limited_by="the aiohttp client alone", target=0.75)
    with http_server() as url, subject.daemon(http={"parallelism": 50}) as ours:
        one = {"name": "one", "http": {"url": url, "method": "GET"}}
        main = {"name": "main", "steps": [[{"name": "each", "template": "one", "withSequence": {"count": str(count)}}]]}
        for number in range(-1, bench.rounds):
            ran = ours.carry_out(subject.workflow(f"h{number + 1}", [main, one]))
            alone = subprocess.run(
                [sys.executable, "-m", "tests.bench.http_peer", "client", url, str(count)],
                capture_output=True,
                text=True,
                check=True,
                cwd=TOP,
            )
            if number >= 0:  # the first opens the connections
                row.add(count / ran.seconds, count / float(alone.stdout))
        bench.look_at_stalls(ours)


@contextmanager
def http_server() -> Iterator[str]:
    """A server that answers at once."""
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.http_peer", "server"], stdout=subprocess.PIPE, text=True, cwd=TOP)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


def recover(bench: Bench) -> None:
    """A daemon that was killed with half of many nodes done: how long to the next step; what it then holds; how it shows that."""
    nodes = bench.size(100_000, 10_000)
    empty = idle_memory()
    row = bench.row(
        name="recover", work=f"{nodes:,} nodes, half done", unit="s", of="ours", least=False, target=1.0, limited_by="scan and decode"
    )
    held_ = bench.row(name="memory", work=f"{nodes:,} nodes held", unit="kB a node", of="ours", least=False, target=1.5)
    limited_by = "aiohttp with the bytes at hand"
    shown = bench.row(name="status", work="", unit="s", of="ours", least=False, target=0.15, limited_by=limited_by)
    again = bench.row(name="status: again", work="", unit="s", of="ours", least=False, target=0.15, limited_by=limited_by)
    with tempfile.TemporaryDirectory(dir=bench.folder) as made:
        kept = Path(made, "state")
        anyio.run(held.fill, kept, nodes)
        for number in range(min(bench.rounds, 3)):
            with tempfile.TemporaryDirectory(dir=bench.folder) as top:
                daemon = Tiphysd(top=Path(top))
                daemon.settings = {"daemon": {"log_level": "warning"}, "journal": {"synchronous": "normal"}}
                shutil.copytree(kept, daemon.state)
                limit = held.scan(daemon.state)
                try:
                    row.add(held.started(daemon), limit)
                    subject.wait_until_ready(daemon)
                    time.sleep(0.5)
                    ours = subject.Subject(daemon=daemon)
                    held_.add((subject.memory(ours.pid, "Anonymous") - empty) / nodes / 1000)
                    if number == 0:
                        ours.ask("GET", "/api/v1/version")
                    path = f"/api/v1/workflows/default/{held.NAME}"
                    first, size = ours.timed(path)
                    later = min(ours.timed(path)[0] for _ in range(3))
                    floor = ready_bytes(Path(top), size)
                    shown.add(first, floor)
                    again.add(later, floor)
                    shown.work = again.work = f"status of {nodes:,} nodes, {size / 1e6:.0f} MB"
                finally:
                    daemon.clear()


def ready_bytes(folder: Path, size: int) -> float:
    """Seconds for so many bytes that need not be made, from aiohttp over a Unix socket to the same client."""
    path = folder / "ready.sock"
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.http_peer", "bytes", path, str(size)], stdout=subprocess.PIPE, cwd=TOP)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        return min(subject.timed(path, "/")[0] for _ in range(3))
    finally:
        server.kill()
        server.wait()


def idle_memory() -> int:
    """Bytes of a daemon that has nothing to do."""
    with subject.daemon() as ours:
        time.sleep(0.5)
        return subject.memory(ours.pid, "Anonymous")


def scale(bench: Bench) -> None:
    """What a node costs the daemon, by the size of the workflow; the steps themselves cost nothing."""
    sizes = (1000, 3000, 10_000) if bench.quick else (1000, 10_000, 100_000)
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(1 if bench.quick else 3):
        for size in sizes:
            with subject.daemon(executor="scripted") as ours:
                ours.carry_out(subject.loop(50, "true", name="warm"))
                found[size].append(ours.carry_out(subject.loop(size, "true")).daemon_cpu / size * 1e6)
                bench.look_at_stalls(ours)
    for size in sizes:
        last = size == sizes[-1]
        row = bench.row(
            name="scale",
            work=f"{size:,} nodes, scripted",
            unit="µs CPU a node",
            least=False,
            target=1.3 if last else None,
            limited_by=f"{sizes[0]:,} nodes" if last else "",
        )
        for taken, first in zip(found[size], found[sizes[0]], strict=True):
            row.add(taken, first if last else None)


def idle(bench: Bench) -> None:
    """A daemon with nothing to do."""
    seconds = bench.size(60, 10)
    used = bench.row(name="idle", work=f"{seconds} s", unit="% of a core", of="ours", least=False, target=0.05)
    held_ = bench.row(name="idle: memory", work=f"{seconds} s", unit="MB", of="ours", least=False, target=60)
    with subject.daemon() as ours:
        ours.carry_out(subject.loop(10, "true", name="warm"))
        time.sleep(3)
        for _ in range(1 if bench.quick else 2):
            before = subject.cpu(ours.pid)
            time.sleep(seconds)
            used.add((subject.cpu(ours.pid) - before) / seconds * 100)
        held_.add(subject.memory(ours.pid) / 1e6)


def start(bench: Bench) -> None:
    """`tiphys run` of one step: to the step's own time stamp, and to the command's end."""
    first = bench.row(
        name="start",
        work="exec to first step done",
        unit="ms",
        of="ours",
        least=False,
        target=300,
        limited_by="python -c 'import asyncio, sqlite3'",
    )
    whole = bench.row(name="start: to exit", work="exec to exit of `tiphys run`", unit="ms")
    place = bench.folder / "touched"
    place.mkdir(exist_ok=True)
    settings = bench.folder / "run.yaml"
    settings.write_text(f'{{"state_directory": "{bench.folder}/run", "process": {{"writable": ["{place}"]}}}}', encoding="utf-8")
    one = bench.folder / "one.yaml"
    one.write_text(json.dumps(subject.workflow("one", [command_that_touches(place / "done")])), encoding="utf-8")
    for number in range(-1, bench.rounds * 2):
        (place / "done").unlink(missing_ok=True)
        began = time.time()
        subprocess.run(
            [sys.executable, "-m", "tiphys", "run", str(one)],
            env={**os.environ, "TIPHYS_CONFIG": str(settings), "PYTHONPATH": str(TOP / "daemon")},
            capture_output=True,
            check=True,
        )
        ended = time.time()
        done = (place / "done").stat().st_mtime_ns / 1e9
        bare = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import asyncio, sqlite3"], check=True)
        limit = time.perf_counter() - bare
        if number >= 0:  # the first compiles
            first.add((done - began) * 1000, limit * 1000)
            whole.add((ended - began) * 1000)


def command_that_touches(path_: Path) -> dict[str, object]:
    """A step whose end can be read off a file."""
    return subject.command("main", "touch", str(path_))


def submit(bench: Bench) -> None:
    """A large file, accepted."""
    tasks = bench.size(10_000, 2000)
    row = bench.row(name="submit", work="", unit="s", of="ours", least=False, target=0.5)
    written = bench.row(name="submit: YAML", work="", unit="s", of="ours", least=False, target=0.5)
    text = "dependency: of a task that waits for the one before it, with a sentence as its parameter, " * 4
    listed = [
        {
            "name": f"t{number}",
            "template": "one",
            "dependencies": [f"t{number - 1}"] if number else [],
            "arguments": {"parameters": [{"name": "text", "value": f"{number}: {text}"}]},
        }
        for number in range(tasks)
    ]
    made = subject.workflow(
        "large", [{"name": "main", "dag": {"tasks": listed}}, subject.command("one", "true", inputs=["text"])], suspend=True
    )
    block = yaml.dump({**made, "metadata": {"name": "written"}}, Dumper=yaml.CSafeDumper, width=1000).encode()
    row.work = f"{tasks:,} tasks, {len(json.dumps(made)) / 1e6:.1f} MB, POST"
    written.work = f"{tasks:,} tasks, {len(block) / 1e6:.1f} MB, POST"
    for _ in range(bench.rounds):
        with subject.daemon() as ours:
            ours.submit(subject.loop(1, "true", name="warm"))
            row.add(ours.submit(made))
            written.add(ours.send(block, "application/yaml"))
            bench.look_at_stalls(ours)


def latency(bench: Bench) -> None:
    """From the end of a step to the start of its successor, beside others that run."""
    if bench.stamp_program is None:
        return
    stamp = str(bench.stamp_program)
    steps = bench.size(200, 60)
    for beside in (0, 99, 999):
        work = f"{steps} in turn, {beside + 1:,} running"
        middle = bench.row(name="latency p50", work=work, unit="ms", limited_by="C posix_spawn, P=1")
        late = bench.row(name="latency p99", work=work, unit="ms")
        with subject.daemon(parallelism=beside + 2) as ours:
            ours.carry_out(subject.chain(5, "true", name="warm"))
            if beside:
                ours.submit(subject.loop(beside, "sleep", "600", name="beside"))
                time.sleep(2 + beside / 200)
            for number in range(1 if bench.quick else 3):
                made = subject.chain(steps, stamp, name=f"c{number}")
                for one in made["spec"]["templates"][0]["steps"]:  # type: ignore[index]
                    one[0]["arguments"] = {"parameters": [{"name": "before", "value": ""}]}
                text = subject.command("one", stamp, inputs=["before"])
                made["spec"]["templates"][1] = text  # type: ignore[index]
                for index, one in enumerate(made["spec"]["templates"][0]["steps"][1:]):  # type: ignore[index]
                    one[0]["arguments"]["parameters"][0]["value"] = f"{{{{steps.s{index}.outputs.result}}}}"
                run = ours.carry_out(made).run
                nodes = ours.daemon.nodes(run).values()
                stamps = sorted(float(node.outputs.result) for node in nodes if node.outputs and node.outputs.result)
                gaps = sorted(1000 * (after - before) for before, after in itertools.pairwise(stamps))
                limit = bench.spawn_limit(steps, 1, stamp, files=True)
                middle.add(gaps[len(gaps) // 2], None if limit is None else 1000 * limit / steps)
                late.add(gaps[int(len(gaps) * 0.99)])
            bench.look_at_stalls(ours)
            ours.daemon.end(signal.SIGKILL)


def stalls(bench: Bench) -> None:
    """What the daemons said of their own loops in all of this."""
    row = bench.row(name="stalls", work="over 20 ms of own CPU, in all benches", unit="", of="ours", least=False, target=0)
    row.add(bench.stalls)
    row.note = f"longest {bench.longest_stall * 1000:.0f} ms of CPU"


WORKS: dict[str, Callable[[Bench], None]] = {
    "spawn": spawn,
    "spawn-isolated": isolated,
    "chain": chain,
    "fan": fan,
    "cpu": cpu,
    "http": http,
    "full": lambda bench: spawn(bench, synchronous="full"),
    "recover": recover,
    "scale": scale,
    "idle": idle,
    "start": start,
    "submit": submit,
    "latency": latency,
    "stalls": stalls,
}
