"""How long the event loop's turns take: while one lasts, nobody else is answered and no step is started.

The loop's own selector measures them, which costs a daemon with nothing to do nothing.
"""

import asyncio
import selectors
import time
from dataclasses import dataclass

LONG_SECONDS = 0.02


@dataclass(kw_only=True)
class Stalls:
    """Turns over `LONG_SECONDS`: how many, the longest, and how many of them were long by this process' own computing, of which the most
    in one turn is `longest_own_seconds`.
    """

    count: int = 0
    own: int = 0
    longest_seconds: float = 0.0
    longest_own_seconds: float = 0.0


class Turns(selectors.DefaultSelector):
    """A selector that notes long turns."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = Stalls()
        self._woke = time.monotonic()
        self._computed = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """A turn is over, and the next begins when something comes."""
        taken = time.monotonic() - self._woke
        if taken > LONG_SECONDS:
            self._note(taken)
        found = super().select(timeout)
        self._woke, self._computed = time.monotonic(), time.thread_time()
        return found

    def begin_anew(self) -> None:
        """Forget what was noted, and this turn."""
        self.stalls = Stalls()
        self._woke, self._computed = time.monotonic(), time.thread_time()

    def _note(self, taken: float) -> None:
        computed = time.thread_time() - self._computed
        self.stalls.count += 1
        self.stalls.own += computed > LONG_SECONDS
        self.stalls.longest_own_seconds = max(self.stalls.longest_own_seconds, computed)
        self.stalls.longest_seconds = max(self.stalls.longest_seconds, taken)


def loop_over(turns: Turns) -> asyncio.AbstractEventLoop:
    """An event loop that is measured."""
    return asyncio.SelectorEventLoop(turns)
