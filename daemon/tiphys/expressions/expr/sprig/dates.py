"""Sprig's functions on times; "now" is the event's, the local zone is UTC."""

from datetime import UTC, datetime, timedelta, tzinfo

from tiphys.expressions import durations
from tiphys.expressions.expr import layouts, methods, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run
from tiphys.expressions.expr.sprig import casts

TABLE = Registry("sprig.")
_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = (
    (timedelta(days=365), "y"),
    (timedelta(days=30), "mo"),
    (timedelta(days=1), "d"),
    (timedelta(hours=1), "h"),
    (timedelta(minutes=1), "m"),
    (timedelta(seconds=1), "s"),
)


@TABLE.add("now")
def _now(run: Run) -> datetime:
    return run.chance.now


def _moment(run: Run, value: object) -> datetime:
    """A time, or seconds since 1970; anything else is now."""
    if isinstance(value, datetime):
        return value
    if values.is_int(value):
        try:
            return _EPOCH + timedelta(seconds=value)
        except OverflowError:
            raise Fault("time out of range") from None
    return run.chance.now


def _in_zone(run: Run, layout: str, value: object, zone: str) -> str:
    where: tzinfo = UTC
    try:
        where = layouts.zone(zone)
    except Fault:
        where = UTC
    return layouts.written(_moment(run, value).astimezone(where), layout)


@TABLE.add("date")
def _date(run: Run, layout: str, value: object) -> str:
    return _in_zone(run, layout, value, "UTC")


@TABLE.add("dateInZone", "date_in_zone")
def _date_in_zone(run: Run, layout: str, value: object, zone: str) -> str:
    return _in_zone(run, layout, value, zone)


@TABLE.add("htmlDate")
def _html_date(run: Run, value: object) -> str:
    return _in_zone(run, "2006-01-02", value, "UTC")


@TABLE.add("htmlDateInZone")
def _html_date_in_zone(run: Run, value: object, zone: str) -> str:
    return _in_zone(run, "2006-01-02", value, zone)


@TABLE.add("dateModify", "date_modify")
def _date_modify(step: str, moment: datetime) -> datetime:
    try:
        return moment + durations.parse(step)
    except durations.InvalidDuration:
        return moment
    except OverflowError:
        raise Fault("time out of range") from None


@TABLE.add("mustDateModify", "must_date_modify")
def _must_date_modify(step: str, moment: datetime) -> datetime:
    try:
        return moment + durations.parse(step)
    except durations.InvalidDuration as error:
        raise Fault(str(error)) from None
    except OverflowError:
        raise Fault("time out of range") from None


@TABLE.add("toDate")
def _to_date(layout: str, source: str) -> datetime:
    """What cannot be read is Go's zero time; so it is in Sprig."""
    try:
        return layouts.read(source, layout)
    except Fault:
        return _ZERO


@TABLE.add("mustToDate")
def _must_to_date(layout: str, source: str) -> datetime:
    return layouts.read(source, layout)


@TABLE.add("ago")
def _ago(run: Run, value: object) -> str:
    return durations.go_text(methods.rounded(run.chance.now - _moment(run, value), timedelta(seconds=1), half=True))


@TABLE.add("unixEpoch")
def _unix_epoch(moment: datetime) -> str:
    return str(methods.since_epoch(moment) // timedelta(seconds=1))


@TABLE.add("duration")
def _duration(seconds: object) -> str:
    count = casts.int64(seconds) if isinstance(seconds, str) or values.is_int(seconds) else 0
    try:
        return durations.go_text(timedelta(seconds=count))
    except OverflowError:
        raise Fault("time: duration out of range") from None


@TABLE.add("durationRound")
def _duration_round(run: Run, value: object) -> str:
    span = abs(_span(run, value))
    for unit, letter in _UNITS:
        if span >= unit:
            return f"{span // unit}{letter}"
    return "0s"


def _span(run: Run, value: object) -> timedelta:
    match value:
        case str():
            try:
                return durations.parse(value)
            except durations.InvalidDuration:
                return timedelta()
        case timedelta():
            return value
        case datetime():
            return run.chance.now - value
        case int() if values.is_int(value):
            return timedelta(microseconds=value / 1000)
        case _:
            return timedelta()
