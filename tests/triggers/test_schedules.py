"""When a schedule ticks: the instants at which its zone's wall clock shows what its fields allow. The golden ticks are robfig's own."""

import importlib.resources
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import strategies as st

from tiphys.triggers import schedules, zones

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(schedule: schedules.Schedule, ticks: Iterable[datetime]) -> list[str]:
    """What a clock on the wall shows at each tick, with its offset."""
    return [tick.astimezone(schedule.zone).isoformat(timespec="minutes") for tick in ticks]


def following(schedule: schedules.Schedule, after: datetime, count: int, anchor: datetime | None = None) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (tick := schedule.next(after, anchor)):
        found.append(tick)
        after = tick
    return found


TICKS = [  # schedule, after, the next ticks; all in UTC; 2027 begins on a Friday
    ("* * * * *", "2027-01-01T00:00:00Z", ["2027-01-01T00:01", "2027-01-01T00:02"]),
    ("* * * * *", "2026-12-31T23:59:59.999999Z", ["2027-01-01T00:00", "2027-01-01T00:01"]),
    ("*/25 * * * *", "2027-01-01T00:00:00Z", ["2027-01-01T00:25", "2027-01-01T00:50", "2027-01-01T01:00"]),
    ("50/5 3 * * *", "2027-01-01T00:00:00Z", ["2027-01-01T03:50", "2027-01-01T03:55", "2027-01-02T03:50"]),
    ("7,3-5/2 8 * * *", "2027-01-01T00:00:00Z", ["2027-01-01T08:03", "2027-01-01T08:05", "2027-01-01T08:07", "2027-01-02T08:03"]),
    ("0 0 ? JAN-mar sun", "2027-01-24T00:00:00Z", ["2027-01-31T00:00", "2027-02-07T00:00"]),
    ("0 9 * * 1-5", "2027-01-01T09:00:00Z", ["2027-01-04T09:00", "2027-01-05T09:00"]),
    ("0 0 31 * *", "2027-01-31T00:00:00Z", ["2027-03-31T00:00", "2027-05-31T00:00"]),
    # Both day fields restricted: either; a step makes a star a restriction (but not a step of one), a star in a list does not end it.
    ("0 0 13 * fri", "2027-01-12T00:00:00Z", ["2027-01-13T00:00", "2027-01-15T00:00", "2027-01-22T00:00"]),
    ("0 0 */10 * sun", "2027-01-01T00:00:00Z", ["2027-01-03T00:00", "2027-01-10T00:00", "2027-01-11T00:00", "2027-01-17T00:00"]),
    ("0 0 */1 * sun", "2027-01-01T00:00:00Z", ["2027-01-03T00:00", "2027-01-10T00:00"]),
    ("0 0 13,* * fri", "2027-01-12T00:00:00Z", ["2027-01-15T00:00", "2027-01-22T00:00"]),
    ("0 0 13 * ?", "2027-01-12T00:00:00Z", ["2027-01-13T00:00", "2027-02-13T00:00"]),
    ("0 0 29 2 *", "2027-01-01T00:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    (
        "0 0 29 2 mon",
        "2028-02-01T00:00:00Z",
        ["2028-02-07T00:00", "2028-02-14T00:00", "2028-02-21T00:00", "2028-02-28T00:00", "2028-02-29T00:00"],
    ),
    ("@yearly", "2027-01-01T00:00:00Z", ["2028-01-01T00:00"]),
    ("@annually", "2027-06-01T00:00:00Z", ["2028-01-01T00:00"]),
    ("@monthly", "2027-01-01T00:00:00Z", ["2027-02-01T00:00"]),
    ("@weekly", "2027-01-01T00:00:00Z", ["2027-01-03T00:00", "2027-01-10T00:00"]),
    ("@daily", "2027-01-01T00:00:00Z", ["2027-01-02T00:00"]),
    ("@midnight", "2027-01-01T12:00:00Z", ["2027-01-02T00:00"]),
    ("@hourly", "2027-01-01T12:34:00Z", ["2027-01-01T13:00", "2027-01-01T14:00"]),
    ("CRON_TZ=Asia/Kolkata 0 6 * * *", "2027-01-01T00:00:00Z", ["2027-01-01T00:30", "2027-01-02T00:30"]),
    ("TZ=America/New_York @daily", "2027-01-01T00:00:00Z", ["2027-01-01T05:00"]),
    ("CRON_TZ= 0 6 * * *", "2027-01-01T00:00:00Z", ["2027-01-01T06:00"]),
]


@pytest.mark.parametrize(("text", "after", "ticks"), TICKS)
def test_ticks(text, after, ticks):
    schedule = schedules.parse(text, "" if "TZ=" in text else "UTC")
    assert schedule.text == text
    assert following(schedule, at(after), len(ticks)) == [at(f"{tick}Z") for tick in ticks]


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30 feb ?", ", * * * *", "0 0 , * *", "0 0 31 4,6,9,11 *"])
def test_what_never_comes_has_no_next_tick(text):
    schedule = schedules.parse(text, "Europe/Berlin")
    assert schedule.next(at("2027-01-01T00:00Z")) is None
    assert schedule.between(at("2027-01-01T00:00Z"), at("2029-01-01T00:00Z"), 10) == []


def test_what_is_more_than_five_years_away_never_comes():
    schedule = schedules.parse("0 0 29 2 *", "UTC")
    assert schedule.next(at("2096-03-01T00:00Z")) is None
    assert schedule.next(at("2099-01-01T00:00Z")) == at("2104-02-29T00:00Z")


ZONE_CHANGES = [  # zone, schedule, after, until, what the wall clock shows at the ticks
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2027-03-26T12:00Z",
        "2027-03-30T12:00Z",
        ["03-27T02:30+01:00", "03-29T02:30+02:00", "03-30T02:30+02:00"],
    ),
    (
        "Europe/Berlin",
        "30 2 * * *",
        "2027-10-29T12:00Z",
        "2027-11-01T12:00Z",
        ["10-30T02:30+02:00", "10-31T02:30+02:00", "10-31T02:30+01:00", "11-01T02:30+01:00"],
    ),
    ("Europe/Berlin", "0 2 * * *", "2027-03-27T12:00Z", "2027-03-29T12:00Z", ["03-29T02:00+02:00"]),
    (
        "Europe/Berlin",
        "0 3 * * *",
        "2027-03-26T12:00Z",
        "2027-03-29T12:00Z",
        ["03-27T03:00+01:00", "03-28T03:00+02:00", "03-29T03:00+02:00"],
    ),
    (
        "Europe/Berlin",
        "0 3 * * *",
        "2027-10-29T12:00Z",
        "2027-11-01T12:00Z",
        ["10-30T03:00+02:00", "10-31T03:00+01:00", "11-01T03:00+01:00"],
    ),
    ("Europe/Berlin", "@hourly", "2027-03-27T23:00Z", "2027-03-28T02:00Z", ["03-28T01:00+01:00", "03-28T03:00+02:00", "03-28T04:00+02:00"]),
    (
        "Europe/Berlin",
        "@hourly",
        "2027-10-30T22:00Z",
        "2027-10-31T02:00Z",
        ["10-31T01:00+02:00", "10-31T02:00+02:00", "10-31T02:00+01:00", "10-31T03:00+01:00"],
    ),
    ("Europe/Berlin", "*/15 2 * * *", "2027-03-27T22:00Z", "2027-03-28T22:00Z", []),
    (
        "Europe/Berlin",
        "*/15 * * * *",
        "2027-03-28T00:30Z",
        "2027-03-28T01:15Z",
        ["03-28T01:45+01:00", "03-28T03:00+02:00", "03-28T03:15+02:00"],
    ),
    (
        "Europe/Berlin",
        "*/15 2 * * *",
        "2027-10-30T22:00Z",
        "2027-10-31T22:00Z",
        [f"10-31T02:{minute:02d}{offset}" for offset in ("+02:00", "+01:00") for minute in (0, 15, 30, 45)],
    ),
    ("Europe/Berlin", "@daily", "2027-10-30T12:00Z", "2027-11-01T12:00Z", ["10-31T00:00+02:00", "11-01T00:00+01:00"]),
    ("America/New_York", "30 2 * * *", "2027-03-13T12:00Z", "2027-03-15T12:00Z", ["03-15T02:30-04:00"]),
    (
        "America/New_York",
        "30 1 * * *",
        "2027-11-06T12:00Z",
        "2027-11-08T12:00Z",
        ["11-07T01:30-04:00", "11-07T01:30-05:00", "11-08T01:30-05:00"],
    ),
    # Half an hour: 02:00 becomes 02:30 in October, and 02:00 becomes 01:30 in April. What follows is on time.
    ("Australia/Lord_Howe", "*/15 2 * * *", "2027-10-02T12:00Z", "2027-10-03T12:00Z", ["10-03T02:30+11:00", "10-03T02:45+11:00"]),
    ("Australia/Lord_Howe", "0 3 * * *", "2027-10-02T12:00Z", "2027-10-03T18:00Z", ["10-03T03:00+11:00", "10-04T03:00+11:00"]),
    (
        "Australia/Lord_Howe",
        "*/15 1 * * *",
        "2027-04-03T12:00Z",
        "2027-04-04T12:00Z",
        [f"04-04T01:{text}" for text in ("00+11:00", "15+11:00", "30+11:00", "45+11:00", "30+10:30", "45+10:30")],
    ),
    # The clock skips midnight: that day has no 00:00, and all else.
    (
        "Asia/Beirut",
        "0 0,5 28-29 3 *",
        "2027-03-27T12:00Z",
        "2027-03-29T12:00Z",
        ["03-28T05:00+03:00", "03-29T00:00+03:00", "03-29T05:00+03:00"],
    ),
    # It shows 23:30 of the 30th twice.
    ("Asia/Beirut", "30 23 * * *", "2027-10-29T21:00Z", "2027-10-31T12:00Z", ["10-30T23:30+03:00", "10-30T23:30+02:00"]),
]


@pytest.mark.parametrize(("zone", "text", "after", "until", "shown"), ZONE_CHANGES)
def test_a_time_that_the_clock_skips_does_not_come_and_one_that_it_repeats_comes_twice(zone, text, after, until, shown):
    schedule = schedules.parse(text, zone)
    ticks = schedule.between(at(after), at(until), 100)
    assert local(schedule, ticks) == [f"2027-{clock}" for clock in shown]
    assert following(schedule, at(after), len(ticks)) == ticks


EVERY = [  # schedule, delay
    ("@every 1h30m", timedelta(minutes=90)),
    ("@every 1.7s", timedelta(seconds=1)),
    ("@every 90.999s", timedelta(seconds=90)),
    ("@every 10ms", timedelta(seconds=1)),
    ("@every -5m", timedelta(seconds=1)),
    ("CRON_TZ=Europe/Berlin @every 25h", timedelta(hours=25)),
]


@pytest.mark.parametrize(("text", "delay"), EVERY)
def test_every_counts_whole_seconds_from_its_anchor_whatever_the_clock_on_the_wall_does(text, delay):
    schedule = schedules.parse(text, "")
    anchor = at("2027-03-27T20:00:00.75Z")
    begun = anchor.replace(microsecond=0)
    assert following(schedule, anchor, 30, anchor) == [begun + count * delay for count in range(1, 31)]
    assert schedule.next(anchor) == begun + delay
    assert schedule.next(anchor - 1000 * DAY, anchor) == begun + delay, "nothing ticks before scheduling begins"
    assert schedule.next(begun + 5 * delay, anchor) == begun + 6 * delay
    assert schedule.next(begun + 5 * delay - timedelta(microseconds=1), anchor) == begun + 5 * delay
    assert schedule.between(begun + 2 * delay, begun + 9 * delay, 3, anchor) == [begun + count * delay for count in (7, 8, 9)]
    assert schedule.between(begun + 7 * delay, begun + 9 * delay, 9, anchor) == [begun + count * delay for count in (8, 9)]
    assert schedule.between(anchor - DAY, begun + delay, 9, anchor) == [begun + delay]
    assert schedule.between(anchor - 2 * DAY, anchor - DAY, 9, anchor) == []


@pytest.mark.parametrize("text", ["*/20 * * * *", "@every 20m"])
def test_between_gives_the_last_ticks_up_to_its_end(text):
    schedule = schedules.parse(text, "UTC")
    noon = at("2027-01-01T12:00Z")
    assert schedule.between(noon, noon + 60 * MINUTE, 9) == [noon + 20 * MINUTE, noon + 40 * MINUTE, noon + 60 * MINUTE]
    assert schedule.between(noon, noon + 59 * MINUTE, 1) == [noon + 40 * MINUTE]
    assert schedule.between(noon, noon + 60 * MINUTE, 0) == []
    assert schedule.between(noon, noon + 60 * MINUTE, -1) == []
    assert schedule.between(noon, noon, 9) == []
    assert schedule.between(noon + DAY, noon, 9) == []
    assert len(schedule.between(noon, noon + 10 * DAY, 10_000)) == 720
    assert schedule.between(noon, noon + 10 * DAY, 100) == schedule.between(noon, noon + 10 * DAY, 10_000)[-100:]


def test_what_is_older_than_the_ticks_asked_for_costs_nothing():
    schedule = schedules.parse("* * * * *", "Europe/Berlin")
    until = at("2027-06-01T12:00Z")
    begun = time.process_time()
    ticks = schedule.between(until - 50 * 365 * DAY, until, 3)
    assert time.process_time() - begun < 0.1
    assert ticks == [until - 2 * MINUTE, until - MINUTE, until]


def test_moments_of_another_zone_are_the_same_moments():
    schedule = schedules.parse("30 2 * * *", "Europe/Berlin")
    after = datetime(2027, 10, 31, 2, 30, tzinfo=schedule.zone, fold=0)
    tick = schedule.next(after)
    assert tick is not None
    assert tick.tzinfo is UTC
    assert tick == at("2027-10-31T01:30Z")
    assert schedule.between(after, after.replace(fold=1), 9) == [tick]


FAULTS = [
    ("", "", "cron schedule  is malformed: empty spec string"),
    ("* * * * * *", "", "cron schedule * * * * * * is malformed: expected exactly 5 fields, found 6: [* * * * * *]"),
    ("* * * * 7", "", "cron schedule * * * * 7 is malformed: end of range (7) above maximum (6): 7"),
    ("* * L * *", "", 'cron schedule * * L * * is malformed: failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
    ("@reboot", "", "cron schedule @reboot is malformed: unrecognized descriptor: @reboot"),
    ("@every day", "", 'cron schedule @every day is malformed: failed to parse duration @every day: time: invalid duration "day"'),
    ("TZ=UTC", "", "cron schedule TZ=UTC is malformed: expected exactly 5 fields, found 0: []"),
    ("@daily", "Mars/Base", "cron schedule @daily has no clock: unknown time zone Mars/Base"),
    ("@daily", "Europe", "cron schedule @daily has no clock: unknown time zone Europe"),
    ("@daily", "../../etc/passwd", "cron schedule @daily has no clock: unknown time zone ../../etc/passwd"),
    ("TZ=Mars/Base @daily", "", "cron schedule TZ=Mars/Base @daily has no clock: unknown time zone Mars/Base"),
    ("TZ=UTC @daily", "UTC", "cron schedule TZ=UTC @daily names a time zone beside timezone UTC: give one of the two"),
]


@pytest.mark.parametrize(("text", "timezone", "message"), FAULTS)
def test_what_is_no_schedule_is_refused_with_its_reason(text, timezone, message):
    with pytest.raises(schedules.ScheduleError) as refused:
        schedules.parse(text, timezone)
    assert str(refused.value) == message


def zone_file(name: str, folder: Path) -> Path:
    """A file of a zone database of its own, whatever this machine has."""
    path = folder / "zoneinfo" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())
    return path


@pytest.mark.parametrize(
    ("value", "name"),
    [("Europe/Berlin", "Europe/Berlin"), (":America/New_York", "America/New_York"), ("", "UTC"), (":", "UTC")]
    + [(wrong, "UTC") for wrong in ("Mars/Base", "CET-1CEST", "Local", "/no/such/file", "/etc/passwd", "/etc", "../x", "Europe")],
)
def test_the_machines_zone_is_the_one_in_tz(monkeypatch, value, name):
    monkeypatch.setenv("TZ", value)
    assert zones.local_zone().key == name
    assert schedules.parse("@daily", "").zone.key == name
    assert schedules.parse("@daily", "Local").zone.key == name


def test_without_tz_the_machines_zone_is_that_of_its_file(monkeypatch, tmp_path):
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    assert zones.local_zone(link).key == "UTC", "no file"
    link.symlink_to(link)
    assert zones.local_zone(link).key == "UTC", "a link to itself"
    link.unlink()
    tokyo = zone_file("Asia/Tokyo", tmp_path)
    link.symlink_to(tokyo)
    assert zones.local_zone(link).key == "Asia/Tokyo"
    copy = tmp_path / "copy"
    copy.write_bytes(tokyo.read_bytes())
    found = zones.local_zone(copy)
    assert (found.key, found.utcoffset(datetime(2027, 1, 1, tzinfo=UTC))) == ("Local", timedelta(hours=9))
    for size in range(tokyo.stat().st_size):
        for rest in (b"", b"\0" * 40, b"\xff" * 40):
            copy.write_bytes(tokyo.read_bytes()[:size] + rest)
            assert zones.local_zone(copy).key in {"UTC", "Local"}, "a damaged file"
    assert zones.local_zone().key, "whatever this machine has"


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        ("2027-07-01T10:00:00.9Z", "Europe/Berlin", "2027-07-01T12:00:00+02:00"),
        ("2027-10-31T01:30Z", "Europe/Berlin", "2027-10-31T02:30:00+01:00"),
        ("2027-01-01T10:00Z", "UTC", "2027-01-01T10:00:00Z"),
        ("2027-01-01T10:00Z", "Europe/London", "2027-01-01T10:00:00Z"),
        ("2027-01-01T02:00Z", "America/St_Johns", "2026-12-31T22:30:00-03:30"),
    ],
)
def test_the_scheduled_time_is_written_with_the_zones_offset(moment, zone, text):
    assert schedules.scheduled_time(at(moment), ZoneInfo(zone)) == text


# Where clocks change in 2027, and a place and a time where nothing does.
CHANGES = [
    ("Europe/Berlin", "2027-03-28T01:00Z"),
    ("Europe/Berlin", "2027-10-31T01:00Z"),
    ("America/New_York", "2027-11-07T06:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T15:00Z"),
    ("Australia/Lord_Howe", "2027-10-02T15:30Z"),
    ("Asia/Beirut", "2027-03-27T22:00Z"),
    ("America/Havana", "2027-11-07T05:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),  # a whole day was left out
    ("Asia/Kathmandu", "2027-06-30T18:15Z"),
]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> tuple[str, frozenset[int]]:
    """A field and the values that it allows."""
    values = frozenset(range(low, high + 1))
    kind = draw(st.sampled_from(["*", "?", "list", "range", "step"]))
    if kind == "list":
        some = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=4))
        return ",".join(map(str, some)), frozenset(some)
    if kind == "range":
        first, last = sorted(draw(st.tuples(st.sampled_from(sorted(values)), st.sampled_from(sorted(values)))))
        return f"{first}-{last}", frozenset(range(first, last + 1))
    if kind == "step":
        step = draw(st.integers(2, high))
        return f"*/{step}", frozenset(range(low, high + 1, step))
    return kind, values


@hypothesis.given(
    change=st.sampled_from(CHANGES),
    minute=fields(0, 59),
    hour=fields(0, 23),
    day=fields(1, 31),
    month=st.one_of(st.just(("*", frozenset(range(1, 13)))), fields(1, 12)),
    weekday=fields(0, 6),
    before=st.integers(0, 30 * 3600),
    length=st.integers(1, 36 * 60),
    most=st.integers(1, 500),
)
def test_the_ticks_are_the_minutes_whose_clock_matches_and_no_others(change, minute, hour, day, month, weekday, before, length, most):
    name, moment = change
    schedule = schedules.parse(" ".join(text for text, _ in (minute, hour, day, month, weekday)), name)
    after = at(moment) - timedelta(seconds=before)
    until = after + length * MINUTE

    def matches(tick: datetime) -> bool:
        clock = tick.astimezone(schedule.zone)
        days = clock.day in day[1], clock.isoweekday() % 7 in weekday[1]
        right = all(days) if day[0] in "*?" or weekday[0] in "*?" else any(days)
        return right and clock.month in month[1] and clock.hour in hour[1] and clock.minute in minute[1]

    first = after.replace(second=0) + MINUTE
    expected = [tick for count in range(length) if (tick := first + count * MINUTE) <= until and matches(tick)]
    assert schedule.between(after, until, most) == expected[-most:]
    # And one after another: each later than the one before, none left out.
    ticks = following(schedule, after, len(expected))
    assert ticks == expected
    beyond = schedule.next(expected[-1] if expected else after)
    assert beyond is None or (beyond > until and matches(beyond))
