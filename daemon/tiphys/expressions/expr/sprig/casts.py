"""How Sprig makes a number, a text or a list of anything."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tiphys.expressions.expr import numerals, text, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

_LITERAL = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([0-9]+))(?:\.0+)?")


def int64(value: object) -> int:
    """A whole number of anything: 0 for what is none; texts may be hexadecimal, octal or binary."""
    match value:
        case bool():
            return int(value)
        case int():
            return int(value)
        case float():
            return values.integer(value) if value == value else 0  # noqa: PLR0124 - NaN
        case str():
            return _literal(value)
        case timedelta():
            return values.nanoseconds(value)
        case _:
            return 0


def _literal(written: str) -> int:
    found = _LITERAL.fullmatch(written)
    if found is None or len(written) > 80:
        return 0
    sign, hexadecimal, binary, octal, decimal = found.groups()
    for digits, base in ((hexadecimal, 16), (binary, 2), (octal, 8), (decimal, 10)):
        if digits:
            value = int(digits, base)
            return (-value if sign == "-" else value) if value < 1 << 63 else 0
    return 0


def float64(value: object) -> float:
    """A float of anything: 0 for what is none."""
    match value:
        case bool() | int() | float():
            return float(value)
        case str():
            return numerals.real(value) or 0.0
        case _:
            return 0.0


def string(run: Run, value: object) -> str:
    """The text of anything."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return text.shown(run, value)


def strings(run: Run, value: object) -> list[str]:
    """The texts of a list's elements that are not nil; anything else is a list of one."""
    if value is None:
        return []
    if values.is_array(value):
        run.made(len(value))
        return [string(run, item) for item in value if item is not None]
    return [string(run, value)]


def items(name: str, value: object) -> Sequence[object]:
    """What has to be a list; raises Fault in Sprig's words."""
    if values.is_array(value):
        return value
    raise Fault(f"Cannot {name} on type {kind(value)}")


def kind(value: object) -> str:
    """Go's kind of a value: `slice`, `map`, `struct` and so on."""
    match value:
        case None:
            return "invalid"
        case list() | tuple() | bytes():
            return "slice"
        case Mapping():
            return "map"
        case datetime():
            return "struct"
        case timedelta():
            return "int64"
        case values.Opaque():
            return "ptr"
        case values.Number():
            return "int"
        case _:
            return values.go_type(value)


def empty(value: object) -> bool:
    """Whether Sprig takes it for empty: nil, false, 0, and what has length 0."""
    if value is None or value is False:
        return True
    if values.is_number(value):
        return value == 0
    if isinstance(value, str | bytes) or values.is_array(value) or values.is_map(value):
        return len(value) == 0
    return False


def same(run: Run, left: object, right: object, depth: int = 0) -> bool:
    """Go's reflect.DeepEqual: equal, and of equal types."""
    if depth > 100:
        raise Fault("value is nested too deeply")
    run.spend(1)
    if values.is_array(left) and values.is_array(right):
        return len(left) == len(right) and all(same(run, one, other, depth + 1) for one, other in zip(left, right, strict=True))
    if values.is_map(left) and values.is_map(right):
        return len(left) == len(right) and all(key in right and same(run, left[key], right[key], depth + 1) for key in left)
    return values.go_type(left) == values.go_type(right) and left == right
