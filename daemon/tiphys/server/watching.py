"""The watch of workflows: who watches is told of each change, at most five times a second, and always of the last."""

from datetime import datetime

import anyio
import msgspec
from aiohttp import web

from tiphys.engine.house import NotThere
from tiphys.scheduler.records import Run
from tiphys.server import context, framing, queries, streams
from tiphys.server.hub import Hub
from tiphys.server.queries import Query
from tiphys.server.streams import Stream
from tiphys.spec.workflows import ARGO_API_VERSION

PAUSE_SECONDS = 0.2
AT_ONCE = 50


async def watched(request: web.Request) -> web.StreamResponse:
    """ADDED for what is there, then every change; it ends only when who watches hangs up.

    With listOptions.resourceVersion (of a list) only what may have changed since is told of what was there then.
    """
    here = context.of(request)
    query = queries.read(request.match_info.get("namespace", ""), request.query)
    seen = queries.version(request.query)
    watcher = Watcher(here.hub, query, _about_object(request.query.get("fields", "")), seen)

    async def speak(stream: Stream) -> None:
        async with here.hub.watched():
            await watcher.run(stream)

    return await streams.answered(request, speak)


def _about_object(wanted: str) -> str:
    """The query parameter `fields` of a watch, which names parts of the event, as it is about the workflow."""
    sign = "-" if wanted.startswith("-") else ""
    parts = [part.removeprefix("-").removeprefix("result.object.") for part in wanted.split(",") if part]
    return sign + ",".join(part for part in parts if not part.startswith("result."))


class Watcher:
    """One who watches: what was shown, and up to which change."""

    def __init__(self, hub: Hub, query: Query, wanted: str, seen: datetime | None = None) -> None:
        self._hub = hub
        self._query = query
        self._wanted = wanted
        self._shown: set[str] = set()
        self._seen = 0
        self._known = seen

    async def run(self, stream: Stream) -> None:
        """Tell, until nobody listens."""
        while True:
            changed = self._hub.changed
            uids = list(self._hub.since(self._seen))
            self._seen = self._hub.number
            for start in range(0, len(uids), AT_ONCE):
                told = [await self._event(uid, events=stream.events) for uid in reversed(uids[start : start + AT_ONCE])]
                await stream.write(b"".join(told) if len(told) > 1 else told[0])
            again_at = anyio.current_time() + PAUSE_SECONDS
            await stream.look()
            with anyio.move_on_after(streams.LOOK_SECONDS):
                await changed.wait()
            if uids and (left := again_at - anyio.current_time()) > 0:
                await anyio.sleep(left)

    async def _event(self, uid: str, *, events: bool) -> bytes:
        """What is to be told of a run, as it is sent; it may be nothing."""
        row, there = self._hub.row(uid)
        if row is None:
            return b""
        if not there or not self._query.matches(row):
            if uid not in self._shown:
                return b""
            self._shown.discard(uid)
            deleted = b'{"type":"DELETED","object":' + msgspec.json.encode(_remains(row)) + b"}"
            return framing.framed([deleted], events=events)
        if self._known is not None and uid not in self._shown and row.created_at <= self._known:
            self._shown.add(uid)  # who asks saw it in a list, whose number this is
            if row.phase.completed and row.finished_at is not None and row.finished_at <= self._known:
                return b""
        kind = "MODIFIED" if uid in self._shown else "ADDED"
        try:
            made = await self._hub.event(kind, uid, self._wanted, events=events)
        except NotThere:
            return b""  # the next sweep says so
        self._shown.add(uid)
        return made


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
