"""The watch of workflows: who watches is told of each change, at most five times a second, and always of the last."""

import itertools
import time
from datetime import datetime

import anyio
import msgspec
from aiohttp import web

from tiphys.engine.house import NotThere
from tiphys.scheduler.records import Run
from tiphys.server import audience, context, framing, queries, streams
from tiphys.server.audience import Audience
from tiphys.server.context import Context
from tiphys.server.framing import Frame
from tiphys.server.hub import Hub
from tiphys.server.queries import Query
from tiphys.server.streams import Stream
from tiphys.spec.workflows import ARGO_API_VERSION

PAUSE_SECONDS = 0.2
REST, LONGEST_SECONDS = 30, 5.0
"""After telling all who watch the same there is nothing told for so many times as long, but not for longer than that."""

AT_ONCE = 50
FEW = 4
"""Runs of which those who watch are told without their own tasks."""

Made = dict[tuple[str, str, int], Frame]


async def watched(request: web.Request) -> web.StreamResponse:
    """ADDED for what is there, then every change; it ends only when who watches hangs up.

    With listOptions.resourceVersion (of a list) only what may have changed since is told of what was there then.
    """
    here = context.of(request)
    query = queries.read(request.match_info.get("namespace", ""), request.query)
    seen = queries.version(request.query)
    wanted = _about_object(request.query.get("fields", ""))
    key = (request.match_info.get("namespace", ""), request.query_string, streams.EVENTS in request.headers.get("Accept", ""))

    async def speak(stream: Stream) -> None:
        watched_by = request.app[audience.SOURCES].shared(Rounds, key, lambda: Rounds(here))
        async with here.hub.watched(), watched_by as rounds:
            await Watcher(here.hub, query, wanted, stream, seen).run(rounds)

    return await streams.answered(request, speak)


def _about_object(wanted: str) -> str:
    """The query parameter `fields` of a watch, which names parts of the event, as it is about the workflow."""
    sign = "-" if wanted.startswith("-") else ""
    parts = [part.removeprefix("-").removeprefix("result.object.") for part in wanted.split(",") if part]
    return sign + ",".join(part for part in parts if not part.startswith("result."))


class Rounds:
    """Tells those who watch the same, and have seen what there was, of each change; all of them are told the same bytes.

    `number`: of the last change of which everybody who was there was told.
    """

    over = False

    def __init__(self, here: Context) -> None:
        self._here = here
        self.audience: Audience[Watcher] = Audience()
        self.number = 0

    async def run(self) -> None:
        """Tell, for ever: the more rarely the longer it takes, but of the end of a run with the next round."""
        hub, due, late = self._here.hub, 0.0, False
        while True:
            changed, began = hub.changed, anyio.current_time()
            if (late or hub.number > self.number) and (began >= due or self._ended_since(self.number)):
                self.number, worked = hub.number, time.thread_time()
                late = not await self._tell()
                cost, told = time.thread_time() - worked, anyio.current_time()  # to wait for what is recorded, or a core, costs nobody
                due = told + max(PAUSE_SECONDS, min(LONGEST_SECONDS, REST * cost))
                await anyio.sleep(max(0.0, began + PAUSE_SECONDS - told))
            if (late or hub.number > self.number) and due > anyio.current_time():
                with anyio.move_on_after(due - anyio.current_time()):
                    await changed.wait()
            else:
                await changed.wait()

    def _ended_since(self, number: int) -> bool:
        """Whether a run has ended, or is gone, of those that changed after that number."""
        rows = (self._here.hub.row(uid) for uid in self._here.hub.since(number))
        return any(row is None or not there or row.phase.completed for row, there in rows)

    async def _tell(self) -> bool:
        """Whether everybody could be told; who has not yet taken what was told before is told of what is there then."""
        made: Made = {}
        return all([await watcher.told(self, made) for watcher in self.audience.members()])

    async def committed(self) -> None:
        """Wait until all that can be seen now is recorded."""
        await self._here.house.committed()

    def wake(self) -> None:
        """Have all who watch look."""
        self.audience.wake_all()


class Watcher:
    """One who watches: what was shown, and up to which change."""

    def __init__(self, hub: Hub, query: Query, wanted: str, stream: Stream, seen: datetime | None = None) -> None:
        self.stream = stream
        self._hub = hub
        self._query = query
        self._wanted = wanted
        self._shown: set[str] = set()
        self._seen = 0
        self._known = seen

    async def run(self, rounds: Rounds) -> None:
        """Tell, until nobody listens: here what there is, then with all others what is new, and here again what was too much."""
        while True:
            await self.stream.look()
            changed, again_at = self._hub.changed, anyio.current_time() + PAUSE_SECONDS
            uids = self._news()
            for start in range(0, len(uids), AT_ONCE):
                told = [await self._event(uid, {}) for uid in uids[start : start + AT_ONCE]]
                await self.stream.write_frame(Frame(b"".join([frame.data for frame in told])) if len(told) > 1 else told[0])
            if uids and (left := again_at - anyio.current_time()) > 0:
                await anyio.sleep(left)
            if not changed.is_set() and rounds.number <= self._seen:  # else others were told meanwhile, without this one
                await rounds.audience.stay(self)

    async def told(self, rounds: Rounds, made: Made) -> bool:
        """Told directly of what is new; not where what was told before is not taken yet. Where it is much its own task does it.

        `made`: what others were told in this round, by kind, uid and number of the last change.
        """
        if self.stream.behind:
            return False
        if len(list(itertools.islice(self._hub.since(self._seen), FEW + 1))) > FEW:
            rounds.audience.wake(self)
            return True
        frames = [await self._event(uid, made) for uid in self._news()]
        await rounds.committed()
        for frame in frames:
            self.stream.put(frame)
        return True

    def _news(self) -> list[str]:
        """What changed since it was asked last, in the order of the changes."""
        uids = list(self._hub.since(self._seen))
        self._seen = self._hub.number
        uids.reverse()
        return uids

    async def _event(self, uid: str, made: Made) -> Frame:
        """What is to be told of a run, as it is sent; it may be nothing."""
        row, there = self._hub.row(uid)
        if row is None:
            return framing.NOTHING
        if not there or not self._query.matches(row):
            if uid not in self._shown:
                return framing.NOTHING
            self._shown.discard(uid)
            deleted = b'{"type":"DELETED","object":' + msgspec.json.encode(_remains(row)) + b"}"
            return Frame(framing.framed([deleted], events=self.stream.events))
        if self._known is not None and uid not in self._shown and row.created_at <= self._known:
            self._shown.add(uid)  # who asks saw it in a list, whose number this is
            if row.phase.completed and row.finished_at is not None and row.finished_at <= self._known:
                return framing.NOTHING
        try:
            frame = await self._changed(uid, made)
        except NotThere:
            return framing.NOTHING  # the next sweep says so
        self._shown.add(uid)
        return frame

    async def _changed(self, uid: str, made: Made) -> Frame:
        """That a run is new, or another. Raises NotThere."""
        kind = "MODIFIED" if uid in self._shown else "ADDED"
        key = (kind, uid, self._seen)
        if key not in made:
            made[key] = await self._hub.event(kind, uid, self._wanted, events=self.stream.events)
            if self.stream.pressed:
                await made[key].press()
        return made[key]


def _remains(row: Run) -> dict[str, object]:
    """What is left to show of a workflow that is gone."""
    metadata = {"name": row.name, "namespace": row.namespace, "uid": row.uid, "labels": dict(queries.labels(row))}
    return {
        "apiVersion": ARGO_API_VERSION,
        "kind": "Workflow",
        "metadata": metadata,
        "spec": {},
        "status": {"phase": str(row.phase), "message": row.message},
    }
