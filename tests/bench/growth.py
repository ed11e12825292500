"""What a node costs as workflows grow, beside other tools at the same work: programs that do nothing, eight at a time.

CPU is that of the tool and of all that it started, wall time from its start (ours: from the submission) to the end of the last program.
A tool is measured at the next size only if it would take less than MOST_SECONDS of CPU there, should its cost for a node stay the same,
and what takes longer than peers.PATIENCE_SECONDS is cut off and not shown.
"""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import peers, subject
from tests.bench.works import Bench

SIZES = (1000, 10_000, 100_000)
MOST_SECONDS = 120.0
TOO_FEW = 10
"""Who does so many times fewer than others in the same time is not asked for a thousand: Prefect, which would take six minutes."""
OURS, ALONE, LIMIT = "tiphysd", "tiphysd without the programs", "C posix_spawn"
Cost = tuple[float, float]
"""Seconds of CPU, seconds of wall time."""


def growth(bench: Bench) -> None:
    """Rows `growth cpu: TOOL` and `growth wall: TOOL` for each size; with `--peers` also those tools that are to be installed first."""
    slow: set[str] = set()
    for size in SIZES[:2] if bench.quick else SIZES:
        found: dict[str, list[Cost]] = {}
        for _ in range(3 if size == SIZES[0] and not bench.quick else 1):
            for name, way in ways(bench, size).items():
                if name in slow:
                    continue
                try:
                    costs = way()
                except subprocess.SubprocessError as error:
                    print(f"{size:,} × true by {name}: {error}", flush=True)
                    slow.add(name)
                    continue
                for label, cost in costs.items():
                    found.setdefault(label or name, []).append(cost)
                    print(f"{size:,} × true by {label or name}: {cost[0]:.2f} s of CPU, {cost[1]:.2f} s", flush=True)
        for name, taken in found.items():
            row(bench, "cpu", name, size, [cpu for cpu, _ in taken])
            row(bench, "wall", name, size, [wall for _, wall in taken])
            if statistics.median(cpu for cpu, _ in taken) * 10 > MOST_SECONDS:
                slow.add(name)


def row(bench: Bench, kind: str, name: str, size: int, seconds: list[float]) -> None:
    """A line; nothing was measured of ALONE's wall time."""
    if any(seconds):
        made = bench.row(name=f"growth {kind}: {name}", work=f"{size:,} × true, P=8", unit=f"µs {kind} a node")
        for one in seconds:
            made.add(one / size * 1e6)


def ways(bench: Bench, size: int) -> dict[str, Callable[[], dict[str, Cost]]]:
    """How each tool does it; what it did cost, by label ("": the tool's own name)."""
    found: dict[str, Callable[[], dict[str, Cost]]] = {OURS: lambda: ours(size)}
    if bench.limit_program is not None:
        found[LIMIT] = lambda: timed(lambda: bench.spawn_limit(size, 8, "/bin/true"))
    others = peers.system_ways(bench.folder, size)
    if bench.peers:
        others |= peers.python_ways(bench.folder, size, *(name for name, peer in peers.PEERS.items() if peer.fewer < TOO_FEW))
    return found | {name: (lambda way=way: timed(way)) for name, way in others.items()}  # type: ignore[misc] # bound names


def timed(way: Callable[[], object]) -> dict[str, Cost]:
    """What a tool costs that is a child of ours."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    way()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)}


def ours(size: int) -> dict[str, Cost]:
    """A daemon and its launcher; the programs are the launcher's children."""
    with subject.daemon(parallelism=8) as made:
        made.carry_out(subject.loop(50, "true", name="warm"))
        launcher = made.daemon.launcher()
        before, began = with_children(made.pid, launcher), time.time()
        ran = made.carry_out(subject.loop(size, "true"))
        assert ran.run.finished_at is not None
        wall = ran.run.finished_at.timestamp() - began
        return {"": (with_children(made.pid, launcher) - before, wall), ALONE: (ran.daemon_cpu + ran.launcher_cpu, 0.0)}


def with_children(*pids: int) -> float:
    """CPU seconds of processes and of those of their children that have ended."""
    ticks = 0
    for pid in pids:
        ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
