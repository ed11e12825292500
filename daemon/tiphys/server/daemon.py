"""What is asked of the daemon itself: is it well, which version, who am I."""

import platform

from aiohttp import web

from tiphys.server import answers, bodies, context, peers


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz, which is ours: "ok", or 503 "recovering" while what was cut off is not going on again yet.

    With `?verbose` JSON that also says how often the event loop was held up for more than 20 ms since the daemon was ready.
    """
    here = context.of(request)
    if "verbose" in request.query:
        return answers.value({"recovered": here.house.recovered, "stalls": here.stalls()})
    if here.house.recovered:
        return web.Response(text="ok")
    return web.Response(status=503, text="recovering", headers={"Retry-After": "1"})


async def version(request: web.Request) -> web.Response:
    """GET /api/v1/version."""
    return answers.value(
        {
            "version": context.of(request).version,
            "buildDate": "1970-01-01T00:00:00Z",
            "gitCommit": "",
            "gitTag": "",
            "gitTreeState": "",
            "goVersion": f"python{platform.python_version()}",
            "compiler": platform.python_implementation(),
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }
    )


async def info(request: web.Request) -> web.Response:
    """GET /api/v1/info."""
    return answers.value(
        {"managedNamespace": "", "links": [], "modals": {}, "navColor": "", "columns": [], "namespace": context.of(request).house.namespace}
    )


async def userinfo(request: web.Request) -> web.Response:
    """GET /api/v1/userinfo: the user at the other end of the socket, or the token that was shown."""
    asker = peers.asking(request)
    return answers.value({"subject": asker.subject, "name": asker.name} if asker is not None else {})


async def tracked(request: web.Request) -> web.Response:
    """POST /api/v1/tracking/event: what Argo's pages tell of clicks; nobody here wants to know."""
    await bodies.any_value(request)
    return answers.value({})


async def nothing(request: web.Request) -> web.Response:
    """GET /event-sources/{namespace} and /sensors/{namespace}: Argo's pages ask, and there are none."""
    kind = "EventSourceList" if "/event-sources/" in request.path else "SensorList"
    return answers.value(answers.listing(kind, ()))
