"""The builtins that evaluate an expression once for each element: filter, map, reduce and the like."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tiphys.expressions.expr import grammar, operators, ordering, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

NAMES = frozenset(grammar.PREDICATES)
Code = Callable[[Run], object]
Loop = Callable[..., object]


class Slots(NamedTuple):
    """Where `#`, `#index` and `#acc` are kept."""

    item: int
    place: int
    acc: int


class Each(NamedTuple):
    """A predicate over an array: its body and where its variables are."""

    name: str
    body: Code
    slots: Slots
    at: int

    def elements(self, array: object) -> list[object]:
        """The elements of what has to be an array; of a map, its values."""
        if values.is_array(array):
            return list(array)
        if values.is_map(array):
            return list(array.values())
        if isinstance(array, bytes):
            return list(array)
        reason = f"builtin {self.name} takes only array (got {values.go_type(array)})"
        raise Fault(reason)

    def results(self, run: Run, items: list[object]) -> Iterator[tuple[object, object]]:
        """Each element and what the predicate gives for it."""
        slots = run.slots
        for index, item in enumerate(items):
            run.steps -= 4
            if run.steps < 0:
                run.spend(0)
            slots[self.slots.item], slots[self.slots.place] = item, index
            yield item, self.body(run)

    def tests(self, run: Run, items: list[object]) -> Iterator[tuple[object, bool]]:
        """Each element and whether the predicate holds for it."""
        for item, result in self.results(run, items):
            if result is not True and result is not False:
                raise Fault(f"predicate should return boolean (got {values.go_type(result)})", self.at)
            yield item, result


def loop(name: str, body: Code, slots: Slots, at: int) -> Loop:
    """The code of builtin `name` with this predicate; called with the run, the array and the further arguments."""
    each, work = Each(name, body, slots, at), _WORK[name]
    return lambda run, array, *rest: work(each, run, each.elements(array), *rest)


def _all(each: Each, run: Run, items: list[object]) -> object:
    return all(held for _item, held in each.tests(run, items))


def _any(each: Each, run: Run, items: list[object]) -> object:
    return any(held for _item, held in each.tests(run, items))


def _none(each: Each, run: Run, items: list[object]) -> object:
    return not _any(each, run, items)


def _one(each: Each, run: Run, items: list[object]) -> object:
    return _count(each, run, items) == 1


def _count(each: Each, run: Run, items: list[object]) -> object:
    return sum(held for _item, held in each.tests(run, items))


def _filter(each: Each, run: Run, items: list[object]) -> object:
    return [item for item, held in each.tests(run, items) if held]


def _map(each: Each, run: Run, items: list[object]) -> object:
    return [result for _item, result in each.results(run, items)]


def _find(each: Each, run: Run, items: list[object]) -> object:
    return next((item for item, held in each.tests(run, items) if held), None)


def _find_index(each: Each, run: Run, items: list[object]) -> object:
    return next((index for index, (_item, held) in enumerate(each.tests(run, items)) if held), None)


def _find_last(each: Each, run: Run, items: list[object]) -> object:
    index = _last(each, run, items)
    return None if index is None else items[index]


def _last(each: Each, run: Run, items: list[object]) -> int | None:
    slots = run.slots
    for index in range(len(items) - 1, -1, -1):
        run.spend(4)
        slots[each.slots.item], slots[each.slots.place] = items[index], index
        try:
            if values.boolean(each.body(run)):
                return index
        except Fault as fault:
            raise fault.placed(each.at) from None
    return None


def _group_by(each: Each, run: Run, items: list[object]) -> object:
    groups: dict[object, list[object]] = {}
    for item, key in each.results(run, items):
        if isinstance(key, list | dict | tuple):
            reason = f"cannot use {values.go_type(key)} as a key of groupBy"
            raise Fault(reason, each.at)
        groups.setdefault(key, []).append(item)
    return groups


def _sum(each: Each, run: Run, items: list[object]) -> object:
    total: object = 0
    for _item, result in each.results(run, items):
        total = operators.add(run, total, result)
    return total


def _sort_by(each: Each, run: Run, items: list[object], order: object = "asc") -> object:
    keyed = [(result, item) for item, result in each.results(run, items)]
    return [item for _key, item in ordering.ordered(run, keyed, order, key=lambda pair: pair[0])]


def _reduce(each: Each, run: Run, items: list[object], *initial: object) -> object:
    if not initial and not items:
        raise Fault("reduce of empty array with no initial value")
    slots = run.slots
    total, first = (initial[0], 0) if initial else (items[0], 1)
    for index in range(first, len(items)):
        run.spend(4)
        slots[each.slots.item], slots[each.slots.place], slots[each.slots.acc] = items[index], index, total
        total = each.body(run)
    return total


_WORK: dict[str, Loop] = {
    "all": _all,
    "any": _any,
    "none": _none,
    "one": _one,
    "count": _count,
    "filter": _filter,
    "map": _map,
    "find": _find,
    "findIndex": _find_index,
    "findLast": _find_last,
    "findLastIndex": _last,
    "groupBy": _group_by,
    "sum": _sum,
    "sortBy": _sort_by,
    "reduce": _reduce,
}
