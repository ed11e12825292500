"""What changed, for everybody who watches: each run has the number of its last change, and each picture is drawn once for all.

All who watch are told in rounds, the more rarely the more a round costs: what somebody sees of a workflow must not slow it down. While
nobody watches, nothing is done.
"""

import operator
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
from anyio.abc import TaskGroup

from tiphys.engine.house import House, NotThere
from tiphys.engine.watching import Change
from tiphys.scheduler.records import Node, Run
from tiphys.server import framing, pictures
from tiphys.server.albums import Albums

SWEEP_SECONDS = 0.2
SHARE = 20
"""One part of the time for looking at all runs, this many for everything else."""

REST, LONGEST_SECONDS = 50, 2.0
"""Before a round, and after it, there is none for so many times as long as it takes to tell everybody, but not for longer than that;"""

LEAST_REST = 10
"""and in any case for so many times as long."""

NODE_SECONDS, TOLD_SECONDS = 1.5e-5, 4e-7
"""About what it costs to draw a node, and to show it to somebody."""

MOST_BYTES = 64 << 20
"""Of pictures of finished runs."""

MOST_EVENTS = 20
"""That were told last, as they were sent."""

MOST_GONE = 10_000
"""Deleted runs that are remembered for those who have not heard of it yet."""


class Hub:
    """Follows every unfinished run as long as somebody watches."""

    def __init__(self, house: House, albums: Albums) -> None:
        self._house = house
        self._albums = albums
        self._watchers = 0
        self._wanted = anyio.Event()
        self._unwanted = anyio.Event()
        self._rows: dict[str, Run] = {}
        self._unfinished: set[str] = set()
        self._followed: dict[str, anyio.CancelScope] = {}
        self._numbers: dict[str, int] = {}
        self._gone: dict[str, Run] = {}
        self._drawn: dict[tuple[str, str], tuple[int, Run | None, bytes]] = {}
        self._drawing: dict[tuple[str, str], anyio.Lock] = {}
        self._ended: dict[tuple[str, str], int] = {}
        self._events: dict[tuple[str, str, str, bool], tuple[bytes, framing.Frame]] = {}
        self._looks: dict[str, list[Node]] = {}
        self._cost = 0.0
        self._due: dict[str, float] = {}
        self._stirred_at: float | None = None
        self._told_at = 0.0
        self._ended_one = False
        self._listeners: dict[int, Callable[[Run, Change | None], None]] = {}
        self.number = 0
        """Of the last change there was."""
        self.changed = anyio.Event()
        """Set at the next round in which there is something new; a new one takes its place then."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Somebody watches while the context is open; what there is now is known when it opens."""
        self._watchers += 1
        if self._watchers == 1:
            self._sweep()
            self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if self._watchers == 0:
                self._unwanted.set()
                self._wanted = anyio.Event()

    async def run(self) -> None:
        """Work while somebody watches; for ever."""
        while True:
            await self._wanted.wait()
            if self._watchers:
                self._unwanted = anyio.Event()
                async with anyio.create_task_group() as group:
                    group.start_soon(self._follow_all, group)
                    await self._unwanted.wait()
                    group.cancel_scope.cancel()
            self._unfinished.clear()
            for kept in (
                self._rows,
                self._followed,
                self._numbers,
                self._gone,
                self._drawn,
                self._drawing,
                self._ended,
                self._looks,
                self._events,
            ):
                kept.clear()
            if self._watchers:
                self._sweep()
                self._wanted.set()

    def since(self, number: int) -> Iterator[str]:
        """The uids of the runs that changed after that number, the last first."""
        for uid, at in reversed(self._numbers.items()):
            if at <= number:
                return
            yield uid

    def row(self, uid: str) -> tuple[Run | None, bool]:
        """A run's row, and whether the run is still there."""
        return (self._gone[uid], False) if uid in self._gone else (self._rows.get(uid), True)

    async def picture(self, uid: str, wanted: str) -> bytes:
        """The run's JSON, drawn once for each of its changes. Raises NotThere."""
        key = (uid, wanted)
        async with self._drawing.setdefault(key, anyio.Lock()):
            number = self._numbers.get(uid, 0)
            drawn = self._drawn.get(key)
            row = self._house.row(uid)
            if drawn is None or drawn[0] != number or drawn[1] is not row:
                self.charge(NODE_SECONDS * len(self._house.nodes(uid)))
                drawn = self._drawn[key] = (number, row, await pictures.one(self._albums, uid, wanted))
                self._forget_ended(key)
            return drawn[2]

    async def event(self, kind: str, uid: str, wanted: str, *, events: bool) -> framing.Frame:
        """The event that a watch tells of the run's picture, as it is sent; made once for all who are told the same. Raises NotThere."""
        picture = await self.picture(uid, wanted)
        key = (kind, uid, wanted, events)
        if (made := self._events.get(key)) is None or made[0] is not picture:
            if len(self._events) >= MOST_EVENTS:
                del self._events[next(iter(self._events))]
            text = b'{"type":"' + kind.encode() + b'","object":' + picture + b"}"
            made = self._events[key] = (picture, framing.Frame(framing.framed([text], events=events)))
        return made[1]

    def _forget_ended(self, key: tuple[str, str]) -> None:
        """Pictures of finished runs are kept for those who watch beside the first, as many as there is room for."""
        row = self._rows.get(key[0])
        if row is None or row.phase.completed:
            self._ended.pop(key, None)
            self._ended[key] = len(self._drawn[key][2])
        while sum(self._ended.values()) > MOST_BYTES and len(self._ended) > 1:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._drawn.pop(oldest, None)
            self._drawing.pop(oldest, None)

    @contextmanager
    def listening(self, hear: Callable[[Run, Change | None], None]) -> Iterator[None]:
        """While the context is open `hear` is called with each change of a run; None: with the run itself, when it is new or another."""
        self._listeners[id(hear)] = hear
        try:
            yield
        finally:
            del self._listeners[id(hear)]

    def _mark(self, uid: str) -> None:
        self.number += 1
        self._numbers.pop(uid, None)
        self._numbers[uid] = self.number
        if uid in self._unfinished:
            with suppress(NotThere):
                self._due[uid] = len(self._house.nodes(uid)) * (NODE_SECONDS + self._watchers * TOLD_SECONDS)
        else:
            self._ended_one = True
        self.stir()

    def stir(self) -> None:
        """There is something new: the next round is for it."""
        if self._stirred_at is None:
            self._stirred_at = anyio.current_time()

    def charge(self, seconds: float) -> None:
        """So much it cost to tell somebody."""
        self._cost += seconds

    async def _follow_all(self, group: TaskGroup) -> None:
        while True:
            began = anyio.current_time()
            self._sweep()
            self._look()
            if self._listeners:
                for uid in self._unfinished - self._followed.keys():
                    self._followed[uid] = anyio.CancelScope()
                    group.start_soon(self._follow, uid)
            took = anyio.current_time() - began
            if self._stirred_at is not None and self._is_time(began):
                await self._house.committed()
                self._told_at, self._stirred_at, self._cost, self._ended_one = anyio.current_time(), None, 0.0, False
                self._due.clear()
                self.changed.set()
                self.changed = anyio.Event()
            await anyio.sleep(max(SWEEP_SECONDS, SHARE * took))

    def _is_time(self, now: float) -> bool:
        """Whether the round before is paid for and this one has been saved up for; the end of a run is told sooner."""
        if now < self._told_at + LEAST_REST * self._cost or self._stirred_at is None:
            return False
        due = min(LONGEST_SECONDS, REST * sum(self._due.values()))
        return self._ended_one or now >= max(self._told_at + min(LONGEST_SECONDS, REST * self._cost), self._stirred_at + due)

    def _look(self) -> None:
        """Notice runs of which a node has changed: it is another one then."""
        for uid in self._unfinished:
            try:
                now = list(self._house.nodes(uid).values())
            except NotThere:
                continue
            before = self._looks.get(uid)
            self._looks[uid] = now
            if before is None or len(before) != len(now) or any(map(operator.is_not, before, now)):
                self._mark(uid)
        for uid in self._looks.keys() - self._unfinished:
            del self._looks[uid]

    def _sweep(self) -> None:
        """Notice runs that are new, changed as a whole, or gone."""
        known, runs = self._rows, self._house.runs()
        for row in runs:
            if known.get(row.uid) is not row:
                known[row.uid] = row
                (self._unfinished.discard if row.phase.completed else self._unfinished.add)(row.uid)
                self._mark(row.uid)
                self._tell(row, None)
        if len(known) > len(runs):
            self._notice_deleted({row.uid for row in runs})
            self._forget_oldest()

    def _notice_deleted(self, there: set[str]) -> None:
        for uid in [uid for uid in self._rows if uid not in there]:
            self._gone[uid] = self._rows.pop(uid)
            self._unfinished.discard(uid)
            if uid in self._followed:
                self._followed[uid].cancel()
            for key in [key for key in self._drawn if key[0] == uid]:
                del self._drawn[key]
                self._drawing.pop(key, None)
                self._ended.pop(key, None)
            self._mark(uid)

    def _forget_oldest(self) -> None:
        while len(self._gone) > MOST_GONE:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._numbers.pop(oldest, None)

    def _tell(self, row: Run, change: Change | None) -> None:
        for hear in list(self._listeners.values()):
            hear(row, change)

    async def _follow(self, uid: str) -> None:
        try:
            with self._followed[uid]:
                async for change in self._house.changes(uid):
                    if uid in self._rows:
                        self._tell(self._rows[uid], change)
        except (KeyError, NotThere):
            pass  # it was deleted before it could be followed
        finally:
            self._followed.pop(uid, None)
