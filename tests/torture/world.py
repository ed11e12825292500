"""One daemon that is fed and killed again and again, and judged after each kill and at the end."""

import random
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import corpus, laws
from tests.torture.corpus import Dropped
from tests.torture.ledger import FILE_LABEL, Ledger, is_step
from tests.torture.victim import READY_SECONDS, SOURCES, Victim
from tests.torture.witness import Witness
from tiphys.spec.status import Phase

POINT = re.compile(r'faults\.point\("([^"]+)"\)')
DRAIN_SECONDS = 300.0
UNFINISHED = 10
DEFINITIONS = 2 + len(corpus.CRONS)


def points() -> tuple[str, ...]:
    """The names of all points at which a daemon can be killed, from the sources."""
    return tuple(sorted({name for path in SOURCES.rglob("*.py") for name in POINT.findall(path.read_text(encoding="utf-8"))}))


@dataclass(kw_only=True)
class Figures:
    """What was done and what was seen."""

    kills: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    ready_seconds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Take another world's in."""
        self.kills += other.kills
        self.counts += other.counts
        self.ready_seconds += other.ready_seconds
        self.violations += other.violations


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done to a world. `launchers`: these are killed too. `kept`: where it stays if something is broken."""

    seed: str
    kills: int
    isolation: str = "none"
    launchers: bool = False
    width: tuple[int, int] = (200, 1000)
    sweep: bool = False  # each fault point once, in turn, before anything by chance
    files: int = 10_000
    until: float = float("inf")  # on the monotonic clock


class World:
    """A victim, its witness, its ledger."""

    def __init__(self, plan: Plan, top: Path) -> None:
        self.plan = plan
        self.chance = random.Random(plan.seed)
        self.victim = Victim(top, isolation=plan.isolation)
        self.ledger = Ledger(path=self.victim.state / "journal.db")
        self.witness = Witness(self.victim.book)
        self.dropped: dict[str, Dropped] = {}
        self.completed: set[str] = set()
        self.figures = Figures()
        self._adopted: set[str] = set()
        self._learnt: set[str] = set()
        self._relaunched: set[str] = set()
        self._points = list(points())
        self._turn = list(self._points) if plan.sweep else []

    # --------------------------------------------------------------------------------------------------------- feeding
    def define(self, *, suspended: bool) -> None:
        """Put the definitions into the drop folder, or others in their place."""
        self._put("definitions", self._values("", nap=self.chance.choice([0.0, 0.2, 0.4])))
        for number, name in enumerate(("cron-allow", "cron-forbid")):
            values = self._values("", nap=0.1) | {"suspended": str(suspended).lower(), "catch_up": ("all", "latest")[number]}
            self._put(name, values)

    def _put(self, name: str, values: dict[str, str]) -> None:
        self.victim.put(f"{name}.yaml", corpus.text(name, values, patient=self.plan.launchers))

    def _values(self, name: str, nap: float) -> dict[str, str]:
        return {
            "name": name,
            "nap": f"{nap:.2f}",
            "step": str(self.victim.open / "step.sh"),
            "files": str(self.victim.open / "files"),
            "place": self.victim.place,
            "server": self.victim.server,
            "width": str(self.chance.randint(*self.plan.width)),
            "outer": "60" if self.plan.launchers else "4",
        }

    def feed(self) -> None:
        """Drop some files, if there is not enough going on."""
        if len(self.ledger.definitions) < DEFINITIONS:
            return  # a workflow may go before a definition that was dropped just before it
        going = len(self.ledger.unfinished)
        if len(self.dropped) >= self.plan.files or going >= UNFINISHED or len(self.victim.dropped()) > 5:
            return
        for shape in corpus.chosen(self.chance, self.chance.randint(1, 4)):
            name = f"w-{len(self.dropped)}-{shape.name}"
            values = self._values(name, nap=self.chance.choice([0.0, 0.1, 0.3, 0.6, 1.5, 3.0]))
            self.dropped[name] = Dropped(name=name, shape=shape, values=values)
            if shape.beside:
                self.victim.put(f"{name}.params.yaml", shape.beside)
            self.victim.put(f"{name}.yaml", corpus.text(shape.name, values, patient=self.plan.launchers))

    def ask(self, *, everything: bool = False) -> None:
        """Have runs stopped, terminated and resumed that wait for it, and send a workflow."""
        for run in self.ledger.unfinished:
            dropped = self.dropped.get(run.labels.get(FILE_LABEL, ""))
            if dropped and dropped.shape.verb and (everything or self.chance.random() < 0.5):
                status, said = self.victim.ask("PUT", f"/{run.name}/{dropped.shape.verb}")
                if status not in {0, 200, 400, 404, 409}:  # not any more, or not yet
                    self.broken(f"the daemon's answer to {dropped.shape.verb} {run.name} is {status}: {said[:300]}")
                self.figures.counts["requests to the daemon"] += 1
        if not everything and len(self.ledger.unfinished) < UNFINISHED and len(self.ledger.definitions) == DEFINITIONS:
            self._send()

    def _send(self) -> None:
        shape = self.chance.choice([shape for shape in corpus.ALL if shape.runs == 1 and not shape.beside])
        name = f"w-{len(self.dropped)}-{shape.name}"
        values = self._values(name, nap=self.chance.choice([0.0, 0.1, 0.6]))
        written = corpus.text(shape.name, values, patient=self.plan.launchers)
        status, said = self.victim.ask("POST", "", written, "application/yaml")
        if status not in {0, 200}:
            self.broken(f"the daemon's answer to the workflow {name} is {status}: {said[:300]}")
        self.dropped[name] = Dropped(name=name, shape=shape, values=values, by_socket=True, sure=status == 200)
        self.figures.counts["requests to the daemon"] += 1

    # --------------------------------------------------------------------------------------------------------- killing
    def cycle(self) -> None:
        """Start it, let it be for a while, kill it, look."""
        if self.chance.random() < 0.5:
            self.feed()
        if self.chance.random() < 0.05:
            self.define(suspended=False)
        how = self._chosen()
        fault = f"{how}:{1 if self._turn_is(how) else self.chance.choice([1, 1, 2, 3, 5, 10])}" if how in self._points else ""
        self.victim.start(fault)
        self.figures.counts["starts"] += 1
        if how == "early":
            ended = self.victim.wait(self.chance.uniform(0.02, 0.8))
        else:
            ended = self.victim.wait(READY_SECONDS, for_ready=True)
            if ended == "ready":
                self.figures.ready_seconds.append(time.monotonic() - self.victim.began)
                self.feed()
                if self.chance.random() < 0.3:
                    self.ask()
                ended = self._live(how, fault)
            elif not ended:
                self.broken(f"it was not ready within {READY_SECONDS:g} s")
        if not ended and self.chance.random() < 0.05:
            allowed = (0, -signal.SIGTERM) if how == "early" else (0,)  # it may not hear signals yet
            if (code := self.victim.end()) not in allowed:
                self.broken(f"the daemon ended with {code} at SIGTERM")
            self.figures.counts["daemons ended by SIGTERM"] += 1
            self.look()
            return
        code = self.victim.kill()
        if code != -9:
            self.broken(f"the daemon ended by itself with exit code {code}")
        self.figures.kills[f"at {how}" if fault and ended else "at a random moment" if how != "early" else "while it starts"] += 1
        self.look()

    def _turn_is(self, how: str) -> bool:
        return self.plan.sweep and how in self._points

    def _chosen(self) -> str:
        if self._turn:
            return self._turn.pop(0)
        if self.plan.launchers and self.chance.random() < 0.4:
            return self.chance.choice(["launcher", "both"])
        drawn = self.chance.random()
        return "early" if drawn < 0.3 else "late" if drawn < 0.5 else self.chance.choice(self._points)

    def _live(self, how: str, fault: str) -> str:
        """A ready daemon's life; how it ended."""
        if how in {"launcher", "both"}:
            ended = self.victim.wait(self.chance.uniform(0.0, 0.8))
            if self.victim.kill_launcher():
                self.figures.kills["of the launcher"] += 1
            return ended if how == "both" or ended else self.victim.wait(self.chance.uniform(0.0, 1.0))
        return self.victim.wait(2.0 if fault else self.chance.uniform(0.0, 1.2))

    def broken(self, text: str) -> None:
        """Note a violation."""
        self.figures.violations.append(f"[{self.plan.seed} after {self.figures.kills.total()} kills] {text}")

    # --------------------------------------------------------------------------------------------------------- looking
    def look(self) -> None:
        """While the daemon is dead: take in what was committed and what the witness saw."""
        running = set(self.witness.running)
        changed = self.ledger.read()
        ended = {f"{uid}/{node.id}" for uid, node in changed if is_step(node) and node.phase.fulfilled}
        lost = {f"{uid}/{n.id}/{n.attempt}" for (uid, _), n in self.ledger.nodes.items() if laws.INTERRUPTED in n.message}
        for text in self.witness.read(self.completed, lost):
            self.broken(text)
        self.completed |= ended
        open_ = {attempt for attempt in self.witness.running if attempt.rsplit("/", 1)[0] not in self.completed}
        self._adopted |= open_
        self._learnt |= {one for one in self.witness.ends.keys() - running if one.rsplit("/", 1)[0] not in self.completed}
        for (uid, _), node in self.ledger.nodes.items():
            attempt = f"{uid}/{node.id}/{node.attempt}"
            if is_step(node) and node.phase is Phase.PENDING and not node.waiting_for and attempt not in self.witness.starts:
                self._relaunched.add(attempt)

    def finish(self) -> None:
        """Let everything come to its end, and judge."""
        self.define(suspended=True)
        self.victim.start()
        if self.victim.wait(READY_SECONDS, for_ready=True) != "ready":
            self.broken("it was not ready in the end")
        until = time.monotonic() + DRAIN_SECONDS
        watched = Ledger(path=self.ledger.path)
        while time.monotonic() < until:
            ended = self.victim.wait(0.3)
            watched.read()
            self.ledger.runs = watched.runs
            self.ask(everything=True)
            if ended or not (watched.unfinished or watched.outbox or watched.claims or self.victim.dropped()):
                break
        else:
            going = [f"{run.labels.get(FILE_LABEL, run.name)} {run.phase} {run.message}" for run in watched.unfinished]
            self.broken(f"not all came to its end: {going}, {len(watched.outbox)} notices, {self.victim.dropped()}")
        self.victim.wait(3.0)  # for the ttl
        for _ in range(2):  # the second daemon sweeps
            if (code := self.victim.end()) != 0:
                self.broken(f"the daemon ended with {code} at SIGTERM")
            self.look()
            self.victim.start()
            self.victim.wait(READY_SECONDS, for_ready=True)
            self.victim.wait(1.0)
        if (code := self.victim.end()) != 0:
            self.broken(f"the daemon ended with {code} at SIGTERM")
        self.look()
        for text in laws.Laws(self.victim, self.ledger, self.witness, self.dropped, strict=not self.plan.launchers).broken():
            self.broken(text)
        for text in self.victim.complaints():
            self.broken(f"said: {text[:2000]}")
        self._count()

    def _count(self) -> None:
        counts = self.figures.counts
        counts["workflows dropped"] = len(self.dropped)
        counts["workflows of ticks"] = sum(bool(tick.uid) for tick in self.ledger.ticks.values())
        counts["ticks skipped"] = sum(bool(tick.skipped) for tick in self.ledger.ticks.values())
        counts["workflows deleted"] = len(self.ledger.archive.keys() - self.ledger.runs.keys())
        counts["attempts started"] = len(self.witness.starts)
        counts["attempts adopted"] = len(self._adopted)
        counts["ends learnt later"] = len(self._learnt)
        counts["attempts launched after a kill"] = len(self._relaunched & self.witness.starts.keys())
        counts["attempts interrupted"] = sum(laws.INTERRUPTED in node.message for node in self.ledger.nodes.values() if is_step(node))
        told, asked = laws.told_ids(self.victim), laws.asked_of(self.victim)
        counts["notices"], counts["notices told again"] = len(set(told)), len(told) - len(set(told))
        counts["requests"], counts["requests made again"] = len(asked), sum(len(keys) - 1 for keys in asked.values())

    def close(self) -> None:
        """End all processes."""
        self.victim.close()


def run(plan: Plan) -> Figures:
    """Torture one daemon as planned. What breaks a law leaves its folder behind."""
    top = Path(tempfile.mkdtemp(prefix="torture-"))
    world = World(plan, top)
    try:
        world.define(suspended=False)
        while world.figures.kills.total() < plan.kills and time.monotonic() < plan.until:
            world.cycle()
        world.finish()
    except Exception as error:
        world.broken(f"the harness failed: {error!r}; see {top}")
        raise
    finally:
        world.close()
        if world.figures.violations:
            world.figures.violations.append(f"see {top}")
        else:
            shutil.rmtree(top, ignore_errors=True)
    return world.figures
