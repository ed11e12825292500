"""Requests over kept connections, heard of by a call: no task, no timer and none of the client's objects for each of them.

aiohttp does what is hard: it opens the connections (names, TLS, its words for what goes wrong there) and reads the answers (its protocol
and its parser, with their limits). Passed by are its session, request and response objects, which cost twice as much as all of that.
Redirects, proxies and long bodies are not for here.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy

from tiphys.executors.http.failures import RequestFailedError

CONNECT_SECONDS = 30.0
IDLE_SECONDS = 15.0
"""How long a connection on which nothing is asked is kept; aiohttp's own pool keeps it as long."""

HEADER_BYTES = 256 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})

Origin = tuple[str, str, int | None, bool]
"""Scheme, host, port, and whether anybody's certificate is trusted: requests to the same may use each other's connections."""


class Line(NamedTuple):
    """A request as it goes over a wire. `unpack`: a compressed answer is unpacked."""

    origin: Origin
    text: bytes
    is_head: bool
    unpack: bool


class Reply(NamedTuple):
    """An answer, read to its end; of one that points elsewhere the body is left out."""

    status: int
    fields: CIMultiDictProxy[str]
    body: bytes

    @property
    def redirect(self) -> str:
        """Where it points to, if it does."""
        return self.fields.get("Location", "") if self.status in REDIRECTS else ""


class Broken(NamedTuple):
    """There was no whole answer. `inside`: it had begun. `reused`: the connection had served before, so it may have been closed since."""

    error: BaseException
    inside: bool
    reused: bool

    @property
    def stale(self) -> bool:
        """Whether the connection ended before anything of an answer came."""
        return not self.inside and isinstance(self.error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


Hear = Callable[[Reply | Broken], None]


class Wire(ResponseHandler):
    """One connection, which carries one request at a time."""

    def __init__(self, connection: Connection, opened_as: ResponseHandler, wires: "Wires", origin: Origin) -> None:
        super().__init__(asyncio.get_running_loop())
        self._connection = connection
        self._opened_as = opened_as
        self._wires = wires
        self._hear: Hear | None = None
        self._message: RawResponseMessage | None = None
        self._reader: StreamReader | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._taking = self._excess = self._reused = False
        self.origin = origin
        self.idle_since = 0.0

    def ask(self, line: Line, hear: Hear) -> None:
        """Send a request; `hear` is called once, never before this returns."""
        self._hear = hear
        self._message = self._reader = None
        self._chunks = []
        self._size = 0
        self.set_response_params(
            skip_payload=line.is_head,
            read_until_eof=True,
            auto_decompress=line.unpack,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
        )
        if self.transport is not None:  # else it is being lost, which is told
            self.transport.write(line.text)

    def shut(self) -> None:
        """Close the connection; of what was asked nothing is heard."""
        self._hear = None
        self._wires.forget(self)
        self._connection.close()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """A call of aiohttp's: an answer's head is there."""
        del size
        if 100 <= data[0].code < 200 and data[0].code != 101:
            return  # the answer is still to come
        if self._message is not None:
            self._excess = True
            return
        self._message, self._reader = data

    def data_received(self, data: bytes) -> None:
        """A call of asyncio's."""
        if self._hear is None:
            self.shut()  # nothing was asked, so this answers nothing
            return
        super().data_received(data)
        if not self._taking:
            self._take()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """A call of aiohttp's, which it makes whenever something was read."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """A call of asyncio's."""
        super().connection_lost(exc)
        self._opened_as.connection_lost(exc)
        if self._hear is not None:
            self._take()
        if self._hear is not None:
            self._tell(self._broken(self.exception() or aiohttp.ClientPayloadError()))
        self.shut()

    def _take(self) -> None:
        """Take in what has come, and tell when it is all."""
        message, reader = self._message, self._reader
        if message is None or reader is None:
            if (error := self.exception()) is not None:
                self._tell(self._broken(error))
            return
        if message.code in REDIRECTS and message.headers.get("Location"):
            self._tell(Reply(message.code, message.headers, b""))
            return
        self._taking = True
        try:
            while chunk := reader.read_nowait():
                self._chunks.append(chunk)
                self._size += len(chunk)
                if self._size > self._wires.limit:
                    why = f"the response body is longer than {self._wires.limit} bytes (setting http.max_body_bytes)"
                    raise RequestFailedError(why)
                if reader.at_eof():
                    break
        except Exception as error:  # noqa: BLE001 - whatever the parser found wrong with the body is told to who asked
            self._tell(self._broken(error))
            return
        finally:
            self._taking = False
        if reader.is_eof():
            self._tell(Reply(message.code, message.headers, b"".join(self._chunks)))

    def _broken(self, error: BaseException) -> Broken:
        return Broken(error, inside=self._reader is not None, reused=self._reused)

    def _tell(self, what: Reply | Broken) -> None:
        hear, self._hear = self._hear, None
        if isinstance(what, Broken) or self._excess or self.should_close or not self.is_connected():
            self.shut()
        else:
            self._reused = True
            self._wires.keep(self)
        self._message = self._reader = None
        self._chunks = []
        if hear is not None:
            hear(what)


class Wires:
    """The connections there are. `limit`: the most bytes of a body."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._connector = aiohttp.TCPConnector(limit=0)  # opens connections and keeps none
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._all: set[Wire] = set()
        self._idle: dict[Origin, list[Wire]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def free(self, origin: Origin) -> Wire | None:
        """A kept connection on which nothing is asked."""
        idle = self._idle.get(origin)
        while idle:
            wire = idle.pop()
            if self._loop.time() - wire.idle_since <= IDLE_SECONDS and wire.is_connected():
                return wire
            wire.shut()
        return None

    async def open(self, request: aiohttp.ClientRequest, origin: Origin) -> Wire:
        """A new connection to where a request goes; raises what aiohttp's session raises."""
        try:
            connection = await self._connector.connect(request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {request.url}") from error
        opened_as, transport = connection.protocol, connection.transport
        if opened_as is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        wire = Wire(connection, opened_as, self, origin)
        wire.connection_made(transport)
        transport.set_protocol(wire)
        self._all.add(wire)
        return wire

    def keep(self, wire: Wire) -> None:
        """Keep a connection that has served, for a while."""
        wire.idle_since = self._loop.time()
        self._idle.setdefault(wire.origin, []).append(wire)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._close_old)

    def forget(self, wire: Wire) -> None:
        """A connection is closed."""
        self._all.discard(wire)
        idle = self._idle.get(wire.origin, [])
        if wire in idle:
            idle.remove(wire)

    def _close_old(self) -> None:
        self._sweep = None
        before = self._loop.time() - IDLE_SECONDS
        for wire in [wire for idle in self._idle.values() for wire in idle if wire.idle_since <= before]:
            wire.shut()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._close_old)

    async def close(self) -> None:
        """Close all connections; what is asked on them is heard of no more."""
        if self._sweep is not None:
            self._sweep.cancel()
        closing = [closed for wire in self._all if wire.is_connected() and (closed := wire.closed) is not None]
        for wire in list(self._all):
            wire.shut()
        await self._connector.close()
        await asyncio.gather(*closing, return_exceptions=True)
