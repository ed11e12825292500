"""Time zones as Go finds them: by name, and the machine's own. They are read from disk at first use, so ask on a thread or at start."""

import io
import os
import struct
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

LOCALTIME: Final = Path("/etc/localtime")

_SECOND: Final = timedelta(seconds=1)
# No such zone, or a damaged file: the library indexes and asserts what it reads there.
_UNREADABLE: Final = (ArithmeticError, AssertionError, EOFError, LookupError, OSError, RuntimeError, ValueError, struct.error)


def named(name: str) -> ZoneInfo | None:
    """The time zone `name` ("" and UTC: UTC; Local: the machine's own); none where there is no such zone."""
    if name == "Local":
        return local_zone()
    try:
        return ZoneInfo(name or "UTC")
    except _UNREADABLE:
        return None


def local_zone(localtime: Path = LOCALTIME) -> ZoneInfo:
    """The machine's time zone: TZ (a name or a file; empty means UTC), without it `localtime`; UTC where that cannot be read.

    Go's rules, so that a schedule without a time zone means here what it means to a controller on the same machine.
    """
    text = os.environ.get("TZ")
    if text is None:
        zone = _in_file(localtime)
    elif (name := text.removeprefix(":")).startswith("/"):
        zone = _in_file(Path(name))
    else:
        zone = named(name) if name != "Local" else None
    return zone or ZoneInfo("UTC")


def stretches(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Cut [start, end), whole seconds in UTC, into pieces (start, end, offset from UTC) in which the zone's clock runs evenly.

    A change that is undone within the same span would go unseen; no zone does so within a day.
    """
    offset = _offset(zone, start)
    if offset == _offset(zone, end - _SECOND):
        yield start, end, offset
        return
    middle = start + (end - start) // (2 * _SECOND) * _SECOND
    yield from stretches(zone, start, middle)
    yield from stretches(zone, middle, end)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _in_file(path: Path) -> ZoneInfo | None:
    """The zone in a file; by its name where the path ends at one of the zone database, so that people see the name."""
    try:
        name = path.resolve(strict=True).as_posix().partition("/zoneinfo/")[2]
        if name and (zone := named(name)):
            return zone
        return ZoneInfo.from_file(_Whole(path.read_bytes()), key="Local")
    except _UNREADABLE:
        return None


class _Whole(io.BytesIO):
    """Bytes that must not end too early: at the end of a file that was cut the library would wait for a line's end for ever."""

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if size is not None and len(found) < size:
            raise EOFError
        return found
