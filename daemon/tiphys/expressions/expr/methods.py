"""The methods of Go's time.Time, time.Duration and time.Location that expressions call."""

import calendar
from datetime import UTC, datetime, timedelta, tzinfo

from tiphys.expressions import durations
from tiphys.expressions.expr import layouts, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Bound, Registry

_DURATION = Registry()
_TIME = Registry()
_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def find(value: object, name: str) -> Bound | None:
    """The method of that name, bound to `value`; None if there is none."""
    if isinstance(value, timedelta):
        function = _DURATION.get(name)
    elif isinstance(value, datetime):
        function = _TIME.get(name)
    elif isinstance(value, tzinfo | values.Number) and name == "String":
        function = _LABELS.get(name)
    elif isinstance(value, values.Opaque):
        return value.member(name)
    else:
        return None
    return Bound(function, value) if function is not None else None


_LABELS = Registry()


@_LABELS.add("String")
def _label(value: object) -> str:
    return value.label if isinstance(value, values.Number) else str(value)


# --- durations


def rounded(value: timedelta, unit: timedelta, *, half: bool) -> timedelta:
    """The nearest multiple of `unit` towards zero, or with `half` the nearest at all (half away from zero)."""
    if unit <= timedelta():
        return value
    count, rest = divmod(abs(value), unit)
    count += half and rest * 2 >= unit
    return count * unit if value >= timedelta() else -(count * unit)


@_DURATION.add("Hours")
def _hours(value: timedelta) -> float:
    return value / timedelta(hours=1)


@_DURATION.add("Minutes")
def _minutes(value: timedelta) -> float:
    return value / timedelta(minutes=1)


@_DURATION.add("Seconds")
def _seconds(value: timedelta) -> float:
    return value.total_seconds()


@_DURATION.add("Milliseconds")
def _milliseconds(value: timedelta) -> int:
    return int(value / timedelta(milliseconds=1))


@_DURATION.add("Microseconds")
def _microseconds(value: timedelta) -> int:
    return values.nanoseconds(value) // 1000


@_DURATION.add("Nanoseconds")
def _nanoseconds(value: timedelta) -> int:
    return values.nanoseconds(value)


@_DURATION.add("String")
def _duration_text(value: timedelta) -> str:
    return durations.go_text(value)


@_DURATION.add("Abs")
def _absolute(value: timedelta) -> timedelta:
    return abs(value)


@_DURATION.add("Round")
def _round(value: timedelta, unit: timedelta) -> timedelta:
    return rounded(value, unit, half=True)


@_DURATION.add("Truncate")
def _truncate(value: timedelta, unit: timedelta) -> timedelta:
    return rounded(value, unit, half=False)


# --- times


def since_epoch(moment: datetime) -> timedelta:
    """The time since 1970."""
    return moment - _EPOCH


@_TIME.add("Year")
def _year(moment: datetime) -> int:
    return moment.year


@_TIME.add("Month")
def _month(moment: datetime) -> int:
    return values.Number.of(moment.month, "time.Month", calendar.month_name[moment.month])


@_TIME.add("Day")
def _day(moment: datetime) -> int:
    return moment.day


@_TIME.add("Hour")
def _hour(moment: datetime) -> int:
    return moment.hour


@_TIME.add("Minute")
def _minute(moment: datetime) -> int:
    return moment.minute


@_TIME.add("Second")
def _second(moment: datetime) -> int:
    return moment.second


@_TIME.add("Nanosecond")
def _nanosecond(moment: datetime) -> int:
    return moment.microsecond * 1000


@_TIME.add("YearDay")
def _year_day(moment: datetime) -> int:
    return moment.timetuple().tm_yday


@_TIME.add("Weekday")
def _weekday(moment: datetime) -> int:
    return values.Number.of(moment.isoweekday() % 7, "time.Weekday", calendar.day_name[moment.weekday()])


@_TIME.add("Unix")
def _unix(moment: datetime) -> int:
    return since_epoch(moment) // _SECOND


@_TIME.add("UnixMilli")
def _unix_milli(moment: datetime) -> int:
    return since_epoch(moment) // timedelta(milliseconds=1)


@_TIME.add("UnixMicro")
def _unix_micro(moment: datetime) -> int:
    return since_epoch(moment) // timedelta(microseconds=1)


@_TIME.add("UnixNano")
def _unix_nano(moment: datetime) -> int:
    return values.nanoseconds(since_epoch(moment))


@_TIME.add("Format")
def _format(moment: datetime, layout: str) -> str:
    return layouts.written(moment, layout)


@_TIME.add("String")
def _text(moment: datetime) -> str:
    return layouts.default(moment)


@_TIME.add("UTC", "Local")
def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


@_TIME.add("In")
def _in(moment: datetime, where: tzinfo) -> datetime:
    return moment.astimezone(where)


@_TIME.add("Location")
def _location(moment: datetime) -> object:
    return moment.tzinfo


@_TIME.add("Add")
def _add(moment: datetime, step: timedelta) -> datetime:
    try:
        return moment + step
    except OverflowError:
        raise Fault("time out of range") from None


@_TIME.add("Sub")
def _sub(moment: datetime, other: datetime) -> timedelta:
    return moment - other


@_TIME.add("AddDate")
def _add_date(moment: datetime, years: int, months: int, days: int) -> datetime:
    count = moment.year * 12 + moment.month - 1 + years * 12 + months
    try:
        return moment.replace(year=count // 12, month=count % 12 + 1, day=1) + timedelta(days=moment.day - 1 + days)
    except (OverflowError, ValueError):
        raise Fault("time out of range") from None


@_TIME.add("After")
def _after(moment: datetime, other: datetime) -> bool:
    return moment > other


@_TIME.add("Before")
def _before(moment: datetime, other: datetime) -> bool:
    return moment < other


@_TIME.add("Equal")
def _equal(moment: datetime, other: datetime) -> bool:
    return moment == other


@_TIME.add("Compare")
def _compare(moment: datetime, other: datetime) -> int:
    return (moment > other) - (moment < other)


@_TIME.add("IsZero")
def _is_zero(moment: datetime) -> bool:
    return moment == _ZERO


@_TIME.add("Round")
def _round_time(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - _ZERO - rounded(moment - _ZERO, unit, half=True))


@_TIME.add("Truncate")
def _truncate_time(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - _ZERO - rounded(moment - _ZERO, unit, half=False))
