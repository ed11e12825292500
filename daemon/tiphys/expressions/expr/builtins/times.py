"""The builtins on times; "now" is the event's."""

from datetime import UTC, datetime, timedelta, tzinfo

from tiphys.expressions import durations
from tiphys.expressions.expr import layouts
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry, given_text
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


@TABLE.add("now")
def _now(run: Run, *where: tzinfo) -> datetime:
    return run.chance.now.astimezone(where[0]) if where else run.chance.now


@TABLE.add("duration")
def _duration(source: str) -> timedelta:
    try:
        return durations.parse(source)
    except durations.InvalidDuration as error:
        raise Fault(str(error)) from None


@TABLE.add("date")
def _date(*given: object) -> datetime:
    where: tzinfo = UTC
    if given and isinstance(given[0], tzinfo):
        where, given = given[0], given[1:]
    written = [given_text("date", part) for part in given]
    if not written:
        raise Fault("not enough arguments to call date")
    if len(written) > 3:
        raise Fault("too many arguments to call date")
    if len(written) == 3:
        where = layouts.zone(written[2])
    if len(written) > 1:
        return layouts.read(written[0], written[1], where)
    for layout in layouts.GUESSES:
        try:
            return layouts.read(written[0], layout, where)
        except Fault:
            continue
    raise Fault(f"invalid date {written[0][:100]}")


@TABLE.add("timezone")
def _timezone(name: str) -> tzinfo:
    return layouts.zone(name)
