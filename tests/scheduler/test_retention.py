"""What stays of runs, and for how long: time to live, how many are kept, what pods and artifacts leave, deletion on demand."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scheduler.hall import LEAF, Hall
from tiphys.scheduler import decision, events, render
from tiphys.scheduler.retention import TTL
from tiphys.spec import work
from tiphys.spec.artifacts import S3, Artifact, ArtifactGC
from tiphys.spec.status import Phase
from tiphys.spec.work import OutcomeKind

GOOD, BAD, ERROR = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.ERROR


def an_artifact(name: str, strategy: str = "") -> Artifact:
    """An output artifact as an attempt gives it."""
    return Artifact(name=name, path=f"/{name}", s3=S3(key=name), artifact_gc=ArtifactGC(strategy=strategy) if strategy else None)


# time to live


@pytest.mark.parametrize(
    ("strategy", "kind", "seconds"),
    [
        ({"secondsAfterCompletion": 10}, GOOD, 10),
        ({"secondsAfterCompletion": 10}, BAD, 10),
        ({"secondsAfterCompletion": 10}, ERROR, 10),
        ({"secondsAfterCompletion": 10, "secondsAfterSuccess": 5}, GOOD, 5),
        ({"secondsAfterCompletion": 10, "secondsAfterSuccess": 5}, BAD, 10),
        ({"secondsAfterCompletion": 10, "secondsAfterFailure": 7}, BAD, 7),
        ({"secondsAfterCompletion": 10, "secondsAfterFailure": 7}, ERROR, 10),
        ({"secondsAfterFailure": 7}, ERROR, None),
        ({"secondsAfterFailure": 7}, GOOD, None),
        ({"secondsAfterSuccess": 5}, BAD, None),
        ({"secondsAfterSuccess": 0}, GOOD, 0),
        ({}, GOOD, None),
    ],
)
def test_a_finished_run_lives_as_long_as_its_strategy_says(strategy: dict[str, int], kind: OutcomeKind, seconds: int | None) -> None:
    hall = Hall()
    uid = hall.submit(ttlStrategy=strategy)
    hall.clock(seconds=100)
    hall.end(uid, kind)
    if seconds is None:
        hall.clock(days=1000)
        assert uid in hall.state.runs
        return
    hall.clock(seconds=seconds - 0.5)
    assert uid in hall.state.runs or seconds == 0
    hall.clock(seconds=1)
    assert uid not in hall.state.runs


def test_without_a_strategy_it_stays() -> None:
    hall = Hall()
    hall.end(hall.submit())
    assert not hall.timers
    hall.reload()
    assert not hall.timers


def test_a_retry_before_its_time_has_come_keeps_it() -> None:
    hall = Hall()
    uid = hall.submit(ttlStrategy={"secondsAfterCompletion": 10})
    hall.end(uid, BAD)
    hall.clock(seconds=9)
    hall.ask(uid, events.Retry())
    hall.clock(seconds=100)
    assert hall.phase(uid) is Phase.RUNNING
    hall.end(uid, BAD)
    hall.clock(seconds=9)
    assert uid in hall.state.runs
    hall.clock(seconds=1)
    assert uid not in hall.state.runs


def test_a_retry_that_ends_at_once_has_a_time_to_live_too() -> None:
    semaphore = {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}
    hall = Hall()
    uid = hall.submit(ttlStrategy={"secondsAfterCompletion": 10}, synchronization=semaphore)
    assert hall.phase(uid) is Phase.FAILED
    hall.clock(seconds=9)
    assert not hall.ask(uid, events.Retry())
    assert hall.phase(uid) is Phase.FAILED
    hall.clock(seconds=9)
    assert uid in hall.state.runs
    hall.clock(seconds=1)
    assert uid not in hall.state.runs


def test_a_restart_sets_the_timer_again_and_one_that_passed_meanwhile_goes_off() -> None:
    hall = Hall()
    uid = hall.submit(ttlStrategy={"secondsAfterCompletion": 10})
    hall.end(uid)
    at = hall.now + timedelta(seconds=10)
    hall.reload()
    assert hall.timers == {(uid, TTL): at}
    hall.timers.clear()
    hall.clock(seconds=20)
    hall.reload()
    hall.clock()
    assert uid not in hall.state.runs


def test_a_timer_that_goes_off_early_is_set_again() -> None:
    hall = Hall()
    uid = hall.submit(ttlStrategy={"secondsAfterCompletion": 10})
    hall.end(uid)
    hall.timers.clear()
    hall.tell(events.TimerFired(at=hall.now, uid=uid, key=TTL))
    assert (uid, TTL) in hall.timers
    assert isinstance(hall.tell(events.TimerFired(at=hall.now, uid=hall.submit(), key=TTL)), decision.Refusal)


# how many are kept


def test_of_each_phase_only_so_many_of_the_newest_are_kept() -> None:
    hall = Hall(completed=2, failed=1)
    ended: dict[OutcomeKind, list[str]] = {GOOD: [], BAD: [], ERROR: []}
    for _ in range(4):
        for kind, uids in ended.items():
            uids.append(hall.submit())
            hall.clock(seconds=1)
            hall.end(uids[-1], kind)
        hall.reload()
    running = hall.submit()
    assert set(hall.state.runs) == {*ended[GOOD][2:], *ended[BAD][3:], *ended[ERROR], running}


def test_more_than_one_too_many_go_together() -> None:
    hall = Hall()
    uids = [hall.submit() for _ in range(4)]
    for uid in uids[:3]:
        hall.end(uid)
    hall.configure(completed=1)
    hall.clock(seconds=1)
    hall.end(uids[3])
    assert set(hall.state.runs) == {uids[3]}


# what pods leave

STEPS = [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]
TWO = {"entrypoint": "main", "templates": [{"name": "main", "steps": STEPS}, LEAF]}


def cleaned(hall: Hall) -> list[str]:
    """The names of the nodes whose remains are to be deleted, from the last look on."""
    found = hall.commanded(decision.Clean)
    names = {}
    for state in hall.state.runs.values():
        names.update({f"{state.run.uid}/{node.id}/{node.attempt}": node.display_name for node in state.nodes.values()})
    return sorted(names[order] for command in found for order in command.orders)


def play(hall: Hall, second: OutcomeKind, **pod_gc: Any) -> tuple[list[str], list[str]]:
    """Two steps, of which the second ends so: what is deleted after the first, and at the end."""
    uid = hall.submit(podGC=pod_gc, **TWO)
    nodes = [node for node in hall.nodes(uid) if node.type == "Pod"]
    cleans = []
    for node, kind in zip(nodes, (GOOD, second), strict=True):
        hall.tell(
            events.Started(at=hall.now, uid=uid, node_id=node.id, attempt=0, handle=work.Handle(executor="hall", text="h")),
            events.Exited(at=hall.now, uid=uid, node_id=node.id, attempt=0, outcome=work.Outcome(kind=kind, exit_code=0)),
        )
        cleans.append(cleaned(hall))
    return cleans[0], cleans[1]


@pytest.mark.parametrize(
    ("strategy", "second", "first_cleaned", "last_cleaned"),
    [
        ("OnPodCompletion", BAD, {"a"}, {"a", "b"}),
        ("OnPodSuccess", BAD, {"a"}, {"a"}),
        ("OnPodSuccess", GOOD, {"a"}, {"a", "b"}),
        ("OnWorkflowCompletion", BAD, set(), {"a", "b"}),
        ("OnWorkflowSuccess", BAD, set(), set()),
        ("OnWorkflowSuccess", GOOD, set(), {"a", "b"}),
        ("", GOOD, set(), set()),
    ],
)
def test_what_pods_leave_goes_when_the_strategy_says(
    strategy: str, second: OutcomeKind, first_cleaned: set[str], last_cleaned: set[str]
) -> None:
    hall = Hall()
    first, last = play(hall, second, strategy=strategy)
    assert set(first) == first_cleaned
    assert set(first) | set(last) == last_cleaned
    hall.reload()
    assert set(cleaned(hall)) == last_cleaned


def test_a_restart_of_an_unfinished_run_cleans_what_may_not_have_been_cleaned() -> None:
    hall = Hall()
    main = {"name": "main", "steps": [[{"name": "a", "template": "leaf"}], [{"name": "wait", "template": "wait"}]]}
    uid = hall.submit(podGC={"strategy": "OnPodCompletion"}, entrypoint="main", templates=[main, LEAF, {"name": "wait", "suspend": {}}])
    hall.end(uid)
    hall.commanded(decision.Clean)
    hall.reload()
    assert cleaned(hall) == ["a"]


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchLabels": {"workflows.argoproj.io/workflow": "wf1"}}, True),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}, {"key": "none", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "Unheard"}]}, False),
        ({}, True),
    ],
)
def test_a_selector_restricts_it_to_pods_with_such_labels(selector: dict[str, Any], *, matches: bool) -> None:
    hall = Hall()
    uid = hall.submit(podGC={"strategy": "OnPodCompletion", "labelSelector": selector}, podMetadata={"labels": {"team": "a"}})
    hall.end(uid)
    assert bool(cleaned(hall)) == matches


def test_labels_of_the_template_are_the_pods_too() -> None:
    leaf = {**LEAF, "metadata": {"labels": {"team": "own"}}}
    for wanted, matches in (("own", True), ("general", False)):
        hall = Hall()
        selector = {"matchLabels": {"team": wanted}}
        pod_gc = {"strategy": "OnPodCompletion", "labelSelector": selector}
        hall.end(hall.submit(podGC=pod_gc, podMetadata={"labels": {"team": "general"}}, templates=[leaf]))
        assert bool(cleaned(hall)) == matches


@pytest.mark.parametrize(("given", "seconds"), [("", 7.0), ("30s", 30.0), ("2m", 120.0), ("0s", 0.0), ("nonsense", 7.0)])
def test_the_delay_is_the_workflows_own_or_the_settings(given: str, seconds: float) -> None:
    hall = Hall(pod_gc_delay_seconds=7.0)
    hall.end(hall.submit(podGC={"strategy": "OnWorkflowCompletion", "deleteDelayDuration": given}))
    assert [command.delay_seconds for command in hall.commanded(decision.Clean)] == [seconds]


def test_a_foreground_run_deletes_nothing() -> None:
    hall = Hall(cleans=False)
    uid = hall.submit(
        podGC={"strategy": "OnPodCompletion"}, ttlStrategy={"secondsAfterCompletion": 1}, artifactGC={"strategy": "OnWorkflowCompletion"}
    )
    hall.end(uid, artifacts=(an_artifact("a"),))
    hall.reload()
    assert not hall.timers
    assert not [command for command in hall.commands if isinstance(command, decision.Clean | decision.DeleteArtifacts)]


# what artifacts leave


def deleted(hall: Hall) -> list[list[str]]:
    """The artifacts of each command to delete some, from the last look on."""
    return [[artifact.name for artifact in command.artifacts] for command in hall.commanded(decision.DeleteArtifacts)]


def answer(hall: Hall, uid: str, error: str = "") -> None:
    """The engine says what became of it."""
    hall.tell(events.ArtifactsDeleted(at=hall.now, uid=uid, error=error))


def marked(hall: Hall, uid: str) -> dict[str, bool | None]:
    """Which artifacts the run shows as deleted."""
    return {a.name: bool(a.deleted) for node in hall.nodes(uid) if node.outputs is not None for a in node.outputs.artifacts}


MIXED = (
    an_artifact("general"),
    an_artifact("never", "Never"),
    an_artifact("late", "OnWorkflowDeletion"),
    an_artifact("soon", "OnWorkflowCompletion"),
)


def test_artifacts_go_at_completion_at_deletion_or_never() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowCompletion"})
    hall.end(uid, artifacts=MIXED)
    assert deleted(hall) == [["general", "soon"]]
    answer(hall, uid)
    assert marked(hall, uid) == {"general": True, "never": False, "late": False, "soon": True}
    hall.ask(uid, events.Delete())
    assert hall.run(uid).deleting
    assert deleted(hall) == [["late"]]
    answer(hall, uid)
    assert uid not in hall.state.runs


def test_without_a_strategy_of_the_workflow_each_artifact_says_so_itself() -> None:
    hall = Hall()
    uid = hall.submit()
    hall.end(uid, BAD, artifacts=MIXED)
    assert deleted(hall) == [["soon"]]
    answer(hall, uid)
    hall.ask(uid, events.Delete())
    assert deleted(hall) == [["late"]]


def test_a_run_without_artifacts_of_the_kind_goes_at_once() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "Never"})
    hall.end(uid, artifacts=MIXED[:2])
    assert not hall.ask(uid, events.Delete())
    assert uid not in hall.state.runs
    assert not deleted(hall)


def test_artifacts_of_attempts_that_were_tried_again_go_too() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowCompletion"}, templates=[{**LEAF, "retryStrategy": {"limit": 1}}])
    hall.end(uid, BAD, artifacts=(an_artifact("a"),))
    assert deleted(hall) == [["a", "a"]]


def test_what_a_memo_gave_belongs_to_the_run_that_made_it() -> None:
    hall = Hall()
    memoized = [{**LEAF, "memoize": {"key": "k", "cache": {"configMap": {"name": "c"}}}}]
    maker = hall.submit(templates=memoized)
    hall.end(maker, artifacts=(an_artifact("a"),))
    uid = hall.submit(templates=memoized, artifactGC={"strategy": "OnWorkflowCompletion"})
    assert hall.phase(uid) is Phase.SUCCEEDED
    assert marked(hall, uid) == {"a": False}
    assert not deleted(hall)


def test_a_memo_goes_with_the_run_that_made_it() -> None:
    hall = Hall()
    memoized = [{**LEAF, "memoize": {"key": "k", "cache": {"configMap": {"name": "c"}}}}]
    older, newer = hall.submit(templates=memoized), hall.submit(templates=memoized)
    hall.end(older)
    hall.clock(seconds=1)
    hall.end(newer)
    hall.ask(newer, events.Delete())
    assert hall.phase(hall.submit(templates=memoized)) is Phase.SUCCEEDED
    hall.ask(older, events.Delete())
    assert hall.phase(hall.submit(templates=memoized)) is Phase.RUNNING


def condition(hall: Hall, uid: str) -> str:
    """What the run's condition ArtifactGCError says."""
    status = render.workflow(hall.state.runs[uid]).status
    assert status is not None
    return next((one.message for one in status.conditions if one.type == "ArtifactGCError" and one.status == "True"), "")


def test_an_error_keeps_the_run_and_is_shown_and_asking_again_tries_again() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowDeletion"})
    hall.end(uid, artifacts=MIXED[:1])
    assert not condition(hall, uid)
    hall.ask(uid, events.Delete())
    answer(hall, uid, "s3: access denied")
    assert condition(hall, uid) == "s3: access denied"
    assert marked(hall, uid) == {"general": False}
    assert deleted(hall) == [["general"]]
    hall.ask(uid, events.Delete())
    assert not condition(hall, uid)
    assert deleted(hall) == [["general"]]
    answer(hall, uid)
    assert uid not in hall.state.runs


def test_an_error_at_completion_deletes_no_run() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowCompletion", "forceFinalizerRemoval": True})
    hall.end(uid, artifacts=MIXED[:1])
    answer(hall, uid, "no")
    assert condition(hall, uid) == "no"
    hall.reload()
    assert uid in hall.state.runs


def test_a_forced_removal_lets_the_run_go_once_it_was_tried() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowCompletion", "forceFinalizerRemoval": True})
    hall.end(uid, artifacts=MIXED)
    answer(hall, uid, "no")
    deleted(hall)
    hall.ask(uid, events.Delete())
    assert deleted(hall) == [["general", "late", "soon"]]
    answer(hall, uid, "no")
    assert uid not in hall.state.runs


def test_somebody_may_delete_the_run_and_leave_its_artifacts() -> None:
    hall = Hall()
    finished, running = (hall.submit(artifactGC={"strategy": "OnWorkflowDeletion"}) for _ in range(2))
    hall.end(finished, artifacts=MIXED)
    answer(hall, finished)
    deleted(hall)
    hall.ask(finished, events.Delete(force=True))
    hall.ask(running, events.Delete(force=True))
    hall.end(running, OutcomeKind.STOPPED, artifacts=MIXED)
    assert not hall.state.runs
    assert not deleted(hall)


def test_a_deletion_that_comes_while_artifacts_are_being_deleted_waits_and_then_takes_the_rest() -> None:
    hall = Hall()
    uid = hall.submit()
    hall.end(uid, artifacts=MIXED)
    hall.ask(uid, events.Delete())
    hall.ask(uid, events.Delete())
    assert deleted(hall) == [["soon"]]
    answer(hall, uid)
    assert marked(hall, uid)["late"] is False
    assert deleted(hall) == [["late"]]
    answer(hall, uid)
    assert uid not in hall.state.runs


def test_what_was_being_deleted_at_a_crash_is_deleted_again() -> None:
    hall = Hall()
    uid = hall.submit()
    hall.end(uid, artifacts=MIXED)
    deleted(hall)
    hall.reload()
    assert deleted(hall) == [["soon"]]
    hall.ask(uid, events.Delete())
    hall.reload()
    assert deleted(hall) == [["soon"]]
    answer(hall, uid)
    hall.reload()
    assert deleted(hall) == [["late"], ["late"]]
    answer(hall, uid)
    assert uid not in hall.state.runs


def test_an_answer_that_nobody_waits_for_is_refused() -> None:
    hall = Hall()
    uid = hall.submit()
    hall.end(uid, artifacts=MIXED)
    answer(hall, uid)
    assert isinstance(hall.tell(events.ArtifactsDeleted(at=hall.now, uid=uid)), decision.Refusal)


def test_what_is_being_deleted_is_not_retried() -> None:
    hall = Hall()
    uid = hall.submit(artifactGC={"strategy": "OnWorkflowCompletion"})
    hall.end(uid, BAD, artifacts=MIXED)
    assert "are being deleted" in hall.ask(uid, events.Retry())
    answer(hall, uid)
    assert not hall.ask(uid, events.Retry())
    hall.end(uid)
    answer(hall, uid)
    hall.ask(uid, events.Delete())
    assert hall.ask(uid, events.Retry())


# deletion on demand


def test_a_running_run_is_terminated_and_goes_when_it_has_ended() -> None:
    hall = Hall()
    uid = hall.submit(onExit="leaf", ttlStrategy={"secondsAfterCompletion": 100})
    assert not hall.ask(uid, events.Delete())
    assert (hall.run(uid).shutdown, hall.run(uid).deleting) == ("Terminate", True)
    hall.reload()
    assert not hall.ask(uid, events.Delete())
    hall.end(uid, OutcomeKind.STOPPED)
    assert not hall.state.runs
    assert not hall.timers
    assert len(hall.commanded(decision.Erase)) == 1
    assert hall.ask(uid, events.Delete()) == f"no workflow has the uid {uid}"


def test_a_deleted_run_is_archived_as_it_was_shown_if_the_rules_say_so() -> None:
    for archive in (True, False):
        hall = Hall(archive=archive)
        uid = hall.submit("kept")
        hall.end(uid, BAD)
        shown = render.workflow(hall.state.runs[uid])
        hall.ask(uid, events.Delete())
        assert hall.rows.archive == ([shown] if archive else [])
        assert not hall.rows.runs
        assert not hall.rows.nodes


def test_everything_that_is_derived_forgets_a_deleted_run() -> None:
    hall = Hall(parallelism=1)
    origin = {"workflows.argoproj.io/workflow-template": "t"}
    uids = [hall.submit("same", labels=origin) for _ in range(3)]
    for uid in uids:
        hall.clock(seconds=1)
        hall.end(uid)
    hall.ask(uids[2], events.Delete())
    estimated = hall.submit(labels=origin)
    assert hall.run(estimated).estimated_from == uids[1]
    for uid in [*uids[:2], estimated]:
        hall.ask(uid, events.Delete())
    hall.end(estimated)
    assert not hall.state.runs
    assert not hall.state.shared.counters
    assert not hall.state.shared.crowd.by_name
    assert not hall.state.shared.succeeded


@pytest.mark.parametrize(("kind", "released"), [(GOOD, True), (BAD, False)])
def test_the_volumes_that_a_run_needs_no_more_go_even_after_a_kill_at_its_end(kind: OutcomeKind, released: bool) -> None:
    hall = Hall()
    uid = hall.submit(volumeClaimTemplates=[{"metadata": {"name": "work"}}])
    hall.end(uid, kind)
    hall.commanded(decision.ReleaseClaims)
    hall.reload()
    assert bool(hall.commanded(decision.ReleaseClaims)) is released
