"""Slots for attempts: how many run at once. To take a free one costs nothing, not even a turn of the loop."""

import asyncio
from collections import deque


class Slots:
    """So many holders at once; who comes when all are taken waits, in the order of coming."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: set[str] = set()
        self._waiting: deque[asyncio.Event] = deque()

    @property
    def is_free(self) -> bool:
        """Whether there is one for whoever comes now."""
        return len(self._held) < self._total and not self._waiting

    def hold(self, who: str) -> None:
        """Hold a free one."""
        self._held.add(who)

    async def take(self, who: str) -> None:
        """Hold a slot; who holds one already keeps it."""
        while len(self._held) >= self._total and who not in self._held:
            turn = asyncio.Event()
            self._waiting.append(turn)
            try:
                await turn.wait()
            except BaseException:
                if turn.is_set():
                    self._call()
                else:
                    self._waiting.remove(turn)
                raise
        self._held.add(who)

    def give_back(self, who: str) -> None:
        """Hold it no more; who holds none (what was adopted) gives none back."""
        if who in self._held:
            self._held.remove(who)
            if self._waiting:
                self._call()

    def _call(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
