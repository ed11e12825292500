"""Waiting out what passes by itself, as Argo's executor does: five tries, about 1, 1.6, 2.6 and 4.1 seconds apart."""

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import anyio
import msgspec

from tiphys.artifacts.errors import ArtifactError

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` tries in all; each wait is `factor` times the one before, lengthened by up to `jitter` of itself."""

    seconds: float = 1.0
    factor: float = 1.6
    jitter: float = 0.5
    steps: int = 5
    sleep: Sleep = anyio.sleep

    def waits(self) -> Iterator[float]:
        """The seconds between the tries."""
        seconds = self.seconds
        for _ in range(self.steps - 1):
            yield seconds * (1 + random.random() * self.jitter)  # noqa: S311  spreads load, guards nothing
            seconds *= self.factor

    async def retried(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` gives; a transient ArtifactError is tried again, the last one raised."""
        for wait in self.waits():
            try:
                return await call()
            except ArtifactError as error:
                if not error.transient:
                    raise
            await self.sleep(wait)
        return await call()
