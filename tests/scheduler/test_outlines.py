"""What a retry of a large run would do is seen beforehand, on a thread: the decision is the same with and without, and short with it."""

import time
from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from tests.bench import large
from tests.scheduler import going
from tiphys.manifests import reading
from tiphys.scheduler import decision, events, redoing, stills
from tiphys.scheduler.decide import decide
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.state import RunState, State
from tiphys.spec import work
from tiphys.spec.status import Phase

NOW = datetime(2031, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MOST_SECONDS = 0.045
"""Of CPU, on a machine that does other work beside; it is 0.017 alone, and was 0.12 before."""


def failed(shape: str, size: int, every: int) -> State:
    """A run in which each so many-th step failed."""
    state, count = State(), 0
    waiting: deque[decision.Launch] = deque()
    (workflow,) = large.documents(large.SHAPES[shape](size))

    def take(event: events.Event) -> None:
        waiting.extend(command for command in going.commands(state, event) if isinstance(command, decision.Launch))

    take(events.Submitted(at=NOW, uid="u", seed="s", manifest=Manifest(uid="u", workflow=workflow)))
    while waiting:
        launch, count = waiting.popleft(), count + 1
        kind = work.OutcomeKind.SUCCEEDED if count % every else work.OutcomeKind.FAILED
        outcome = work.Outcome(kind=kind, exit_code=0 if count % every else 1, result="1")
        take(events.Exited(at=NOW, uid="u", node_id=launch.node_id, attempt=launch.attempt, outcome=outcome))
    assert state.runs["u"].run.phase is Phase.FAILED
    return state


def retried(state: State, outlined: redoing.Outline | None) -> tuple[RunState, list[decision.Command]]:
    state.runs["u"].outlined = outlined
    commands = going.commands(state, events.Asked(at=LATER, uid="u", wish=events.Retry()))
    return state.runs["u"], commands


@pytest.mark.parametrize("shape", ["sequence", "dag", "groups", "chain"])
def test_a_retry_is_the_same_when_it_was_looked_at_before(shape: str) -> None:
    with_, without = failed(shape, 60, 7), failed(shape, 60, 7)
    outlined = redoing.outline(stills.of(with_.runs["u"]), LATER)
    assert outlined.doomed
    (one, first), (other, second) = retried(with_, outlined), retried(without, None)
    assert (one.run, one.nodes, one.counters) == (other.run, other.nodes, other.counters)
    assert first == second
    assert one.outlined is None


def test_what_was_seen_of_another_moment_is_not_gone_by() -> None:
    with_, without = failed("sequence", 60, 7), failed("sequence", 60, 7)
    seen = redoing.outline(stills.of(with_.runs["u"]), LATER)
    for stale in (structs.replace(seen, decided=seen.decided - 1), structs.replace(seen, at=NOW), structs.replace(seen, restart=("x",))):
        state = failed("sequence", 60, 7)
        assert retried(state, structs.replace(stale, doomed=(), open=()))[0].nodes == retried(without, None)[0].nodes
        without = failed("sequence", 60, 7)


def test_the_retry_of_ten_thousand_nodes_is_a_short_decision() -> None:
    def taken() -> float:
        state = failed("sequence", 10_000, 2)
        state.runs["u"].outlined = redoing.outline(stills.of(state.runs["u"]), LATER)
        with reading.collections_paused():
            began = time.thread_time()
            made = decide(state, events.Asked(at=LATER, uid="u", wish=events.Retry()))
            assert isinstance(made, decision.Decision)
            state.apply(made)
            return time.thread_time() - began

    shortest = min(taken() for _ in range(2))
    assert shortest < MOST_SECONDS, f"{shortest * 1000:.0f} ms"
