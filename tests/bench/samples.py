"""What a daemon holds, looked at from outside while it works: samples as JSON lines, and whether each series levels off.

A series levels off if it grows by less than its bound over the last half of the run: its slope there is the median of the slopes
between all pairs of samples (Theil and Sen's, which a few outliers do not bend), its growth that slope times the length of the half,
and the bound a share of the half's median, or `room` (in the series' own unit) where that is more, for counts that are small.

    python -m tests.bench.samples soak.jsonl     judges a run that was cut off
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from tests.bench.measured import number
from tests.bench.subject import Subject, cpu, memory
from tiphys.executors.process.places import Directories

Sample = dict[str, float]
SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Series:
    """A figure of the samples: its unit and divisor for people. `room`: growth that is none. `judged`: else it is only shown."""

    name: str
    unit: str = ""
    divisor: float = 1.0
    room: float = 0.0
    share: float = SHARE
    judged: bool = True


MEGA = 1e6
SERIES = (
    Series(name="daemon_rss", unit="MB", divisor=MEGA, share=0.03),
    Series(name="daemon_pss", unit="MB", divisor=MEGA, judged=False),  # it grows when others that share its libraries end
    Series(name="daemon_anonymous", unit="MB", divisor=MEGA, share=0.03),
    Series(name="launcher_rss", unit="MB", divisor=MEGA, share=0.03, room=0.3e6),
    Series(name="daemon_fds", room=3),
    Series(name="daemon_threads", room=2),
    Series(name="launcher_fds", room=5),
    Series(name="run_folders", room=10),
    Series(name="homes", room=3),
    Series(name="runtime_entries", room=10),
    Series(name="roots", room=3),
    Series(name="artifacts", room=10),
    Series(name="wal", unit="MB", divisor=MEGA, room=1e6),
    Series(name="database", unit="MB", divisor=MEGA, room=1e6),
    Series(name="pages", room=250),
    Series(name="free_pages", judged=False),
    Series(name="live", room=10),
    Series(name="archived", room=20),
    Series(name="items_claim", room=5),
    Series(name="items_outbox", room=5),
    Series(name="items_tick", judged=False),  # 500 are kept of each cron workflow: hours of one that comes each minute
    Series(name="state_files", room=20),
    Series(name="log", unit="kB", divisor=1e3, judged=False),
    Series(name="stalls", judged=False),
    Series(name="own_stalls", judged=False),
    Series(name="longest_stall", unit="s", judged=False),
    Series(name="daemon_cpu", unit="s", judged=False),
    Series(name="launcher_cpu", unit="s", judged=False),
)


def take(ours: Subject, launcher: int, directories: Directories) -> Sample:
    """A sample, now."""
    state = ours.daemon.state
    _, said = ours.ask("GET", "/healthz?verbose")
    stalls = json.loads(said)["stalls"]
    found = {
        "at": time.time(),
        "daemon_rss": memory(ours.pid),
        "daemon_pss": memory(ours.pid, "Pss"),
        "daemon_anonymous": memory(ours.pid, "Anonymous"),
        "launcher_rss": memory(launcher),
        "daemon_fds": held(f"/proc/{ours.pid}/fd"),
        "daemon_threads": held(f"/proc/{ours.pid}/task"),
        "launcher_fds": held(f"/proc/{launcher}/fd"),
        "run_folders": sum(not path.name.startswith(".") for path in directories.root.iterdir()),
        "homes": sum(".home" in path.name or path.name.startswith("home.") for path in directories.scratch.iterdir()),
        "runtime_entries": entries(directories.runtime),
        "roots": entries(directories.root / ".roots") if (directories.root / ".roots").exists() else 0,
        "artifacts": sum(len(files) for _, _, files in os.walk(state / "artifacts")),
        "state_files": sum(len(files) for _, _, files in os.walk(state)),
        "wal": size(state / "journal.db-wal"),
        "database": size(state / "journal.db"),
        "log": size(ours.daemon.top / "log"),
        "stalls": stalls["count"],
        "own_stalls": stalls["own"],
        "longest_stall": stalls["longest_seconds"],
        "daemon_cpu": cpu(ours.pid),
        "launcher_cpu": cpu(launcher),
        "load": os.getloadavg()[0],
    }
    return found | counted(state / "journal.db")


def held(place: str) -> int:
    """How many descriptors or threads a process has."""
    return sum(1 for _ in Path(place).iterdir())


def entries(folder: Path) -> int:
    """How many things are directly in a folder and in its folders; a step's root, which has the whole host in it, is not entered."""
    return sum(1 + (sum(1 for _ in path.iterdir()) if path.name == "scratch" else 0) for path in folder.iterdir())


def size(path: Path) -> int:
    """Bytes of a file; 0 where it is not."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def counted(path: Path) -> Sample:
    """Rows and pages of a database that is in use."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        database.set_busy_timeout(5000)
        kinds = dict(database.execute("SELECT kind, count(*) FROM items GROUP BY kind"))
        found = {name: next(database.execute(sql))[0] for name, sql in COUNTS.items()}
        return found | {"items": sum(kinds.values())} | {f"items_{kind.lower()}": count for kind, count in kinds.items()}
    finally:
        database.close()


COUNTS = {
    "live": "SELECT count(*) FROM workflows",
    "archived": "SELECT count(*) FROM archive",
    "nodes": "SELECT count(*) FROM nodes",
    "events": "SELECT count(*) FROM events",
    "pages": "SELECT page_count FROM pragma_page_count()",
    "free_pages": "SELECT freelist_count FROM pragma_freelist_count()",
}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points."""
    found = [(y - b) / (x - a) for index, (x, y) in enumerate(points) for a, b in points[:index] if x != a]
    return statistics.median(found) if found else 0.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a series. `growth`: over the last half, `bound`: how much would have been too much."""

    series: Series
    shown: tuple[float, float, float, float]
    growth: float
    bound: float

    @property
    def levels_off(self) -> bool:
        """Whether it does; one that shrinks does too."""
        return self.growth <= self.bound

    def cells(self) -> tuple[str, ...]:
        """As text."""
        figures = [f"{number(value / self.series.divisor)} {self.series.unit}".strip() for value in self.shown]
        growth = f"{self.growth / self.series.divisor:+.2f} (bound {self.bound / self.series.divisor:.2f})"
        judged = ("levels off" if self.levels_off else "GROWS") if self.series.judged else ""
        return self.series.name, *figures, growth if self.series.judged else "", judged


def judged(samples: Sequence[Sample]) -> list[Verdict]:
    """Every series' verdict; its figures are medians of some samples at the start, after a third, two thirds, and at the end."""
    half = samples[len(samples) // 2 :]
    length = half[-1]["at"] - half[0]["at"]
    verdicts = []
    for series in SERIES:
        values = [sample.get(series.name, 0.0) for sample in samples]
        some = min(5, max(len(values) // 4, 1))
        spots = [(len(values) - some) * part // 3 for part in range(4)]
        shown = [statistics.median(values[spot : spot + some]) for spot in spots]
        last = values[len(samples) // 2 :]
        growth = slope([(sample["at"], value) for sample, value in zip(half, last, strict=True)]) * length
        bound = max(series.room, series.share * statistics.median(last))
        verdicts.append(Verdict(series=series, shown=(shown[0], shown[1], shown[2], shown[3]), growth=growth, bound=bound))
    return verdicts


def table(verdicts: Sequence[Verdict]) -> str:
    """All of it, in columns."""
    lines = [("series", "start", "1/3", "2/3", "end", "growth over the last half", ""), *(verdict.cells() for verdict in verdicts)]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


if __name__ == "__main__":
    print(table(judged([json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()])))
