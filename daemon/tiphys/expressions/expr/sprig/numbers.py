"""Sprig's arithmetic: whole numbers of anything, and decimals without binary rounding."""

import math
from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation, localcontext

from tiphys.expressions.expr import numerals, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run
from tiphys.expressions.expr.sprig import casts

TABLE = Registry("sprig.")
_DECIMALS = Context(prec=60)


@TABLE.add("atoi")
def _atoi(source: str) -> int:
    return numerals.decimal(source) or 0


@TABLE.add("int", "int64")
def _int(value: object) -> int:
    return casts.int64(value)


@TABLE.add("float64")
def _float64(value: object) -> float:
    return casts.float64(value)


@TABLE.add("toDecimal")
def _to_decimal(run: Run, value: object) -> int:
    """Octal digits as a number (file modes)."""
    written = casts.string(run, value)
    digits = written.lstrip("+-")
    if not digits or len(written) - len(digits) > 1 or not set(digits) <= set("01234567") or len(digits) > 21:
        return 0
    return values.wrap(int(written, 8))


@TABLE.add("add")
def _add(*numbers: object) -> int:
    return values.wrap(sum(casts.int64(number) for number in numbers))


@TABLE.add("add1")
def _add1(number: object) -> int:
    return values.wrap(casts.int64(number) + 1)


@TABLE.add("sub")
def _sub(left: object, right: object) -> int:
    return values.wrap(casts.int64(left) - casts.int64(right))


@TABLE.add("mul")
def _mul(first: object, *rest: object) -> int:
    product = casts.int64(first)
    for number in rest:
        product = values.wrap(product * casts.int64(number))
    return product


@TABLE.add("div")
def _div(left: object, right: object) -> int:
    dividend, divisor = casts.int64(left), _divisor(right)
    quotient = abs(dividend) // abs(divisor)
    return values.wrap(quotient if (dividend < 0) == (divisor < 0) else -quotient)


@TABLE.add("mod")
def _mod(left: object, right: object) -> int:
    dividend, divisor = casts.int64(left), _divisor(right)
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def _divisor(value: object) -> int:
    divisor = casts.int64(value)
    if divisor == 0:
        raise Fault("runtime error: integer divide by zero")
    return divisor


@TABLE.add("max", "biggest")
def _max(first: object, *rest: object) -> int:
    return max(casts.int64(number) for number in (first, *rest))


@TABLE.add("min")
def _min(first: object, *rest: object) -> int:
    return min(casts.int64(number) for number in (first, *rest))


@TABLE.add("maxf")
def _maxf(first: object, *rest: object) -> float:
    return max(casts.float64(number) for number in (first, *rest))


@TABLE.add("minf")
def _minf(first: object, *rest: object) -> float:
    return min(casts.float64(number) for number in (first, *rest))


@TABLE.add("ceil")
def _ceil(value: object) -> float:
    number = casts.float64(value)
    return float(math.ceil(number)) if math.isfinite(number) else number


@TABLE.add("floor")
def _floor(value: object) -> float:
    number = casts.float64(value)
    return float(math.floor(number)) if math.isfinite(number) else number


@TABLE.add("round")
def _round(value: object, places: int, up_from: float = 0.5) -> float:
    number = casts.float64(value)
    if not -300 < places < 300 or not math.isfinite(number):
        return number
    power = 10.0**places
    digit = power * number
    if not math.isfinite(digit):
        return number
    part = math.modf(digit)[0]
    return float(math.ceil(digit) if part >= up_from else math.floor(digit)) / power


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(repr(casts.float64(value)))
    except InvalidOperation:
        return Decimal(0)
    if not number.is_finite():
        raise Fault(f"Cannot create a Decimal from {number}")
    return number


@TABLE.add("addf")
def _addf(*numbers: object) -> float:
    with localcontext(_DECIMALS):
        return float(sum((_decimal(number) for number in numbers), Decimal(0)))


@TABLE.add("add1f")
def _add1f(number: object) -> float:
    return _addf(number, 1)


@TABLE.add("subf")
def _subf(first: object, *rest: object) -> float:
    with localcontext(_DECIMALS):
        return float(_decimal(first) - sum((_decimal(number) for number in rest), Decimal(0)))


@TABLE.add("mulf")
def _mulf(first: object, *rest: object) -> float:
    with localcontext(_DECIMALS):
        product = _decimal(first)
        for number in rest:
            product *= _decimal(number)
        return float(product)


@TABLE.add("divf")
def _divf(first: object, *rest: object) -> float:
    with localcontext(_DECIMALS):
        quotient = _decimal(first)
        for number in rest:
            divisor = _decimal(number)
            if not divisor:
                raise Fault("decimal division by 0")
            quotient /= divisor
        return float(quotient)


@TABLE.add("until")
def _until(run: Run, count: int) -> list[int]:
    return _until_step(run, 0, count, -1 if count < 0 else 1)


@TABLE.add("untilStep")
def _until_step(run: Run, start: int, stop: int, step: int) -> list[int]:
    if (stop < start and step >= 0) or (stop >= start and step <= 0):
        return []
    numbers = range(start, stop, step)
    run.made(len(numbers))
    return list(numbers)


@TABLE.add("seq")
def _seq(run: Run, *given: int) -> str:
    match given:
        case (last,):
            first, step = 1, -1 if last < 1 else 1
        case (first, last):
            step = -1 if last < first else 1
        case (first, step, last):
            if last < first and step > 0:
                return ""
        case _:
            return ""
    numbers: Sequence[int] = _until_step(run, first, last + (-1 if last < first else 1), step)
    return " ".join(map(str, numbers))


@TABLE.add("randInt")
def _rand_int(run: Run, low: int, high: int) -> int:
    if high <= low:
        raise Fault("invalid argument to Intn")
    return run.random.randrange(low, high)
