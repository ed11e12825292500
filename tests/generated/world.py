"""A world without a clock or processes: it carries out what the scheduler commands, tells it what happened, and crashes at will.

Everything follows from a seed: how long an attempt takes and how it ends depend on its name and the seed alone, so a run with
crashes can be held against the same run without.
"""

import random
from datetime import UTC, datetime, timedelta

from tests.generated import busy
from tests.generated.book import Book, danger
from tiphys.scheduler import decide, decision, events, items, laws, records, state
from tiphys.spec import work
from tiphys.spec.workflows import Workflow

UID = "u"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
MOST_STEPS = 3000
MOST_LIVES = 10
DAEMONS = frozenset({"server", "flaky"})
"""Templates of daemons: they are ready after a while, and end when they are asked to, or now and then by themselves."""
Key = tuple[str, int]


class World:
    """One run of one workflow. `crash`: the chance of a crash before each event; `mischief`: of a forged or repeated report. `slice_`: how
    much a decision does at most, where it can be cut.
    """

    def __init__(self, workflow: Workflow, seed: int, *, crash: float = 0.0, mischief: float = 0.1, slice_: int = 300) -> None:
        self._seed = seed
        self._rules = items.Rules(slice=slice_)
        self.slices = 0
        self._lives = 0
        self._crash = crash
        self._mischief = mischief
        self._chance = random.Random(f"{seed}/{crash}")
        self._rows: dict[str, records.Node] = {}
        self._run: records.Run | None = None
        self._manifest: records.Manifest | None = None
        self._live: dict[Key, tuple[datetime | None, work.Outcome]] = {}
        self._ready: dict[Key, datetime] = {}
        self._launched: set[Key] = set()
        self._timers: dict[str, datetime] = {}
        self._book = Book()
        self.now = BEGAN
        self.state = self._fresh()
        self.log: list[events.Event] = []
        self.broken: list[str] = []
        manifest = records.Manifest(uid=UID, workflow=workflow, config_maps=(busy.bounds(random.Random(seed)),))
        self._take(events.Submitted(at=self.now, uid=UID, seed="s", manifest=manifest))

    @property
    def run(self) -> state.RunState:
        """The run as the scheduler has it."""
        return self.state.runs[UID]

    def play(self) -> bool:
        """Let everything happen; whether the run came to its end."""
        for _ in range(MOST_STEPS):
            if self._chance.random() < self._crash:
                self._restart()
            if self.run.run.phase.completed:
                return True
            if not self._next():
                return False
        return False

    def end(self) -> tuple[str, str, dict[str, tuple[str, str]]]:
        """How it ended: the run's phase and message, and those of each node by name."""
        run = self.run.run
        return run.phase, run.message, {node.name: (node.phase, node.message) for node in self.run.nodes.values()}

    def replayed(self) -> dict[str, records.Node]:
        """The rows that the log of events gives when it is decided again from nothing."""
        fresh = self._fresh()
        for event in self.log:
            if isinstance(event, events.DaemonStarted):
                old = fresh.runs[UID]
                fresh = self._fresh()
                fresh.load(old.manifest, old.run, old.nodes.values())
            answer = decide.decide(fresh, event)
            if isinstance(answer, decision.Decision):
                fresh.apply(answer)
        return fresh.runs[UID].nodes

    def _fresh(self) -> state.State:
        made = state.State()
        made.shared.rules = self._rules
        return made

    def _take(self, event: events.Event) -> None:
        """Tell a fact, and let the run go on as long as it has more to do of it; between two slices it may crash."""
        self._tell(event)
        while self.run.rest:
            self.slices += 1
            if self._crashes(0.25):
                self._restart()
                return
            self._tell(events.Continued(at=self.now, uid=UID))
        self.broken += laws.common(self.state)
        self.broken += self._book.faults(self.state, {(UID, key): at for key, at in self._timers.items()})

    def _tell(self, event: events.Event) -> None:
        before = laws.snapshot(self.state, event.uid)
        answer = decide.decide(self.state, event)
        self.log.append(event)
        if laws.snapshot(self.state, event.uid) != before:
            self.broken.append(f"{type(event).__name__}: deciding changed the state")
        if isinstance(answer, decision.Refusal):
            return
        self.broken += laws.step(self.state.runs.get(UID), answer)
        held = laws.held(self.state)
        self.state.apply(answer)
        self.broken += laws.over_locked(held, self.state)
        self.broken += laws.check(self.run)
        for change in answer.changes:
            self._store(change)
        if self._crashes(danger(answer.commands)):  # what was commanded is lost
            self._restart()
            return
        for command in answer.commands:
            self._do(command)

    def _store(self, change: decision.Change) -> None:
        match change:
            case decision.ManifestPut(manifest=manifest):
                self._manifest = manifest
            case decision.RunPut(run=run):
                self._run = run
            case decision.NodePut(node=node):
                self._rows[node.id] = node
            case decision.NodeRemoved(node_id=node_id):
                del self._rows[node_id]
            case decision.RunRemoved():
                raise AssertionError("nobody removes a run here")

    def _do(self, command: decision.Command) -> None:
        self.broken += self._book.note(command)
        match command:
            case decision.Launch(node_id=node_id, attempt=attempt):
                if (node_id, attempt) in self._launched:
                    self.broken.append(f"{node_id}/{attempt} was launched twice")
                self._launch((node_id, attempt))
            case decision.Adopt(node_id=node_id, attempt=attempt):
                if (node_id, attempt) not in self._launched:
                    self._launch((node_id, attempt))
            case decision.StopAttempt(node_id=node_id, attempt=attempt):
                if (node_id, attempt) in self._live:
                    self._live[node_id, attempt] = (self.now, work.Outcome(kind=work.OutcomeKind.STOPPED, exit_code=143))
            case decision.SetTimer(key=key, at=at):
                self._timers[key] = at
            case decision.Finish():
                self._timers.clear()
            case decision.Continue():
                if not self.run.rest:
                    self.broken.append("more is to be done, and nothing is left")
            case decision.Wake():
                self.broken.append("there is no other run to wake")

    def _launch(self, key: Key) -> None:
        self._launched.add(key)
        name = self.run.nodes[key[0]].name
        chance = random.Random(f"{self._seed}/{name}/seconds")
        ends = self.now + timedelta(seconds=chance.randint(1, 6))
        outcome = self._outcome(name, key[1])
        if self.run.nodes[key[0]].template in DAEMONS and chance.random() < 0.9:
            self._ready[key] = ends
            self._live[key] = (ends + timedelta(seconds=chance.randint(1, 9)) if chance.random() < 0.3 else None, outcome)
        else:
            self._live[key] = (ends, outcome)

    def _outcome(self, name: str, attempt: int) -> work.Outcome:
        chance = random.Random(f"{self._seed}/{name}/{attempt}")
        drawn = chance.random()
        if drawn < 0.7:
            return work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1", parameters={"said": "v"})
        if drawn < 0.9:
            return work.Outcome(kind=work.OutcomeKind.FAILED, exit_code=chance.randint(1, 3), message="main: Error (exit code 1)")
        return work.Outcome(kind=work.OutcomeKind.ERROR, message="the engine's own trouble")

    def _next(self) -> bool:
        due: list[tuple[datetime, str, str, int]] = [(at, "timer", key, 0) for key, at in self._timers.items()]
        due += [(at, "exit", node_id, attempt) for (node_id, attempt), (at, _) in self._live.items() if at is not None]
        due += [(at, "ready", node_id, attempt) for (node_id, attempt), at in self._ready.items() if (node_id, attempt) in self._live]
        if not due:
            return False
        at, what, name, attempt = min(due)
        self.now = max(self.now, at)
        if what == "timer":
            del self._timers[name]
            self._take(events.TimerFired(at=self.now, uid=UID, key=name))
        elif what == "ready":
            del self._ready[name, attempt]
            handle = work.Handle(executor="world", text=name)
            self._take(events.Started(at=self.now, uid=UID, node_id=name, attempt=attempt, handle=handle))
            for _ in range(1 + (self._chance.random() < self._mischief)):
                report = work.Report(ready=True, ip="127.0.0.1")
                self._take(events.Reported(at=self.now, uid=UID, node_id=name, attempt=attempt, report=report))
        else:
            self._exit((name, attempt))
        return True

    def _exit(self, key: Key) -> None:
        _, outcome = self._live.pop(key)
        node_id, attempt = key
        handle = work.Handle(executor="world", text=node_id)
        self._take(events.Started(at=self.now, uid=UID, node_id=node_id, attempt=attempt, handle=handle))
        if self._chance.random() < self._mischief:
            self._take(events.Exited(at=self.now, uid=UID, node_id=node_id, attempt=attempt + 7, outcome=outcome))
            self._take(events.Exited(at=self.now, uid=UID, node_id="nobody", attempt=0, outcome=outcome))
        self._book.ended(UID, node_id, attempt)
        exited = events.Exited(at=self.now, uid=UID, node_id=node_id, attempt=attempt, outcome=outcome)
        self._take(exited)
        if self._chance.random() < self._mischief:
            self._take(exited)

    def _crashes(self, share: float) -> bool:
        """Whether it crashes here; not while it goes on after many crashes in a row, for it is to get through in the end."""
        return self._lives < MOST_LIVES and self._chance.random() < self._crash * share

    def _restart(self) -> None:
        self._lives += 1
        try:
            self._go_on()
        finally:
            self._lives -= 1

    def _go_on(self) -> None:
        assert self._run is not None
        assert self._manifest is not None
        self._timers.clear()
        self._book.crash()
        self.state = self._fresh()
        self.state.load(self._manifest, self._run, self._rows.values())
        for command in list(self._book.end_strays(self.state)):
            self._do(command)
        self._take(events.DaemonStarted(at=self.now, uid=UID))
