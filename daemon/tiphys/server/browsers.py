"""Browsers do as any web page tells them: what a page of another site makes them ask is refused, unless that site is named.

A page can also have its own name point to 127.0.0.1 and so be of the same site; the Host header gives it away. With TLS it cannot, for
the certificate does not say that name.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web

from tiphys.server.problems import Problem
from tiphys.service import entrances

METHODS = "GET, POST, PUT, DELETE"
HEADERS = "Authorization, Content-Type"
REMEMBERED_SECONDS = "600"


def judge(request: web.Request, origins: Sequence[str], names: Sequence[str], *, plain: bool) -> None:
    """Raises Problem for what a browser should not have been made to ask. `names`: our own; `plain`: over the network without TLS."""
    origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
    if plain and not _ours(host, [*names, *(urlsplit(one).netloc for one in origins)]):
        raise Problem(403, f"the Host {host!r} is not this machine's; name the page that asks in the setting server.origins")
    if origin is not None and origin not in origins and urlsplit(origin).netloc.lower() != host.lower():
        raise Problem(403, f"requests from pages of {origin} are refused; see the setting server.origins")
    if origin is None and request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise Problem(403, "requests from pages of other sites are refused")


def _ours(host: str, names: Sequence[str]) -> bool:
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost") or entrances.is_loopback(name) or name in map(_name, names)


def _name(host: str) -> str:
    """The name of HOST:PORT."""
    bare = host.lower()
    if bare.startswith("["):
        return bare[1:].partition("]")[0]
    return bare.partition(":")[0] if bare.count(":") == 1 else bare


def headers(request: web.Request, origins: Sequence[str]) -> dict[str, str]:
    """What lets a page of a named site read the answer."""
    origin = request.headers.get("Origin", "")
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin in origins else {}


def asks_first(request: web.Request) -> bool:
    """Whether a browser asks what it may ask."""
    return request.method == "OPTIONS" and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


def may() -> web.Response:
    """What it may ask."""
    allowed = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": REMEMBERED_SECONDS,
    }
    return web.Response(status=204, headers=allowed)
