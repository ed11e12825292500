"""Values of the expr language as Python values, and Go's names for their types.

nil None · bool · int (64 bits) · float · string str · array list (or tuple) · map dict · []byte bytes · time.Time aware datetime ·
time.Duration timedelta · *time.Location tzinfo. A bool is never a number here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, TypeGuard

from tiphys.expressions.expr import limits
from tiphys.expressions.expr.faults import Fault

if TYPE_CHECKING:
    from tiphys.expressions.expr.functions import Bound
    from tiphys.expressions.expr.runs import Run

_GO = {
    type(None): "<nil>",
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    list: "[]interface {}",
    tuple: "[]interface {}",
    dict: "map[string]interface {}",
    bytes: "[]uint8",
    datetime: "time.Time",
    timedelta: "time.Duration",
}
_EXPR = {
    "<nil>": "nil",
    "float64": "float",
    "[]interface {}": "array",
    "[]uint8": "array",
    "map[string]interface {}": "map",
}


class Number(int):
    """A whole number of a named Go type, as `time.Month`, which prints as its name."""

    go: str
    label: str

    @classmethod
    def of(cls, value: int, go: str, label: str) -> "Number":
        """`value` with the name of its Go type and its printed form."""
        number = cls(value)
        number.go, number.label = go, label
        return number


class Opaque:
    """A Go object that expressions only call methods of."""

    go: str

    def member(self, name: str) -> "Bound | None":
        """The method of that name; None if there is none."""
        raise NotImplementedError


def go_type(value: object) -> str:
    """The name of the value's type as Go prints it (`%T`)."""
    name = _GO.get(type(value))
    if name is not None:
        return name
    match value:
        case Number() | Opaque():
            return value.go
        case Mapping():
            return "map[string]interface {}"
        case datetime():
            return "time.Time"
        case tzinfo():
            return "*time.Location"
        case str():
            return "string"
        case int():
            return "int"
        case float():
            return "float64"
        case Sequence():
            return "[]interface {}"
        case _ if callable(value):
            return "func"
        case _:
            return type(value).__name__


def expr_type(value: object) -> str:
    """What the builtin `type` says."""
    name = go_type(value)
    return _EXPR.get(name, name)


def is_int(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; true and false are not."""
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; true and false are not."""
    return type(value) is int or type(value) is float or (isinstance(value, int | float) and not isinstance(value, bool))


def is_array(value: object) -> TypeGuard[Sequence[object]]:
    """Whether it is an array; text and bytes are not."""
    return isinstance(value, list | tuple)


def is_map(value: object) -> TypeGuard[Mapping[object, object]]:
    """Whether it is a map."""
    return isinstance(value, dict | Mapping)


def boolean(value: object) -> bool:
    """`value`, which has to be a bool; raises Fault in Go's words."""
    if value is True:
        return True
    if value is False:
        return False
    name = "nil" if value is None else go_type(value)
    reason = f"interface conversion: interface {{}} is {name}, not bool"
    raise Fault(reason)


def text(value: object) -> str:
    """`value`, which has to be a string; raises Fault in Go's words."""
    if isinstance(value, str):
        return value
    name = "nil" if value is None else go_type(value)
    reason = f"interface conversion: interface {{}} is {name}, not string"
    raise Fault(reason)


def integer(value: object) -> int:
    """A number as a whole number, cut towards zero; raises Fault for what is no number."""
    if is_int(value):
        return int(value)
    if isinstance(value, float):
        return wrap(int(value)) if abs(value) < float(1 << 64) else -(1 << 63)
    reason = f"invalid operation: int({go_type(value)})"
    raise Fault(reason)


def wrap(value: int) -> int:
    """`value` in 64 bits, as Go's arithmetic wraps around."""
    if -0x8000_0000_0000_0000 <= value <= 0x7FFF_FFFF_FFFF_FFFF:
        return value
    return ((value + 0x8000_0000_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF) - 0x8000_0000_0000_0000


def equal(run: "Run", left: object, right: object, depth: int = 0) -> bool:
    """Expr's `==`: numbers by value, containers by their elements, different types never."""
    if is_number(left) and is_number(right):
        return left == right
    if is_array(left) and is_array(right):
        _deeper(depth)
        if len(left) != len(right):
            return False
        run.spend(2 * len(left))
        return all(equal(run, one, other, depth + 1) for one, other in zip(left, right, strict=True))
    if is_map(left) and is_map(right):
        _deeper(depth)
        if len(left) != len(right):
            return False
        run.spend(2 * len(left))
        return all(key in right and equal(run, value, right[key], depth + 1) for key, value in left.items())
    if type(left) is not type(right) and not (isinstance(left, str) and isinstance(right, str)):
        return False
    return left == right


def check_size(run: "Run", value: object) -> None:
    """Refuses a value whose text would be enormous or too deep (lists may share parts, so a small one can be); raises Fault."""
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        part, depth = pending.pop()
        _deeper(depth)
        if is_array(part):
            run.spend(len(part))
            pending.extend((item, depth + 1) for item in part if not isinstance(item, int | float))
        elif is_map(part):
            run.spend(len(part))
            pending.extend((item, depth + 1) for item in part.values())
        elif isinstance(part, str | bytes):
            run.copied(len(part))


def _deeper(depth: int) -> None:
    if depth > limits.MAX_VALUE_DEPTH:
        raise Fault("value is nested too deeply")


def nanoseconds(value: timedelta) -> int:
    """A duration as Go counts it."""
    return (value.days * 86_400_000_000 + value.seconds * 1_000_000 + value.microseconds) * 1000
