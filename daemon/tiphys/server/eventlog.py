"""The event log of a workflow, as it is or as it grows: one JSON object a line.

Who follows the same log shares one reading of it: each event is read and encoded once for all of them. A journal gives a log only from its
beginning, so how often it is read again depends on how long that takes.
"""

import bisect
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import msgspec
from aiohttp import web

from tiphys.scheduler.reasons import Told
from tiphys.server import context, framing, streams, workflows
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.server.streams import Stream

PAUSE_SECONDS = 0.2
SHARE, LONGEST_SECONDS = 10, 3.0
"""After a reading there is none for so many times as long as it took, but never for longer than that."""

IN_PIECES = 2000
FRAMES = 8
LOGS = web.AppKey("event-logs", dict)


class Log:
    """One followed log: its lines as far as they were read."""

    def __init__(self, here: Context, uid: str) -> None:
        self._here = here
        self._uid = uid
        self._turn = anyio.Lock()
        self._again_at = 0.0
        self._seen = -1
        self._last = 0
        self.followers = 0
        self.lines: list[bytes] = []
        self.numbers: list[int] = []
        self._frames: dict[tuple[int, int, bool], bytes] = {}

    def framed(self, start: int, stop: int, *, events: bool) -> bytes:
        """These lines as they are sent, made once for all who are as far."""
        key = (start, stop, events)
        if key not in self._frames:
            if len(self._frames) >= FRAMES:
                del self._frames[next(iter(self._frames))]
            self._frames[key] = framing.framed(self.lines[start:stop], events=events)
        return self._frames[key]

    async def read(self, change: int, *, at_once: bool) -> None:
        """Have everything in `lines` that was recorded up to the change of this number, `at_once` or when it is time to read again."""
        async with self._turn:
            if change <= self._seen:
                return
            if not at_once:
                await anyio.sleep(max(0.0, self._again_at - anyio.current_time()))
            began, number = anyio.current_time(), self._here.hub.number  # what others have come to wait for meanwhile is read along
            await self._here.house.committed()
            fresh = await self._here.house.log_of(self._uid, self._last)
            self.lines += await anyio.to_thread.run_sync(_encoded, fresh)
            self.numbers += [one.number for one in fresh]
            self._last = fresh[-1].number if fresh else self._last
            self._seen = number
            took = anyio.current_time() - began
            self._again_at = anyio.current_time() + min(LONGEST_SECONDS, max(PAUSE_SECONDS, SHARE * took))


def _encoded(told: Sequence[Told]) -> list[bytes]:
    return [msgspec.json.encode(one) for one in told]


async def logged(request: web.Request) -> web.StreamResponse:
    """GET /workflows/{namespace}/{name}/event-log; `after`: from the event after this number on; `follow`: until the workflow has ended."""
    here = context.of(request)
    uid = workflows.find(request)
    after = request.query.get("after", "") or "0"
    if not (after.isascii() and after.isdecimal() and len(after) < 16):
        raise Problem(400, f"after is {after!r}; it must be a whole number, zero or more")
    follow = request.query.get("follow", "").lower() in {"1", "true"}

    async def speak(stream: Stream) -> None:
        if follow:
            await _follow(here, request.app[LOGS], uid, int(after), stream)
            return
        told = list(await here.house.log_of(uid, int(after)))
        for start in range(0, len(told), IN_PIECES):
            await stream.send(await anyio.to_thread.run_sync(_encoded, told[start : start + IN_PIECES]))

    return await streams.answered(request, speak)


@asynccontextmanager
async def _shared(logs: dict[str, Log], here: Context, uid: str) -> AsyncIterator[Log]:
    """The log that all followers of a run share; it is forgotten when the last has gone."""
    log = logs.setdefault(uid, Log(here, uid))
    log.followers += 1
    try:
        yield log
    finally:
        log.followers -= 1
        if not log.followers:
            logs.pop(uid, None)


async def _follow(here: Context, logs: dict[str, Log], uid: str, after: int, stream: Stream) -> None:
    async with here.hub.watched(), _shared(logs, here, uid) as log:
        told = 0
        seen = -1
        while True:
            changed = here.hub.changed
            number, (row, there) = here.hub.number, here.hub.row(uid)
            over = row is None or not there or row.phase.completed
            if seen < 0 or over or uid in here.hub.since(seen):
                await log.read(number, at_once=over)
                seen = number
            told = max(told, bisect.bisect_right(log.numbers, after))
            while told < len(log.lines):
                start, told = told, min(told + IN_PIECES, len(log.lines))
                await stream.write(log.framed(start, told, events=stream.events))
            if over:
                return
            await stream.look()
            with anyio.move_on_after(streams.LOOK_SECONDS):
                await changed.wait()
