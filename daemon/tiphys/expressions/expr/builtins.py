"""The builtins of the expr language that take values only (those with predicates: predicates.py)."""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from tiphys.expressions import durations
from tiphys.expressions.expr import layouts, numerals, operators, ordering, text, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


# --- types and conversions


@TABLE.add("len")
def _len(value: object) -> int:
    if isinstance(value, str | bytes) or values.is_array(value) or values.is_map(value):
        return len(value)
    raise Fault(f"invalid argument for len (type {values.go_type(value)})")


@TABLE.add("type")
def _type(value: object) -> str:
    return values.expr_type(value)


@TABLE.add("int")
def to_int(value: object) -> int:
    """`int(x)`: a number cut towards zero, or a decimal text."""
    if isinstance(value, str):
        parsed = numerals.decimal(value)
        if parsed is None:
            raise Fault(f"invalid operation: int({value[:100]})")
        return parsed
    return values.integer(value)


@TABLE.add("float")
def to_float(value: object) -> float:
    """`float(x)`: a number, or its text."""
    if isinstance(value, str):
        parsed = numerals.real(value)
        if parsed is None:
            raise Fault(f"invalid operation: float({value[:100]})")
        return parsed
    if values.is_number(value):
        return float(value)
    raise Fault(f"invalid operation: float({values.go_type(value)})")


@TABLE.add("string")
def _string(run: Run, value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return text.shown(run, value)


@TABLE.add("toJSON")
def _to_json(run: Run, value: object) -> str:
    return text.to_json(run, value, indent="  ")


@TABLE.add("fromJSON")
def _from_json(run: Run, source: str) -> object:
    return text.from_json(run, source)


@TABLE.add("toBase64")
def _to_base64(run: Run, value: object) -> str:
    raw = value if isinstance(value, bytes) else _given("toBase64", value).encode()
    run.copied(len(raw) * 4 // 3)
    return base64.b64encode(raw).decode()


@TABLE.add("fromBase64")
def _from_base64(run: Run, source: str) -> str:
    run.copied(len(source))
    try:
        return base64.b64decode(source.replace("\n", "").replace("\r", ""), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise Fault("illegal base64 data") from None


def _given(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise Fault(f"cannot use {values.go_type(value)} as argument (type string) to call {name}")


@TABLE.add("get")
def _get(whole: object, part: object) -> object:
    if values.is_map(whole):
        return whole.get(part) if isinstance(part, str | int | float) else None
    if (values.is_array(whole) or isinstance(whole, bytes | str)) and values.is_int(part):
        raw = whole.encode() if isinstance(whole, str) else whole
        return raw[part] if -len(raw) <= part < len(raw) else None
    return None


@TABLE.add("toPairs")
def _to_pairs(run: Run, value: Mapping[object, object]) -> list[object]:
    run.made(len(value) * 2)
    return [[key, item] for key, item in value.items()]


@TABLE.add("fromPairs")
def _from_pairs(run: Run, pairs: Sequence[object]) -> dict[object, object]:
    run.made(len(pairs))
    made: dict[object, object] = {}
    for pair in pairs:
        if not values.is_array(pair) or len(pair) != 2:
            raise Fault(f"invalid pair {text.shown(run, pair)}")
        key = pair[0]
        if not isinstance(key, str | int | float):
            raise Fault(f"cannot use {values.go_type(key)} as a key of a map")
        made[key] = pair[1]
    return made


@TABLE.add("keys")
def _keys(run: Run, value: Mapping[object, object]) -> list[object]:
    run.made(len(value))
    return list(value)


@TABLE.add("values")
def _values(run: Run, value: Mapping[object, object]) -> list[object]:
    run.made(len(value))
    return list(value.values())


# --- texts


@TABLE.add("trim")
def _trim(source: str, cutset: str = " \t\n\v\f\r\x85\xa0") -> str:
    return source.strip(cutset) if cutset else source


@TABLE.add("trimPrefix")
def _trim_prefix(source: str, prefix: str = " ") -> str:
    return source.removeprefix(prefix)


@TABLE.add("trimSuffix")
def _trim_suffix(source: str, suffix: str = " ") -> str:
    return source.removesuffix(suffix)


@TABLE.add("upper")
def _upper(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.upper()


@TABLE.add("lower")
def _lower(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.lower()


@TABLE.add("split")
def split(run: Run, source: str, separator: str, limit: int = -1) -> list[str]:
    """The parts between the separators (its characters if there is none), `limit` at most."""
    run.copied(len(source))
    run.made(source.count(separator) + 1)
    if limit == 0:
        return []
    if separator:
        return source.split(separator, limit - 1 if limit > 0 else -1)
    return list(source) if limit < 0 or limit >= len(source) else [*source[: limit - 1], source[limit - 1 :]]


@TABLE.add("splitAfter")
def _split_after(run: Run, source: str, separator: str, limit: int = -1) -> list[str]:
    parts = split(run, source, separator, limit)
    return [part + separator for part in parts[:-1]] + parts[-1:]


@TABLE.add("replace")
def replace(run: Run, source: str, old: str, new: str, limit: int = -1) -> str:
    """The text with `new` for each `old`, or for the first `limit`."""
    count = len(source) + 1 if not old else source.count(old)
    if limit >= 0:
        count = min(count, limit)
    run.copied(len(source))
    run.copied(len(source) + count * max(0, len(new) - len(old)))
    return source.replace(old, new, count)


@TABLE.add("repeat")
def repeat(run: Run, source: str, count: object) -> str:
    """The text `count` times."""
    times = values.integer(count)
    if times < 0:
        raise Fault(f"invalid argument for repeat (expected positive integer, got {times})")
    run.copied(len(source) * times)
    return source * times


@TABLE.add("join")
def join(run: Run, items: Sequence[object], separator: str = "") -> str:
    """The texts with the separator between them."""
    parts: list[str] = []
    for item in items:
        if not isinstance(item, str):
            raise Fault(f"invalid argument for join (expected array of strings, got an element of type {values.go_type(item)})")
        parts.append(item)
    run.copied(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


@TABLE.add("indexOf")
def _index_of(source: str, part: str) -> int:
    return _bytes_before(source, source.find(part))


@TABLE.add("lastIndexOf")
def _last_index_of(source: str, part: str) -> int:
    return _bytes_before(source, source.rfind(part))


def _bytes_before(source: str, index: int) -> int:
    return index if index < 0 or source.isascii() else len(source[:index].encode())


@TABLE.add("hasPrefix")
def _has_prefix(source: str, prefix: str) -> bool:
    return source.startswith(prefix)


@TABLE.add("hasSuffix")
def _has_suffix(source: str, suffix: str) -> bool:
    return source.endswith(suffix)


# --- times


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
    written = [_given("date", part) for part in given]
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


# --- numbers


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


# --- lists


@TABLE.add("first")
def _first(items: object) -> object:
    return _get(_array("first", items), 0)


@TABLE.add("last")
def _last(items: object) -> object:
    return _get(_array("last", items), -1)


def _array(name: str, value: object) -> Sequence[object]:
    if values.is_array(value):
        return value
    if isinstance(value, bytes):
        return list(value)
    raise Fault(f"cannot use {values.go_type(value)} as argument (type []interface {{}}) to call {name}")


@TABLE.add("take")
def _take(run: Run, items: Sequence[object], count: object) -> Sequence[object]:
    number = values.integer(count)
    if number < 0:
        raise Fault(f"cannot take {number} elements")
    run.made(min(number, len(items)))
    return items[:number]


@TABLE.add("reverse")
def _reverse(run: Run, items: Sequence[object]) -> Sequence[object]:
    run.made(len(items))
    return items[::-1]


@TABLE.add("uniq")
def uniq(run: Run, items: Sequence[object]) -> list[object]:
    """The elements without those equal to an earlier one."""
    known: set[tuple[str, object]] = set()
    kept: list[object] = []
    complex_ones: list[object] = []
    for item in items:
        if isinstance(item, str | bool | int | float | None):
            key = ("bool" if isinstance(item, bool) else "number" if values.is_number(item) else "other", item)
            run.spend(1)
            if key not in known:
                known.add(key)
                kept.append(item)
        elif not any(values.equal(run, item, other) for other in complex_ones):
            run.spend(len(complex_ones))
            complex_ones.append(item)
            kept.append(item)
    return kept


@TABLE.add("concat")
def _concat(run: Run, first: object, *rest: object) -> list[object]:
    made: list[object] = []
    for items in (first, *rest):
        if not values.is_array(items):
            raise Fault(f"cannot concat {values.go_type(items)}")
        run.made(len(made) + len(items))
        made.extend(items)
    return made


@TABLE.add("flatten")
def _flatten(run: Run, items: Sequence[object]) -> list[object]:
    made: list[object] = []
    pending = [iter(items)]
    while pending:
        for item in pending[-1]:
            run.spend(1)
            if values.is_array(item):
                pending.append(iter(item))
                break
            made.append(item)
        else:
            pending.pop()
    return made


@TABLE.add("sort")
def _sort(run: Run, items: Sequence[object], order: object = "asc") -> list[object]:
    return ordering.ordered(run, items, order, key=lambda item: item)
