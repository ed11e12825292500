"""The border's middleware: every request passes the door, and every answer takes along what the door says of it."""

import math

from aiohttp import web
from aiohttp.typedefs import Handler

from tiphys.server import browsers, context, guard
from tiphys.server.peers import ASKER


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who may come in."""
    door = context.of(request).guard
    asker = await door.judge(request)
    if browsers.asks_first(request):
        return browsers.may()
    if asker is not None:
        request[ASKER] = asker
    return await door.answered(request, handler, asker)


async def prepared(request: web.Request, response: web.StreamResponse) -> None:
    """An answer begins: it takes its headers along, and the time it takes is no longer counted."""
    request[guard.RESPONSE] = response
    scope = request.get(guard.SCOPE)
    if scope is not None:
        scope.deadline = math.inf
    response.headers["Server"] = "tiphys"  # and not which library of which version
    response.headers.update(request.get(guard.HEADERS, {}))
    response.headers.update(browsers.headers(request, context.of(request).guard.settings.origins))
    if response.headers.get("Connection") == "close":
        response.force_close()
