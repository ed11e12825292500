"""Go's durations, as Argo reads and prints them (gotcha 46): `1h30m`, bare seconds where a field allows them, no days."""

import re
from datetime import timedelta
from typing import Final

from tiphys import errors

MICROSECONDS: Final = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
LONGEST: Final = timedelta(microseconds=(2**63 - 1) // 1000)
"""Go counts nanoseconds in 64 bits: some 292 years."""

LONGEST_TEXT: Final = 1_000

_PART = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>[^0-9.]*)")
_INTEGER = re.compile(r"[+-]?[0-9]+")

# Upper bound, its unit (none: the count is part of the text), text; go-humanize's, whose month has 30 days and whose year has 12 months.
_DAY: Final = timedelta(days=1)
_STEPS: Final = (
    (timedelta(seconds=1), None, "0 seconds"),
    (timedelta(seconds=2), None, "1 second"),
    (timedelta(minutes=1), timedelta(seconds=1), "{} seconds"),
    (timedelta(minutes=2), None, "1 minute"),
    (timedelta(hours=1), timedelta(minutes=1), "{} minutes"),
    (timedelta(hours=2), None, "1 hour"),
    (_DAY, timedelta(hours=1), "{} hours"),
    (2 * _DAY, None, "1 day"),
    (7 * _DAY, _DAY, "{} days"),
    (14 * _DAY, None, "1 week"),
    (30 * _DAY, 7 * _DAY, "{} weeks"),
    (60 * _DAY, None, "1 month"),
    (360 * _DAY, 30 * _DAY, "{} months"),
    (540 * _DAY, None, "1 year"),
    (720 * _DAY, None, "2 years"),
    (37 * 360 * _DAY, 360 * _DAY, "{} years"),
)


class InvalidDuration(errors.TiphysError):
    """The text is not a duration."""


def parse(text: str) -> timedelta:
    """The duration that Go's syntax means (`300ms`, `-1.5h`, `2h45m`, `0`), to the microsecond; raises InvalidDuration in Go's words."""
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return timedelta()
    if not 0 < len(rest) <= LONGEST_TEXT:
        raise InvalidDuration(f"time: invalid duration {quoted(text)}")
    total = timedelta()
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        assert part is not None
        whole, fraction, unit = part["whole"], part["fraction"] or "", part["unit"]
        if not (whole or fraction) or len(whole) > 19:
            raise InvalidDuration(f"time: invalid duration {quoted(text)}")
        if not unit:
            raise InvalidDuration(f"time: missing unit in duration {quoted(text)}")
        scale = MICROSECONDS.get(unit)
        if scale is None:
            raise InvalidDuration(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        try:
            total += timedelta(microseconds=int(whole or "0") * scale) + timedelta(microseconds=float(f"0.{fraction[:18] or '0'}") * scale)
        except OverflowError:
            total = timedelta.max
        if total > LONGEST:
            raise InvalidDuration(f"time: invalid duration {quoted(text)}")
        position = part.end()
    return -total if text[0] == "-" else total


def parse_loose(text: str) -> timedelta:
    """As `parse`, but a bare integer counts seconds; raises InvalidDuration in Argo's words."""
    if _INTEGER.fullmatch(text) and len(text) <= 19:
        try:
            seconds = timedelta(seconds=int(text))
        except OverflowError:
            seconds = timedelta.max
        if abs(seconds) <= LONGEST:
            return seconds
    try:
        return parse(text)
    except InvalidDuration as error:
        raise InvalidDuration(f"unable to parse {text[:LONGEST_TEXT]} as a duration: {error}") from error


def humanize(duration: timedelta) -> str:
    """The duration in at most two units, in Argo's words: `8 seconds`, `1 minute 20 seconds`, `2 hours 0 minutes`."""
    text = _one_unit(abs(duration))
    if duration < timedelta(minutes=1):
        return text
    seconds = int(duration.total_seconds())
    if duration < timedelta(hours=1):
        return f"{text} {seconds % 60} seconds"
    if duration < _DAY:
        return f"{text} {seconds // 60 % 60} minutes"
    return f"{text} {seconds // 3600 % 24} hours"


def go_text(duration: timedelta) -> str:
    """The duration as Go's `String` prints it: `1h30m0s`, `1.5s`, `250ms`, `0s`."""
    microseconds = round(abs(duration) / timedelta(microseconds=1))
    sign = "-" if duration < timedelta() else ""
    if microseconds == 0:
        return "0s"
    if microseconds < 1_000:
        return f"{sign}{microseconds}µs"
    if microseconds < 1_000_000:
        return f"{sign}{_decimal(microseconds, 1_000)}ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(rest, 1_000_000)}s"


def quoted(text: str) -> str:
    """Text in double quotes, as Go's errors show it, cut where it is long."""
    shown = text if len(text) <= 120 else text[:120] + "…"
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    return f"{whole}.{part:0{len(str(unit)) - 1}}".rstrip("0").rstrip(".")


def _one_unit(duration: timedelta) -> str:
    for bound, unit, text in _STEPS:
        if duration < bound:
            return text if unit is None else text.format(duration // unit)
    return "a long while"
