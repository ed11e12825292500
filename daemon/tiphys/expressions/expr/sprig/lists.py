"""Sprig's functions on lists; a list is never changed, a new one comes out."""

from collections.abc import Sequence

from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run
from tiphys.expressions.expr.sprig import casts

TABLE = Registry("sprig.")


@TABLE.add("list", "tuple")
def _list(*items: object) -> list[object]:
    return list(items)


@TABLE.add("first", "mustFirst")
def _first(items: object) -> object:
    found = casts.items("find first", items)
    return found[0] if found else None


@TABLE.add("last", "mustLast")
def _last(items: object) -> object:
    found = casts.items("find last", items)
    return found[-1] if found else None


@TABLE.add("rest", "mustRest")
def _rest(run: Run, items: object) -> list[object] | None:
    found = casts.items("find rest", items)
    run.made(len(found))
    return list(found[1:]) if found else None


@TABLE.add("initial", "mustInitial")
def _initial(run: Run, items: object) -> list[object] | None:
    found = casts.items("find initial", items)
    run.made(len(found))
    return list(found[:-1]) if found else None


@TABLE.add("append", "push", "mustAppend", "mustPush")
def _append(run: Run, items: object, item: object) -> list[object]:
    found = casts.items("push", items)
    run.made(len(found) + 1)
    return [*found, item]


@TABLE.add("prepend", "mustPrepend")
def _prepend(run: Run, items: object, item: object) -> list[object]:
    found = casts.items("prepend", items)
    run.made(len(found) + 1)
    return [item, *found]


@TABLE.add("concat")
def _concat(run: Run, *lists: object) -> list[object]:
    made: list[object] = []
    for items in lists:
        found = casts.items("concat type", items)
        run.made(len(made) + len(found))
        made.extend(found)
    return made


@TABLE.add("reverse", "mustReverse")
def _reverse(run: Run, items: object) -> list[object]:
    found = casts.items("find reverse", items)
    run.made(len(found))
    return list(found[::-1])


@TABLE.add("uniq", "mustUniq")
def _uniq(run: Run, items: object) -> list[object]:
    kept: list[object] = []
    plain: set[tuple[type, object]] = set()
    for item in casts.items("find uniq", items):
        if isinstance(item, str | bool | int | float | None):
            run.spend(1)
            if (type(item), item) in plain:
                continue
            plain.add((type(item), item))
        elif any(casts.same(run, item, other) for other in kept):
            continue
        kept.append(item)
    return kept


@TABLE.add("without", "mustWithout")
def _without(run: Run, items: object, *unwanted: object) -> list[object]:
    found = casts.items("find without", items)
    return [item for item in found if not any(casts.same(run, item, other) for other in unwanted)]


@TABLE.add("has", "mustHas")
def _has(run: Run, item: object, items: object) -> bool:
    if items is None:
        return False
    return any(casts.same(run, item, other) for other in casts.items("find has", items))


@TABLE.add("compact", "mustCompact")
def _compact(run: Run, items: object) -> list[object]:
    found = casts.items("compact", items)
    run.made(len(found))
    return [item for item in found if not casts.empty(item)]


@TABLE.add("slice", "mustSlice")
def _slice(run: Run, items: object, *bounds: object) -> Sequence[object] | None:
    found = casts.items("slice", items)
    if not found:
        return None
    start = casts.int64(bounds[0]) if bounds else 0
    stop = casts.int64(bounds[1]) if len(bounds) > 1 else len(found)
    if not 0 <= start <= stop <= len(found):
        raise Fault(f"reflect.Value.Slice: slice index out of bounds [{start}:{stop}] with length {len(found)}")
    run.made(stop - start)
    return list(found[start:stop])


@TABLE.add("chunk", "mustChunk")
def _chunk(run: Run, size: int, items: object) -> list[object]:
    found = casts.items("chunk", items)
    if size < 1:
        raise Fault("chunk size has to be positive")
    run.made(len(found))
    return [list(found[start : start + size]) for start in range(0, len(found), size)]


@TABLE.add("all")
def _all(*items: object) -> bool:
    return not any(casts.empty(item) for item in items)


@TABLE.add("any")
def _any(*items: object) -> bool:
    return any(not casts.empty(item) for item in items)


@TABLE.add("default")
def _default(fallback: object, *given: object) -> object:
    return fallback if not given or casts.empty(given[0]) else given[0]


@TABLE.add("empty")
def _empty(value: object) -> bool:
    return casts.empty(value)


@TABLE.add("coalesce")
def _coalesce(*items: object) -> object:
    return next((item for item in items if not casts.empty(item)), None)


@TABLE.add("ternary")
def _ternary(then: object, otherwise: object, test: bool) -> object:
    return then if test else otherwise


@TABLE.add("typeOf")
def _type_of(value: object) -> str:
    return values.go_type(value)


@TABLE.add("kindOf")
def _kind_of(value: object) -> str:
    return casts.kind(value)


@TABLE.add("typeIs")
def _type_is(wanted: str, value: object) -> bool:
    return values.go_type(value) == wanted


@TABLE.add("typeIsLike")
def _type_is_like(wanted: str, value: object) -> bool:
    return values.go_type(value).removeprefix("*") == wanted or values.go_type(value) == wanted


@TABLE.add("kindIs")
def _kind_is(wanted: str, value: object) -> bool:
    return casts.kind(value) == wanted


@TABLE.add("deepEqual")
def _deep_equal(run: Run, left: object, right: object) -> bool:
    return casts.same(run, left, right)
