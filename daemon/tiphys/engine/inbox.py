"""Facts, in the order they came. Whoever posts one may wait until it is decided and recorded."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime

import anyio
import anyio.lowlevel

from tiphys.scheduler.decision import Decision, Refusal
from tiphys.scheduler.events import Event

LARGEST_BATCH = 2000
LONGEST_BATCH_SECONDS = 0.002
"""How long deciding may take; to record a batch and to act upon it takes some three times as long."""

SOON_SECONDS = 0.01
"""What need not be decided at once is decided after this time, or with whatever comes before."""


def now() -> datetime:
    """The wall clock: the engine reads it here and nowhere else."""
    return datetime.now(UTC)


class Receipt:
    """What became of a posted fact: `answer` is there once it is recorded."""

    __slots__ = ("_recorded", "answer")

    def __init__(self) -> None:
        self.answer: Decision | Refusal | None = None
        self._recorded = anyio.Event()

    def settle(self, answer: Decision | Refusal) -> None:
        """Hand the answer to who waits."""
        self.answer = answer
        self._recorded.set()

    async def wait(self) -> Decision | Refusal:
        """The answer, once the fact is recorded."""
        await self._recorded.wait()
        assert self.answer is not None
        return self.answer


class Inbox:
    """An unbounded queue of facts; attempts are bounded where they are launched."""

    def __init__(self) -> None:
        self._facts: deque[tuple[Event, Receipt | None]] = deque()
        self._arrived = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def post(self, event: Event) -> None:
        """Add a fact nobody waits for."""
        self._facts.append((event, None))
        self._arrived.set()

    def post_soon(self, event: Event) -> None:
        """Add a fact from which nothing follows that could begin at once: it waits for others for a while, to be recorded with them."""
        self._facts.append((event, None))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON_SECONDS, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._facts:
            self._arrived.set()

    async def ask(self, event: Event) -> Decision | Refusal:
        """Add a fact and wait until it is decided and recorded."""
        receipt = Receipt()
        self._facts.append((event, receipt))
        self._arrived.set()
        return await receipt.wait()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be decided."""
        return not self._facts

    def put_back(self, facts: Iterable[tuple[Event, Receipt | None]]) -> None:
        """Put facts first that were taken out before, and were kept back."""
        self._facts.extendleft(reversed(list(facts)))
        if self._facts:
            self._arrived.set()

    async def batches(self) -> AsyncIterator[Iterator[tuple[Event, Receipt | None]]]:
        """Everything that has come since the last batch, again and again; each batch only as long as it does not hold the loop up."""
        while True:
            if not self._arrived.is_set():
                await self._arrived.wait()
            self._arrived.clear()
            yield self._batch()
            if self._arrived.is_set():
                await anyio.lowlevel.checkpoint()  # others have their turn

    def _batch(self) -> Iterator[tuple[Event, Receipt | None]]:
        facts = self._facts
        if len(facts) == 1:
            yield facts.popleft()  # nobody has to look how long that takes
        else:
            enough = time.thread_time() + LONGEST_BATCH_SECONDS
            for _ in range(min(len(facts), LARGEST_BATCH)):
                yield facts.popleft()
                if time.thread_time() > enough:
                    break
        if facts:
            self._arrived.set()
