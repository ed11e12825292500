"""How many workflows run at once: the limits hold, who waits is let in by priority and age, and nobody waits while there is room."""

from datetime import timedelta

from tests.scheduler.hall import BEGAN, LEAF, Hall, config_map
from tiphys.scheduler import decision, events, places
from tiphys.spec.status import Phase
from tiphys.spec.work import OutcomeKind

MUTEX = {"mutexes": [{"name": "only"}]}
EXIT = {"onExit": "leaf"}


def test_one_at_a_time() -> None:
    hall = Hall(parallelism=1)
    first, second, third = hall.submit(), hall.submit(), hall.submit()
    assert hall.phases() == {"wf1": "Running", "wf2": "postponed", "wf3": "postponed"}
    assert (hall.phase(second), hall.run(second).message, hall.run(second).started_at) == ("Pending", places.POSTPONED, None)
    hall.clock(seconds=10)
    hall.end(first)
    assert hall.phases() == {"wf1": "Succeeded", "wf2": "Running", "wf3": "postponed"}
    assert hall.run(second).started_at == hall.now
    assert hall.run(second).message == ""
    hall.end(second)
    hall.end(third)
    assert set(hall.phases().values()) == {"Succeeded"}


def test_two_at_a_time_and_one_that_ends_at_once_frees_its_place() -> None:
    hall = Hall(parallelism=2)
    hall.submit()
    hall.submit()
    hall.submit(entrypoint="nothing")
    hall.submit()
    assert list(hall.phases().values()) == ["Running", "Running", "postponed", "postponed"]
    hall.end("u1")
    assert list(hall.phases().values()) == ["Succeeded", "Running", "Error", "Running"]


def test_namespaces_have_limits_of_their_own() -> None:
    hall = Hall(parallelism=3, namespace_parallelism=1, namespaces={"big": 2, "free": 0})
    for namespace in ("a", "a", "big", "big", "big", "free", "free"):
        hall.submit(namespace=namespace)
    assert list(hall.phases().values()) == ["Running", "postponed", "Running", "Running", "postponed", "postponed", "postponed"]
    hall.end("u3")  # of big: the whole has room for one, and the first that may go is big's own
    assert hall.phases()["wf5"] == "Running"
    hall.end("u1")
    assert hall.phases()["wf2"] == "Running"
    hall.end("u4")
    assert hall.phases()["wf6"] == "Running"


def test_priority_goes_before_age() -> None:
    hall = Hall(parallelism=1)
    hall.submit("first")
    hall.submit("old")
    hall.submit("low", priority=-1)
    hall.submit("urgent", priority=5)
    hall.submit("young")
    order = []
    for _ in range(5):
        (now,) = [uid for uid, run in hall.state.runs.items() if run.run.phase is Phase.RUNNING]
        order.append(hall.run(now).name)
        hall.end(now)
    assert order == ["first", "urgent", "old", "young", "low"]


def test_who_waits_may_be_ended() -> None:
    hall = Hall(parallelism=1)
    hall.submit()
    for wish in (events.Stop(), events.Terminate()):
        uid = hall.submit(**EXIT)
        assert not hall.ask(uid, wish)
        assert (hall.phase(uid), hall.run(uid).finished_at) == (Phase.FAILED, hall.now)
        assert hall.run(uid).message == f"Stopped with strategy '{type(wish).__name__}'"
        assert not hall.nodes(uid)
    uid = hall.submit()
    assert not hall.ask(uid, events.Delete())
    assert uid not in hall.state.runs
    hall.end("u1")


def test_who_waits_may_be_suspended_and_resumed() -> None:
    hall = Hall(parallelism=1)
    hall.submit()
    resumed, suspended = hall.submit(), hall.submit()
    hall.ask(resumed, events.Suspend())
    hall.ask(suspended, events.Suspend())
    hall.ask(resumed, events.Resume())
    hall.end("u1")
    assert hall.phases() == {"wf1": "Succeeded", "wf2": "Running", "wf3": "postponed"}
    hall.end(resumed)
    assert hall.phase(suspended) is Phase.RUNNING  # a suspended workflow keeps its place, as it does where it began
    assert not hall.nodes(suspended)
    hall.ask(suspended, events.Resume())
    hall.end(suspended)
    assert hall.phase(suspended) is Phase.SUCCEEDED


def test_the_deadline_counts_from_the_beginning_not_from_the_waiting() -> None:
    hall = Hall(parallelism=1)
    hall.submit()
    uid = hall.submit(activeDeadlineSeconds=60)
    hall.clock(seconds=100)
    assert hall.phase(uid) is Phase.PENDING
    hall.end("u1")
    assert hall.run(uid).deadline_at == hall.now + timedelta(seconds=60)
    assert hall.timers[uid, ""] == hall.now + timedelta(seconds=60)


def test_a_retry_in_place_needs_a_place_and_gets_its_own_back() -> None:
    hall = Hall(parallelism=1)
    uid = hall.submit(activeDeadlineSeconds=60)
    hall.end(uid, OutcomeKind.FAILED)
    assert not hall.ask(uid, events.Retry())
    assert hall.phase(uid) is Phase.RUNNING
    hall.end(uid, OutcomeKind.FAILED)
    other = hall.submit()
    hall.clock(seconds=5)
    assert not hall.ask(uid, events.Retry())
    assert hall.phases() == {"wf1": "postponed", "wf2": "Running"}
    hall.reload()
    assert hall.phases() == {"wf1": "postponed", "wf2": "Running"}
    hall.clock(seconds=100)
    hall.end(other)
    assert hall.phase(uid) is Phase.RUNNING
    assert hall.run(uid).started_at == hall.now
    assert hall.timers[uid, ""] == hall.now + timedelta(seconds=60)
    hall.end(uid)
    assert hall.phase(uid) is Phase.SUCCEEDED


def failed_and_waiting(hall: Hall, **spec: object) -> str:
    """A workflow that was retried and waits for a place."""
    steps = {"name": "main", "steps": [[{"name": "a", "template": "leaf"}]]}
    uid = hall.submit(entrypoint="main", templates=[steps, LEAF], **spec)
    hall.end(uid, OutcomeKind.FAILED)
    hall.submit()
    hall.ask(uid, events.Retry())
    assert hall.run(uid).postponed
    return uid


def test_a_retried_workflow_that_waits_is_terminated_at_once_and_may_be_retried_again() -> None:
    hall = Hall(parallelism=1)
    uid = failed_and_waiting(hall, onExit="leaf")
    hall.commanded(decision.Launch)
    assert not hall.ask(uid, events.Terminate())
    assert hall.phase(uid) is Phase.FAILED
    assert not hall.commanded(decision.Launch)
    assert not hall.ask(uid, events.Retry())
    hall.end("u2")
    hall.end(uid)
    assert hall.phase(uid) is Phase.SUCCEEDED


def test_a_retried_workflow_that_waits_and_is_stopped_runs_its_exit_handler_in_its_turn() -> None:
    hall = Hall(parallelism=1)
    uid = failed_and_waiting(hall, onExit="leaf")
    assert not hall.ask(uid, events.Stop())
    assert hall.phase(uid) is Phase.PENDING
    hall.reload()
    hall.end("u2")
    assert [node.name for node in hall.nodes(uid) if node.type == "Pod" and not node.phase.fulfilled] == ["wf1.onExit"]
    hall.end(uid)
    assert (hall.phase(uid), hall.run(uid).message) == (Phase.FAILED, "Stopped with strategy 'Stop'")


def test_a_retried_workflow_that_waits_may_be_deleted() -> None:
    hall = Hall(parallelism=1)
    uid = failed_and_waiting(hall)
    assert not hall.ask(uid, events.Delete())
    assert uid not in hall.state.runs


def test_a_higher_limit_lets_in_as_many_as_it_has_room_for_the_first_first() -> None:
    hall = Hall(parallelism=1)
    for priority in (0, 0, 0, 7):
        hall.submit(priority=priority)
    hall.configure(parallelism=2)
    assert list(hall.phases().values()) == ["Running", "postponed", "postponed", "Running"]
    hall.configure(parallelism=3)
    assert list(hall.phases().values()) == ["Running", "Running", "postponed", "Running"]
    hall.configure(parallelism=1)
    hall.end("u1")
    assert list(hall.phases().values()) == ["Succeeded", "Running", "postponed", "Running"]
    hall.configure()
    assert list(hall.phases().values()) == ["Succeeded", "Running", "Running", "Running"]


def test_who_comes_when_a_limit_was_raised_does_not_overtake_who_waits() -> None:
    hall = Hall(parallelism=1)
    hall.submit()
    waiting = hall.submit()
    hall.state.shared.rules = type(hall.state.shared.rules)(parallelism=2)  # and the news of it have not come to who waits
    manifest = hall.state.runs[waiting].manifest
    hall.now += timedelta(seconds=1)
    late = events.Submitted(at=hall.now, uid="late", seed="s", manifest=type(manifest)(uid="late", workflow=manifest.workflow))
    hall.tell(late, events.Woken(at=hall.now, uid=waiting))
    assert hall.run("late").postponed
    assert hall.phase(waiting) is Phase.RUNNING


def test_after_a_restart_with_a_higher_limit_the_first_in_the_queue_is_first() -> None:
    hall = Hall(parallelism=1)
    hall.submit("first")
    hall.submit("old")
    hall.submit("urgent", priority=1)
    hall.reload()
    assert hall.phases() == {"first": "Running", "old": "postponed", "urgent": "postponed"}
    hall.reload(parallelism=2)
    assert hall.phases() == {"first": "Running", "old": "postponed", "urgent": "Running"}
    hall.reload(parallelism=3)
    assert set(hall.phases().values()) == {"Running"}


def test_who_waits_for_a_lock_has_a_place() -> None:
    hall = Hall(parallelism=2)
    hall.submit(synchronization=MUTEX)
    hall.submit(synchronization=MUTEX)
    hall.submit()
    assert hall.phases() == {"wf1": "Running", "wf2": "Pending", "wf3": "postponed"}
    assert "Waiting for default/Mutex/only lock" in hall.run("u2").message
    hall.end("u1")
    assert hall.phases() == {"wf1": "Succeeded", "wf2": "Running", "wf3": "Running"}


def test_who_got_a_place_may_have_to_wait_for_a_lock_then() -> None:
    hall = Hall(parallelism=2)
    hall.submit(synchronization=MUTEX)
    hall.submit()
    late = hall.submit(synchronization=MUTEX)
    hall.end("u2")
    assert (hall.phase(late), hall.run(late).postponed, hall.run(late).waiting_for) == (Phase.PENDING, False, "default/Mutex/only")
    hall.reload()
    hall.end("u1")
    assert hall.phase(late) is Phase.RUNNING


def test_a_retry_that_waits_for_a_lock_runs_when_it_has_it() -> None:
    hall = Hall()
    uid = hall.submit(synchronization=MUTEX)
    hall.end(uid, OutcomeKind.FAILED)
    other = hall.submit(synchronization=MUTEX)
    hall.ask(uid, events.Retry())
    assert hall.phase(uid) is Phase.PENDING
    hall.end(other)
    assert hall.phase(uid) is Phase.RUNNING
    hall.end(uid)
    assert hall.phase(uid) is Phase.SUCCEEDED


def test_a_retry_whose_limit_has_gone_waits_until_it_is_there_again() -> None:
    hall = Hall(parallelism=1)
    hall.define(config_map("limits", most="1"))
    steps = {"name": "main", "steps": [[{"name": "a", "template": "leaf"}]]}
    semaphore = {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}
    uid = hall.submit(entrypoint="main", templates=[steps, LEAF], synchronization=semaphore)
    hall.end(uid, OutcomeKind.FAILED)
    hall.define()
    assert not hall.ask(uid, events.Retry())
    assert hall.run(uid).message == "Failed to get semaphore limit for default/ConfigMap/limits/most"
    hall.define(config_map("limits", most="1"))
    hall.end(uid)
    assert hall.phase(uid) is Phase.SUCCEEDED


def test_one_that_gets_a_place_and_cannot_use_it_passes_it_on() -> None:
    hall = Hall(parallelism=1)
    hall.submit()
    hall.submit(synchronization={"semaphores": [{"configMapKeyRef": {"name": "none", "key": "x"}}]})
    hall.submit()
    hall.end("u1")
    assert hall.phases() == {"wf1": "Succeeded", "wf2": "Failed", "wf3": "Running"}


def test_places_are_told_from_times_and_uids_alone() -> None:
    hall = Hall(parallelism=1)
    hall.submit(at=BEGAN)
    hall.submit("b", uid="b", at=BEGAN)
    hall.submit("a", uid="a", at=BEGAN)
    hall.end("u1")
    assert hall.phases() == {"wf1": "Succeeded", "b": "postponed", "a": "Running"}
