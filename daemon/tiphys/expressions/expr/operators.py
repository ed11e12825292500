"""The binary and unary operators on values, with Go's arithmetic."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

Binary = Callable[[Run, object, object], object]


def mismatched(operator: str, left: object, right: object) -> Fault:
    """The error of an operator that does not fit its operands."""
    return Fault(f"invalid operation: {operator} (mismatched types {values.go_type(left)} and {values.go_type(right)})")


def add(run: Run, left: object, right: object) -> object:
    """`+`: numbers, texts, a time and a duration."""
    if type(left) is int and type(right) is int:
        return values.wrap(left + right)
    if isinstance(left, str) and isinstance(right, str):
        run.copied(len(left) + len(right))
        return left + right
    if values.is_number(left) and values.is_number(right):
        return values.wrap(left + right) if values.is_int(left) and values.is_int(right) else float(left) + float(right)
    if isinstance(left, datetime | timedelta) and isinstance(right, timedelta):
        return _moved(lambda: left + right)
    if isinstance(left, timedelta) and isinstance(right, datetime):
        return _moved(lambda: right + left)
    raise mismatched("+", left, right)


def subtract(_run: Run, left: object, right: object) -> object:
    """`-`: numbers, times (a duration comes out), a duration off a time or a duration."""
    if values.is_number(left) and values.is_number(right):
        return values.wrap(left - right) if values.is_int(left) and values.is_int(right) else float(left) - float(right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return left - right
    if isinstance(left, datetime | timedelta) and isinstance(right, timedelta):
        return _moved(lambda: left - right)
    raise mismatched("-", left, right)


def multiply(_run: Run, left: object, right: object) -> object:
    """`*`: numbers, a number and a duration."""
    if values.is_number(left) and values.is_number(right):
        return values.wrap(left * right) if values.is_int(left) and values.is_int(right) else float(left) * float(right)
    if isinstance(left, timedelta) and values.is_number(right):
        return _moved(lambda: left * right)
    if isinstance(right, timedelta) and values.is_number(left):
        return _moved(lambda: right * left)
    raise mismatched("*", left, right)


def divide(_run: Run, left: object, right: object) -> object:
    """`/`: always a float; by zero gives an infinity or NaN, as in Go."""
    if not (values.is_number(left) and values.is_number(right)):
        raise mismatched("/", left, right)
    if right != 0:
        return float(left) / float(right)
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def modulo(_run: Run, left: object, right: object) -> object:
    """`%`: whole numbers; the sign is the dividend's."""
    if not (values.is_int(left) and values.is_int(right)):
        raise mismatched("%", left, right)
    if right == 0:
        raise Fault("runtime error: integer divide by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def power(_run: Run, left: object, right: object) -> object:
    """`**`: always a float."""
    if not (values.is_number(left) and values.is_number(right)):
        raise mismatched("**", left, right)
    base, exponent = float(left), float(right)
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def compare(name: str, test: Callable[[object, object], bool]) -> Binary:
    """The operator `name`: numbers, texts, times or durations with their like."""

    def compared(_run: Run, left: object, right: object) -> object:
        if values.is_number(left) and values.is_number(right):
            return test(left, right)
        for kind in (str, datetime, timedelta):
            if isinstance(left, kind) and isinstance(right, kind):
                return test(left, right)
        raise mismatched(name, left, right)

    return compared


def contained(run: Run, left: object, right: object) -> bool:
    """`in`: an element of an array, a key of a map."""
    if right is None:
        return False
    if values.is_array(right):
        run.spend(len(right))
        return any(values.equal(run, left, item) for item in right)
    if values.is_map(right):
        return isinstance(left, str | int) and left in right
    reason = f'operator "in" not defined on {values.go_type(right)}'
    raise Fault(reason)


def spread(run: Run, left: object, right: object) -> object:
    """`..`: the whole numbers from left to right, both included."""
    first, last = values.integer(left), values.integer(right)
    run.made(max(0, last - first + 1))
    return list(range(first, last + 1))


def textual(test: Callable[[Run, str, str], bool]) -> Binary:
    """An operator of two texts that is false where one is nil."""

    def tested(run: Run, left: object, right: object) -> object:
        if left is None or right is None:
            return False
        return test(run, values.text(left), values.text(right))

    return tested


def negate(value: object) -> object:
    """Unary `-`."""
    if values.is_int(value):
        return values.wrap(-value)
    if isinstance(value, float | timedelta):
        return -value
    reason = f"invalid operation: - (mismatched type {values.go_type(value)})"
    raise Fault(reason)


def plus(value: object) -> object:
    """Unary `+`."""
    if values.is_number(value):
        return value
    reason = f"invalid operation: + (mismatched type {values.go_type(value)})"
    raise Fault(reason)


def cut(run: Run, target: object, start: object, stop: object) -> object:
    """`target[start:stop]` of an array or a text (its UTF-8 bytes, as Go counts); None for an open end."""
    whole: Sequence[object] | str | bytes
    if isinstance(target, str):
        run.copied(len(target))
        whole = target if target.isascii() else target.encode()
    elif values.is_array(target) or isinstance(target, bytes):
        whole = target
    else:
        reason = f"cannot slice {values.go_type(target)}"
        raise Fault(reason)
    size = len(whole)
    first = _bound(0 if start is None else values.integer(start), size)
    last = _bound(size if stop is None else values.integer(stop), size)
    part = whole[min(first, last) : last]
    run.made(len(part))
    if isinstance(target, str) and isinstance(part, bytes):
        return part.decode("utf-8", "replace")
    return part


def _bound(index: int, size: int) -> int:
    return min(max(index + size if index < 0 else index, 0), size)


def _moved(change: Callable[[], object]) -> object:
    try:
        return change()
    except (OverflowError, ValueError):
        raise Fault("time out of range") from None
