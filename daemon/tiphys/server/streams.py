"""Answers that go on: one JSON object a line, or server-sent events where the client asks for those (semantics part 4)."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable

import anyio
import msgspec
import structlog
from aiohttp import web

from tiphys.errors import TiphysError
from tiphys.server import context, framing, problems

EVENTS = "text/event-stream"
QUIET_SECONDS = 15.0
"""After this long without a word something is sent, so that nobody between takes the stream for dead."""

LOOK_SECONDS = 4.0
"""How often a stream that waits looks whether somebody still listens."""

WRITE_SECONDS, BYTE_SECONDS = 5e-5, 1e-9
"""About what it costs to send something to one who follows, and a byte of it."""

BUFFER_BYTES = 1 << 19
"""What the kernel may take of a stream before it is read: a large piece goes there in one go."""

STUCK_SECONDS = 60.0
"""How long somebody may read nothing before the stream ends."""

STATUSES = {400: "Bad Request", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
log = structlog.get_logger()


class HungUp(TiphysError):
    """Nobody listens any more, or the daemon stops."""


class Stream:
    """One answer that goes on. Use `answered`."""

    def __init__(self, request: web.Request, response: web.StreamResponse, *, events: bool) -> None:
        self._request = request
        self._response = response
        self._events = events
        self._stopping = context.of(request).stopping
        self._spoke = anyio.current_time()

    @property
    def events(self) -> bool:
        """Whether server-sent events are asked for."""
        return self._events

    async def send(self, results: Iterable[bytes]) -> None:
        """Send results (JSON texts). Raises HungUp."""
        await self.write(framing.framed(results, events=self._events))

    async def write(self, data: bytes) -> None:
        """Send results that are `framed` already. Raises HungUp."""
        if data:
            await self._write(data)

    async def fail(self, problem: problems.Problem) -> None:
        """Say what went wrong in the middle. Raises HungUp."""
        error = {
            "grpc_code": problem.code,
            "http_code": problem.status,
            "message": str(problem),
            "http_status": STATUSES.get(problem.status, ""),
            "details": [],
        }
        await self._write(framing.frame(msgspec.json.encode({"error": error}), events=self._events))

    def cut(self) -> HungUp:
        """To be raised: end it so that whoever reads does not take this for its end. A client that can go on from there asks again."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return HungUp()

    async def look(self) -> None:
        """Between waits: go on only while somebody listens. Raises HungUp."""
        if self._stopping.is_set() or problems.gone(self._request):
            raise HungUp
        if anyio.current_time() - self._spoke > QUIET_SECONDS:
            await self._write(b":\n\n" if self._events else b"\n")

    async def _write(self, data: bytes) -> None:
        here = context.of(self._request)
        here.hub.charge(WRITE_SECONDS + BYTE_SECONDS * len(data))
        await here.house.committed()
        with anyio.move_on_after(STUCK_SECONDS) as patience:
            try:
                await self._response.write(data)
            except ConnectionError as error:
                raise HungUp from error
        if patience.cancelled_caught:  # nothing was read for long: what waits to be sent must not stay in memory
            raise self.cut()
        self._spoke = anyio.current_time()


def _make_room(request: web.Request) -> None:
    """Let the kernel take more of a local stream at once: each time it is full costs a turn of the loop."""
    found = request.get_extra_info("socket")
    if found is not None and found.family == socket.AF_UNIX:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


async def answered(request: web.Request, speak: Callable[[Stream], Awaitable[None]]) -> web.StreamResponse:
    """The stream that `speak` fills. That nobody listens any more ends it quietly; another failure is told in the stream."""
    events = EVENTS in request.headers.get("Accept", "")
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = EVENTS if events else "application/json"
    with contextlib.suppress(HungUp, ConnectionError):
        _make_room(request)
        await response.prepare(request)
        stream = Stream(request, response, events=events)
        try:
            await speak(stream)
        except HungUp:
            raise
        except Exception as error:
            problem = problems.of(error)
            if problem.status == 500:
                log.exception("stream failed", path=request.path)
            await stream.fail(problem)
    return response
