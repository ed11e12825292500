"""The builtins on lists and maps."""

from collections.abc import Mapping, Sequence

from tiphys.expressions.expr import ordering, text, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


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


@TABLE.add("count")
def _count(run: Run, items: Sequence[object]) -> int:
    """Without a predicate: how many elements are true."""
    run.made(len(items))
    for item in items:
        if not isinstance(item, bool):
            raise Fault(f"predicate should return boolean (got {values.go_type(item)})")
    return sum(1 for item in items if item)
