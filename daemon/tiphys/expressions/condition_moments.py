"""Quoted text that looks like a date is a moment to govaluate: both sides of `'2024-01-02' == '2024-01-02 00:00'` are its seconds."""

from typing import Final

from tiphys.expressions import lazily

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_CLOCK = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:[.,][0-9]+)?"
_WORDS = rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<name>{'|'.join(_MONTHS)}) (?P<day> ?[0-9]{{1,2}}) {_CLOCK}"
_ZONE = r"(?:Z|(?P<sign>[-+])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2}))"
_COLON_ZONE = r"(?P<sign>[-+])(?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2})"

# Go's ANSIC, UnixDate, RubyDate, Kitchen, RFC3339, and the dates and times of ISO 8601 that govaluate knows.
_FORMATS: Final = tuple(
    lazily.compiled(pattern)
    for pattern in (
        rf"{_WORDS} (?P<year>[0-9]{{4}})",
        rf"{_WORDS} (?:[A-Z]{{3,4}}|[A-Z]{{3}}[-+][0-9]{{1,2}}|[-+][0-9]{{2}}) (?P<year>[0-9]{{4}})",
        rf"{_WORDS} (?P<sign>[-+])(?P<zone_hour>[0-9]{{2}})(?P<zone_minute>[0-9]{{2}}) (?P<year>[0-9]{{4}})",
        r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?P<half>AM|PM)",
        _DATE,
        rf"{_DATE} (?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})",
        rf"{_DATE} {_CLOCK}",
        rf"{_DATE} {_CLOCK}{_COLON_ZONE}",
        rf"{_DATE}T(?P<hour>[0-9]{{1,2}}){_ZONE}",
        rf"{_DATE}T(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}}){_ZONE}",
        rf"{_DATE}T{_CLOCK}{_ZONE}",
    )
)
_LONGEST: Final = 80
_DAYS: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_EPOCH_DAY: Final = 719_528  # days from 0000-01-01 to 1970-01-01


def seconds(text: str) -> float | None:
    """The Unix time of the moment that `text` spells (in UTC where it names no zone), None where it spells none."""
    if len(text) > _LONGEST or not ("-" in text or ":" in text):
        return None
    for pattern in _FORMATS:
        match = pattern.fullmatch(text)
        if match is not None:
            return _unix(match.groupdict())
    return None


def _unix(part: dict[str, str | None]) -> float | None:
    name = part.get("name")
    year = int(part.get("year") or "0")
    month = _MONTHS.index(name) + 1 if name else int(part.get("month") or "1")
    day = int(part.get("day") or "1")
    hour, minute, second = (int(part.get(unit) or "0") for unit in ("hour", "minute", "second"))
    half = part.get("half")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "PM" else 0)
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 and second < 60):
        return None
    offset = int(part.get("zone_hour") or "0") * 3600 + int(part.get("zone_minute") or "0") * 60
    days = _days_before(year) + _DAYS[month - 1] + (month > 2 and _leap(year)) + day - 1 - _EPOCH_DAY
    return float(days * 86_400 + hour * 3600 + minute * 60 + second - (-offset if part.get("sign") == "-" else offset))


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return 29 if month == 2 and _leap(year) else (*_DAYS, 365)[month] - _DAYS[month - 1]


def _days_before(year: int) -> int:
    """Days from 0000-01-01 to the first of January of `year`."""
    before = year - 1
    return 365 * year + (before // 4 - before // 100 + before // 400 + 1 if year > 0 else 0)
