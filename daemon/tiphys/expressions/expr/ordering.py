"""Sorting of values: numbers with numbers, texts with texts, times with times."""

import functools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

Item = TypeVar("Item")


def ordered(run: Run, items: Iterable[Item], order: object, key: Callable[[Item], object]) -> list[Item]:
    """The items by their key, stable; `order` is "asc" or "desc". Raises Fault for keys that have no order."""
    if not isinstance(order, str) or order not in {"asc", "desc"}:
        raise Fault(f"invalid order {order if isinstance(order, str) else values.go_type(order)}, expected asc or desc")
    listed = list(items)
    run.made(len(listed))

    def compare(one: Item, other: Item) -> int:
        run.steps -= 1
        first, second = key(one), key(other)
        return -1 if less(first, second) else int(less(second, first))

    return sorted(listed, key=functools.cmp_to_key(compare), reverse=order == "desc")


def less(one: object, other: object) -> bool:
    """Whether `one` comes before `other`; raises Fault where the types differ."""
    if values.is_number(one) and values.is_number(other):
        return one < other
    for kind in (str, datetime, timedelta):
        if isinstance(one, kind) and isinstance(other, kind):
            return one < other  # type: ignore[operator]  # both are of the same ordered kind
    reason = f"cannot sort values of types {values.go_type(one)} and {values.go_type(other)}"
    raise Fault(reason)
