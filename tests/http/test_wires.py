"""What goes over a wire of our own is what aiohttp's session would send, byte for byte."""

import anyio
import pytest

from tests.http.test_requests import an_order, raw_server, tell
from tiphys.executors.http import HTTPExecutor, requests
from tiphys.secrets import Secrets
from tiphys.settings import HTTPSettings
from tiphys.spec.templates import HTTP, HTTPHeader
from tiphys.spec.work import OutcomeKind

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "FOO")


def named(*pairs: str) -> tuple[HTTPHeader, ...]:
    """Headers, each given as `name: value`."""
    return tuple(HTTPHeader(name=name, value=value) for name, _, value in (pair.partition(": ") for pair in pairs))


SHAPES: list[tuple[str, dict[str, object]]] = [
    *(("/p", {"method": method, "body": body}) for method in METHODS for body in ("", "x=1", "é")),
    *((path, {}) for path in ("", "/", "/a b/c?q=1&r=é", "/a%20b?x=%41#frag", "?a=b")),
    ("/", {"headers": named("host: other:99", "x-a: 1")}),
    ("/", {"headers": named("X-A: 1", "x-a: 2", "X-Empty: ", "X: é")}),
    ("/", {"headers": named("accept-encoding: br", "Accept: a/b")}),
    ("/", {"headers": named("User-Agent: me", "content-type: a/b", "Content-Length: 7", "transfer-encoding: chunked", "cookie: a=b")}),
    ("/", {"method": "POST", "headers": named("Idempotency-Key: k"), "body": "y" * 20_000}),
    ("user:pass@/", {}),
]


@pytest.mark.parametrize(("path", "http"), SHAPES)
async def test_a_request_is_sent_as_the_session_would_send_it(monkeypatch, path, http):
    user, at, path = path.rpartition("@")
    async with raw_server(ANSWER) as (base, received), HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        url = base.replace("http://", f"http://{user}{at}") + path
        for attempt, longest in enumerate((requests.SHORT_BODY, -1)):
            monkeypatch.setattr(requests, "SHORT_BODY", longest)  # no body is short, so the session sends it
            outcome = await tell(executor, an_order(HTTP(url=url, **http), attempt=attempt))
            assert outcome.kind is OutcomeKind.SUCCEEDED, outcome.message
        await anyio.sleep(0)
    first, second = received
    length = min(len(first), len(second)) if len(first) > 10_000 else None  # a long one may come in pieces
    assert first[:length] == second[:length]
    assert first.startswith(http.get("method", "GET").encode() + b" ")
