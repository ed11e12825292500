"""Answers that go on: one JSON object a line, or server-sent events where the client asks for those (semantics part 4)."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable

import anyio
import msgspec
import structlog
from aiohttp import web

from tiphys.errors import TiphysError
from tiphys.server import context, problems

EVENTS = "text/event-stream"
QUIET_SECONDS = 15.0
"""After this long without a word something is sent, so that nobody between takes the stream for dead."""

LOOK_SECONDS = 1.0
"""How often a stream that waits looks whether somebody still listens."""

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

    async def send(self, results: Iterable[bytes]) -> None:
        """Send results (JSON texts). Raises HungUp."""
        await self._write(b"".join(self._framed(b'{"result":' + result + b"}") for result in results))

    async def fail(self, problem: problems.Problem) -> None:
        """Say what went wrong in the middle. Raises HungUp."""
        error = {
            "grpc_code": problem.code,
            "http_code": problem.status,
            "message": str(problem),
            "http_status": STATUSES.get(problem.status, ""),
            "details": [],
        }
        await self._write(self._framed(msgspec.json.encode({"error": error})))

    async def look(self) -> None:
        """Between waits: go on only while somebody listens. Raises HungUp."""
        if self._stopping.is_set() or problems.gone(self._request):
            raise HungUp
        if anyio.current_time() - self._spoke > QUIET_SECONDS:
            await self._write(b":\n\n" if self._events else b"\n")

    def _framed(self, text: bytes) -> bytes:
        return b"data: " + text + b"\n\n" if self._events else text + b"\n"

    async def _write(self, data: bytes) -> None:
        await context.of(self._request).house.committed()
        with anyio.move_on_after(STUCK_SECONDS) as patience:
            try:
                await self._response.write(data)
            except ConnectionError as error:
                raise HungUp from error
        if patience.cancelled_caught:  # nothing was read for long: what waits to be sent must not stay in memory
            if self._request.transport is not None:
                self._request.transport.abort()
            raise HungUp
        self._spoke = anyio.current_time()


async def answered(request: web.Request, speak: Callable[[Stream], Awaitable[None]]) -> web.StreamResponse:
    """The stream that `speak` fills. That nobody listens any more ends it quietly; another failure is told in the stream."""
    events = EVENTS in request.headers.get("Accept", "")
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = EVENTS if events else "application/json"
    with contextlib.suppress(HungUp, ConnectionError):
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
