"""Templates that were read beforehand: a decision is the same with them, and does not read them again."""

import json
import time
from collections import deque
from datetime import UTC, datetime

import pytest

from tests.bench import large, subject
from tests.scheduler import going
from tiphys.manifests import reading
from tiphys.scheduler import decision, events, orders, preparing, skeletons
from tiphys.scheduler.decide import decide
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.state import State
from tiphys.spec import work
from tiphys.spec.status import Phase

NOW = datetime(2031, 5, 6, tzinfo=UTC)
SIZE = preparing.MANY + 50
MOST_SECONDS = 0.045
"""Of CPU, on a machine that does other work beside; it is 0.01 alone, and was 0.07 to 0.11 before."""


def named(size: int) -> large.Made:
    """Tasks in which a value of the workflow's is pasted: their text is another one than the template's."""
    given = {"parameters": [{"name": "item", "value": "{{workflow.parameters.word}} {{workflow.name}}"}]}
    tasks = [
        {"name": f"t{n}", "template": "one", "depends": f"t{n - 10}.Succeeded" if n >= 10 else "", "arguments": given} for n in range(size)
    ]
    arguments = {"parameters": [{"name": "word", "value": "text"}]}
    return [subject.workflow("large", [{"name": "main", "dag": {"tasks": tasks}}, large.STEP], arguments=arguments)]


def targeted(size: int) -> large.Made:
    """A dag whose target is a parameter."""
    [made] = large.dag(size)
    made["spec"]["templates"][0]["dag"]["target"] = "{{workflow.parameters.target}}"  # type: ignore[index]
    made["spec"]["arguments"] = {"parameters": [{"name": "target", "value": f"t{size - 1}"}]}  # type: ignore[index]
    return [made]


def defaulted(size: int) -> large.Made:
    """Templates over defaults that name the workflow."""
    [made] = large.dag(size)
    made["spec"]["templateDefaults"] = {"timeout": "{{workflow.parameters.long}}"}  # type: ignore[index]
    made["spec"]["arguments"] = {"parameters": [{"name": "long", "value": "5m"}]}  # type: ignore[index]
    return [made]


def doubled(size: int) -> large.Made:
    """Two templates of one name, of which the first counts and the second is the large one."""
    [made] = large.dag(size)
    made["spec"]["templates"].insert(0, {**large.STEP, "name": "main"})  # type: ignore[index, dict-item]
    return [made]


SHAPES = {"dag": large.dag, "chain": large.chain, "groups": large.groups}
ODD = {"named": named, "targeted": targeted, "defaulted": defaulted, "doubled": doubled}


def manifest(made: large.Made) -> Manifest:
    (workflow,) = large.documents(made)
    return Manifest(uid="u", workflow=workflow)


def played(submitted: Manifest, *, prepared: bool) -> State:
    """A run that is played to its end."""
    state = State()
    if prepared:
        state.prepared["u"] = preparing.prepare(submitted)
    waiting: deque[decision.Launch] = deque()
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1")

    def take(event: events.Event) -> None:
        waiting.extend(command for command in going.commands(state, event) if isinstance(command, decision.Launch))

    take(events.Submitted(at=NOW, uid="u", seed="s", manifest=submitted))
    while waiting:
        launch = waiting.popleft()
        orders.build(state.runs["u"], launch.node_id, NOW)
        take(events.Exited(at=NOW, uid="u", node_id=launch.node_id, attempt=launch.attempt, outcome=outcome))
    return state


@pytest.mark.parametrize("shape", [*SHAPES, *ODD])
def test_a_run_is_the_same_with_templates_that_were_read_before(shape: str) -> None:
    submitted = manifest({**SHAPES, **ODD}[shape](SIZE))
    with_, without = played(submitted, prepared=True), played(submitted, prepared=False)
    assert with_.runs["u"].run == without.runs["u"].run
    assert with_.runs["u"].nodes == without.runs["u"].nodes
    assert with_.runs["u"].run.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_read_before_is_what_is_found(shape: str) -> None:
    submitted = manifest(SHAPES[shape](SIZE))
    prepared = preparing.prepare(submitted)
    assert prepared.keys() == {("local/large", "main")}
    found, read = played(submitted, prepared=False).runs["u"].sources["local/large", "main"], prepared["local/large", "main"]
    assert not isinstance(found, str)
    assert (found.text.text, found.template, found.kind, found.scope) == (read.text.text, read.template, read.kind, read.scope)


def test_of_a_suspended_one_who_waits_for_whom_is_read_when_it_is_resumed(monkeypatch) -> None:
    prepared = preparing.prepare(manifest(large.dag(SIZE)), suspended=True)
    [source] = prepared.values()
    preparing.finish([*prepared.values(), "template other not found"])
    monkeypatch.setattr(skeletons, "dag_skeleton", lambda _: pytest.fail("it was read before"))
    assert len(source.skeleton.of_dag(source.template.dag).order) == SIZE


def test_templates_of_others_are_read_under_both_their_names() -> None:
    [made] = large.dag(SIZE)
    spec = made["spec"]
    other = {"apiVersion": made["apiVersion"], "kind": "WorkflowTemplate", "metadata": {"name": "near"}, "spec": spec}
    document = large.manifests.parse(json.dumps(other).encode(), "", large.LimitSettings()).documents[0].document
    (workflow,) = large.documents([subject.workflow("own", [{"name": "main", "steps": [[{"name": "a", "template": "main"}]]}])])
    found = preparing.prepare(Manifest(uid="u", workflow=workflow, templates=(document,)))  # type: ignore[arg-type]
    assert found.keys() == {("namespaced", "near", "main"), ("namespaced/near", "main")}


def test_small_workflows_need_no_preparation() -> None:
    assert not preparing.is_large(manifest(large.dag(20)))
    assert not preparing.is_large(manifest(large.sequence(10_000)))


@pytest.mark.parametrize("shape", ["dag", "chain", "groups", "named"])
def test_the_submission_of_ten_thousand_tasks_is_a_short_decision(shape: str) -> None:
    submitted = manifest({**SHAPES, **ODD}[shape](10_000))
    taken = min(longest(submitted) for _ in range(3))
    assert taken < MOST_SECONDS, f"{taken * 1000:.0f} ms"


def longest(submitted: Manifest) -> float:
    """Seconds of CPU of the longest decision until the run has begun."""
    state, found = State(), 0.0
    state.prepared["u"] = preparing.prepare(submitted)
    event: events.Event | None = events.Submitted(at=NOW, uid="u", seed="s", manifest=submitted)
    while event is not None:
        with reading.collections_paused():
            began = time.thread_time()
            made = decide(state, event)
            assert isinstance(made, decision.Decision)
            state.apply(made)
            found = max(found, time.thread_time() - began)
        event = events.Continued(at=NOW, uid="u") if made.rest else None
    return found
