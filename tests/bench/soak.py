"""`make soak`: a daemon under mixed load for two hours, and whether what it holds levels off (samples.py says what that means).

    python -m tests.bench.soak

SOAK_MINUTES (120), SOAK_SEED (chance), SOAK_FLIGHT (50 workflows in flight), SOAK_ISOLATION (full where it can be, else none),
SOAK_SAMPLES (soak.jsonl: a line each 30 seconds, so that a run that is cut off has told what it saw).

Some workflows are dropped into the folder, some sent to the socket; one comes each minute from a CronWorkflow. What waits for
somebody is resumed, stopped or terminated through the socket; a client lists, watches and reads logs now and then. Finished workflows
go after two minutes at most into an archive that keeps ten, so that there is a steady state from a quarter of an hour on. Every
workflow must come to the phase that its shape says, and none may take longer than STUCK_SECONDS. The exit code is 1 if something grows,
was lost, got stuck, came to another phase, or was complained of by the daemon.
"""

import http.client
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import yaml

from tests.bench import load, samples, subject, works
from tests.bench.load import Shape
from tests.bench.subject import Subject
from tests.daemon.running import Tiphysd, until
from tiphys.executors.process import places
from tiphys.journal import rows
from tiphys.scheduler.items import Definition
from tiphys.triggers import claims

SAMPLE_SECONDS = 30.0
TURN_SECONDS = 1.0
STUCK_SECONDS = 400.0
WATCH_SECONDS = 20.0
DRAIN_SECONDS = 180.0
KEPT_SECONDS = 600
LEAST_SAMPLES = 20


@dataclass(kw_only=True)
class Begun:
    """A workflow that was handed over at `at` (on the monotonic clock). `asked`: when its verb was last asked for."""

    shape: Shape
    at: float
    uid: str = ""
    asked: float = 0.0


@dataclass(kw_only=True)
class Soak:
    """The load, and the book of it."""

    ours: Subject
    url: str
    chance: random.Random
    flight: int
    isolated: bool
    going: dict[str, Begun] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    crons: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    requests: int = 0
    _archived: int = 0
    _number: int = 0

    def blame(self, text: str) -> None:
        """Note what is wrong, and say so at once."""
        self.wrong.append(text)
        print(f"{time.strftime('%H:%M:%S')} WRONG {text}", flush=True)

    def define(self) -> None:
        """Put the definitions into the drop folder, and wait until they are in force."""
        wanted = load.definitions()
        self.ours.daemon.drop("definitions.yaml", yaml.safe_dump_all(wanted))
        until(lambda: sum(isinstance(item, Definition) for item in self.ours.daemon.items()) == len(wanted), "the definitions")

    def feed(self) -> None:
        """Begin workflows, some at a time, until enough are in flight."""
        for _ in range(min(self.flight - len(self.going), 4)):
            shape = load.chosen(self.chance)
            name = f"w{self._number}-{shape.name}"
            self._number += 1
            workflow = load.made(shape, name, self.chance, url=self.url, place=self._place(name))
            self.going[name] = Begun(shape=shape, at=time.monotonic())
            self.begun[shape.name] += 1
            if self.chance.random() < 0.25 and shape.phase:
                self._ask("POST", "", {200}, json.dumps({"workflow": workflow}).encode())
            else:
                self.ours.daemon.drop(f"{name}.yaml", yaml.safe_dump(workflow))

    def _place(self, name: str) -> str:
        return "/tmp/soak" if self.isolated else str(self.ours.daemon.shared / name)

    def _ask(self, method: str, path: str, allowed: set[int], body: bytes | None = None) -> None:
        self.requests += 1
        try:
            status, said = self.ours.ask(method, f"/api/v1/workflows/default{path}", body)
        except (OSError, http.client.HTTPException) as error:
            status, said = 0, repr(error).encode()
        if status not in allowed:
            self.blame(f"{method} {path or '(submit)'}: {status} {said[:300].decode()}")

    def steer(self) -> None:
        """Ask what running workflows wait for; a while later again, for one may not have come there yet."""
        now = time.monotonic()
        for name, begun in self.going.items():
            if begun.shape.verb and begun.uid and now - max(begun.at, begun.asked) > 20:
                begun.asked = now
                self._ask("PUT", f"/{name}/{begun.shape.verb}", {200, 400, 404, 409}, b"{}")

    def look(self) -> None:
        """Take in what became of them, from the journal; files that were dealt with are deleted, as nobody else does that."""
        for name, uid, phase, labels in self._found():
            if name.startswith(load.CRON):
                self.crons[uid] = phase
            begun = self.going.get(labels.get(load.LABEL, ""))
            if begun is None:
                continue
            begun.uid = uid
            if phase in {"Succeeded", "Failed", "Error"}:
                self._end(name, begun, phase)
        for why in (self.ours.daemon.dropped / "rejected").glob("*.why"):
            claim = claims.claim_of(why.name.removesuffix(".why"))
            name = claim.name.removesuffix(".yaml") if claim else why.name
            if begun := self.going.get(name):
                self._end(name, begun, "")
        for name in "accepted", "rejected":
            for path in (self.ours.daemon.dropped / name).glob("*"):
                if time.time() - path.stat().st_ctime > 60:
                    path.unlink(missing_ok=True)
        late = [name for name, begun in self.going.items() if time.monotonic() - begun.at > STUCK_SECONDS]
        for name in late:
            self.blame(f"{name} has not ended after {STUCK_SECONDS:g} s (its uid: {self.going.pop(name).uid or 'none'})")

    def _end(self, name: str, begun: Begun, phase: str) -> None:
        del self.going[name]
        self.ended[begun.shape.name] += 1
        self.seconds.append(time.monotonic() - begun.at)
        if phase != begun.shape.phase:
            self.blame(f"{name} came to {phase or 'rejection'}, not {begun.shape.phase or 'rejection'}")
        if not self.isolated:
            shutil.rmtree(self._place(name), ignore_errors=True)

    def _found(self) -> Iterator[tuple[str, str, str, dict[str, str]]]:
        """Name, uid, phase and labels of what the journal has, and of what came into the archive since the last look."""
        database = apsw.Connection(str(self.ours.daemon.state / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(5000)
            with database:
                live = [rows.run.decode(row) for (row,) in database.execute("SELECT row FROM workflows")]
                query = "SELECT number, name, uid, phase, labels FROM archive WHERE number > ? ORDER BY number"
                gone = list(database.execute(query, (self._archived,)))
        finally:
            database.close()
        for run in live:
            yield run.name, run.uid, str(run.phase), dict(run.labels)
        for number, name, uid, phase, labels in gone:
            self._archived = max(self._archived, number)
            yield name, uid, phase, json.loads(labels)

    def follow(self) -> None:
        """A client that comes by: it lists, looks at a workflow, reads its logs, and watches for a moment."""
        self._ask("GET", "?listOptions.limit=20", {200})
        running = [name for name, begun in self.going.items() if begun.uid]
        if running:
            name = self.chance.choice(running)
            self._ask("GET", f"/{name}", {200, 404})
            self._ask("GET", f"/{name}/log?logOptions.container=main", {200, 404})
        self.requests += 1
        connection = subject.Connection(self.ours.daemon.socket)
        try:
            connection.request("GET", "/api/v1/workflow-events/default")
            connection.sock.settimeout(WATCH_SECONDS)
            connection.getresponse().read1(4096)
        except (OSError, http.client.HTTPException) as error:
            self.blame(f"a watch was not told anything within {WATCH_SECONDS:g} s: {error!r}")
        finally:
            connection.close()


@dataclass(kw_only=True)
class Watch:
    """Samples, as they come."""

    soak: Soak
    path: Path
    launcher: int
    taken: list[samples.Sample] = field(default_factory=list)

    def take(self) -> None:
        """One more; written at once."""
        ours = self.soak.ours
        directories = places.directories(ours.daemon.state / "attempts", None)
        if not Path(f"/proc/{self.launcher}/smaps_rollup").exists():
            self.soak.blame("the launcher was replaced")
            self.launcher = ours.daemon.launcher()
        sample = samples.take(ours, self.launcher, directories)
        sample |= {"begun": self.soak.begun.total(), "ended": self.soak.ended.total(), "crons": len(self.soak.crons)}
        sample |= {"wrong": len(self.soak.wrong)}
        self.taken.append(sample)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")


@contextmanager
def daemon(top: Path, url: str, isolation: str) -> Iterator[Subject]:
    """A daemon with its defaults, as far as the work allows: everything durable, what is finished kept for a while."""
    made = Tiphysd(top=top)
    made.settings = {
        "daemon": {"log_level": "warning"},
        "process": {"isolation": isolation, "parallelism": 200, "writable": [str(made.shared)], "grace_seconds": 2.0},
        "retention": {"completed": 100, "failed": 40, "errored": 20, "archive_seconds": KEPT_SECONDS},
        "drop": {"settle_seconds": 0.5, "sweep_seconds": 5.0},
        "notifications": {"told": {"url": url, "phases": ["Failed", "Error"]}},
    }
    try:
        made.start(ready=False)
        subject.wait_until_ready(made)
        yield Subject(daemon=made)
    finally:
        made.clear()


def soak(top: Path, minutes: float, path: Path) -> Watch:
    """Feed for so long, then wait for what is in flight."""
    isolation = os.environ.get("SOAK_ISOLATION") or ("full" if shutil.which("bwrap") and os.geteuid() == 0 else "none")
    seed, flight = os.environ.get("SOAK_SEED") or str(random.randrange(10**6)), int(os.environ.get("SOAK_FLIGHT") or 50)
    print(f"seed {seed}, {flight} workflows in flight, isolation {isolation}, {minutes:g} minutes, in {top}, samples in {path}", flush=True)
    path.write_text("", encoding="utf-8")
    with works.http_server() as url, daemon(top, url, isolation) as ours:
        load_ = Soak(ours=ours, url=url, chance=random.Random(seed), flight=flight, isolated=isolation == "full")
        load_.define()
        watch = Watch(soak=load_, path=path, launcher=ours.daemon.launcher())
        began = time.monotonic()
        try:
            turn(watch, began + minutes * 60, feeding=True)
            turn(watch, time.monotonic() + DRAIN_SECONDS, feeding=False)
        except Exception as error:  # noqa: BLE001 - what was seen until then is told in any case
            load_.blame(f"the soak itself failed: {error!r}")
            traceback.print_exc()
        for text in [f"{name} was lost or is stuck" for name in load_.going] + complaints(ours.daemon):
            load_.blame(text)
        missing = int((time.monotonic() - began) / 60) - 1 - len(load_.crons)
        if missing > 0:
            load_.blame(f"{missing} workflows of the cron workflow are missing")
        load_.wrong += [
            f"a workflow of the cron workflow came to {phase}" for phase in load_.crons.values() if phase in {"Failed", "Error"}
        ]
    return watch


def turn(watch: Watch, end: float, *, feeding: bool) -> None:
    """Turn after turn; samples belong to the time of load."""
    soak, sampled, followed = watch.soak, time.monotonic(), time.monotonic()
    while time.monotonic() < end and (feeding or soak.going):
        began = time.monotonic()
        soak.look()
        soak.steer()
        if feeding:
            soak.feed()
        if began - followed > 7:
            followed = began
            soak.follow()
        if feeding and began - sampled >= SAMPLE_SECONDS:
            sampled += SAMPLE_SECONDS
            watch.take()
        time.sleep(max(began + TURN_SECONDS - time.monotonic(), 0.0))


def complaints(made: Tiphysd) -> list[str]:
    """What the daemon said of mistakes of its own."""
    found = []
    for text in made.log.splitlines():
        line = json.loads(text) if text.startswith("{") else {"level": "error"}
        if line.get("level") in {"error", "critical"} or "exception" in line:
            found.append(f"said: {text[:1000]}")
    return found


def told(watch: Watch) -> str:
    """The counts."""
    soak, taken = watch.soak, watch.taken
    words = [f"{soak.begun.total()} workflows begun, {soak.ended.total()} ended", f"{len(soak.crons)} of the cron workflow"]
    words.append(f"{soak.requests} requests")
    if soak.seconds:
        words.append(f"a workflow's life {statistics.median(soak.seconds):.0f} s")
    if len(taken) > 1:
        ended = taken[-1]["ended"] - taken[0]["ended"]
        cost = {name: 1000 * (taken[-1][name] - taken[0][name]) / max(ended, 1) for name in ("daemon_cpu", "launcher_cpu")}
        words += [f"{name} {milliseconds:.1f} ms a workflow" for name, milliseconds in cost.items()]
    shapes = ", ".join(f"{name} {count}" for name, count in sorted(soak.ended.items()))
    return "; ".join(words) + f"\n{shapes}"


def main() -> int:
    """Soak, print, judge."""
    minutes = float(os.environ.get("SOAK_MINUTES") or 120)
    top = Path(tempfile.mkdtemp(prefix="tiphys-soak-"))
    watch = soak(top, minutes, Path(os.environ.get("SOAK_SAMPLES") or "soak.jsonl"))
    print(told(watch))
    grown = []
    if watch.taken:
        verdicts = samples.judged(watch.taken)
        print(samples.table(verdicts))
        if len(watch.taken) >= LEAST_SAMPLES:
            grown = [verdict.series.name for verdict in verdicts if verdict.series.judged and not verdict.levels_off]
        else:
            print(f"too short for a verdict: {len(watch.taken)} samples")
    print("it levels off, and nothing was lost" if not (grown or watch.soak.wrong) else f"grows: {', '.join(grown) or 'nothing'}")
    if watch.soak.wrong:
        print(f"see {top}")
    else:
        shutil.rmtree(top, ignore_errors=True)
    return 1 if grown or watch.soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
