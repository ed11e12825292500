"""Go's time layouts: `2006-01-02T15:04:05Z07:00` to text and back."""

import calendar
import functools
import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from tiphys.expressions.expr.faults import Fault

RFC3339 = "2006-01-02T15:04:05Z07:00"
RFC3339_NANO = "2006-01-02T15:04:05.999999999Z07:00"
DEFAULT = "2006-01-02 15:04:05.999999999 -0700 MST"
GUESSES = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    RFC3339,
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
    "02 Jan 06 15:04 -0700",
    "Mon, 02 Jan 2006 15:04:05 -0700",
    RFC3339_NANO,
)
"""What `date(text)` tries, in this order."""

_MONTHS = list(calendar.month_name)[1:]
_DAYS = list(calendar.day_name)
_PIECE = re.compile(
    r"(January|Jan|Monday|Mon(?!th)|MST|2006|002|01|02|03|04|05|06|15|_2|Z07:00:00|Z070000|Z07:00|Z0700|Z07"
    r"|-07:00:00|-070000|-07:00|-0700|-07|PM|pm|[.,]0+(?![0-9])|[.,]9+(?![0-9])|1|2|3|4|5)"
)
_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def default(moment: datetime) -> str:
    """As Go prints a time: `2024-01-02 03:04:05.5 +0000 UTC`."""
    return written(moment, DEFAULT)


@functools.lru_cache(maxsize=128)
def zone(name: str) -> tzinfo:
    """The time zone of that name; raises Fault."""
    if name in {"", "UTC"}:
        return UTC
    if name == "Local":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Fault(f"unknown time zone {name}") from None


def zone_name(moment: datetime) -> str:
    """The zone's abbreviation, as Go prints it."""
    offset = moment.utcoffset() or timedelta()
    name = moment.tzname() or "UTC"
    if name.startswith("UTC") and offset:
        minutes = abs(int(offset.total_seconds())) // 60
        return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02d}{f'{minutes % 60:02d}' if minutes % 60 else ''}"
    return name


def written(moment: datetime, layout: str) -> str:
    """The moment in Go's layout."""
    return "".join(_write(moment, piece) if index % 2 else piece for index, piece in enumerate(_PIECE.split(layout)))


def _write(moment: datetime, piece: str) -> str:
    match piece:
        case "January":
            return _MONTHS[moment.month - 1]
        case "Jan":
            return _MONTHS[moment.month - 1][:3]
        case "Monday":
            return _DAYS[moment.weekday()]
        case "Mon":
            return _DAYS[moment.weekday()][:3]
        case "MST":
            return zone_name(moment)
        case "2006":
            return f"{moment.year:04d}"
        case "06":
            return f"{moment.year % 100:02d}"
        case "01":
            return f"{moment.month:02d}"
        case "1":
            return str(moment.month)
        case "02":
            return f"{moment.day:02d}"
        case "_2":
            return f"{moment.day:2d}"
        case "2":
            return str(moment.day)
        case "002":
            return f"{moment.timetuple().tm_yday:03d}"
        case "15":
            return f"{moment.hour:02d}"
        case "03":
            return f"{(moment.hour + 11) % 12 + 1:02d}"
        case "3":
            return str((moment.hour + 11) % 12 + 1)
        case "04":
            return f"{moment.minute:02d}"
        case "4":
            return str(moment.minute)
        case "05":
            return f"{moment.second:02d}"
        case "5":
            return str(moment.second)
        case "PM":
            return "PM" if moment.hour >= 12 else "AM"
        case "pm":
            return "pm" if moment.hour >= 12 else "am"
        case _ if piece[0] in ".,":
            return _fraction(moment, piece)
        case _:
            return _offset(moment, piece)


def _fraction(moment: datetime, piece: str) -> str:
    digits = f"{moment.microsecond:06d}000"[: len(piece) - 1].ljust(min(len(piece) - 1, 9), "0")
    if piece[1] == "9":
        digits = digits.rstrip("0")
        return piece[0] + digits if digits else ""
    return piece[0] + digits


def _offset(moment: datetime, piece: str) -> str:
    offset = moment.utcoffset() or timedelta()
    if piece[0] == "Z" and not offset:
        return "Z"
    seconds = abs(int(offset.total_seconds()))
    parts = [f"{seconds // 3600:02d}", f"{seconds // 60 % 60:02d}", f"{seconds % 60:02d}"]
    separator = ":" if ":" in piece else ""
    count = {2: 1, 4: 2, 6: 3}[len(piece[1:].replace(":", ""))]
    return ("-" if offset < timedelta() else "+") + separator.join(parts[:count])


def read(text: str, layout: str, where: tzinfo = UTC) -> datetime:
    """The moment that `text` means in Go's layout; without a zone in it, in `where`. Raises Fault in Go's words."""
    match = re.compile(_pattern(layout)).fullmatch(text)
    if match is None:
        raise Fault(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "{layout}"')
    try:
        return _moment({name[:-2] if name[-2] == "_" else name: found for name, found in match.groupdict().items() if found}, where)
    except (ValueError, OverflowError):
        raise Fault(f'parsing time "{text}": out of range') from None


_READ = {
    "2006": r"(?P<year>\d{4})",
    "06": r"(?P<short>\d{2})",
    "01": r"(?P<month>\d{2})",
    "1": r"(?P<month>\d{1,2})",
    "02": r"(?P<day>\d{2})",
    "_2": r"(?P<day>[ \d]\d)",
    "2": r"(?P<day>\d{1,2})",
    "002": r"(?P<yday>\d{3})",
    "15": r"(?P<hour>\d{2})",
    "03": r"(?P<half>\d{2})",
    "3": r"(?P<half>\d{1,2})",
    "04": r"(?P<minute>\d{2})",
    "4": r"(?P<minute>\d{1,2})",
    "05": r"(?P<second>\d{2})(?:[.,](?P<lax>\d{1,9}))?",
    "5": r"(?P<second>\d{1,2})(?:[.,](?P<lax>\d{1,9}))?",
    "January": rf"(?P<name>(?i:{'|'.join(_MONTHS)}))",
    "Jan": rf"(?P<name>(?i:{'|'.join(name[:3] for name in _MONTHS)}))",
    "Monday": rf"(?i:{'|'.join(_DAYS)})",
    "Mon": rf"(?i:{'|'.join(name[:3] for name in _DAYS)})",
    "MST": r"(?P<zone>[A-Z]{3,5}|[+-]\d{2,4})",
    "PM": r"(?P<noon>AM|PM)",
    "pm": r"(?P<noon>am|pm)",
}


@functools.lru_cache(maxsize=256)
def _pattern(layout: str) -> str:
    seen: set[str] = set()
    parts: list[str] = []
    pieces = _PIECE.split(layout)
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            parts.append(re.escape(piece))
            continue
        if piece[0] in ".,":
            parts.append(rf"[.,](?P<fraction>\d{{{len(piece) - 1}}})" if piece[1] == "0" else r"(?:[.,](?P<fraction>\d{1,9}))?")
        elif piece in {"05", "5"} and index + 2 < len(pieces) and not pieces[index + 1] and pieces[index + 2][0] in ".,":
            parts.append(_READ[piece].split("(?:")[0])
        else:
            parts.append(_READ.get(piece) or _zone_pattern(piece))
        names = re.findall(r"\(\?P<(\w+)>", parts[-1])
        if any(name in seen for name in names):
            parts[-1] = re.sub(r"\(\?P<\w+>", "(?:", parts[-1])
        seen.update(names)
    return "".join(parts)


def _zone_pattern(piece: str) -> str:
    digits = len(piece[1:].replace(":", ""))
    body = ":".join([r"\d{2}"] * (digits // 2)) if ":" in piece else rf"\d{{{digits}}}"
    return rf"(?P<offset>{'Z|' if piece[0] == 'Z' else ''}[+-]{body})"


def _moment(found: dict[str, str], where: tzinfo) -> datetime:
    year = int(found["year"]) if "year" in found else _century(int(found["short"])) if "short" in found else 1
    month = int(found.get("month", "0")) or (_month(found["name"]) if "name" in found else 1)
    hour = int(found.get("hour", "0"))
    if "half" in found:
        hour = int(found["half"]) % 12 + (12 if found.get("noon", "").lower() == "pm" else 0)
    fraction = (found.get("fraction") or found.get("lax") or "0").ljust(9, "0")
    moment = datetime(
        year,
        month,
        int(found.get("day", "1")),
        hour,
        int(found.get("minute", "0")),
        int(found.get("second", "0")),
        int(fraction) // 1000,
        tzinfo=_read_zone(found, where),
    )
    return moment + timedelta(days=int(found["yday"]) - 1) if "yday" in found and "month" not in found else moment


def _century(short: int) -> int:
    return 1900 + short if short >= 69 else 2000 + short


def _month(name: str) -> int:
    return [known[:3].lower() for known in _MONTHS].index(name[:3].lower()) + 1


def _read_zone(found: dict[str, str], where: tzinfo) -> tzinfo:
    offset = found.get("offset")
    if offset == "Z":
        return UTC
    if offset:
        digits = offset[1:].replace(":", "").ljust(6, "0")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
        return timezone(-shift if offset[0] == "-" else shift) if shift else UTC
    if "zone" in found:
        name = found["zone"]
        return UTC if name in {"UTC", "GMT"} else timezone(timedelta(hours=_ZONES.get(name, 0)), name)
    return where
