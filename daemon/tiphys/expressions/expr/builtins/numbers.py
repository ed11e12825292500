"""The builtins on numbers."""

import math
from collections.abc import Callable, Sequence

from tiphys.expressions.expr import operators, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


def _number(name: str, value: object) -> int | float:
    if values.is_number(value):
        return value
    raise Fault(f"invalid argument for {name} (type {values.go_type(value)})")


@TABLE.add("abs")
def _abs(value: object) -> int | float:
    number = _number("abs", value)
    return values.wrap(abs(number)) if values.is_int(number) else abs(number)


@TABLE.add("ceil")
def _ceil(value: object) -> float:
    return _whole(float(_number("ceil", value)), math.ceil)


@TABLE.add("floor")
def _floor(value: object) -> float:
    return _whole(float(_number("floor", value)), math.floor)


@TABLE.add("round")
def _round(value: object) -> float:
    return _whole(float(_number("round", value)), lambda number: math.copysign(math.floor(abs(number) + 0.5), number))


def _whole(number: float, change: Callable[[float], float]) -> float:
    return number if not math.isfinite(number) or abs(number) >= 1 << 52 else math.copysign(float(change(number)), number)


def _numbers(run: Run, name: str, given: Sequence[object], depth: int = 0) -> list[int | float]:
    found: list[int | float] = []
    for value in given:
        run.spend(1)
        if values.is_array(value) and depth < 50:
            found.extend(_numbers(run, name, value, depth + 1))
        else:
            found.append(_number(name, value))
    return found


@TABLE.add("max")
def _max(run: Run, first: object, *rest: object) -> object:
    return max(_numbers(run, "max", [first, *rest]), default=None)


@TABLE.add("min")
def _min(run: Run, first: object, *rest: object) -> object:
    return min(_numbers(run, "min", [first, *rest]), default=None)


@TABLE.add("sum")
def _sum(run: Run, items: Sequence[object]) -> object:
    total: object = 0
    for item in items:
        run.spend(1)
        total = operators.add(run, total, _number("sum", item))
    return total


@TABLE.add("mean")
def _mean(run: Run, first: object, *rest: object) -> float:
    numbers = _numbers(run, "mean", [first, *rest])
    return math.fsum(numbers) / len(numbers) if numbers else 0.0


@TABLE.add("median")
def _median(run: Run, first: object, *rest: object) -> float:
    numbers = sorted(_numbers(run, "median", [first, *rest]))
    if not numbers:
        return 0.0
    middle = len(numbers) // 2
    return float(numbers[middle]) if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


@TABLE.add("bitand")
def _bitand(left: int, right: int) -> int:
    return values.wrap(left & right)


@TABLE.add("bitor")
def _bitor(left: int, right: int) -> int:
    return values.wrap(left | right)


@TABLE.add("bitxor")
def _bitxor(left: int, right: int) -> int:
    return values.wrap(left ^ right)


@TABLE.add("bitnand")
def _bitnand(left: int, right: int) -> int:
    return values.wrap(left & ~right)


@TABLE.add("bitnot")
def _bitnot(value: int) -> int:
    return values.wrap(~value)


@TABLE.add("bitshl")
def _bitshl(value: int, count: int) -> int:
    return values.wrap(value << _shift(count, "bitshl"))


@TABLE.add("bitshr")
def _bitshr(value: int, count: int) -> int:
    return values.wrap(value >> _shift(count, "bitshr"))


@TABLE.add("bitushr")
def _bitushr(value: int, count: int) -> int:
    return values.wrap((value & 0xFFFF_FFFF_FFFF_FFFF) >> _shift(count, "bitushr"))


def _shift(count: int, name: str) -> int:
    if count < 0:
        raise Fault(f"invalid operation: negative shift count {count} (type int) in {name}")
    return min(count, 64)
