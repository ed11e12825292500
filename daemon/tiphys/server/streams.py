"""Answers that go on: one JSON object a line, or server-sent events where the client asks for those (semantics part 4)."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable

import anyio
import msgspec
import structlog
from aiohttp import web

from tiphys.errors import TiphysError
from tiphys.server import context, framing, gzipping, problems

EVENTS = "text/event-stream"
QUIET_SECONDS = 15.0
"""After this long without a word something is sent, so that nobody between takes the stream for dead."""

LOOK_SECONDS = 4.0
"""How often a stream that waits looks whether somebody still listens."""

WRITE_SECONDS, PUT_SECONDS, BYTE_SECONDS = 1e-4, 2e-5, 1e-9
"""About what it costs to send something to one who follows, by a task of its own or without, and a byte of it."""

ROOM_SECONDS = 0.1
"""How often it is looked whether somebody who did not take all that was written has done so by now."""

BUFFER_BYTES = 1 << 19
"""What the kernel may take of a stream before it is read: a large piece goes there in one go."""

STUCK_SECONDS = 60.0
"""How long somebody may read nothing before the stream ends."""

STATUSES = {400: "Bad Request", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
log = structlog.get_logger()


class HungUp(TiphysError):
    """Nobody listens any more, or the daemon stops."""


class Stream:
    """One answer that goes on. Use `answered`. `pressed`: compressed by gzip."""

    def __init__(self, request: web.Request, response: web.StreamResponse, *, events: bool, pressed: bool) -> None:
        self._request = request
        self._response = response
        self._events = events
        self._sum = gzipping.Sum() if pressed else None
        self._stopping = context.of(request).stopping
        self._hub = context.of(request).hub
        self._transport = request.transport
        self._quiet = True
        self._spoke = anyio.current_time()
        self._waiting, self._waits_since = 0, self._spoke
        self._chunked = response.headers.get("Transfer-Encoding") == "chunked"

    async def begin(self) -> None:
        """Send what a stream begins with."""
        if self._sum is not None:
            await self._response.write(gzipping.HEADER)

    async def end(self) -> None:
        """Send what a stream ends with, all of it at once."""
        if not problems.gone(self._request):
            await self._response.write_eof(self._sum.end() if self._sum is not None else b"")

    @property
    def pressed(self) -> bool:
        """Whether it is compressed."""
        return self._sum is not None

    @property
    def events(self) -> bool:
        """Whether server-sent events are asked for."""
        return self._events

    async def send(self, results: Iterable[bytes]) -> None:
        """Send results (JSON texts). Raises HungUp."""
        await self.write(framing.framed(results, events=self._events))

    async def write(self, data: bytes) -> None:
        """Send results that are `framed` already. Raises HungUp."""
        await self.write_frame(framing.Frame(data))

    async def write_frame(self, frame: framing.Frame) -> None:
        """Send what may be sent to others too. Raises HungUp."""
        if frame.data:
            await self._write(frame)

    def put(self, frame: framing.Frame) -> None:
        """Send what many are sent, now and without waiting; it must be committed, and this stream not be `behind`."""
        if frame.data and self._transport is not None and not self._transport.is_closing():
            sent = frame.sent(pressed=self._sum is not None, chunked=self._chunked)
            if self._sum is not None:
                self._sum.add(frame.piece)
            self._hub.charge(PUT_SECONDS + BYTE_SECONDS * len(sent))
            self._transport.write(sent)
            self._quiet = False

    @property
    def behind(self) -> bool:
        """Whether something that was written waits to be taken."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    async def room(self) -> None:
        """Wait until what was written is taken. Raises HungUp, also where nobody takes anything for long."""
        while self.behind:
            await self.look()
            await anyio.sleep(ROOM_SECONDS)

    async def fail(self, problem: problems.Problem) -> None:
        """Say what went wrong in the middle. Raises HungUp."""
        error = {
            "grpc_code": problem.code,
            "http_code": problem.status,
            "message": str(problem),
            "http_status": STATUSES.get(problem.status, ""),
            "details": [],
        }
        await self.write(framing.frame(msgspec.json.encode({"error": error}), events=self._events))

    def cut(self) -> HungUp:
        """To be raised: end it so that whoever reads does not take this for its end. A client that can go on from there asks again."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return HungUp()

    def restless(self) -> bool:
        """Whether it is time to `look`."""
        if self._stopping.is_set() or problems.gone(self._request):
            return True
        now, left = anyio.current_time(), 0 if self._transport is None else self._transport.get_write_buffer_size()
        if not self._quiet:
            self._quiet, self._spoke = True, now
        if left != self._waiting:
            self._waiting, self._waits_since = left, now
        return now - (self._waits_since + STUCK_SECONDS if left else self._spoke + QUIET_SECONDS) > 0

    async def look(self) -> None:
        """Between waits: go on only while somebody listens. Raises HungUp."""
        if not self.restless():
            return
        if self._stopping.is_set() or problems.gone(self._request):
            raise HungUp
        if self.behind:
            raise self.cut()
        await self.write(b":\n\n" if self._events else b"\n")

    async def _write(self, frame: framing.Frame) -> None:
        here = context.of(self._request)
        data = frame.data
        if self._sum is not None:
            await frame.press()
            self._sum.add(frame.piece)
            data = frame.piece.pressed
        self._hub.charge(WRITE_SECONDS + BYTE_SECONDS * len(data))
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
    pressed = gzipping.accepted(request.headers.get("Accept-Encoding", ""))
    response.headers["Vary"] = "Accept-Encoding"
    if pressed:
        response.headers["Content-Encoding"] = "gzip"
    with contextlib.suppress(HungUp, ConnectionError):
        _make_room(request)
        await response.prepare(request)
        stream = Stream(request, response, events=events, pressed=pressed)
        await stream.begin()
        try:
            await speak(stream)
        except HungUp:
            await stream.end()  # where the daemon stops
            raise
        except Exception as error:
            problem = problems.of(error)
            if problem.status == 500:
                log.exception("stream failed", path=request.path)
            await stream.fail(problem)
        await stream.end()
    return response
