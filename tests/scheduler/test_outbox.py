"""Who is told of phases: one notification for each change, with an id that stays, in the outbox until it is delivered or given up."""

from datetime import timedelta

from tests.scheduler.hall import CRON, Hall
from tiphys.scheduler import decision, events
from tiphys.scheduler.items import Outbox, Target
from tiphys.spec.notices import Notice
from tiphys.spec.work import OutcomeKind

ALL = frozenset({"Pending", "Running", "Succeeded", "Failed", "Error"})
EVERYONE = Target(name="all", phases=ALL)


def told(hall: Hall) -> list[tuple[str, str, str]]:
    """Target, workflow and phase of what is in the outbox, in the order of the facts."""
    return [(notice.target, notice.name, notice.phase) for notice in notices(hall)]


def notices(hall: Hall) -> list[Notice]:
    """What is in the outbox."""
    return [held.notice for held in hall.there(Outbox)]


def test_each_phase_is_told_once() -> None:
    hall = Hall(targets=(EVERYONE,))
    uid = hall.submit("wf", labels={"a": "b"})
    assert told(hall) == [("all", "wf", "Running")]
    assert len(hall.commanded(decision.Deliver)) == 1
    hall.ask(uid, events.Suspend())
    hall.ask(uid, events.Resume())
    hall.reload()
    assert len(notices(hall)) == 1
    hall.clock(seconds=5)
    hall.end(uid, OutcomeKind.FAILED)
    last = notices(hall)[-1]
    assert last == Notice(
        id=f"{uid}/0/Failed/all", target="all", uid=uid, name="wf", namespace="default", phase="Failed", message="why", labels={"a": "b"},
        at=hall.now, created_at=hall.now,
    )  # fmt: skip


def test_who_waits_for_a_place_is_pending_and_then_running() -> None:
    hall = Hall(parallelism=1, targets=(EVERYONE,))
    first = hall.submit("one")
    hall.submit("two")
    hall.end(first)
    assert told(hall) == [("all", "one", "Running"), ("all", "two", "Pending"), ("all", "one", "Succeeded"), ("all", "two", "Running")]


def test_only_those_are_told_who_want_to_know() -> None:
    targets = (
        Target(name="ends", phases=frozenset({"Succeeded", "Failed", "Error"})),
        Target(name="bad", phases=frozenset({"Failed", "Error"})),
        Target(name="prod", phases=ALL, namespaces=frozenset({"prod"})),
        Target(name="team", phases=frozenset({"Succeeded"}), selector="team in (a, b), !quiet"),
    )
    hall = Hall(targets=targets)
    hall.end(hall.submit("plain"))
    hall.end(hall.submit("broken"), OutcomeKind.ERROR)
    hall.end(hall.submit("there", namespace="prod"))
    hall.end(hall.submit("ours", labels={"team": "b"}))
    hall.end(hall.submit("quiet", labels={"team": "b", "quiet": "yes"}))
    assert told(hall) == [
        ("ends", "plain", "Succeeded"),
        ("ends", "broken", "Error"),
        ("bad", "broken", "Error"),
        ("prod", "there", "Running"),
        ("ends", "there", "Succeeded"),
        ("prod", "there", "Succeeded"),
        ("ends", "ours", "Succeeded"),
        ("team", "ours", "Succeeded"),
        ("ends", "quiet", "Succeeded"),
    ]


def test_a_run_that_ends_where_it_begins_tells_its_end_alone() -> None:
    hall = Hall(targets=(EVERYONE,))
    hall.submit("wf", synchronization={"semaphores": [{"configMapKeyRef": {"name": "none", "key": "x"}}]})
    assert told(hall) == [("all", "wf", "Failed")]


def test_a_retry_in_place_has_ids_of_its_own() -> None:
    hall = Hall(targets=(EVERYONE,))
    uid = hall.submit()
    hall.end(uid, OutcomeKind.FAILED)
    hall.ask(uid, events.Retry())
    hall.end(uid, OutcomeKind.FAILED)
    assert [notice.id for notice in notices(hall)] == [f"{uid}/{n}/{phase}/all" for n in (0, 1) for phase in ("Running", "Failed")]


def test_a_retry_that_fails_at_once_is_told_too() -> None:
    hall = Hall(targets=(EVERYONE,))
    uid = hall.submit(synchronization={"semaphores": [{"configMapKeyRef": {"name": "none", "key": "x"}}]})
    hall.ask(uid, events.Retry())
    first, second = notices(hall)
    assert (first.phase, second.phase) == ("Failed", "Failed")
    assert first.id != second.id


def test_what_is_delivered_or_given_up_leaves_the_outbox_and_what_is_not_is_tried_again() -> None:
    hall = Hall(targets=(EVERYONE,))
    hall.submit()
    (notice,) = notices(hall)
    again = hall.now + timedelta(seconds=30)
    for attempt in (1, 2):
        hall.tell(events.Notified(at=hall.now, notice_id=notice.id, error="503", again_at=again))
        (now,) = notices(hall)
        assert (now.id, now.attempts, now.due_at, now.last_error) == (notice.id, attempt, again, "503")
    hall.reload()
    assert notices(hall) == [now]
    hall.tell(events.Notified(at=hall.now, notice_id=notice.id))
    assert not notices(hall)
    refused = hall.tell(events.Notified(at=hall.now, notice_id=notice.id))
    assert isinstance(refused, decision.Refusal)
    hall.submit()
    (notice,) = notices(hall)
    hall.tell(events.Notified(at=hall.now, notice_id=notice.id, error="404"))
    assert not notices(hall)


def test_a_notification_outlives_its_run() -> None:
    hall = Hall(targets=(EVERYONE,), archive=False)
    hall.end(hall.submit("wf", ttlStrategy={"secondsAfterCompletion": 0}))
    hall.clock(seconds=1)
    hall.reload()
    assert not hall.state.runs
    assert told(hall) == [("all", "wf", "Running"), ("all", "wf", "Succeeded")]


def test_other_targets_count_from_then_on() -> None:
    hall = Hall()
    uid = hall.submit("wf", labels={CRON: "every"})
    hall.configure(targets=(EVERYONE,))
    assert not told(hall)
    hall.end(uid)
    assert told(hall) == [("all", "wf", "Succeeded")]
