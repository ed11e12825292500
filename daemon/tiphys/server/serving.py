"""Serve the API on sockets that others opened, until cancelled; requests in flight are finished first."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType

import anyio
from aiohttp import web

from tiphys.engine.house import House
from tiphys.server import admission, audience, context, problems, routes
from tiphys.server.ahead import Ahead
from tiphys.server.albums import Albums
from tiphys.server.audience import Sources
from tiphys.server.context import Context, Printed, Timed
from tiphys.server.guard import Guard
from tiphys.server.hub import Hub
from tiphys.settings import LimitSettings
from tiphys.spec.workflows import CronWorkflow, Document

FINISH_SECONDS = 5.0
"""How long requests in flight may go on when the daemon stops."""

MOST_CONNECTIONS = 1000
"""Over the network, at once."""

HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 75.0
"""A connection without a whole request for so long is closed."""


def application(here: Context) -> web.Application:
    """The aiohttp application."""
    size = here.guard.settings.body_bytes or here.limits.file_bytes
    made = web.Application(client_max_size=size, middlewares=[problems.translated, admission.admitted])
    made[context.KEY] = here
    made[audience.SOURCES] = Sources()
    made.add_routes(routes.table())
    made.on_response_prepare.append(admission.prepared)
    made.on_response_prepare.append(_committed)
    made.on_shutdown.append(_end_streams)
    return made


async def _committed(request: web.Request, _response: web.StreamResponse) -> None:
    """Nothing is shown that a crash could still undo."""
    await request.app[context.KEY].house.committed()


async def _end_streams(made: web.Application) -> None:
    made[context.KEY].stopping.set()
    made[context.KEY].hub.changed.set()
    made[audience.SOURCES].wake()


@asynccontextmanager
async def serving(here: Context, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """The API answers on the sockets while the context is open, and closes them. They must listen."""
    made = application(here)
    runner = web.AppRunner(
        made,
        access_log=None,
        shutdown_timeout=FINISH_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        handle_signals=False,
    )
    await runner.setup()
    networked: list[asyncio.Server] = []
    async with anyio.create_task_group() as group:
        group.start_soon(here.hub.run)
        group.start_soon(here.albums.run)
        group.start_soon(Ahead(here.house, here.albums).run)
        group.start_soon(made[audience.SOURCES].run)
        group.start_soon(here.guard.run)
        try:
            for one in sockets:
                if one.family == socket.AF_UNIX:
                    await web.SockSite(runner, one).start()
                else:
                    networked.append(await _networked(runner, one, here.guard.tls))
            yield
        finally:
            for server in networked:
                server.close()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()
            group.cancel_scope.cancel()


async def _networked(runner: web.AppRunner, one: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
    """Answer on a socket that anybody may connect to: so many at once, that files are left to open for everything else."""
    server = runner.server
    assert server is not None

    def connected() -> asyncio.Protocol:
        there = sum(isinstance(connection.peername, tuple) for connection in server.connections)
        return server() if there < MOST_CONNECTIONS else _Full()

    seconds = HANDSHAKE_SECONDS if tls is not None else None
    return await asyncio.get_running_loop().create_server(connected, sock=one, ssl=tls, ssl_handshake_timeout=seconds)


class _Full(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


async def serve(
    house: House,
    sockets: Sequence[socket.socket],
    version: str,
    ready: Callable[[], None],
    *,
    limits: LimitSettings = LimitSettings(),  # noqa: B008 (frozen)
    adjust: Callable[[Document], Document] = context.as_it_is,
    next_run: Callable[[CronWorkflow], datetime | None] = context.unknown,
    guard: Guard | None = None,
    stalls: Callable[[], dict[str, float]] = dict,
    printed: Mapping[str, Printed] = MappingProxyType({}),
    timed: Mapping[str, Timed] = MappingProxyType({}),
) -> None:
    """Serve until cancelled. `ready` is called when requests are answered.

    `limits` bound what is sent in; `adjust` gives a document as it will be with the settings' defaults below it; `next_run` says when a
    schedule comes next (asked on a thread); `guard` says who is let in; `stalls`: how often the loop was held up; `printed` are short
    ways to what many attempts printed, `timed` to when they did.
    """
    albums = Albums(house)
    here = Context(
        house=house,
        version=version,
        albums=albums,
        hub=Hub(house, albums),
        limits=limits,
        adjust=adjust,
        next_run=next_run,
        stalls=stalls,
        printed=printed,
        timed=timed,
        guard=guard or Guard(),
    )
    async with serving(here, sockets):
        ready()
        await anyio.sleep_forever()
