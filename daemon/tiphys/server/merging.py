"""What several nodes printed side by side, told in the order in which it came."""

import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import anyio.lowlevel

from tiphys.scheduler.records import Node
from tiphys.server.clocks import BEGINNING, Clock
from tiphys.server.reels import Line

WIDE = 100
"""So many nodes are read side by side; of more that print at once, the last to start come when others are through."""

Lines = AsyncGenerator[list[Line], None]


@dataclass(slots=True)
class Voice:
    """A node that is being read: those of its lines that were not told yet, and when they came."""

    node: Node
    pieces: Lines
    clock: Clock
    lines: Sequence[Line] = ()

    async def goes_on(self) -> bool:
        """Whether there is something to tell; reads more where all was told."""
        while not self.lines:
            try:
                self.lines = await anext(self.pieces)
            except StopAsyncIteration:
                return False
        return True

    @property
    def at(self) -> datetime:
        """When its next line came."""
        return self.clock.at(self.lines[0][0])

    def told(self, bound: datetime | None) -> Sequence[Line]:
        """The next line and those after it that came no later than `bound` (None: all that were read)."""
        lines, count = self.lines, len(self.lines)
        if bound is not None and self.clock.at(lines[-1][0]) > bound:
            count = next((index for index in range(1, count) if self.clock.at(lines[index][0]) > bound), count)
        self.lines = lines[count:]
        return lines[:count]


async def merged(
    nodes: Iterable[Node], lines: Callable[[Node], Lines], clock: Callable[[str], Awaitable[Clock]]
) -> AsyncIterator[tuple[Node, Sequence[Line]]]:
    """Lines of nodes, which come in the order of their starts, by the time when each came; those of one node in their own order.

    `lines` begins to read a node; `clock` knows, by a node's id, when its lines came.
    """
    waiting, heap = deque(nodes), list[tuple[datetime, int, Voice]]()
    begun = 0
    try:
        while waiting or heap:
            while waiting and len(heap) < WIDE and (not heap or _start(waiting[0]) <= heap[0][0]):
                node = waiting.popleft()
                begun += 1
                await _join(heap, begun, Voice(node, lines(node), await clock(node.id)))
                await anyio.lowlevel.checkpoint()  # many nodes that printed nothing
            if heap:
                _, mark, voice = heapq.heappop(heap)
                yield voice.node, voice.told(_bound(heap, waiting))
                await _join(heap, mark, voice)
    finally:
        for _, _, voice in heap:
            await voice.pieces.aclose()


async def _join(heap: list[tuple[datetime, int, Voice]], mark: int, voice: Voice) -> None:
    if await voice.goes_on():
        heapq.heappush(heap, (voice.at, mark, voice))


def _bound(heap: Sequence[tuple[datetime, int, Voice]], waiting: Sequence[Node]) -> datetime | None:
    """When the next line of another node came, or may have come."""
    times = [heap[0][0]] if heap else []
    if waiting and len(heap) + 1 < WIDE:
        times.append(_start(waiting[0]))
    return min(times, default=None)


def _start(node: Node) -> datetime:
    return node.started_at or BEGINNING
