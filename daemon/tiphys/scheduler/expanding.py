"""The calls of a loop, resolved slice by slice: all of them before the first is started, as Argo does, but not all in one decision.

What is kept of it between two decisions is a cache: it follows from the records, the time of the fact that the loop began with aside, and
a run that is taken up again after a crash begins with it anew.
"""

import sys
from collections.abc import Callable, Iterable, Iterator

from tiphys.errors import TiphysError
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft


class Expansion:
    """Calls in their order, as far as they are resolved."""

    __slots__ = ("_error", "_more", "calls")

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls: list[Call] = []
        self._more: Iterator[Call] = iter(calls)
        self._error: TiphysError | None = None

    def reach(self, upto: int) -> bool:
        """Resolve until there are so many; whether all are there. Raises the TiphysError of the first that cannot be resolved."""
        calls, more = self.calls, self._more
        try:
            while len(calls) < upto and self._error is None:
                calls.append(next(more))
        except StopIteration:
            return True
        except TiphysError as error:
            self._error = error
        if self._error is not None and len(calls) < upto:
            raise self._error
        return False

    def all(self) -> list[Call]:
        """All calls; of an expansion that is done."""
        self.reach(sys.maxsize)
        return self.calls


def of(draft: Draft, node_id: str, task: str, make: Callable[[], Iterable[Call]]) -> Expansion:
    """The expansion of a step group, or of a dag's task, begun where it is not yet. Raises what `make` raises."""
    key = (node_id, task, draft.run.generation)
    found = draft.state.expansions.get(key)
    if found is None:
        found = draft.state.expansions[key] = Expansion(make())
    return found


def many(draft: Draft) -> int:
    """How many calls, tasks or nodes a slice has."""
    return max(1, draft.state.shared.rules.slice // 4)


def spend(draft: Draft) -> int:
    """As many, for something that is about as much work as an item of the worklist: it is counted as that."""
    draft.spent += many(draft)
    return many(draft)
