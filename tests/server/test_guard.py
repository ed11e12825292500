"""The door, over real sockets: who is let in by what they show, what each scope may do, how often and how long; no web page by itself."""

import functools
import os
import shutil
import socket
import ssl
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import pytest

from tests.certified import certified
from tests.server.serving import served, waiting, workflow
from tiphys.server import serving
from tiphys.server.guard import Guard, shown_token
from tiphys.service import certificates, tokens
from tiphys.service.tokens import Scope, Tokens
from tiphys.settings import ServerSettings

API = "/api/v1"
NOT_VALID = {"code": 16, "message": "token not valid; `tiphysd token create` makes one (Authorization: Bearer TOKEN)"}


class Networked:
    """A server that is also on 127.0.0.1, and tokens for it."""

    def __init__(self, served, folder, base, trust):
        self.served = served
        self.path = folder / "tokens.json"
        self.base = base
        self.trust = trust

    async def token(self, scope, name=""):
        """A new token."""
        made, _ = await anyio.to_thread.run_sync(functools.partial(tokens.create, self.path, Scope(scope), name=name or scope))
        return made

    async def ask(self, method, path, token="", body=None, **headers):
        """Status, JSON, headers."""
        given = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.base}{path}", json=body, headers=given, ssl=self.trust) as answer,
        ):
            text = await answer.read()
            return (
                answer.status,
                await answer.json() if text and answer.content_type == "application/json" else text.decode(),
                answer.headers,
            )


@pytest.fixture
def networked(tmp_path):
    """What opens such a server: `async with networked(tls=True, burst=3) as it`."""

    @asynccontextmanager
    async def opened(*, tls=False, **settings):
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        one.listen(100)
        base = f"{'https' if tls else 'http'}://localhost:{one.getsockname()[1]}"
        files = certified(tmp_path) if tls else None
        guard = Guard(
            settings=ServerSettings(**settings),
            tokens=Tokens(tmp_path / "tokens.json"),
            tls=certificates.context(str(files.chain), str(files.key)) if files else None,
        )
        trust = ssl.create_default_context(cafile=str(files.authority)) if files else True
        async with served(tmp_path / "api.sock", network=[one], guard=guard) as it:
            yield Networked(it, tmp_path, base, trust)

    return opened


async def test_over_the_network_a_token_is_shown(networked):
    async with networked() as it:
        status, found, headers = await it.ask("GET", f"{API}/version")
        assert (status, found, headers["WWW-Authenticate"]) == (401, NOT_VALID, "Bearer")
        for wrong in ("x", "tiphys_" + "A" * 43, "v2:abc", "\u00e9", "a b"):
            assert (await it.ask("GET", f"{API}/version", wrong))[0] == 401
        token = await it.token("read", name="ci")
        for header in (f"Bearer {token}", f"bearer   {token}", token):
            assert (await it.ask("GET", f"{API}/version", Authorization=header))[0] == 200
        for header in (f"Basic {token}", f"Bearer v2:{token}", "Bearer", "Bearer "):
            assert (await it.ask("GET", f"{API}/version", Authorization=header))[0] == 401
        assert (await it.ask("GET", f"{API}/userinfo", token))[1] == {"subject": "token:ci", "name": "ci"}
        assert (await it.ask("GET", "/healthz"))[:2] == (200, "ok")
        assert (await it.ask("POST", "/healthz"))[0] == 401
        status, _, headers = await it.ask("GET", f"{API}/nothing")
        assert (status, headers["Server"]) == (401, "tiphys")


@pytest.mark.parametrize(
    ("header", "token"),
    [("", ""), ("Bearer", ""), ("Bearer x", "x"), ("BEARER  x ", "x"), ("x", "x"), ("Basic x", ""), ("Bearer x y", "x y")],
)
def test_how_a_token_is_shown(header, token):
    assert shown_token(header) == token


READS = [
    ("GET", "/workflows/default"),
    ("GET", "/workflows/default/hello"),
    ("GET", "/workflow-templates/default"),
    ("GET", "/cron-workflows/default"),
    ("GET", "/cluster-workflow-templates"),
    ("GET", "/userinfo"),
]
SUBMITS = [
    ("POST", "/workflows/default"),
    ("POST", "/workflows/default/lint"),
    ("POST", "/workflows/default/submit"),
    *(("PUT", f"/workflows/default/absent/{verb}") for verb in ("suspend", "resume", "stop", "terminate", "retry", "resubmit", "set")),
    ("POST", "/cron-workflows/default/absent/run"),
]


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_allows_what_it_says_and_no_more(networked, scope):
    async with networked() as it:
        token = await it.token(scope)
        for wanted, calls in ((Scope.READ, READS), (Scope.SUBMIT, SUBMITS), (Scope.ADMIN, [("DELETE", "/workflows/default/absent")])):
            for method, path in calls:
                status, found, _ = await it.ask(method, f"{API}{path}", token, {} if method != "GET" else None)
                assert (status == 403) is not scope.allows(wanted), (method, path, found)
                if status == 403:
                    assert found == {
                        "code": 7,
                        "message": f"permission denied: {method} {API}{path} needs a token of scope {wanted}, this one has {scope}",
                    }


def test_every_route_has_its_scope():
    """What changes something and is not named as steering is for admins; nothing that changes something is for readers."""
    from tiphys.server import routes, scopes

    steering = set()
    for route in routes.table():
        path = scopes.PLACEHOLDER.sub("{}", route.path).removeprefix(f"{API}/")
        if route.method not in scopes.READS and scopes.STEERING.fullmatch(f"{API}/{route.method} {path}"):
            steering.add(f"{route.method} {path}")
    assert {f"POST {path}" for path in ("workflows/{}", "workflows/{}/lint", "workflows/{}/submit", "cron-workflows/{}/{}/run")} <= steering
    assert not [one for one in steering if "DELETE" in one or "sync" in one]


async def test_who_changed_something_is_written_down(networked):
    async with networked() as it:
        token = await it.token("submit", name="ci")
        status, made, _ = await it.ask("POST", f"{API}/workflows/default", token, {"workflow": waiting()})
        assert status == 200
        await it.served.until("/workflows/default/hello", "Running")
        assert (await it.ask("PUT", f"{API}/workflows/default/hello/stop", token, {}))[0] == 200
        assert made["metadata"]["name"] == "hello"
        assert "token:ci" in str([event async for event in _events(it)])


async def _events(it):
    for entry in await it.served.engine.journal.events(it.served.house.find("default", "hello")):
        yield entry


async def test_a_token_that_is_revoked_is_no_longer_valid_at_once_also_for_streams(networked):
    async with networked() as it:
        token = await it.token("admin", name="ci")
        other = await it.token("read", name="other")
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {other}"}) as staying,
            session.get(f"{it.base}{API}/workflow-events/default") as stream,
            staying.get(f"{it.base}{API}/workflow-events/default") as kept,
        ):
            assert (stream.status, kept.status) == (200, 200)
            await anyio.to_thread.run_sync(tokens.revoke, it.path, "ci")
            assert (await it.ask("GET", f"{API}/version", token))[0] == 401
            with anyio.fail_after(10), pytest.raises(aiohttp.ClientPayloadError):
                await stream.content.read()
            assert (await it.ask("POST", f"{API}/workflows/default", await it.token("submit"), {"workflow": workflow()}))[0] == 200
            with anyio.fail_after(10):
                assert b'"ADDED"' in await kept.content.readline()


async def test_requests_over_the_network_are_counted(networked):
    async with networked(rate_per_second=20, burst=3) as it:
        token, other = await it.token("read"), await it.token("admin")
        left = []
        for _ in range(3):
            status, _, headers = await it.ask("GET", f"{API}/version", token)
            assert (status, headers["X-Rate-Limit-Limit"]) == (200, "3")
            assert int(headers["X-Rate-Limit-Reset"]) >= int(time.time())
            left.append(int(headers["X-Rate-Limit-Remaining"]))
        assert left[0] == 2
        with anyio.fail_after(10):
            while True:
                status, found, headers = await it.ask("GET", f"{API}/version", token)
                if status == 429:
                    break
        assert found == {"code": 8, "message": "more than 20 requests a second; wait 1 s"}
        assert (headers["Retry-After"], headers["X-Rate-Limit-Remaining"]) == ("1", "0")
        assert (await it.ask("GET", f"{API}/version", other))[0] == 200  # somebody else's bucket
        with anyio.fail_after(10):
            while (await it.ask("GET", f"{API}/version", "wrong"))[0] != 429:
                pass
        for _ in range(50):
            assert (await it.served.ask("GET", "/version"))[0] == 200  # the Unix socket


async def test_a_request_is_given_only_so_much_time_and_a_stream_all_it_wants(networked):
    async with networked(request_seconds=0.3) as it:
        kept = it.served.house.submit

        async def slow(*given, **named):
            await anyio.sleep(5)
            return await kept(*given, **named)

        it.served.house.submit = slow
        token = await it.token("admin")
        with anyio.fail_after(4):
            answer = await it.ask("POST", f"{API}/workflows/default", token, {"workflow": workflow()})
        assert answer[:2] == (504, {"code": 4, "message": "no answer within 0.3 s (server.request_seconds); it may still be done"})
        it.served.house.submit = kept
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{it.base}{API}/workflow-events/default") as stream:
            await anyio.sleep(0.6)
            assert (await it.ask("POST", f"{API}/workflows/default", token, {"workflow": workflow()}))[0] == 200
            with anyio.fail_after(5):
                assert b'"ADDED"' in await stream.content.readline()


async def test_a_body_that_never_comes_is_not_waited_for(networked):
    async with networked(request_seconds=0.3) as it:
        token = await it.token("admin")
        host, port = it.base.removeprefix("http://").split(":")
        head = f"POST {API}/workflows/default HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nContent-Length: 100\r\n\r\n{{"
        with anyio.fail_after(10):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(head.encode())
                assert b"504" in await stream.receive()


async def test_a_connection_on_which_nothing_is_asked_is_closed(networked, monkeypatch):
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.5)
    async with networked() as it:
        host, port = it.base.removeprefix("http://").split(":")
        for begun in (b"", b"GET /api/v1/version HTTP/1.1\r\nHo"):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                if begun:
                    await stream.send(begun)
                with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()


@pytest.mark.parametrize("tls", [False, True])
async def test_so_many_connections_are_held_at_once(networked, monkeypatch, tls):
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    async with networked(tls=tls) as it, anyio.create_task_group() as group:
        host, port = it.base.partition("://")[2].split(":")
        held = []
        for _ in range(5):
            stream = await anyio.connect_tcp(host, int(port), ssl_context=it.trust if tls else None)
            held.append(stream)
            await anyio.sleep(0.05)
        for stream in held[3:]:
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert (await it.served.ask("GET", "/version"))[0] == 200  # over the Unix socket all the same
        for stream in held:
            group.start_soon(stream.aclose)
        token = await it.token("read")
        with anyio.fail_after(5):
            while True:
                try:
                    assert (await it.ask("GET", f"{API}/version", token))[0] == 200
                    break
                except aiohttp.ClientError:
                    await anyio.sleep(0.02)


async def test_bodies_and_headers_are_bounded(networked):
    async with networked(body_bytes=10_000) as it:
        token = await it.token("admin")
        status, found, _ = await it.ask("POST", f"{API}/workflows/default", token, {"workflow": workflow(), "padding": "x" * 20_000})
        assert (status, found["code"]) == (413, 8)
        assert "server.body_bytes" in found["message"]
        assert (await it.ask("GET", f"{API}/version?{'x' * 20_000}", token))[0] == 400
        assert (await it.ask("GET", f"{API}/version", token, **{"X-Long": "x" * 20_000}))[0] == 400
        assert (await it.ask("GET", f"{API}/version", token, **{f"X-{number}": "x" for number in range(500)}))[0] == 400


ELSEWHERE = "https://evil.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ELSEWHERE},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:2746", "Origin": "http://evil.example:2746"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"Host": "10.0.0.1"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_pages_of_other_sites_are_refused(networked, headers, method):
    async with networked(insecure_loopback=True) as it:
        assert (await it.ask("GET", f"{API}/version"))[0] == 200
        status, found, given = await it.ask(method, f"{API}/workflows/default", **headers)
        assert (status, found["code"]) == (403, 7)
        assert "Access-Control-Allow-Origin" not in given


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:2746", "127.0.0.1:80", "[::1]:2746", "tiphys.localhost", "named.example:2746"])
async def test_our_own_pages_and_programs_are_answered(networked, host):
    async with networked(insecure_loopback=True, listen="named.example:2746") as it:
        assert (await it.ask("GET", f"{API}/version", Host=host))[0] == 200
        own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
        assert (await it.ask("GET", f"{API}/version", **own))[0] == 200


async def test_a_page_of_a_named_site_may_ask(networked):
    page = "https://page.example"
    async with networked(origins=(page,)) as it:
        token = await it.token("submit")
        first = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        status, _, headers = await it.ask("OPTIONS", f"{API}/workflows/default", **first)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, page)
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        status, _, headers = await it.ask("GET", f"{API}/workflows/default", token, Origin=page, **{"Sec-Fetch-Site": "cross-site"})
        assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, page, "Origin")
        status, _, headers = await it.ask("GET", f"{API}/workflows/default", Origin=page)
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, page)
        assert (await it.ask("GET", f"{API}/version", token, Host="page.example", Origin=page))[0] == 200
        assert (await it.ask("GET", f"{API}/version", token, Origin=ELSEWHERE))[0] == 403


async def test_without_tls_this_machine_may_be_trusted(networked):
    async with networked(insecure_loopback=True) as it:
        assert (await it.ask("GET", f"{API}/userinfo"))[1] == {"subject": "loopback", "name": ""}
        assert (await it.ask("DELETE", f"{API}/workflows/default/absent"))[0] == 404
        assert (await it.ask("GET", f"{API}/version", "wrong"))[0] == 401  # who shows a token is taken at their word
        assert (await it.ask("DELETE", f"{API}/workflows/default/absent", await it.token("read")))[0] == 403


async def test_with_tls_tokens_are_asked_for_whatever_is_trusted(networked):
    async with networked(tls=True, insecure_loopback=True) as it:
        assert (await it.ask("GET", f"{API}/version"))[:2] == (401, NOT_VALID)
        assert (await it.ask("GET", f"{API}/version", await it.token("read"), Host="any.example"))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(it.base.replace("https", "http")):
                pass
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(it.base):  # an authority that nobody knows
                pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_is_1_2_at_least(networked, version):
    async with networked(tls=True) as it:
        it.trust.minimum_version = min(version, it.trust.minimum_version)
        it.trust.set_ciphers("DEFAULT@SECLEVEL=0")
        it.trust.maximum_version = version
        if version is ssl.TLSVersion.TLSv1_1:
            with pytest.raises(aiohttp.ClientError):
                await it.ask("GET", "/healthz")
        else:
            assert (await it.ask("GET", "/healthz"))[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize(("groups", "status"), [((), 401), ((54321,), 200), ((54322,), 401)])
async def test_at_the_unix_socket_members_of_the_group_are_let_in(groups, status):
    folder = Path(tempfile.mkdtemp())  # pytest's own is for our eyes only
    path = folder / "api.sock"
    try:
        folder.chmod(0o755)
        async with served(path, guard=Guard(groups=frozenset({54321}))):
            path.chmod(0o666)
            ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", str(path), "http://localhost/api/v1/version"]
            made = await anyio.run_process(ask, user=65533, group=65533, extra_groups=list(groups))
            assert made.stdout.decode() == str(status)
    finally:
        shutil.rmtree(folder)
