"""Cron schedules as robfig's standard parser reads them, and time zones (semantics 2.20, 2.24)."""

import re

from tiphys.expressions import durations

MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS))
DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})

_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def schedule_fault(schedule: str, timezones: frozenset[str] | None = None) -> str:
    """Why `schedule` is malformed; "" where it is right."""
    text = schedule
    if not text:
        return "empty spec string"
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition(" ")
        name = zone.partition("=")[2]
        if fault := zone_fault(name, timezones):
            return f"provided bad location {name}: {fault}"
        text = text.strip()
    if text.startswith("@"):
        return _descriptor_fault(text)
    fields = text.split()
    if len(fields) != len(FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    faults = (_list_fault(field, *bounds) for field, bounds in zip(fields, FIELDS, strict=True))
    return next((fault for fault in faults if fault), "")


def zone_fault(name: str, timezones: frozenset[str] | None) -> str:
    """Why there is no time zone `name`; where no zones are known only its shape is judged. "" where it is right."""
    if name in ("", "UTC", "Local"):
        return ""
    known = name in timezones if timezones is not None else _ZONE.fullmatch(name)
    return "" if known else f"unknown time zone {name}"


def _descriptor_fault(text: str) -> str:
    if text in DESCRIPTORS:
        return ""
    if not text.startswith("@every "):
        return f"unrecognized descriptor: {text}"
    try:
        durations.parse(text.removeprefix("@every "))
    except durations.InvalidDuration as error:
        return f"failed to parse duration {text}: {error}"
    return ""


def _list_fault(field: str, low: int, high: int, names: dict[str, int]) -> str:
    return next((fault for part in field.split(",") if part and (fault := _range_fault(part, low, high, names))), "")


def _range_fault(part: str, low: int, high: int, names: dict[str, int]) -> str:
    span, *steps = part.split("/")
    ends = span.split("-")
    if len(steps) > 1:
        return f"too many slashes: {part}"
    if ends[0] in ("*", "?"):
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
    return "" if step else f"step of range should be a positive number: {part}"


def _number(text: str, names: dict[str, int]) -> int | str:
    """The number, or the message where it is none."""
    if text.lower() in names:
        return names[text.lower()]
    if not _NUMBER.fullmatch(text):
        return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
    value = int(text)
    return value if value >= 0 else f"negative number ({value}) not allowed: {text}"
