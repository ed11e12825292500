"""What was checked of each path: the table that `test_paths` runs, and compares with what is served."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from tests.server.serving import BASE, Served
from tiphys.server import routes


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, of which paths ("GET /api/v1/version")."""

    name: str
    paths: tuple[str, ...]
    run: Callable[[Served], Awaitable[None]]


TABLE: list[Check] = []


def of(*paths: str):
    """Enter a check into the table, under its name as a sentence. Paths are below /api/v1 unless they begin with two slashes."""

    def entered(run):
        full = tuple(_full(path) for path in paths)
        TABLE.append(Check(name=run.__name__.replace("_", " "), paths=full, run=run))
        return run

    return entered


def _full(path: str) -> str:
    method, _, rest = path.partition(" ")
    return f"{method} {rest[1:]}" if rest.startswith("//") else f"{method} /api/v1{rest}"


def every() -> list[str]:
    """What is served."""
    return [f"{route.method} {route.path}" for route in routes.every()]


def meant(method: str, path: str) -> str:
    """The route that a request means: the one with the fewest placeholders that fits."""
    fitting = [
        route
        for route in routes.every()
        if route.method == method and re.fullmatch(re.sub(r"\\?{\w+\\?}", "[^/]+", re.sub(r"{(\w+):[^}]*}", ".*", route.path)), path)
    ]
    found = min(fitting, key=lambda route: route.path.count("{"))
    return f"{found.method} {found.path}"


class Asked:
    """The routes that a session asked."""

    def __init__(self) -> None:
        self.routes: set[str] = set()

    def trace(self) -> aiohttp.TraceConfig:
        """What notes them."""
        made = aiohttp.TraceConfig()

        async def note(session, context, params) -> None:
            self.routes.add(meant(params.method, params.url.path))

        made.on_request_start.append(note)
        return made


async def raw(served: Served, path: str, *, status: int = 200, **query: str) -> tuple[bytes, aiohttp.ClientResponse]:
    """The bytes of an answer."""
    url = BASE.removesuffix("/api/v1") + path
    async with served.session.get(url, params=query) as answer:
        found = await answer.read()
        assert answer.status == status, found
        return found, answer
