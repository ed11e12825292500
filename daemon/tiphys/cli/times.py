"""Times and durations as Argo's command line prints them. The present is an argument."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))
AGES = ((365 * DAY, "year"), (30 * DAY, "month"), (7 * DAY, "week"), *UNITS)


def parse(text: str | None) -> datetime | None:
    """An RFC 3339 time of a status; None where there is none."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def moment(text: str) -> datetime | None:
    """A time that somebody typed: RFC 3339, RFC 1123, or a date (midnight, UTC); None where it is none of these."""
    import email.utils  # a typed time is rare, and this takes as long as the rest of the command line's modules

    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            found = read(text.strip())
        except (ValueError, TypeError, IndexError):
            continue
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None


def seconds(started: str | None, finished: str | None, now: datetime) -> float | None:
    """How long something took, or takes so far; None where it has not started."""
    start = parse(started)
    return None if start is None else max(0.0, ((parse(finished) or now) - start).total_seconds())


def short(duration: float | None) -> str:
    """`4s`, `3m`, `2h`, `5d`: one unit, rounded down; "" for None."""
    if duration is None:
        return ""
    for size, unit in UNITS:
        if duration >= size:
            return f"{int(duration // size)}{unit[0]}"
    return "0s"


def spoken(duration: float) -> str:
    """`1 minute 3 seconds`: at most two units, the second left out where it is zero."""
    rest = int(duration)
    for (size, unit), (next_size, next_unit) in zip(UNITS, (*UNITS[1:], UNITS[-1]), strict=True):
        if rest >= size > 1:
            count, left = divmod(rest, size)
            more = left // next_size
            return _count(count, unit) + (f" {_count(more, next_unit)}" if more else "")
    return _count(rest, "second")


def ago(at: datetime, now: datetime) -> str:
    """`2 minutes ago`, `now`, `1 hour from now`."""
    gap = (now - at).total_seconds()
    direction = "ago" if gap >= 0 else "from now"
    for size, unit in AGES:
        if abs(gap) >= size:
            return f"{_count(int(abs(gap) // size), unit)} {direction}"
    return "now"


def stamp(text: str, now: datetime) -> str:
    """`Mon Jan 02 15:04:05 +0000 (2 minutes ago)`, in the time zone of `now`."""
    at = datetime.fromisoformat(text).astimezone(now.tzinfo)
    return f"{at:%a %b %d %H:%M:%S %z} ({ago(at, now)})"


def go(duration: int) -> str:
    """Whole seconds as Go prints a duration: `1h0m5s`, `3m0s`, `4s`."""
    hours, rest = divmod(duration, HOUR)
    minutes, left = divmod(rest, MINUTE)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{left}s"


def _count(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
