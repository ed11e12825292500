"""Large workflows in small: what a node costs does not grow with their number, and no decision does too much."""

import json
from collections import deque
from datetime import UTC, datetime

import pytest

from tests.bench import large
from tests.bench.test_costs import calls
from tests.scheduler import going
from tiphys import manifests
from tiphys.scheduler import decision, events, orders
from tiphys.scheduler.items import Rules
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.state import State
from tiphys.settings import LimitSettings
from tiphys.spec import work
from tiphys.spec.status import Phase

NOW = datetime(2031, 5, 6, tzinfo=UTC)
MOST_OF_A_SLICE = 2
SHAPES = ("sequence", "param", "dag", "chain", "groups", "crowd")


def carried_out(shape: str, size: int) -> tuple[int, State]:
    """The largest decision of a shape that is played to its end, in changes and commands; and what is left of it."""
    runs, largest = State(), 0
    waiting: deque[decision.Launch] = deque()

    def take(event: events.Event) -> None:
        nonlocal largest
        for _, made in going.entries(runs, event):
            largest = max(largest, len(made.changes) + len(made.commands))
            waiting.extend(command for command in made.commands if isinstance(command, decision.Launch))

    for number, workflow in enumerate(large.documents(large.SHAPES[shape](size))):
        take(events.Submitted(at=NOW, uid=f"u{number}", seed="s", manifest=Manifest(uid=f"u{number}", workflow=workflow)))
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1")
    while waiting:
        launch = waiting.popleft()
        orders.build(runs.runs[launch.uid], launch.node_id, NOW)
        take(events.Exited(at=NOW, uid=launch.uid, node_id=launch.node_id, attempt=launch.attempt, outcome=outcome))
    assert all(state.run.phase is Phase.SUCCEEDED for state in runs.runs.values())
    return largest, runs


@pytest.mark.parametrize("shape", SHAPES)
def test_a_node_costs_the_same_in_a_workflow_ten_times_as_large(shape: str) -> None:
    carried_out(shape, 100)
    few, many = (calls(lambda size=size: carried_out(shape, size)) / size for size in (300, 3000))  # type: ignore[misc]
    assert many < 1.1 * few, f"{few:.0f} calls a node with 300, {many:.0f} with 3,000"


@pytest.mark.parametrize("shape", SHAPES)
def test_no_decision_is_larger_however_large_the_workflow(shape: str) -> None:
    assert carried_out(shape, 3000)[0] < MOST_OF_A_SLICE * Rules().slice


def test_what_is_taken_up_again_is_taken_up_in_slices() -> None:
    runs = State()
    (workflow,) = large.documents(large.sequence(3000))
    going.commands(runs, events.Submitted(at=NOW, uid="u", seed="s", manifest=Manifest(uid="u", workflow=workflow)))
    old, fresh = runs.runs["u"], State()
    fresh.load(old.manifest, old.run, old.nodes.values())
    made = [made for _, made in going.entries(fresh, events.DaemonStarted(at=NOW, uid="u"))]
    assert max(len(one.commands) for one in made) < Rules().slice * MOST_OF_A_SLICE
    assert sum(isinstance(command, decision.Adopt) for one in made for command in one.commands) == 3000
    assert fresh.runs["u"].counters == old.counters


@pytest.mark.parametrize("wish", [events.Terminate(), events.Stop()])
def test_ending_what_is_large_takes_slices_and_a_crash_between_them_ends_it_all_the_same(wish: events.Wish) -> None:
    runs = State()
    (workflow,) = large.documents(large.sequence(2000))
    going.commands(runs, events.Submitted(at=NOW, uid="u", seed="s", manifest=Manifest(uid="u", workflow=workflow)))
    slices = going.entries(runs, events.Asked(at=NOW, uid="u", wish=wish))
    for _ in range(2):
        next(slices)
    cut, fresh = runs.runs["u"], State()
    assert cut.rest
    fresh.load(cut.manifest, cut.run, cut.nodes.values())
    going.commands(fresh, events.DaemonStarted(at=NOW, uid="u"))
    assert fresh.runs["u"].run.phase.completed
    assert all(node.phase is not Phase.PENDING for node in fresh.runs["u"].nodes.values())


@pytest.mark.parametrize("shape", ["script", "raw", large.BODY])
def test_all_results_arrive_as_one_parameter(shape: str) -> None:
    cost = large.measured(shape, 2000)
    assert cost.nodes == 2003
    assert shape != large.BODY or cost.seen == 1999


def test_five_hundred_templates_one_in_another_are_refused_at_argos_hundredth() -> None:
    steps = [{"name": f"t{depth}", "steps": [[{"name": "in", "template": f"t{depth + 1}"}]]} for depth in range(500)]
    made = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "deep", "namespace": "default"},
        "spec": {"entrypoint": "t0", "templates": [*steps, {"name": "t500", "container": {"image": "any", "command": ["true"]}}]},
    }
    parsed = manifests.parse(json.dumps(made).encode(), "deep.yaml", LimitSettings())
    assert not parsed.diagnostics
    runs = State()
    manifest = Manifest(uid="u", workflow=parsed.documents[0].document)  # type: ignore[arg-type]
    going.commands(runs, events.Submitted(at=NOW, uid="u", seed="s", manifest=manifest))
    nodes = runs.runs["u"].nodes.values()
    assert max(node.depth for node in nodes) == 101
    assert any("Maximum recursion depth exceeded" in node.message for node in nodes)
    assert runs.runs["u"].run.phase.failed_or_error
