"""A world that tells the scheduler anything in any order, and crashes when it likes.

Two schedulers hear the same facts. One is crashed: its memory is dropped, and built again from the rows of all changes it made.
The other never is. Whatever the first decides, the second must decide too.
"""

import random
from datetime import UTC, datetime, timedelta

from tests.generated import busy
from tests.generated.book import Book
from tiphys.errors import TiphysError
from tiphys.scheduler import decide, decision, events, laws, orders, records, state
from tiphys.spec import work
from tiphys.spec.status import NodeType
from tiphys.spec.workflows import Workflow

UID = "u"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
Key = tuple[str, int]


class Rows:
    """What a journal would have."""

    def __init__(self) -> None:
        self.manifest: records.Manifest | None = None
        self.run: records.Run | None = None
        self.nodes: dict[str, records.Node] = {}

    def take(self, change: decision.Change) -> None:
        """Keep a change."""
        match change:
            case decision.ManifestPut(manifest=manifest):
                self.manifest = manifest
            case decision.RunPut(run=run):
                self.run = run
            case decision.NodePut(node=node):
                self.nodes[node.id] = node
            case decision.NodeRemoved(node_id=node_id):
                del self.nodes[node_id]
            case decision.RunRemoved():
                raise AssertionError("nobody removes a run here")

    def loaded(self) -> state.State:
        """A scheduler's memory made from the rows."""
        assert self.manifest is not None
        assert self.run is not None
        fresh = state.State()
        fresh.load(self.manifest, self.run, self.nodes.values())
        return fresh


class Driver:
    """One run. `live` are the attempts that run in the world; `timers` what the scheduler waits for."""

    def __init__(self, workflow: Workflow) -> None:
        self.now = BEGAN
        self.rows = Rows()
        self.crashing = state.State()
        self.steady = state.State()
        self.live: dict[Key, bool] = {}
        self.launched: set[Key] = set()
        self.timers: dict[str, datetime] = {}
        self._book = Book()
        self.reported: list[events.Event] = []
        self.log: list[events.Event] = []
        manifest = records.Manifest(uid=UID, workflow=workflow, config_maps=(busy.bounds(random.Random(workflow.metadata.name)),))
        self.take(events.Submitted(at=self.now, uid=UID, seed="seed", manifest=manifest))

    @property
    def run(self) -> state.RunState:
        """The run in the memory that crashes."""
        return self.crashing.runs[UID]

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.run.run.phase.completed

    # facts

    def take(self, event: events.Event) -> bool:
        """Tell both schedulers, hold what they decide against the laws and each other; whether it was taken."""
        made = self._decide(self.crashing, event)
        steady = self._decide(self.steady, event)
        self.log.append(event)
        after, steadily = _comparable(made), _comparable(steady)
        assert after == steadily, f"a crash before this changed what is decided now: {after} instead of {steadily}"
        if isinstance(made, decision.Refusal):
            return False
        assert isinstance(steady, decision.Decision)
        self._apply(made)
        self.steady.apply(steady)
        assert self.run.nodes == self.steady.runs[UID].nodes
        assert self.run.run == self.steady.runs[UID].run
        return True

    def crash(self) -> None:
        """Drop the memory of one scheduler, and let it go on from the rows."""
        if self.over:
            return
        self.crashing = self.rows.loaded()
        self.timers.clear()
        self._book.crash()
        event = events.DaemonStarted(at=self.now, uid=UID)
        self.log.append(event)
        made = self._decide(self.crashing, event)
        assert isinstance(made, decision.Decision)
        before = dict(self.run.nodes)
        self._apply(made)
        assert self.run.nodes == before, "going on after a crash is no reason to change anything"

    def _decide(self, told: state.State, event: events.Event) -> decision.Decision | decision.Refusal:
        before = laws.snapshot(told, UID)
        made = decide.decide(told, event)
        assert laws.snapshot(told, UID) == before, "deciding changed the state"
        assert decide.decide(told, event) == made, "the same fact on the same state was decided otherwise"
        return made

    def _apply(self, made: decision.Decision) -> None:
        broken, held = laws.step(self.crashing.runs.get(UID), made), laws.held(self.crashing)
        self.crashing.apply(made)
        broken += [*laws.check(self.run), *laws.common(self.crashing), *laws.over_locked(held, self.crashing)]
        for change in made.changes:
            self.rows.take(change)
        for command in made.commands:
            broken += self._book.note(command)
            self._do(command)
        broken += self._book.faults(self.crashing, {(UID, key): at for key, at in self.timers.items()})
        assert not broken, broken

    # commands

    def _do(self, command: decision.Command) -> None:
        match command:
            case decision.Launch(node_id=node_id, attempt=attempt):
                assert (node_id, attempt) not in self.launched, "launched twice"
                self._launch((node_id, attempt))
            case decision.Adopt(node_id=node_id, attempt=attempt):
                assert (node_id, attempt) in self.launched, "adopted what was never launched"
            case decision.StopAttempt(node_id=node_id, attempt=attempt):
                if (node_id, attempt) in self.live:
                    self.live[node_id, attempt] = True
            case decision.SetTimer(key=key, at=at):
                self.timers[key] = at
            case decision.Finish():
                self.timers.clear()
            case decision.Wake():
                raise AssertionError("there is no other run to wake")

    def _launch(self, key: Key) -> None:
        self.launched.add(key)
        self.live[key] = False
        try:
            orders.build(self.run, key[0], self.now)
        except TiphysError:
            return  # the engine reports it as an Error; here it ends as the test likes

    # the world

    def start(self, key: Key) -> None:
        """An attempt says that it runs."""
        handle = work.Handle(executor="world", text=key[0])
        self._report(events.Started(at=self.now, uid=UID, node_id=key[0], attempt=key[1], handle=handle))

    def exit(self, key: Key, outcome: work.Outcome) -> None:
        """An attempt ends."""
        stopped = self.live.pop(key)
        self._book.ended(UID, *key)
        if stopped and outcome.kind is not work.OutcomeKind.SUCCEEDED:
            outcome = work.Outcome(kind=work.OutcomeKind.STOPPED, exit_code=143)
        self._report(events.Exited(at=self.now, uid=UID, node_id=key[0], attempt=key[1], outcome=outcome))

    def _report(self, event: events.Event) -> None:
        self.reported.append(event)
        self.take(event)

    def fire(self) -> None:
        """The next timer goes off, in time."""
        at, key = min((at, key) for key, at in self.timers.items())
        self.now = max(self.now, at)
        del self.timers[key]
        self.take(events.TimerFired(at=self.now, uid=UID, key=key))

    def later(self, seconds: int) -> None:
        """Time passes; timers are late."""
        self.now += timedelta(seconds=seconds)

    def ask(self, wish: events.Wish) -> bool:
        """Somebody wants something."""
        return self.take(events.Asked(at=self.now, uid=UID, wish=wish, who="somebody"))

    def suspended(self) -> list[str]:
        """Ids of suspend nodes that wait."""
        return [node.id for node in self.run.nodes.values() if node.type is NodeType.SUSPEND and not node.phase.fulfilled]

    # the end

    def finish(self) -> None:
        """Let everything come to its end, and hold the log of events against the rows."""
        for _ in range(2000):
            if self.over:
                break
            if self.live:
                self.exit(next(iter(self.live)), work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1"))
            elif self.timers:
                self.fire()
            else:
                waiting = self.suspended()
                assert waiting or self.run.run.suspended, "nothing will happen any more"
                if not self.ask(events.Resume()):
                    self.ask(events.SetNode(nodes=tuple(waiting), parameters={"said": "so"}))
        assert self.over, "it does not come to its end"
        assert self.replayed() == self.rows.nodes, "the events, decided again, give other rows"

    def replayed(self) -> dict[str, records.Node]:
        """The rows that the events give when they are decided again from nothing."""
        rows = Rows()
        told = state.State()
        for event in self.log:
            if isinstance(event, events.DaemonStarted):
                told = rows.loaded()
            made = decide.decide(told, event)
            if isinstance(made, decision.Decision):
                told.apply(made)
                for change in made.changes:
                    rows.take(change)
        return rows.nodes


def _comparable(made: decision.Decision | decision.Refusal) -> object:
    """What a decision changes and commands, in any order: a crash may change in which order equal things are looked at."""
    if isinstance(made, decision.Refusal):
        return made
    return {repr(change) for change in made.changes}, {repr(command) for command in made.commands}
