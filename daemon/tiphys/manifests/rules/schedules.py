"""Cron schedules as robfig's standard parser reads them, and time zones (semantics 2.20, 2.24)."""

import re
from datetime import date, timedelta

import msgspec

from tiphys.expressions import durations

MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS))
DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """Five fields of the wall clock: the values that each allows. Sunday is 0; a field may allow none (`,`)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Neither day field is a star, so that one of the two is enough. `*/2` is no star, `*/1` is."""

    def falls_on(self, day: date) -> bool:
        """Whether the three fields of the calendar allow that day."""
        if day.month not in self.months:
            return False
        found = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return any(found) if self.either_day else all(found)


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """`@every`: a fixed time from tick to tick, in whole seconds and at least one."""

    delay: timedelta


class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule says."""

    zone: str | None
    """The time zone that it names before its fields; none: it names none."""

    when: Fields | Every


class _Values(msgspec.Struct, frozen=True):
    allowed: frozenset[int]
    star: bool = False


def schedule_fault(schedule: str, timezones: frozenset[str] | None = None) -> str:
    """Why `schedule` is malformed; "" where it is right."""
    found = read(schedule, timezones)
    return found if isinstance(found, str) else ""


def read(schedule: str, timezones: frozenset[str] | None = None) -> Timetable | str:
    """What `schedule` says, or why it is malformed, in the words of robfig's parser. Without `timezones` a zone is judged by its shape."""
    if not schedule:
        return "empty spec string"
    zone, text = None, schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        zone = prefix.partition("=")[2]
        if fault := zone_fault(zone, timezones):
            return f"provided bad location {zone}: {fault}"
        text = text.strip()
    when = _every(text) if text.startswith("@every ") else _fields(text)
    return when if isinstance(when, str) else Timetable(zone=zone, when=when)


def zone_fault(name: str, timezones: frozenset[str] | None) -> str:
    """Why there is no time zone `name`; where no zones are known only its shape is judged. "" where it is right."""
    if name in ("", "UTC", "Local"):
        return ""
    known = name in timezones if timezones is not None else _ZONE.fullmatch(name)
    return "" if known else f"unknown time zone {name}"


def _every(text: str) -> Every | str:
    try:
        delay = durations.parse(text.removeprefix("@every "))
    except durations.InvalidDuration as error:
        return f"failed to parse duration {text}: {error}"
    return Every(delay=max(timedelta(seconds=delay // timedelta(seconds=1)), timedelta(seconds=1)))


def _fields(text: str) -> Fields | str:
    if text.startswith("@") and text not in DESCRIPTORS:
        return f"unrecognized descriptor: {text}"
    fields = DESCRIPTORS.get(text, text).split()
    if len(fields) != len(FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    values: list[_Values] = []
    for field, bounds in zip(fields, FIELDS, strict=True):
        found = _list(field, *bounds)
        if isinstance(found, str):
            return found
        values.append(found)
    minutes, hours, days, months, weekdays = values
    return Fields(
        minutes=minutes.allowed,
        hours=hours.allowed,
        days=days.allowed,
        months=months.allowed,
        weekdays=weekdays.allowed,
        either_day=not (days.star or weekdays.star),
    )


def _list(field: str, low: int, high: int, names: dict[str, int]) -> _Values | str:
    allowed: frozenset[int] = frozenset()
    star = False
    for part in filter(None, field.split(",")):
        found = _range(part, low, high, names)
        if isinstance(found, str):
            return found
        allowed |= found.allowed
        star |= found.star
    return _Values(allowed, star)


def _range(part: str, low: int, high: int, names: dict[str, int]) -> _Values | str:
    span, *steps = part.split("/")
    ends = span.split("-")
    if len(steps) > 1:
        return f"too many slashes: {part}"
    star = ends[0] in ("*", "?")
    if star:
        first, last = low, high
    else:
        if len(ends) > 2:
            return f"too many hyphens: {part}"
        numbers = [_number(text, names) for text in ends]
        if wrong := next((number for number in numbers if isinstance(number, str)), ""):
            return wrong
        first, last = int(numbers[0]), int(numbers[-1])
    step = _number(steps[0], {}) if steps else 1
    if isinstance(step, str):
        return step
    if steps and len(ends) == 1:  # N/step means from N to the end
        last = high
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {part}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {part}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {part}"
    if not step:
        return f"step of range should be a positive number: {part}"
    return _Values(frozenset(range(first, last + 1, step)), star and step == 1)


def _number(text: str, names: dict[str, int]) -> int | str:
    """The number, or the message where it is none."""
    if text.lower() in names:
        return names[text.lower()]
    if not _NUMBER.fullmatch(text):
        return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
    value = int(text)
    return value if value >= 0 else f"negative number ({value}) not allowed: {text}"
