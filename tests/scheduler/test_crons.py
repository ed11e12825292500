"""What becomes of each tick of a CronWorkflow, and of the workflows that it starts (semantics 2.20)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.scheduler.hall import BEGAN, CRON, Hall, cron, workflow
from tiphys.scheduler import decision, events, records
from tiphys.scheduler.items import Cron, Tick
from tiphys.scheduler.registry import MOST_TICKS
from tiphys.spec.status import Phase
from tiphys.spec.work import OutcomeKind


class Clockwork(Hall):
    """A hall with one CronWorkflow; each tick is a minute later."""

    def __init__(self, meta: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, **spec: Any) -> None:
        super().__init__(**(rules or {}))
        assert not self.define(cron(meta=meta, **spec))

    def tick(self, *, scheduled_at: datetime | None = None, made: bool = True, **more: Any) -> Tick | str:
        """A moment has come: what became of it, or why it was refused."""
        if scheduled_at is None:
            self.clock(minutes=1)
        at = scheduled_at or self.now
        name = f"every-{int(at.timestamp())}" + ("-manual" if more.get("manual") else "")
        uid = f"{name}-uid"
        manifest = records.Manifest(uid=uid, workflow=workflow(name, labels={CRON: "every"})) if made else None
        event = events.Ticked(
            at=self.now, namespace="default", name="every", scheduled_at=at, child=uid if made else "", seed=uid, manifest=manifest, **more
        )
        answer = self.tell(event)
        return answer.reason if isinstance(answer, decision.Refusal) else self.ticks()[f"default/every/{at.isoformat()}"]

    def started(self, **more: Any) -> str:
        """A tick that starts a workflow; its uid."""
        tick = self.tick(**more)
        assert isinstance(tick, Tick)
        assert not tick.skipped
        assert self.run(tick.uid).name == tick.workflow
        return tick.uid

    def skipped(self, **more: Any) -> str:
        """A tick that starts none; why."""
        runs = set(self.state.runs)
        tick = self.tick(**more)
        assert isinstance(tick, Tick)
        assert not tick.uid
        assert set(self.state.runs) == runs
        return tick.skipped

    def ticks(self) -> dict[str, Tick]:
        return {tick.key: tick for tick in self.there(Tick)}

    @property
    def status(self) -> Cron:
        (status,) = self.there(Cron)
        return status


def test_a_tick_starts_its_workflow_and_is_written_down() -> None:
    hall = Clockwork()
    uid = hall.started()
    assert hall.phase(uid) is Phase.RUNNING
    assert hall.status == Cron(
        namespace="default", name="every", last_scheduled_at=hall.now, last_used="* * * * *|", last_started_at=hall.now
    )
    assert list(hall.ticks().values()) == [
        Tick(namespace="default", name="every", scheduled_at=hall.now, at=hall.now, uid=uid, workflow=hall.run(uid).name)
    ]
    hall.reload()
    assert (len(hall.ticks()), hall.status.last_scheduled_at) == (1, hall.now)


def test_the_same_moment_ticks_once() -> None:
    hall = Clockwork()
    hall.started()
    hall.reload()
    assert hall.tick(scheduled_at=hall.now) == f"every has ticked at {hall.now.isoformat()} already"
    assert len(hall.state.runs) == 1


def test_a_workflow_of_that_name_that_is_there_is_not_started_again() -> None:
    hall = Clockwork()
    at = hall.now + timedelta(minutes=1)
    hall.submit(f"every-{int(at.timestamp())}")
    assert hall.skipped() == f"workflow every-{int(at.timestamp())} is there already"
    assert (hall.status.failed, hall.status.last_started_at) == (0, None)


def test_an_unknown_cron_workflow_does_not_tick() -> None:
    hall = Clockwork()
    hall.define()
    assert hall.tick() == 'cron workflow "every" not found in namespace default'


def test_a_suspended_one_skips_and_goes_on_when_it_is_resumed() -> None:
    hall = Clockwork(suspend=True)
    assert hall.skipped() == "it is suspended"
    assert (hall.status.last_scheduled_at, hall.status.last_started_at) == (hall.now, None)
    hall.define(cron())
    hall.started()


def test_a_missed_tick_is_written_down_and_judged_by_nobody() -> None:
    hall = Clockwork(when="{{= nonsense }}", stopStrategy={"expression": "true"})
    assert hall.skipped(missed="it was missed: the daemon was down", made=False) == "it was missed: the daemon was down"
    assert hall.status == Cron(namespace="default", name="every", last_scheduled_at=hall.now, last_used="* * * * *|")


def test_an_old_tick_does_not_set_the_clock_back() -> None:
    hall = Clockwork()
    hall.started()
    last = hall.now
    hall.skipped(missed="late", made=False, scheduled_at=BEGAN)
    assert hall.status.last_scheduled_at == last


@pytest.mark.parametrize(
    "when",
    [
        "true",
        "1 == 1",
        "'{{cronworkflow.name}}' == 'every' && '{{cronworkflow.namespace}}' == 'default'",
        "{{= cronworkflow.failed == 0 && cronworkflow.succeeded < 5 }}",
        "{{= cronworkflow.labels.team == 'a' }}",
        "{{= cronworkflow.annotations.note == 'b' }}",
        "{{= cronworkflow.lastScheduledTime == nil }}",
        "{{= cronworkflow.lastScheduledTime == nil || (now() - cronworkflow.lastScheduledTime).Seconds() > 3600 }}",
    ],
)
def test_when_it_holds_the_workflow_starts(when: str) -> None:
    Clockwork(when=when, meta={"labels": {"team": "a"}, "annotations": {"note": "b"}}).started()


def test_when_it_does_not_hold_the_tick_is_skipped() -> None:
    hall = Clockwork(when="{{= cronworkflow.failed > 0 }}")
    assert hall.skipped() == "its condition is not true: {{= cronworkflow.failed > 0 }}"
    assert (hall.status.failed, hall.status.error) == (0, "")


def test_the_last_scheduled_time_is_that_of_the_last_workflow_not_of_a_skipped_tick() -> None:
    hall = Clockwork(when="{{= cronworkflow.lastScheduledTime == nil || (now() - cronworkflow.lastScheduledTime).Seconds() >= 180 }}")
    assert [bool(tick.uid) for tick in (hall.tick() for _ in range(7)) if isinstance(tick, Tick)] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("when", ["a b c", "{{= nonsense() }}", "{{unknown}}", "every == every"])
def test_a_condition_that_cannot_be_evaluated_counts_as_a_failed_submission(when: str) -> None:
    hall = Clockwork(when=when)
    assert hall.skipped().startswith("run policy error: ")
    assert (hall.status.failed, hall.status.error_kind) == (1, "SubmissionError")
    assert hall.status.error.startswith("run policy error: ")
    hall.define(cron())
    hall.started()
    assert (hall.status.failed, hall.status.error, hall.status.error_kind) == (1, "", "")


def test_a_workflow_that_cannot_be_made_counts_as_failed_until_one_can() -> None:
    hall = Clockwork()
    assert hall.skipped(made=False, error="template gone") == "template gone"
    assert hall.skipped(made=False) == "its workflow cannot be made"
    assert (hall.status.failed, hall.status.error, hall.status.error_kind) == (2, "its workflow cannot be made", "SubmissionError")
    hall.started()
    assert (hall.status.failed, hall.status.error, hall.status.error_kind) == (2, "", "")


def test_allow_lets_them_run_together() -> None:
    for policy in ("Allow", ""):
        hall = Clockwork(concurrencyPolicy=policy)
        first, second = hall.started(), hall.started()
        assert (hall.phase(first), hall.phase(second)) == (Phase.RUNNING, Phase.RUNNING)


def test_forbid_skips_while_one_runs() -> None:
    hall = Clockwork(concurrencyPolicy="Forbid")
    first = hall.started()
    assert hall.skipped() == f"concurrencyPolicy is Forbid and {hall.run(first).name} still runs"
    hall.end(first)
    second = hall.started()
    hall.reload()
    assert "still runs" in hall.skipped()
    hall.end(second)


def test_forbid_counts_who_waits_for_a_place() -> None:
    hall = Clockwork(concurrencyPolicy="Forbid", rules={"parallelism": 1})
    hall.submit()
    waits = hall.started()
    assert hall.run(waits).postponed
    assert "still runs" in hall.skipped()


def test_replace_terminates_all_that_run_and_starts_the_new_one_at_once() -> None:
    hall = Clockwork(concurrencyPolicy="Replace")
    first, by_hand = hall.started(), hall.started(manual=True)
    assert hall.run(first).shutdown == ""
    second = hall.started()
    assert [hall.run(uid).shutdown for uid in (first, by_hand, second)] == ["Terminate", "Terminate", ""]
    third = hall.started()
    hall.end(first, OutcomeKind.STOPPED)
    assert hall.phase(first) is Phase.FAILED
    assert (hall.run(second).shutdown, hall.phase(third)) == ("Terminate", Phase.RUNNING)


def test_a_stop_strategy_stops_it_for_good_until_it_is_taken_out() -> None:
    hall = Clockwork(stopStrategy={"expression": "cronworkflow.failed >= 1 && cronworkflow.name == 'every'"})
    hall.end(hall.started(), OutcomeKind.FAILED)
    assert (hall.status.stopped, hall.status.failed) == (True, 1)
    assert hall.skipped() == "its stopStrategy has stopped it for good"
    hall.reload()
    hall.define(cron(stopStrategy={"expression": "false"}))
    assert hall.skipped() == "its stopStrategy has stopped it for good"
    hall.define(cron())
    hall.started()


def test_a_stop_strategy_is_looked_at_when_it_ticks_too() -> None:
    hall = Clockwork(stopStrategy={"expression": "cronworkflow.lastScheduledTime != nil"})
    hall.started()
    assert not hall.status.stopped
    assert hall.skipped() == "its stopStrategy has stopped it for good"
    assert hall.status.stopped


@pytest.mark.parametrize("expression", ["1 + 1", "nonsense(", "cronworkflow.failed.no.such > 1"])
def test_a_stop_strategy_in_error_starts_nothing_and_is_no_failure(expression: str) -> None:
    hall = Clockwork(stopStrategy={"expression": expression})
    assert hall.skipped().startswith("failed to evaluate stop strategy: ")
    assert (hall.status.failed, hall.status.error_kind, hall.status.stopped) == (0, "SpecError", False)


def test_an_error_of_a_stop_strategy_is_over_when_it_can_be_evaluated_again() -> None:
    expression = "cronworkflow.succeeded == 0 ? false : (cronworkflow.succeeded == 1 ? 'text' : false)"
    hall = Clockwork(stopStrategy={"expression": expression})
    one, two = hall.started(), hall.started()
    hall.end(one)
    assert hall.status.error_kind == "SpecError"
    assert "unable to cast expression result 'text' to bool" in hall.skipped()
    hall.end(two)
    assert hall.status.error_kind == ""
    hall.started()


def test_what_ended_is_counted_and_only_the_newest_are_kept() -> None:
    hall = Clockwork()
    good, bad = [], []
    for number in range(5):
        for kept, kind in ((good, OutcomeKind.SUCCEEDED), (bad, OutcomeKind.FAILED if number % 2 else OutcomeKind.ERROR)):
            kept.append(hall.started())
            hall.clock(seconds=1)
            hall.end(kept[-1], kind)
    assert (hall.status.succeeded, hall.status.failed) == (5, 5)
    assert set(hall.state.runs) == {*good[2:], bad[4]}


@pytest.mark.parametrize(("given", "left"), [(0, 0), (1, 1), (2, 2), (-1, 3), (-7, 3), (None, 3)])
def test_the_history_of_successes(given: int | None, left: int) -> None:
    hall = Clockwork(**({} if given is None else {"successfulJobsHistoryLimit": given}))
    ended = [hall.started() for _ in range(4)]
    for uid in reversed(ended):
        hall.clock(seconds=1)
        hall.end(uid)
    assert list(hall.state.runs) == ended[:left]  # the newest by their ends, and they ended backwards


@pytest.mark.parametrize(("given", "left"), [(0, 0), (2, 2), (-1, 1), (None, 1)])
def test_the_history_of_failures(given: int | None, left: int) -> None:
    hall = Clockwork(**({} if given is None else {"failedJobsHistoryLimit": given}))
    ended = [hall.started() for _ in range(3)]
    for uid in ended:
        hall.clock(seconds=1)
        hall.end(uid, OutcomeKind.FAILED)
    assert list(hall.state.runs) == ended[len(ended) - left :]


def test_one_that_somebody_wanted_asks_no_policy_and_counts_like_the_others() -> None:
    hall = Clockwork(suspend=True, when="false", concurrencyPolicy="Forbid", successfulJobsHistoryLimit=1)
    first = hall.started(manual=True)
    second = hall.started(manual=True)
    assert (hall.status.last_scheduled_at, hall.status.last_started_at) == (None, None)
    assert all(tick.manual for tick in hall.ticks().values())
    hall.end(first)
    hall.clock(seconds=1)
    hall.end(second)
    assert hall.status.succeeded == 2
    assert list(hall.state.runs) == [second]


def test_one_that_somebody_wanted_forbids_the_next_tick() -> None:
    hall = Clockwork(concurrencyPolicy="Forbid")
    hall.started(manual=True)
    assert "still runs" in hall.skipped()


def test_the_last_ticks_are_kept() -> None:
    hall = Clockwork(suspend=True)
    for _ in range(MOST_TICKS + 5):
        hall.tick()
    hall.reload()
    oldest = hall.now - timedelta(minutes=MOST_TICKS)
    hall.skipped(missed="late", made=False, scheduled_at=oldest - timedelta(days=1))
    hall.tick()
    kept = sorted(tick.scheduled_at for tick in hall.ticks().values())
    assert len(kept) == MOST_TICKS
    assert kept[-1] == hall.now
    assert kept[0] == hall.now - timedelta(minutes=MOST_TICKS - 1)


def test_children_of_other_namespaces_and_workflows_count_for_nothing() -> None:
    hall = Clockwork(concurrencyPolicy="Forbid")
    elsewhere = hall.submit(namespace="other", labels={CRON: "every"})
    hall.submit(labels={CRON: "another"})
    uid = hall.started()
    hall.end(elsewhere)
    hall.end(uid)
    assert hall.status.succeeded == 1


def test_a_child_that_is_retried_and_ends_again_counts_again_and_keeps_its_place_in_history() -> None:
    hall = Clockwork()
    uid = hall.started()
    hall.end(uid, OutcomeKind.FAILED)
    hall.ask(uid, events.Retry())
    hall.end(uid)
    assert (hall.status.succeeded, hall.status.failed) == (1, 1)


def test_what_a_crash_forgets_is_nothing() -> None:
    steady, crashed = (Clockwork(concurrencyPolicy="Replace", successfulJobsHistoryLimit=1) for _ in range(2))
    for hall in (steady, crashed):
        for number in range(6):
            uid = hall.started()
            if hall is crashed:
                hall.reload()
            hall.end(uid, OutcomeKind.FAILED if number % 3 == 0 else OutcomeKind.SUCCEEDED)
    assert steady.rows.items == crashed.rows.items
    assert steady.rows.runs == crashed.rows.runs
