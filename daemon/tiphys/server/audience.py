"""Those who follow the same thing and have seen all there is of it: what comes next is written to each of them directly.

To wake a task for each follower costs several times what the writing does. So a follower's own task tells what is its own (the beginning,
what it missed, the end) and then stays here; who follows what is shared writes the same bytes to all who stay. Somebody who has not yet
taken what was written last is not written to: its own task is woken, waits until there is room, and goes on from what is there then.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

import anyio
from aiohttp import web
from anyio.abc import TaskGroup

from tiphys.server import streams
from tiphys.server.streams import Stream


class Member(Protocol):
    """A follower."""

    @property
    def stream(self) -> Stream:
        """Where it is written to."""
        ...


M = TypeVar("M", bound=Member)


class Audience(Generic[M]):
    """Who stays."""

    def __init__(self) -> None:
        self._behind: dict[M, anyio.Event] = {}

    async def stay(self, member: M) -> None:
        """Have the member written to until it is to look itself. Raises HungUp."""
        behind = self._behind[member] = anyio.Event()
        try:
            await behind.wait()
        finally:
            if self._behind.get(member) is behind:
                del self._behind[member]
        await member.stream.look()

    def members(self) -> list[M]:
        """Who stays at this moment."""
        return list(self._behind)

    def wake(self, member: M) -> None:
        """Have a member look itself; one that does not stay does so anyway."""
        if (behind := self._behind.pop(member, None)) is not None:
            behind.set()

    def look(self) -> None:
        """Wake those whose client may have gone, or has heard nothing for long."""
        for member in self.members():
            if member.stream.restless():
                self.wake(member)

    def wake_all(self) -> None:
        """Have all of them look."""
        for member in self.members():
            self.wake(member)


class Source(Protocol):
    """What is followed by many: something that works as long as anybody follows."""

    @property
    def over(self) -> bool:
        """Whether it has told everything; who comes later needs another one."""
        ...

    @property
    def audience(self) -> Audience[Any]:
        """Who stays."""
        ...

    async def run(self) -> None:
        """Tell those who stay, until there is nothing more to tell."""
        ...

    def wake(self) -> None:
        """Have all followers look."""
        ...


S = TypeVar("S", bound=Source)


class _Used:
    """A source and how many follow it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.followers = 0
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            await self.source.run()


class Sources:
    """What is followed at the moment; each is there once for all its followers."""

    def __init__(self) -> None:
        self._used: dict[Hashable, _Used] = {}
        self._group: TaskGroup | None = None

    async def run(self) -> None:
        """Let sources work; for ever."""
        async with anyio.create_task_group() as self._group:
            while True:
                await anyio.sleep(streams.LOOK_SECONDS)
                for used in self._used.values():
                    used.source.audience.look()

    def wake(self) -> None:
        """Have all followers of everything look: the daemon stops."""
        for used in self._used.values():
            used.source.wake()

    @asynccontextmanager
    async def shared(self, kind: type[S], key: Hashable, make: Callable[[], S]) -> AsyncIterator[S]:
        """The source of that kind and key, made where there is none; it is forgotten when its last follower has gone."""
        used = self._used.get((kind, key))
        if used is None or used.source.over:
            assert self._group is not None
            used = self._used[kind, key] = _Used(make())
            self._group.start_soon(used.run)
        used.followers += 1
        try:
            assert isinstance(used.source, kind)
            yield used.source
        finally:
            used.followers -= 1
            if not used.followers:
                used.scope.cancel()
                if self._used.get((kind, key)) is used:
                    del self._used[kind, key]


SOURCES = web.AppKey("sources", Sources)
