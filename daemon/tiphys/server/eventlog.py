"""The event log of a workflow, as it is or as it grows: one JSON object a line.

Who follows the same log shares one reading of it: each event is read and encoded once for all of them. A journal gives a log only from its
beginning, so how often it is read again depends on how long that takes.
"""

import bisect
from collections.abc import Sequence

import anyio
import anyio.to_thread
import msgspec
import structlog
from aiohttp import web

from tiphys.scheduler.reasons import Told
from tiphys.server import audience, context, framing, streams, workflows
from tiphys.server.audience import Audience
from tiphys.server.context import Context
from tiphys.server.framing import Frame
from tiphys.server.problems import Problem
from tiphys.server.streams import Stream

PAUSE_SECONDS = 0.2
SHARE, LONGEST_SECONDS = 10, 3.0
"""After a reading there is none for so many times as long as it took, but never for longer than that."""

IN_PIECES = 2000
FRAMES = 8
log = structlog.get_logger()


class Log:
    """One followed log: its lines as far as they were read."""

    def __init__(self, here: Context, uid: str) -> None:
        self._here = here
        self._uid = uid
        self._turn = anyio.Lock()
        self._again_at = 0.0
        self._seen = -1
        self._last = 0
        self.audience: Audience[Follower] = Audience()
        self.over = False
        """All there will be is in `lines`."""
        self.failed: Exception | None = None
        self.lines: list[bytes] = []
        self.numbers: list[int] = []
        self._frames: dict[tuple[int, int, bool], Frame] = {}

    async def run(self) -> None:
        """Read and tell until the workflow has ended."""
        try:
            await self._read_on()
        except Exception as error:  # whoever follows is told; nobody else is to suffer from it
            self.failed = error
            log.exception("event log not followed", uid=self._uid)
        self.over = True
        self.wake()

    async def _read_on(self) -> None:
        hub, seen = self._here.hub, -1
        while True:
            changed, number = hub.changed, hub.number
            row, there = hub.row(self._uid)
            over = row is None or not there or row.phase.completed
            if seen < 0 or over or self._uid in hub.since(seen):
                await self.read(number, at_once=over)
                seen = number
                self._tell()
            if over:
                return
            await changed.wait()

    def _tell(self) -> None:
        """Give what was read to those who have all that was before."""
        for member in self.audience.members():
            start, stop = member.told, len(self.lines)
            if start < stop and stop - start <= IN_PIECES and member.begins_at(self.numbers[start]) and not member.stream.behind:
                member.stream.put(self.framed(start, stop, events=member.stream.events))
                member.told = stop
            elif start < stop:
                self.audience.wake(member)

    def wake(self) -> None:
        """Have all followers look."""
        self.audience.wake_all()

    def framed(self, start: int, stop: int, *, events: bool) -> Frame:
        """These lines as they are sent, made once for all who are as far."""
        key = (start, stop, events)
        if key not in self._frames:
            if len(self._frames) >= FRAMES:
                del self._frames[next(iter(self._frames))]
            self._frames[key] = Frame(framing.framed(self.lines[start:stop], events=events))
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
            await _follow(request, uid, int(after), stream)
            return
        told = list(await here.house.log_of(uid, int(after)))
        for start in range(0, len(told), IN_PIECES):
            await stream.send(await anyio.to_thread.run_sync(_encoded, told[start : start + IN_PIECES]))

    return await streams.answered(request, speak)


class Follower:
    """One who follows a log: how many of its lines it has been told, or need not be."""

    def __init__(self, after: int, stream: Stream) -> None:
        self.stream = stream
        self.told = 0
        self._after = after

    async def run(self, here: Context, log: Log) -> None:
        """Tell, until the workflow has ended."""
        await log.read(here.hub.number, at_once=False)
        while True:
            over = log.over
            self.told = max(self.told, bisect.bisect_right(log.numbers, self._after))
            while self.told < len(log.lines):
                start, self.told = self.told, min(self.told + IN_PIECES, len(log.lines))
                await self.stream.write_frame(log.framed(start, self.told, events=self.stream.events))
            if over:
                if log.failed is not None:
                    raise log.failed
                return
            if self.told == len(log.lines) and not log.over:
                await log.audience.stay(self)
                await self.stream.room()

    def begins_at(self, number: int) -> bool:
        """Whether it is told of all events from this one on."""
        return number > self._after


async def _follow(request: web.Request, uid: str, after: int, stream: Stream) -> None:
    here = context.of(request)
    async with here.hub.watched(), request.app[audience.SOURCES].shared(Log, uid, lambda: Log(here, uid)) as log:
        await Follower(after, stream).run(here, log)
