"""Http templates against real servers: what goes over the wire, what counts as success, and what a failure says."""

import base64
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest
from aiohttp import web

from tiphys.executors.http import HTTPExecutor
from tiphys.secrets import Secrets
from tiphys.settings import HTTPSettings
from tiphys.spec.containers import Container
from tiphys.spec.parameters import KeySelector, Parameter
from tiphys.spec.templates import HTTP, HTTPBodySource, HTTPHeader, HTTPHeaderSource, Inputs, Outputs, Template
from tiphys.spec.work import Command, Outcome, OutcomeKind, Request, Severity, WorkflowIdentity, WorkOrder
from tiphys.spec.workflows import ObjectMeta, Secret

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def an_order(http: HTTP, *, attempt: int = 0) -> WorkOrder:
    return WorkOrder(
        id=f"u-1/wf-7/{attempt}",
        workflow=WorkflowIdentity(uid="u-1", name="wf", namespace="default"),
        node_id="wf-7",
        node_name="wf.a",
        pod_name="wf-a-7",
        template_name="a",
        attempt=attempt,
        executor="http",
        work=Request(http=http),
        idempotency_key="wf-7",
    )


async def ask(http: HTTP, *, settings: HTTPSettings | None = None, secrets: Secrets | None = None, **more: object) -> Outcome:
    """One request by an executor of its own."""
    async with HTTPExecutor(settings or HTTPSettings(), secrets or Secrets(), **more) as executor:
        return await tell(executor, an_order(http))


async def tell(executor: HTTPExecutor, order: WorkOrder) -> Outcome:
    with anyio.fail_after(20):
        return await executor.wait(order, await executor.launch(order))


@asynccontextmanager
async def server(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A real HTTP server; gives its base URL."""
    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(*talks: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A TCP server: the n-th connection reads a request, sends `talks[n]` (the last one stays) and closes; None resets at once."""
    requests: list[bytes] = []
    count = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal count
        talk = talks[min(count, len(talks) - 1)]
        count += 1
        async with stream:
            requests.append(await stream.receive())
            if talk is None:
                inner = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            await stream.send(talk)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}", requests
        group.cancel_scope.cancel()


async def echo(request: web.BaseRequest) -> web.Response:
    """All that arrived, as JSON."""
    headers: dict[str, list[str]] = {}
    for name, value in request.raw_headers:
        headers.setdefault(name.decode(), []).append(value.decode())
    said = {"method": request.method, "path": request.raw_path, "headers": headers, "body": (await request.read()).decode("latin-1")}
    return web.json_response(said)


async def echoed(http: Callable[[str], HTTP], **more: object) -> dict:
    async with server(echo) as base:
        outcome = await ask(http(base), **more)
        assert outcome.kind is OutcomeKind.SUCCEEDED, outcome.message
        return json.loads(outcome.result)


# ------------------------------------------------------------------------------------------------------------ what is sent


async def test_the_method_is_get_where_none_is_given_and_nothing_is_added_that_go_would_not_send():
    said = await echoed(lambda base: HTTP(url=f"{base}/a?x=1&y=%2F"))
    assert (said["method"], said["path"], said["body"]) == ("GET", "/a?x=1&y=%2F", "")
    assert set(said["headers"]) == {"Host", "User-Agent", "Accept-Encoding"}
    assert said["headers"]["Accept-Encoding"] == ["gzip"]


async def test_a_body_goes_out_as_it_was_written():
    said = await echoed(lambda base: HTTP(method="POST", url=base, body='{"ü": 1}'))
    assert said["body"].encode("latin-1").decode() == '{"ü": 1}'
    assert said["headers"]["Content-Length"] == ["9"]
    assert "Content-Type" not in said["headers"]


async def test_a_body_may_be_base64_bytes():
    bytes_ = base64.b64encode(b"\x00\xff").decode()
    said = await echoed(lambda base: HTTP(method="PUT", url=base, body="ignored", body_from=HTTPBodySource(bytes=bytes_)))
    assert said["body"] == "\x00\xff"


async def test_a_long_body_arrives_whole():
    body = "0123456789" * 200_000

    async def length(request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"{len(await request.read())} {request.headers['Content-Length']}")

    async def big(request: web.BaseRequest) -> web.StreamResponse:
        request._client_max_size = 0
        return await length(request)

    async with server(big) as base:
        assert (await ask(HTTP(method="POST", url=base, body=body))).result == "2000000 2000000"


async def test_headers_are_canonical_repeatable_and_may_set_the_host():
    headers = (
        HTTPHeader(name="x-one", value="1"),
        HTTPHeader(name="X-One", value=" 2 "),
        HTTPHeader(name="host", value="example.org"),
        HTTPHeader(name="content-length", value="999"),
        HTTPHeader(name="user-agent", value="me"),
    )
    said = await echoed(lambda base: HTTP(url=base, headers=headers))
    assert said["headers"]["X-One"] == ["1", "2"]
    assert said["headers"]["Host"] == ["example.org"]
    assert said["headers"]["User-Agent"] == ["me"]
    assert "Content-Length" not in said["headers"]


def secret_header(*, optional: bool | None = None, key: str = "token") -> HTTPHeader:
    selector = KeySelector(name="api", key=key) if optional is None else KeySelector(name="api", key=key, optional=optional)
    return HTTPHeader(name="Authorization", value_from=HTTPHeaderSource(secret_key_ref=selector))


def secrets_with(token: str) -> Secrets:
    document = Secret(api_version="v1", metadata=ObjectMeta(name="api"), string_data={"token": token})
    return Secrets([document])


async def test_a_header_may_come_from_a_secret():
    said = await echoed(lambda base: HTTP(url=base, headers=(secret_header(),)), secrets=secrets_with("Bearer abc"))
    assert said["headers"]["Authorization"] == ["Bearer abc"]


async def test_a_secret_that_is_not_there_fails_by_name_and_one_that_cannot_be_a_header_is_not_shown():
    missing = await ask(HTTP(url="http://127.0.0.1:1/", headers=(secret_header(key="other"),)), secrets=secrets_with("x"))
    assert missing.kind is OutcomeKind.FAILED
    assert "secret 'api' does not have the key 'other'" in missing.message
    broken = await ask(HTTP(url="http://127.0.0.1:1/", headers=(secret_header(),)), secrets=secrets_with("hush\n"))
    assert broken.message == (
        'Get "http://127.0.0.1:1/": net/http: invalid header field value for "Authorization" (it ends with a line break)'
    )


async def test_an_optional_secret_that_is_not_there_leaves_its_header_out():
    said = await echoed(lambda base: HTTP(url=base, headers=(secret_header(optional=True, key="other"),)))
    assert "Authorization" not in said["headers"]


async def test_credentials_in_the_url_become_an_authorization_header():
    said = await echoed(lambda base: HTTP(url=base.replace("//", "//me:p%40ss@")))
    assert said["headers"]["Authorization"] == ["Basic " + base64.b64encode(b"me:p@ss").decode()]


async def test_the_url_is_sent_as_written_and_quoted_only_where_it_must_be():
    said = await echoed(lambda base: HTTP(url=f"{base}/a%2fb%41;c?sig=%3b+x&z=a b#part"))
    assert said["path"] == "/a%2FbA;c?sig=%3B+x&z=a+b"
    said = await echoed(lambda base: HTTP(url=f"{base}/a%2fb%41;c?sig=%3b+x#part"))
    assert said["path"] == "/a%2fb%41;c?sig=%3b+x"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
async def test_a_request_that_is_not_idempotent_carries_a_key_of_its_node_and_run(method):
    keys = set()
    async with server(echo) as base, HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        for attempt in range(2):
            outcome = await tell(executor, an_order(HTTP(method=method, url=base), attempt=attempt))
            keys.add(json.loads(outcome.result)["headers"]["Idempotency-Key"][0])
    assert keys == {"u-1/wf-7"}


@pytest.mark.parametrize("method", ["", "GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_an_idempotent_request_carries_no_key(method):
    seen = []

    async def note(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("Idempotency-Key"))
        return web.Response()

    async with server(note) as base:
        await ask(HTTP(method=method, url=base))
    assert seen == [None]


async def test_a_key_of_the_users_own_is_kept():
    said = await echoed(lambda base: HTTP(method="POST", url=base, headers=(HTTPHeader(name="idempotency-key", value="mine"),)))
    assert said["headers"]["Idempotency-Key"] == ["mine"]


async def test_no_cookie_is_carried_from_one_request_to_the_next():
    async def cookies(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.headers.get("Cookie", "none"), headers={"Set-Cookie": "a=1"})

    async with server(cookies) as base, HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        host = base.replace("127.0.0.1", "localhost")
        assert [(await tell(executor, an_order(HTTP(url=host), attempt=number))).result for number in range(2)] == ["none", "none"]


# ------------------------------------------------------------------------------------------------------------ what comes back


@pytest.mark.parametrize(("status", "message"), [(200, ""), (204, ""), (299, ""), (304, "304"), (404, "404"), (500, "500")])
async def test_two_hundreds_succeed_and_the_body_is_the_result_either_way(status, message):
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=None if status in {204, 304} else b"the body")

    async with server(answer) as base:
        outcome = await ask(HTTP(url=base))
    assert outcome.result == ("" if status in {204, 304} else "the body")
    assert outcome.exit_code is None
    assert not outcome.transient
    if message:
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.message == f"received non-2xx response code: {message}"
    else:
        assert outcome.kind is OutcomeKind.SUCCEEDED
        assert outcome.message == ""


async def test_what_is_not_utf8_becomes_replacement_characters():
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"a\xffb", content_type="text/plain", charset="latin-1")

    async with server(answer) as base:
        assert (await ask(HTTP(url=base))).result == "a\ufffdb"


async def test_a_packed_answer_is_unpacked_unless_the_user_asked_for_a_packing():
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})

    async with server(answer) as base:
        condition = 'response.body == "plain" && !("Content-Encoding" in response.headers)'
        assert (await ask(HTTP(url=base, success_condition=condition))).kind is OutcomeKind.SUCCEEDED
        asked = await ask(HTTP(url=base, headers=(HTTPHeader(name="Accept-Encoding", value="gzip"),)))
        assert asked.result.startswith("\x1f")


async def test_an_answer_over_the_limit_fails_and_says_which_setting():
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * 2000)

    async with server(answer) as base:
        fits = await ask(HTTP(url=base), settings=HTTPSettings(max_body_bytes=2000))
        assert fits.result == "x" * 2000
        outcome = await ask(HTTP(url=base), settings=HTTPSettings(max_body_bytes=1999))
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message == "the response body is longer than 1999 bytes (setting http.max_body_bytes)"
    assert outcome.result is None


# ------------------------------------------------------------------------------------------------------------ successCondition


@pytest.mark.parametrize(
    "condition",
    [
        "response.statusCode == 404",
        'response.body contains "hello"',
        'response.headers["X-Thing"][0] == "1" && len(response.headers["X-Thing"]) == 2',
        'request.method == ""',
        'request.url endsWith "/x" and request.body == ""',
        'request.headers["x-mine"][0] == "v"',
        'not ("Authorization" in request.headers)',
        'fromJSON(response.body)["hello"] == "w"',
    ],
)
async def test_the_success_condition_sees_request_and_response(condition):
    async def answer(_: web.BaseRequest) -> web.Response:
        response = web.Response(status=404, text='{"hello": "w"}')
        response.headers.add("x-thing", "1")
        response.headers.add("x-thing", "2")
        return response

    headers = (HTTPHeader(name="x-mine", value="v"), secret_header())
    async with server(answer) as base:
        http = HTTP(url=f"{base}/x", success_condition=condition, headers=headers)
        outcome = await ask(http, secrets=secrets_with("x"))
    assert (outcome.kind, outcome.message) == (OutcomeKind.SUCCEEDED, "")


async def test_a_false_condition_fails_with_the_result_and_a_broken_one_without():
    async with server(echo) as base:
        false = await ask(HTTP(url=base, success_condition="response.statusCode == 201"))
        assert false.kind is OutcomeKind.FAILED
        assert false.message == "successCondition 'response.statusCode == 201' evaluated false"
        assert false.result
        for condition, start in [
            ("response.statusCode ==", ""),
            ("response.statusCode", "unable to cast expression result '200' to bool"),
            ("response.body[0].x.y == 1", "unable to evaluate expression 'response.body[0].x.y == 1': "),
        ]:
            broken = await ask(HTTP(url=base, success_condition=condition))
            assert broken.kind is OutcomeKind.FAILED
            assert broken.message.startswith(start)
            assert broken.message
            assert broken.result is None


# ------------------------------------------------------------------------------------------------------------ redirects


def redirects(status: int, target: str) -> Answer:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/start":
            return web.Response(status=status, headers={"Location": target})
        return await echo(request)

    return answer


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", ""),
        (302, "PUT", "GET", ""),
        (303, "POST", "GET", ""),
        (307, "POST", "POST", "b"),
        (308, "PUT", "PUT", "b"),
        (302, "GET", "GET", ""),
    ],
)
async def test_redirects_are_followed_as_gos_client_does(status, method, then, body):
    headers = (HTTPHeader(name="Content-Type", value="text/plain"), HTTPHeader(name="Authorization", value="x"))
    async with server(redirects(status, "/end?q")) as base:
        outcome = await ask(HTTP(method=method, url=f"{base}/start", body="b" if method != "GET" else "", headers=headers))
        said = json.loads(outcome.result)
        assert (said["method"], said["path"], said["body"]) == (then, "/end?q", body)
        assert ("Content-Type" in said["headers"]) == bool(body)
        assert said["headers"]["Authorization"] == ["x"]
        assert said["headers"]["Referer"] == [f"{base}/start"]


async def test_a_redirect_to_another_host_leaves_credentials_behind():
    async with server(echo) as other:
        target = other.replace("127.0.0.1", "localhost") + "/end"
        async with server(redirects(302, target)) as base:
            headers = tuple(HTTPHeader(name=name, value="x") for name in ("Authorization", "Cookie", "X-Other"))
            outcome = await ask(HTTP(url=f"{base}/start", headers=headers))
    said = json.loads(outcome.result)["headers"]
    assert "Authorization" not in said
    assert "Cookie" not in said
    assert said["X-Other"] == ["x"]


async def test_ten_redirects_are_too_many():
    async def around(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": request.path + "x"})

    async with server(around) as base:
        outcome = await ask(HTTP(url=f"{base}/"))
        assert outcome.message == f'Get "{base}/xxxxxxxxxx": stopped after 10 redirects'
        assert not outcome.transient


async def test_a_redirect_without_a_place_is_an_answer_and_one_to_another_protocol_a_failure():
    async def nowhere(_: web.BaseRequest) -> web.Response:
        return web.Response(status=302, text="where?")

    async with server(nowhere) as base:
        outcome = await ask(HTTP(url=base))
        assert (outcome.message, outcome.result) == ("received non-2xx response code: 302", "where?")
    async with server(redirects(302, "ftp://x/")) as base:
        assert (await ask(HTTP(url=f"{base}/start"))).message == 'Get "ftp://x/": unsupported protocol scheme "ftp"'


# ------------------------------------------------------------------------------------------------------------ troubles


async def failed(http: HTTP, **more: object) -> Outcome:
    outcome = await ask(http, **more)
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.result is None
    return outcome


async def test_a_refused_connection_is_transient_and_says_so_as_go_does():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    outcome = await failed(HTTP(method="POST", url=f"http://me:pw@127.0.0.1:{port}/"))
    assert outcome.message == f'Post "http://me:***@127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert outcome.transient


async def test_a_name_nobody_knows_is_transient():
    outcome = await failed(HTTP(url="http://nobody.invalid/"))
    assert outcome.message.startswith('Get "http://nobody.invalid/": dial tcp: lookup nobody.invalid: ')
    assert outcome.transient


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (b"", 'Get "{}": EOF'),
        (None, 'Get "{}": read tcp: read: connection reset by peer'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "unexpected EOF"),
    ],
)
async def test_a_cut_connection_is_transient(talk, reason):
    async with raw_server(talk) as (base, _):
        outcome = await failed(HTTP(url=base))
    assert outcome.message == reason.format(base)
    assert outcome.transient


async def test_an_answer_that_is_not_http_fails():
    async with raw_server(b"220 mail ready\r\n") as (base, _):
        outcome = await failed(HTTP(url=base))
    assert "malformed HTTP response" in outcome.message
    assert not outcome.transient


async def test_a_kept_connection_that_the_server_closed_is_no_failure():
    """The first answer keeps its connection; the server then closes it just as the next request is written."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    connections = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        connections.append(stream)
        async with stream:
            await stream.receive()
            await stream.send(answer)
            if len(connections) == 1:
                await stream.receive()  # a second request comes, and is not answered

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with listener, HTTPExecutor(HTTPSettings(), Secrets()) as executor, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        for attempt in range(2):
            outcome = await tell(executor, an_order(HTTP(method="POST", url=url, body="x"), attempt=attempt))
            assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, "ok")
        assert len(connections) == 2
        group.cancel_scope.cancel()


async def test_a_timeout_counts_in_seconds_and_is_transient():
    async def slow(_: web.BaseRequest) -> web.Response:
        await anyio.sleep(30)
        return web.Response()

    async with server(slow) as base:
        began = anyio.current_time()
        outcome = await failed(HTTP(url=base, timeout_seconds=1))
        assert 0.9 < anyio.current_time() - began < 5
        assert outcome.message == f'Get "{base}": context deadline exceeded'
        assert outcome.transient


@pytest.mark.parametrize(
    ("http", "message"),
    [
        (HTTP(url="ftp://x/"), 'Get "ftp://x/": unsupported protocol scheme "ftp"'),
        (HTTP(url="nothing"), 'Get "nothing": unsupported protocol scheme ""'),
        (HTTP(url="http:///x"), 'Get "http:///x": http: no Host in request URL'),
        (HTTP(url="http://x:port/"), None),
        (HTTP(url="http://x/\n"), None),
        (HTTP(method="BAD METHOD", url="http://x/"), 'net/http: invalid method "BAD METHOD"'),
        (HTTP(url="http://x/", headers=(HTTPHeader(name="a b", value="1"),)), 'Get "http://x/": net/http: invalid header field name "a b"'),
        (HTTP(url="http://127.0.0.1:1/", body_from=HTTPBodySource(bytes="***")), None),
    ],
)
async def test_a_request_that_cannot_be_made_fails_for_good(http, message):
    outcome = await failed(http)
    assert outcome.message
    assert message is None or outcome.message == message
    assert not outcome.transient


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
async def test_statuses_that_ask_for_patience_are_transient_by_a_setting(status):
    async def busy(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text="busy", headers={"Retry-After": "7"})

    async with server(busy) as base:
        outcome = await ask(HTTP(url=base))
        assert (outcome.transient, outcome.retry_after_seconds, outcome.result) == (True, 7.0, "busy")
        off = await ask(HTTP(url=base), settings=HTTPSettings(transient_statuses=False))
        assert (off.transient, off.retry_after_seconds) == (False, None)
        wanted = await ask(HTTP(url=base, success_condition=f"response.statusCode == {status}"))
        assert (wanted.kind, wanted.transient) == (OutcomeKind.SUCCEEDED, False)


@pytest.mark.parametrize(("after", "seconds"), [("0", 0.0), ("soon", None), ("-1", None), ("9" * 400, None), ("date", 90.0)])
async def test_retry_after_is_seconds_or_a_date(after, seconds):
    now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    text = format_datetime(now + timedelta(seconds=90), usegmt=True) if after == "date" else after

    async def busy(_: web.BaseRequest) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": text})

    async with server(busy) as base:
        assert (await ask(HTTP(url=base), clock=lambda: now)).retry_after_seconds == seconds


# ------------------------------------------------------------------------------------------------------------ TLS and proxies


async def test_a_certificate_nobody_vouches_for_fails_unless_checks_are_off(certificate):
    async with server(echo, certificate) as base:
        outcome = await failed(HTTP(url=base))
        assert "tls: failed to verify certificate: x509: certificate signed by unknown authority" in outcome.message
        assert not outcome.transient
        assert (await ask(HTTP(url=base, insecure_skip_verify=True))).kind is OutcomeKind.SUCCEEDED


async def test_plain_http_where_tls_was_wanted_says_so():
    async with server(echo) as base:
        outcome = await failed(HTTP(url=base.replace("http:", "https:")))
    assert outcome.message.endswith("http: server gave HTTP response to HTTPS client")


async def test_a_proxy_named_in_the_environment_is_asked():
    async def proxy(request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"proxied {request.raw_path}")

    async with server(proxy) as base:
        environment = {"HTTP_PROXY": base, "NO_PROXY": "direct.invalid"}
        outcome = await ask(HTTP(url="http://far.invalid/x"), environment=environment)
        assert outcome.result == "proxied http://far.invalid/x"
        assert "lookup direct.invalid" in (await ask(HTTP(url="http://direct.invalid/"), environment=environment)).message


# ------------------------------------------------------------------------------------------------------------ the executor


async def test_only_so_many_requests_run_at_once():
    running = peak = 0

    async def count(_: web.BaseRequest) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await anyio.sleep(0.05)
        running -= 1
        return web.Response()

    async with (
        server(count) as base,
        HTTPExecutor(HTTPSettings(parallelism=3), Secrets()) as executor,
        anyio.create_task_group() as group,
    ):
        for number in range(12):
            group.start_soon(tell, executor, an_order(HTTP(url=base), attempt=number))
    assert peak == 3


async def test_a_request_of_an_earlier_process_is_not_found_again():
    async with HTTPExecutor(HTTPSettings(), Secrets()) as first, HTTPExecutor(HTTPSettings(), Secrets()) as second:
        order = an_order(HTTP(url="http://127.0.0.1:1/"))
        handle = await first.launch(order)
        assert await second.adopt(order, handle) is None
        assert await first.adopt(order, None) == handle


async def test_other_work_is_an_error():
    order = an_order(HTTP())
    command = WorkOrder(**{name: getattr(order, name) for name in order.__struct_fields__} | {"work": Command(container=Container())})
    async with HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        outcome = await tell(executor, command)
    assert outcome.kind is OutcomeKind.ERROR
    assert "cannot run a Command" in outcome.message


async def test_what_an_http_template_cannot_do_is_said():
    async with HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        assert list(executor.supports(Template(name="a", http=HTTP(url="http://x/")))) == []
        assert [finding.field for finding in executor.supports(Template(name="a"))] == ["http"]
        outputs = Outputs(parameters=(Parameter(name="p"),))
        findings = executor.supports(Template(name="a", http=HTTP(), outputs=outputs, inputs=Inputs()))
        assert [(finding.severity, finding.field) for finding in findings] == [(Severity.ERROR, "outputs.parameters")]
