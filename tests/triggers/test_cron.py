"""Cron in simulated time: every tick is a row, fired once or skipped with its reason, across changes of the clock and restarts."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tiphys import manifests
from tiphys.engine import engine as engines
from tiphys.engine import house as houses
from tiphys.engine import inbox, launching, timers
from tiphys.engine.engine import open_engine
from tiphys.engine.house import House
from tiphys.executors.scripted import ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.scheduler.records import Settled
from tiphys.settings import LimitSettings
from tiphys.triggers.cron import CronTrigger

CRON = """
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly, namespace: default%(annotations)s}
spec:
  schedules: ["%(schedule)s"]
  timezone: %(zone)s
  successfulJobsHistoryLimit: 1000
  %(more)s
  workflowSpec:
    entrypoint: main
    templates:
      - name: main
        container: {image: any, command: [work]}
"""


class Clock:
    """The wall clock, as the test sets it."""

    def __init__(self, at: str) -> None:
        self.at = datetime.fromisoformat(at).astimezone(UTC)

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock(monkeypatch):
    made = Clock("2027-01-01T00:00:00+00:00")
    for module in (inbox, engines, houses, launching, timers):
        monkeypatch.setattr(module, "now", made.now)
    return made


@asynccontextmanager
async def house(journal):
    async with open_engine(journal, {"scripted": ScriptedExecutor()}, {}) as engine:
        await engine.recovered.wait()
        yield House(engine, Settled(executor="scripted"), "default", {})


async def define(to, schedule, zone="Europe/Berlin", more="", annotations=""):
    text = CRON % {"schedule": schedule, "zone": zone, "more": more, "annotations": annotations}
    parsed = manifests.parse(text.encode(), "cron.yaml", LimitSettings())
    assert not parsed.diagnostics, parsed.diagnostics
    await to.define([parsed.documents[0].document], source="cron.yaml", digest="1")


async def go(trigger, clock, until, most=15.0):
    """Let the time pass until then, looking as often as the trigger asks."""
    end = datetime.fromisoformat(until).astimezone(UTC)
    while clock.at < end:
        await trigger._look()
        wait = await trigger._tell_due()
        clock.at = min(clock.at + timedelta(seconds=max(min(wait, most), 0.001)), end)
    await trigger._look()
    await trigger._tell_due()


def fired(of):
    return [tick.scheduled_at.isoformat()[:16] for tick in of.ticks("default", "nightly") if not tick.skipped]


def skipped(of):
    return {tick.scheduled_at.isoformat()[:16]: tick.skipped for tick in of.ticks("default", "nightly") if tick.skipped}


@pytest.mark.parametrize(
    ("schedule", "begin", "end", "ticks"),
    [
        ("30 2 * * *", "2027-03-27T00:00:00+01:00", "2027-03-30T00:00:00+02:00", ["2027-03-27T01:30", "2027-03-29T00:30"]),
        (
            "30 2 * * *",
            "2027-10-30T00:00:00+02:00",
            "2027-11-01T00:00:00+01:00",
            ["2027-10-30T00:30", "2027-10-31T00:30", "2027-10-31T01:30"],
        ),
        (
            "0 * * * *",
            "2027-03-28T00:30:00+01:00",
            "2027-03-28T04:30:00+02:00",
            ["2027-03-28T00:00", "2027-03-28T01:00", "2027-03-28T02:00"],
        ),
        (
            "0 * * * *",
            "2027-10-31T00:30:00+02:00",
            "2027-10-31T04:30:00+01:00",
            ["2027-10-30T23:00", "2027-10-31T00:00", "2027-10-31T01:00", "2027-10-31T02:00", "2027-10-31T03:00"],
        ),
    ],
)
async def test_in_berlin_both_changes_of_the_clock_are_as_argos(clock, schedule, begin, end, ticks):
    clock.at = datetime.fromisoformat(begin).astimezone(UTC)
    async with house(MemoryJournal()) as to:
        trigger = CronTrigger(to, clock=clock.now)
        await define(to, schedule)
        await go(trigger, clock, end, most=900.0 if "30 2" in schedule else 15.0)
        assert fired(to) == ticks
        names = {run.name for run in to.runs()}
        assert names == {f"nightly-{int(datetime.fromisoformat(tick + '+00:00').timestamp())}" for tick in ticks}
        annotated = {run.annotations["workflows.argoproj.io/scheduled-time"][-6:] for run in to.runs()}
        assert annotated <= {"+01:00", "+02:00"}


async def test_a_restart_forgets_no_tick_and_repeats_none(clock):
    journal = MemoryJournal()
    clock.at = datetime.fromisoformat("2027-06-01T10:00:30+00:00")
    async with house(journal) as to:
        await define(to, "* * * * *", more="startingDeadlineSeconds: 200")
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:03:30+00:00")
        assert fired(to) == ["2027-06-01T10:01", "2027-06-01T10:02", "2027-06-01T10:03"]
    clock.at = datetime.fromisoformat("2027-06-01T10:08:30+00:00")
    async with house(journal) as to:
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:09:30+00:00")
        assert fired(to)[3:] == ["2027-06-01T10:08", "2027-06-01T10:09"]
        assert set(skipped(to)) == {"2027-06-01T10:04", "2027-06-01T10:05", "2027-06-01T10:06", "2027-06-01T10:07"}
        assert len(to.runs()) == 5


async def test_without_a_starting_deadline_missed_ticks_are_written_down_and_not_made_up_for(clock):
    journal = MemoryJournal()
    clock.at = datetime.fromisoformat("2027-06-01T10:00:30+00:00")
    async with house(journal) as to:
        await define(to, "* * * * *")
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:01:30+00:00")
    clock.at = datetime.fromisoformat("2027-06-01T10:04:30+00:00")
    async with house(journal) as to:
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:04:31+00:00")
        assert fired(to) == ["2027-06-01T10:01"]
        assert set(skipped(to).values()) == {"it was missed: startingDeadlineSeconds is not set"}
        assert len(skipped(to)) == 3


async def test_all_missed_ticks_are_made_up_for_where_the_annotation_says_so(clock):
    journal = MemoryJournal()
    clock.at = datetime.fromisoformat("2027-06-01T10:00:30+00:00")
    async with house(journal) as to:
        await define(to, "* * * * *", annotations=", annotations: {workflows.tiphys.dev/catch-up: all}")
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:01:30+00:00")
    clock.at = datetime.fromisoformat("2027-06-01T10:06:30+00:00")
    async with house(journal) as to:
        await go(CronTrigger(to, clock=clock.now), clock, "2027-06-01T10:06:31+00:00")
        assert len(fired(to)) == 6
        assert not skipped(to)


async def test_a_clock_that_is_set_a_day_forth_and_back_fires_nothing_twice(clock):
    clock.at = datetime.fromisoformat("2027-06-01T10:00:30+00:00")
    async with house(MemoryJournal()) as to:
        await define(to, "0 * * * *", zone="UTC")
        trigger = CronTrigger(to, clock=clock.now)
        await go(trigger, clock, "2027-06-01T11:00:30+00:00")
        clock.at += timedelta(days=1)
        await go(trigger, clock, "2027-06-02T12:00:30+00:00")
        clock.at -= timedelta(days=1)
        await go(trigger, clock, "2027-06-02T13:00:30+00:00")
        hours = fired(to)
        assert len(hours) == len(set(hours)) == len(to.runs())
        assert "2027-06-01T13:00" in hours  # the day that came again is not left out
        assert "2027-06-02T12:00" in hours
        assert "2027-06-02T13:00" in hours
