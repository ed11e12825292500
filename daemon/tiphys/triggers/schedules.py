"""When a cron schedule ticks; never what a tick does.

The rules are robfig's (semantics 2.20): a tick is an instant at which the wall clock of the schedule's zone shows what its fields
allow. So a time that the clock skips does not come that day, and one that it shows twice comes twice. What the text means is read in
one place, the one that lints it.
"""

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tiphys import errors
from tiphys.manifests.rules import schedules as rules
from tiphys.triggers import zones

YEARS: Final = 5
"""A schedule without a tick until the end of the fifth year from now never ticks, as for robfig: the 31st of February, but also the
29th around the year 2100."""

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)


class ScheduleError(errors.TiphysError):
    """The schedule is malformed, or its time zone unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule in its time zone. Every moment that goes in is aware, every moment that comes out is in UTC."""

    text: str
    zone: ZoneInfo
    when: rules.Fields | rules.Every
    minutes: tuple[int, ...] = ()
    """The minutes of a day on which the five fields tick, in order, counted on the wall clock from midnight."""

    def next(self, after: datetime, anchor: datetime | None = None) -> datetime | None:
        """The first tick later than `after`; none where there is none within five years.

        `@every` counts from `anchor`, the moment when scheduling began (without one: from `after`); the five fields need none.
        """
        after = after.astimezone(UTC)
        if isinstance(self.when, rules.Every):
            begun = _begun(anchor or after)
            return begun + (max((after - begun) // self.when.delay, 0) + 1) * self.when.delay
        start = _following(after)
        limit = datetime(start.astimezone(self.zone).year + YEARS + 1, 1, 1, tzinfo=self.zone).astimezone(UTC)
        while start < limit:
            end = min(start + _DAY, limit)
            for tick in self._ticks(self.when, start, end):
                return tick
            start = end
        return None

    def between(self, after: datetime, until: datetime, most: int, anchor: datetime | None = None) -> list[datetime]:
        """The ticks later than `after` and not later than `until`, in order, at most the last `most` of them; `anchor` as for `next`."""
        after, until = after.astimezone(UTC), until.astimezone(UTC)
        if isinstance(self.when, rules.Every):
            begun = _begun(anchor or after)
            past, last = max((after - begun) // self.when.delay, 0), (until - begun) // self.when.delay
            return [begun + count * self.when.delay for count in range(max(past, last - max(most, 0)) + 1, last + 1)]
        found: deque[datetime] = deque()
        start, end = _following(after), _following(until)
        while start < end and len(found) < most:  # from the end, a day at a time: what is too old is never looked at
            day = max(start, end - _DAY)
            ticks = [*self._ticks(self.when, day, end)]
            found.extendleft(reversed(ticks[-(most - len(found)) :]))
            end = day
        return [*found]

    def _ticks(self, fields: rules.Fields, start: datetime, end: datetime) -> Iterator[datetime]:
        """The ticks in [start, end), whole seconds in UTC and at most a day, in order."""
        for first, last, offset in zones.stretches(self.zone, start, end):
            for shown in self._shown(fields, first + offset, last + offset):
                yield shown - offset

    def _shown(self, fields: rules.Fields, first: datetime, last: datetime) -> Iterator[datetime]:
        """What the wall clock shows at each tick while it runs evenly from `first` up to `last`; UTC in name only."""
        day = first.replace(hour=0, minute=0, second=0)
        while day < last:
            if fields.falls_on(day):
                for minute in self.minutes[bisect.bisect_left(self.minutes, (first - day) / _MINUTE) :]:
                    shown = day + minute * _MINUTE
                    if shown >= last:
                        return
                    yield shown
            day += _DAY


def parse(text: str, timezone: str) -> Schedule:
    """The schedule that `text` says, in `timezone` ("": the machine's own); raises ScheduleError.

    A zone before the fields (`CRON_TZ=`) goes in place of `timezone`, but not beside it: Argo puts the one before the other, and its
    parser takes only one.
    """
    said = rules.read(text)
    if isinstance(said, str):
        raise ScheduleError(f"cron schedule {text} is malformed: {said}")
    if said.zone is not None and timezone:
        raise ScheduleError(f"cron schedule {text} names a time zone beside timezone {timezone}: give one of the two")
    name = timezone or ("Local" if said.zone is None else said.zone)
    zone = zones.named(name)
    if zone is None:
        raise ScheduleError(f"cron schedule {text} has no clock: unknown time zone {name}")
    return Schedule(text=text, zone=zone, when=said.when, minutes=_minutes(said.when))


def scheduled_time(at: datetime, zone: ZoneInfo) -> str:
    """The moment as Argo's annotation `workflows.argoproj.io/scheduled-time` has it: RFC 3339 with the zone's offset, `Z` where it is 0."""
    text = at.astimezone(zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _minutes(when: rules.Fields | rules.Every) -> tuple[int, ...]:
    if isinstance(when, rules.Every):
        return ()
    return tuple(sorted(hour * 60 + minute for hour in when.hours for minute in when.minutes))


def _begun(anchor: datetime) -> datetime:
    return anchor.astimezone(UTC).replace(microsecond=0)


def _following(at: datetime) -> datetime:
    """The whole second after `at`."""
    return at.replace(microsecond=0) + _SECOND
