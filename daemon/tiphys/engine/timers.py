"""Timers: the scheduler says when, this posts `TimerFired` then. One task, one heap, whatever the number of timers."""

import heapq
import math
from collections.abc import Callable
from datetime import datetime

import anyio

from tiphys.engine.inbox import now
from tiphys.scheduler.events import TimerFired

LOOK_SECONDS = 15.0
"""The wall clock may be set: it is looked at again after so long."""


class Timers:
    """Absolute times by workflow and key; a later time for the same key replaces the earlier one."""

    def __init__(self, post: Callable[[TimerFired], None]) -> None:
        self._post = post
        self._due: dict[tuple[str, str], datetime] = {}
        self._heap: list[tuple[datetime, str, str]] = []
        self._changed = anyio.Event()

    def set(self, uid: str, key: str, at: datetime) -> None:
        """Fire at `at`."""
        self._due[uid, key] = at
        heapq.heappush(self._heap, (at, uid, key))
        self._changed.set()

    def forget(self, uid: str) -> None:
        """Drop the timers of a workflow."""
        for due in [due for due in self._due if due[0] == uid]:
            del self._due[due]

    async def run(self) -> None:
        """Fire what is due, sleep until the next."""
        while True:
            self._changed = anyio.Event()
            with anyio.move_on_after(self._fire_due()):
                await self._changed.wait()

    def _fire_due(self) -> float:
        """Post what is due; seconds until the next."""
        while self._heap:
            at, uid, key = self._heap[0]
            if self._due.get((uid, key)) != at:
                heapq.heappop(self._heap)
                continue
            wait = (at - now()).total_seconds()
            if wait > 0:
                return min(wait, LOOK_SECONDS)
            heapq.heappop(self._heap)
            del self._due[uid, key]
            self._post(TimerFired(at=now(), uid=uid, key=key))
        return math.inf
