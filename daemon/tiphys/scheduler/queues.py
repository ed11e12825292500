"""Queues of calls that wait for room, in the order of Argo's walk: the place in the templates decides, not who came first.

A restart finds the same order again, since it follows from the templates alone.
"""

import heapq
from collections.abc import Iterator

from tiphys.scheduler.calls import Call

Entry = tuple[tuple[int, ...], str, Call]
"""A call with its place and its name, which tells equal places apart."""


def entry(call: Call) -> Entry:
    """A call as it lies in a queue."""
    return call.turn, call.name, call


def ordered(heap: list[Entry]) -> Iterator[Entry]:
    """The entries of a heap from the smallest on, without touching it; each costs the logarithm of how many were asked for."""
    candidates = [(heap[0][:2], 0)] if heap else []
    while candidates:
        _, index = heapq.heappop(candidates)
        yield heap[index]
        for child in (2 * index + 1, 2 * index + 2):
            if child < len(heap):
                heapq.heappush(candidates, (heap[child][:2], child))


class Queue:
    """A queue as it will be: what the state has in it, less what was taken, and what came."""

    __slots__ = ("_gone", "_heap", "_next", "_rest", "added", "taken")

    def __init__(self, heap: list[Entry]) -> None:
        self._heap = heap
        self._rest = ordered(heap)
        self._next = next(self._rest, None)
        self._gone: set[str] = set()
        self.added: list[Entry] = []
        self.taken = 0

    def __len__(self) -> int:
        return len(self._heap) - self.taken + len(self.added)

    def holds(self, name: str) -> bool:
        """Whether the call of this name waits. Looks at all of them."""
        return any(entry[1] == name for entry in self.added) or any(entry[1] == name and name not in self._gone for entry in self._heap)

    def put(self, call: Call) -> None:
        """Let a call wait."""
        heapq.heappush(self.added, (call.turn, call.name, call))

    def front(self) -> tuple[tuple[int, ...], str]:
        """Place and name of the first call; there must be one."""
        first = [self._next[:2]] if self._next is not None else []
        return min(first + [entry[:2] for entry in self.added[:1]])

    def pop(self) -> Call:
        """Take the first call out."""
        if self._next is not None and (not self.added or self._next[:2] <= self.added[0][:2]):
            call = self._next[2]
            self._gone.add(call.name)
            self._next = next(self._rest, None)
            self.taken += 1
            return call
        return heapq.heappop(self.added)[2]
