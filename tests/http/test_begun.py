"""Http attempts that are begun without a task: what is told of them, and that they come to the same as those that are waited for."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import anyio
import anyio.abc
import pytest
from aiohttp import web
from msgspec import structs

from tests.http.test_requests import an_order, server, tell
from tiphys import manifests
from tiphys.engine.engine import open_engine
from tiphys.executors.http import HTTPExecutor, wires
from tiphys.journal.memory import MemoryJournal
from tiphys.scheduler.records import Manifest, Settled
from tiphys.secrets import Secrets
from tiphys.settings import HTTPSettings, LimitSettings
from tiphys.spec.parameters import KeySelector
from tiphys.spec.status import Phase
from tiphys.spec.templates import HTTP, HTTPHeader, HTTPHeaderSource
from tiphys.spec.work import Handle, Outcome, OutcomeKind, Prompt, WorkOrder
from tiphys.spec.workflows import ObjectMeta, Secret, Workflow

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Told:
    """A course: what was told of an attempt, in order."""

    def __init__(self) -> None:
        self.said: list[Handle | Outcome | None] = []
        self.ended = anyio.Event()

    def started(self, handle: Handle) -> None:
        self.said.append(handle)

    def over(self, outcome: Outcome | None) -> None:
        self.said.append(outcome)
        self.ended.set()

    async def outcome(self) -> Outcome | None:
        """How it ended; that it started was told before."""
        with anyio.fail_after(20):
            await self.ended.wait()
        handle, outcome = self.said
        assert isinstance(handle, Handle)
        assert not isinstance(outcome, Handle)
        return outcome


class Server:
    """What came in, one list of requests for each connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connections: list[list[bytes]] = []
        self.closed = anyio.Event()


@asynccontextmanager
async def answering(*answers: bytes | list[bytes] | None) -> AsyncIterator[Server]:
    """A server that answers the n-th request of all with `answers[n]`, a list in pieces; b"" closes, None says nothing."""
    left = list(answers)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made = Server(f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        requests: list[bytes] = []
        made.connections.append(requests)
        async with stream:
            try:
                while True:
                    requests.append(await stream.receive())
                    answer = left.pop(0) if left else b""
                    if answer == b"":
                        return
                    for piece in answer if isinstance(answer, list) else [answer] if answer else []:
                        if piece == b"":
                            return
                        await stream.send(piece)
                        await anyio.sleep(0.02)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                made.closed.set()

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield made
        group.cancel_scope.cancel()


@asynccontextmanager
async def warm(*answers: bytes | list[bytes] | None, **settings: object) -> AsyncIterator[tuple[HTTPExecutor, Server]]:
    """An executor that has a connection to a server."""
    async with answering(OK, *answers) as made, HTTPExecutor(HTTPSettings(**settings), Secrets()) as executor:
        assert (await tell(executor, an_order(HTTP(url=made.url)))).result == "ok"
        yield executor, made


def begun(executor: HTTPExecutor, order: WorkOrder) -> Told:
    """An attempt that was begun; nothing is told at once."""
    told = Told()
    assert executor.begin(order, told)
    assert not told.said
    return told


async def begin(executor: HTTPExecutor, http: HTTP, attempt: int = 1) -> Outcome | None:
    return await begun(executor, an_order(http, attempt=attempt)).outcome()


async def test_the_executor_can_begin_attempts():
    async with HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        assert isinstance(executor, Prompt)


async def test_a_begun_request_is_answered_over_the_connection_that_is_there():
    async with warm(OK.replace(b"ok", b"42"), OK) as (executor, made):
        before = datetime.now(UTC)
        outcome = await begin(executor, HTTP(url=made.url))
        assert outcome is not None
        assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, "42")
        assert outcome.started_at is not None
        assert outcome.ended_at is not None
        assert before <= outcome.started_at <= outcome.ended_at
        first, second = made.connections[0]
        assert first == second
        body = await begin(executor, HTTP(method="POST", url=made.url, body="x=1"), 2)
        assert body is not None
        assert body.kind is OutcomeKind.SUCCEEDED
        assert b"Idempotency-Key: u-1/wf-7\r\n" in made.connections[0][2]
        assert made.connections[0][2].endswith(b"\r\nContent-Length: 3\r\n\r\nx=1")
        assert len(made.connections) == 1


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r\n", b"ab", b"cd"], "abcd"),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n", OK], "ok"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"3\r\ncde\r\n", b"0\r\n\r\n"], "abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(b"z" * 3_000_000, mtime=0))
            + gzip.compress(b"z" * 3_000_000, mtime=0),
            "z" * 3_000_000,
        ),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"y" * 1_000_000], "y" * 1_000_000),
    ],
    ids=["pieces", "hints", "chunks", "nothing", "empty", "gzip", "long"],
)
async def test_an_answer_of_any_form_is_read_to_its_end_and_its_connection_kept(answer, result):
    async with warm(answer, OK) as (executor, made):
        outcome = await begin(executor, HTTP(url=made.url))
        assert outcome is not None
        assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, result), outcome.message
        assert (await tell(executor, an_order(HTTP(url=made.url), attempt=2))).result == "ok"
        assert len(made.connections) == 1


async def test_the_answer_to_head_has_no_body_though_its_length_is_said():
    async with warm(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", OK) as (executor, made):
        outcome = await begin(executor, HTTP(method="HEAD", url=made.url))
        assert outcome is not None
        assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, "")
        assert (await begin(executor, HTTP(url=made.url), 2)) is not None
        assert len(made.connections) == 1


@pytest.mark.parametrize(
    ("answer", "http", "message", "transient"),
    [
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", {}, "received non-2xx response code: 404", False),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", {}, "received non-2xx response code: 503", True),
        (OK, {"success_condition": "response.body == 'no'"}, "successCondition 'response.body == 'no'' evaluated false", False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b""], {}, "unexpected EOF", True),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", b"x" * 101], {}, "the response body is longer than 100 bytes", False),
        (b"220 mail ready\r\n", {}, "malformed HTTP response", False),
    ],
)
async def test_a_begun_request_fails_in_the_same_words(answer, http, message, transient):
    asked = []
    for prompt in (True, False):
        async with warm(answer, max_body_bytes=100, transient_statuses=True) as (executor, made):
            order = an_order(HTTP(url=made.url, **http), attempt=1)
            outcome = await begun(executor, order).outcome() if prompt else await tell(executor, order)
            assert outcome is not None
            asked.append(structs.replace(outcome, started_at=None, ended_at=None, message=outcome.message.replace(made.url, "")))
    first, second = asked
    assert first == second
    assert first.kind is OutcomeKind.FAILED
    assert message in first.message
    assert first.transient is transient


async def test_a_redirect_is_gone_on_with_by_who_waits():
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    async with warm(moved, OK) as (executor, made):
        order = an_order(HTTP(url=made.url + "/here"), attempt=1)
        told = begun(executor, order)
        assert await told.outcome() is None
        outcome = await executor.wait(order, told.said[0])
        assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, "ok")
        assert [request.split()[1] for requests in made.connections for request in requests] == [b"/", b"/here", b"/there"]
        await executor.remove(order.id)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_the_server_closed_meanwhile_is_no_failure_and_the_request_is_made_once_more(method):
    async with warm(b"", OK) as (executor, made):
        order = an_order(HTTP(method=method, url=made.url), attempt=1)
        told = begun(executor, order)
        assert await told.outcome() is None
        outcome = await executor.wait(order, told.said[0])
        assert (outcome.kind, outcome.result) == (OutcomeKind.SUCCEEDED, "ok")
        assert [len(requests) for requests in made.connections] == [2, 1]
    async with warm(b"", b"", OK) as (executor, made):
        order = an_order(HTTP(method=method, url=made.url), attempt=1)
        told = begun(executor, order)
        await told.outcome()
        outcome = await executor.wait(order, told.said[0])
        assert outcome.message.endswith(": EOF")
        assert [len(requests) for requests in made.connections] == [2, 1]


async def test_a_stop_cuts_the_connection():
    async with warm(None) as (executor, made):
        told = begun(executor, an_order(HTTP(url=made.url), attempt=1))
        await anyio.sleep(0.05)
        await executor.stop(told.said[0], 30)
        outcome = await told.outcome()
        assert outcome is not None
        assert (outcome.kind, outcome.message) == (OutcomeKind.STOPPED, "the request was stopped")
        with anyio.fail_after(5):
            await made.closed.wait()


async def test_a_timeout_cuts_the_connection_and_counts_over_redirects():
    async with warm(None) as (executor, made):
        began = anyio.current_time()
        outcome = await begin(executor, HTTP(url=made.url, timeout_seconds=1))
        assert outcome is not None
        assert outcome.message == f'Get "{made.url}": context deadline exceeded'
        assert outcome.transient
        assert 0.9 < anyio.current_time() - began < 5
        with anyio.fail_after(5):
            await made.closed.wait()
    slowly = [b"HTTP/1.1 302 Found\r\n"] * 1 + [b"X: y\r\n"] * 30 + [b"Location: /b\r\nContent-Length: 0\r\n\r\n"]
    async with warm(slowly, None) as (executor, made):
        order = an_order(HTTP(url=made.url, timeout_seconds=1), attempt=1)
        told = begun(executor, order)
        began = anyio.current_time()
        if await told.outcome() is None:
            outcome = await executor.wait(order, told.said[0])
            assert outcome.message.endswith("context deadline exceeded")
        assert anyio.current_time() - began < 1.6


async def test_the_attempts_of_a_deleted_run_are_cut():
    async with warm(None) as (executor, made):
        told = begun(executor, an_order(HTTP(url=made.url), attempt=1))
        await anyio.sleep(0.05)
        await executor.remove_run("u-1")
        outcome = await told.outcome()
        assert outcome is not None
        assert outcome.kind is OutcomeKind.STOPPED
        with anyio.fail_after(5):
            await made.closed.wait()


async def test_a_loop_of_requests_bears_a_server_that_closes_connections_unsaid():
    """Every third request on a connection finds it closed; all the steps succeed nevertheless, in the order of their places."""
    served = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal served
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                for _ in range(3):
                    await stream.receive()
                    served += 1
                    await stream.send(OK.replace(b"ok", b"42"))
                await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/"
    one = {"name": "one", "http": {"url": url + "{{inputs.parameters.n}}"}, "inputs": {"parameters": [{"name": "n"}]}}
    each = {"name": "each", "template": "one", "withSequence": {"count": "60"}}
    each["arguments"] = {"parameters": [{"name": "n", "value": "{{item}}"}]}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "steps": [[each]]}, one]}
    text = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w", "namespace": "default"}, "spec": spec}
    workflow = manifests.parse(json.dumps(text).encode(), "w.yaml", LimitSettings()).documents[0].document
    assert isinstance(workflow, Workflow)
    async with (
        listener,
        anyio.create_task_group() as group,
        HTTPExecutor(HTTPSettings(parallelism=4), Secrets()) as executor,
        open_engine(MemoryJournal(), {"http": executor}, {"http": 4}) as engine,
    ):
        group.start_soon(listener.serve, serve)
        await engine.submit(Manifest(uid="u", workflow=workflow, chosen=Settled(executor="http")))
        with anyio.fail_after(30):
            while not engine.phase("u").completed:
                await anyio.sleep(0.01)
        assert engine.phase("u") is Phase.SUCCEEDED
        assert served == 60
        assert not executor._attempts
        group.cancel_scope.cancel()


async def test_a_connection_on_which_nothing_is_asked_is_closed_after_a_while(monkeypatch):
    monkeypatch.setattr(wires, "IDLE_SECONDS", 0.2)
    async with warm(OK) as (executor, made):
        assert not made.closed.is_set()
        with anyio.fail_after(5):
            await made.closed.wait()
        assert (await tell(executor, an_order(HTTP(url=made.url), attempt=1))).result == "ok"
        assert len(made.connections) == 2
        await anyio.sleep(0.3)
        assert not executor.begin(an_order(HTTP(url=made.url), attempt=2), Told())


async def test_a_request_is_begun_over_tls_too(certificate):
    async def long(_: web.BaseRequest) -> web.Response:
        return web.Response(text="s" * 500_000)

    async with server(long, certificate) as base, HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        http = HTTP(url=base, insecure_skip_verify=True)
        await tell(executor, an_order(http))
        outcome = await begin(executor, http)
        assert outcome is not None
        assert outcome.result == "s" * 500_000
        strict = an_order(HTTP(url=base), attempt=2)
        assert not executor.begin(strict, Told())  # what trusts anybody serves nobody else
        assert "tls: failed to verify certificate" in (await tell(executor, strict)).message


async def test_what_cannot_be_begun_is_not_touched():
    async with warm(None, parallelism=1) as (executor, made):
        http = HTTP(url=made.url)
        told = Told()
        late = structs.replace(an_order(http, attempt=1), deadline=datetime.now(UTC) + timedelta(hours=1))
        secret = HTTPHeader(name="A", value_from=HTTPHeaderSource(secret_key_ref=KeySelector(name="s", key="k")))
        assert not executor.begin(late, told)
        assert not executor.begin(an_order(HTTP(url=made.url, headers=(secret,)), attempt=1), told)
        assert not executor.begin(an_order(HTTP(url="http://127.0.0.1:1/"), attempt=1), told)
        assert not executor.begin(an_order(HTTP(url=made.url, body="x" * 100_000), attempt=1), told)
        assert not executor.begin(an_order(HTTP(url=made.url, headers=(HTTPHeader(name="Expect", value="x"),)), attempt=1), told)
        assert await executor.adopt(an_order(http, attempt=1), None) is None
        assert executor.begin(an_order(http, attempt=1), Told())
        assert not executor.begin(an_order(http, attempt=1), told)
        assert not executor.begin(an_order(http, attempt=2), told)
        assert not told.said


async def test_one_that_is_begun_is_found_by_launch_and_waited_for():
    async with warm([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n", b"ok"]) as (executor, made):
        order = an_order(HTTP(url=made.url), attempt=1)
        told = begun(executor, order)
        handle = await executor.launch(order)
        waited = await executor.wait(order, handle)
        assert waited == await told.outcome()


async def test_a_secret_goes_over_a_kept_connection_too_and_is_read_anew():
    source = HTTPHeader(name="A", value_from=HTTPHeaderSource(secret_key_ref=KeySelector(name="s", key="k")))
    secrets = Secrets([Secret(api_version="v1", metadata=ObjectMeta(name="s"), string_data={"k": "tok"})])
    async with answering(OK, OK) as made, HTTPExecutor(HTTPSettings(), secrets) as executor:
        for attempt in range(2):
            await tell(executor, an_order(HTTP(url=made.url, headers=(source,)), attempt=attempt))
        assert [b"A: tok" in request for request in made.connections[0]] == [True, True]


async def test_what_a_server_says_unasked_answers_nothing():
    """The connection is closed; the next request goes over another."""
    async with warm(OK + OK, OK) as (executor, made):
        outcome = await begin(executor, HTTP(url=made.url))
        assert outcome is not None
        assert outcome.result == "ok"
        assert not executor.begin(an_order(HTTP(url=made.url), attempt=2), Told())
        assert (await tell(executor, an_order(HTTP(url=made.url), attempt=3))).result == "ok"
        assert [len(requests) for requests in made.connections] == [2, 1]


async def test_a_mistake_of_ours_is_raised_by_wait():
    broken: list[Exception] = []

    def clock() -> datetime:
        if broken:
            raise broken.pop()
        return datetime.now(UTC)

    async with answering(OK, OK) as made, HTTPExecutor(HTTPSettings(), Secrets(), clock=clock) as executor:
        await tell(executor, an_order(HTTP(url=made.url)))
        order = an_order(HTTP(url=made.url, success_condition="true"), attempt=1)
        told = begun(executor, order)
        broken.append(LookupError("ours"))
        assert await told.outcome() is None
        with pytest.raises(LookupError, match="ours"):
            await executor.wait(order, told.said[0])
        assert executor.begin(an_order(HTTP(url=made.url), attempt=2), Told())
