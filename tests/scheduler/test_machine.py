"""Whatever the world does to a workflow, every law holds, a crash changes nothing, and it comes to an end.

The world here starts and ends attempts in any order, repeats old reports, makes up false ones, lets timers go off late or
for no reason, crashes between any two facts, and has operators who stop, suspend, resume, set and retry.
`HYPOTHESIS_PROFILE=fuzz pytest tests/scheduler/test_machine.py` looks longer.
"""

import os

import hypothesis
import hypothesis.strategies as st
from hypothesis import stateful

from tests.scheduler import drawn
from tests.scheduler.driver import UID, Driver
from tiphys.scheduler import events
from tiphys.spec import work
from tiphys.spec.status import Phase

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20000")) if FUZZ else 150
RESULTS = ["1", '"text"', "heads", "[1, 2]", ""]
KINDS = [work.OutcomeKind.SUCCEEDED] * 5 + [work.OutcomeKind.FAILED] * 2 + [work.OutcomeKind.ERROR, work.OutcomeKind.INTERRUPTED]
places = st.integers(0, 1000)


@st.composite
def outcomes(draw: st.DrawFn) -> work.Outcome:
    """How an attempt may end."""
    kind = draw(st.sampled_from(KINDS))
    code = {work.OutcomeKind.SUCCEEDED: 0, work.OutcomeKind.FAILED: draw(st.integers(1, 3))}.get(kind)
    message = "connect: connection refused" if kind is work.OutcomeKind.ERROR else "main: Error" if code else ""
    parameters = {"said": draw(st.sampled_from(RESULTS))} if draw(st.booleans()) else {}
    return work.Outcome(kind=kind, exit_code=code, message=message, result=draw(st.sampled_from(RESULTS)), parameters=parameters)


class Machine(stateful.RuleBasedStateMachine):
    """One drawn workflow in that world."""

    @stateful.initialize(seed=st.integers(0, 2**32))
    def submit(self, seed: int) -> None:
        self.driver = Driver(drawn.workflow(seed))

    def _live(self, place: int) -> tuple[str, int] | None:
        live = list(self.driver.live)
        return live[place % len(live)] if live else None

    @stateful.rule(place=places, outcome=outcomes())
    def an_attempt_runs_and_ends(self, place: int, outcome: work.Outcome) -> None:
        if key := self._live(place):
            self.driver.start(key)
            self.driver.exit(key, outcome)

    @stateful.rule(place=places)
    def an_attempt_starts(self, place: int) -> None:
        if key := self._live(place):
            self.driver.start(key)

    @stateful.rule(place=places, outcome=outcomes())
    def an_attempt_ends(self, place: int, outcome: work.Outcome) -> None:
        if key := self._live(place):
            self.driver.exit(key, outcome)

    @stateful.rule(place=places)
    def an_old_report_comes_again(self, place: int) -> None:
        if self.driver.reported:
            self.driver.take(self.driver.reported[place % len(self.driver.reported)])

    @stateful.rule(place=places, off=st.integers(1, 3), outcome=outcomes())
    def a_report_is_made_up(self, place: int, off: int, outcome: work.Outcome) -> None:
        nodes = list(self.driver.run.nodes.values())
        node_id, attempt = (nodes[place % len(nodes)].id, nodes[place % len(nodes)].attempt + off) if nodes else ("nobody", 0)
        exited = events.Exited(at=self.driver.now, uid=UID, node_id=node_id, attempt=attempt, outcome=outcome)
        assert not self.driver.take(exited)
        assert not self.driver.take(events.Exited(at=self.driver.now, uid="other", node_id=node_id, attempt=0, outcome=outcome))

    @stateful.rule()
    def a_timer_goes_off(self) -> None:
        if self.driver.timers:
            self.driver.fire()

    @stateful.rule(place=places)
    def a_timer_goes_off_that_nobody_set(self, place: int) -> None:
        keys = [*self.driver.run.nodes, "", "nobody"]
        self.driver.take(events.TimerFired(at=self.driver.now, uid=UID, key=keys[place % len(keys)]))

    @stateful.rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.driver.later(seconds)

    @stateful.rule()
    def it_crashes(self) -> None:
        self.driver.crash()

    @stateful.precondition(lambda self: self.driver.log and len(self.driver.log) > 4)
    @stateful.rule(wish=st.sampled_from([events.Stop(), events.Terminate()]), sure=st.integers(0, 3))
    def somebody_ends_it(self, wish: events.Wish, sure: int) -> None:
        if not sure:
            self.driver.ask(wish)

    @stateful.rule(wish=st.sampled_from([events.Suspend(), events.Resume(), events.Resume()]))
    def somebody_suspends_or_resumes_it(self, wish: events.Wish) -> None:
        self.driver.ask(wish)

    @stateful.rule(place=places, phase=st.sampled_from([Phase.UNKNOWN, Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR]))
    def somebody_answers(self, place: int, phase: Phase) -> None:
        if waiting := self.driver.suspended():
            node_id = waiting[place % len(waiting)]
            self.driver.ask(events.SetNode(nodes=(node_id,), phase=phase, parameters={"said": "yes"}))
            self.driver.ask(events.Resume(nodes=(node_id,)))

    @stateful.rule()
    def somebody_retries_it(self) -> None:
        self.driver.ask(events.Retry())

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.finish()


Machine.TestCase.settings = hypothesis.settings(
    max_examples=EXAMPLES,
    stateful_step_count=60 if FUZZ else 30,
    deadline=None,
    derandomize=not FUZZ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TestMachine = Machine.TestCase
