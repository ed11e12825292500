"""Webhooks, against a real server: what is sent, what counts as delivered, and what may be tried again."""

import asyncio
import json
import socket

import pytest
from aiohttp import web

from tests.notices.told import PAYLOAD, TOKEN, notice, secrets, senders, serving, status
from tiphys.notices.errors import SendFailed
from tiphys.settings import NotificationEntry

pytestmark = pytest.mark.asyncio


async def test_a_webhook_gets_the_json_and_the_headers_and_any_2xx_is_enough() -> None:
    async with (
        serving(status(200), status(202), status(204)) as server,
        senders(NotificationEntry(url=f"{server.address}/hook?x=1")) as made,
    ):
        for _ in range(3):
            await made.send(notice())
    assert [json.loads(heard.body) for heard in server.heard] == [PAYLOAD] * 3
    first = server.heard[0]
    assert (first.method, first.path) == ("POST", "/hook")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["idempotency-key"] == "uid-1/Failed/1"
    assert first.headers["x-tiphys-event"] == "workflow.phase"
    assert first.headers["user-agent"].startswith("tiphys/")
    assert "authorization" not in first.headers


async def test_after_a_500_the_same_notification_goes_out_again_with_the_same_key() -> None:
    async with serving(status(500, "busy\nnow"), status(200)) as server, senders(NotificationEntry(url=server.address)) as made:
        with pytest.raises(SendFailed, match=r"^webhook 127\.0\.0\.1: status 500: busy now$") as caught:
            await made.send(notice())
        assert caught.value.transient
        await made.send(notice())
    assert len({(heard.body, heard.headers["idempotency-key"]) for heard in server.heard}) == 1


@pytest.mark.parametrize(
    ("code", "transient"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (410, False), (425, True), (429, True), (501, True), (503, True)],
)
async def test_a_status_tells_whether_trying_again_may_help(code: int, transient: bool) -> None:
    async with serving(status(code)) as server, senders(NotificationEntry(url=server.address)) as made:
        with pytest.raises(SendFailed, match=f"status {code}$") as caught:
            await made.send(notice())
    assert caught.value.transient is transient
    assert len(server.heard) == 1


async def test_the_token_is_shown_to_the_server_and_to_nobody_else(tmp_path) -> None:
    def judged():
        right = server.heard[-1].headers.get("authorization") == f"Bearer {TOKEN}"
        return web.Response(status=200 if right else 401, text=server.heard[-1].headers.get("authorization", ""))

    async with serving(judged) as server:
        entry = NotificationEntry(url=f"{server.address}/secret-path", token_secret=("given", "token"))
        known = secrets(tmp_path, token=TOKEN)
        async with senders(entry, known=known) as made:
            await made.send(notice())
            secrets(tmp_path, token="wr0ng-token")
            with pytest.raises(SendFailed) as caught:
                await made.send(notice())
    assert not caught.value.transient
    assert str(caught.value) == "webhook 127.0.0.1: status 401: Bearer ***"


async def test_a_token_that_is_not_there_may_still_be_put_there(tmp_path) -> None:
    async with serving() as server:
        entry = NotificationEntry(url=server.address, token_secret=("given", "token"))
        async with senders(entry, known=secrets(tmp_path)) as made:
            with pytest.raises(SendFailed, match="token_secret: there is no Secret 'given' with the key 'token'") as caught:
                await made.send(notice())
            assert caught.value.transient
            secrets(tmp_path, token=TOKEN)
            await made.send(notice())
    assert len(server.heard) == 1


async def test_a_server_that_does_not_answer_is_left_after_the_timeout() -> None:
    async with serving(lambda: asyncio.sleep(3600)) as server:
        entry = NotificationEntry(url=server.address, timeout_seconds=0.2)
        async with senders(entry) as made:
            with pytest.raises(SendFailed, match=r"not done within 0\.2 s") as caught:
                await made.send(notice())
    assert caught.value.transient


async def test_a_machine_where_nobody_listens_is_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with senders(NotificationEntry(url=f"http://127.0.0.1:{port}/hidden-path")) as made:
        with pytest.raises(SendFailed, match="Cannot connect") as caught:
            await made.send(notice())
    assert caught.value.transient
    assert "hidden-path" not in str(caught.value)


async def test_a_connection_that_is_cut_is_tried_again() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, senders(NotificationEntry(url=f"http://127.0.0.1:{port}")) as made:
        with pytest.raises(SendFailed) as caught:
            await made.send(notice())
    assert caught.value.transient


@pytest.mark.parametrize("code", [307, 308])
async def test_a_redirect_on_the_same_server_is_followed_with_body_and_token(code: int, tmp_path) -> None:
    async with serving(status(code, Location="/there"), status(200)) as server:
        entry = NotificationEntry(url=f"{server.address}/here", token_secret=("given", "token"))
        async with senders(entry, known=secrets(tmp_path, token=TOKEN)) as made:
            await made.send(notice())
    assert [heard.path for heard in server.heard] == ["/here", "/there"]
    assert server.heard[0].body == server.heard[1].body
    assert server.heard[1].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_redirect_to_another_server_is_not_followed(tmp_path) -> None:
    async with serving() as other, serving(status(307, Location=f"{other.address}/there?token=abc")) as server:
        entry = NotificationEntry(url=server.address, token_secret=("given", "token"))
        async with senders(entry, known=secrets(tmp_path, token=TOKEN)) as made:
            with pytest.raises(SendFailed, match=f"redirects to {other.address}, and another server is not told") as caught:
                await made.send(notice())
    assert not caught.value.transient
    assert "abc" not in str(caught.value)
    assert other.heard == []


async def test_a_redirect_that_would_drop_the_body_is_not_success() -> None:
    async with serving(status(302, Location="/login")) as server, senders(NotificationEntry(url=server.address)) as made:
        with pytest.raises(SendFailed, match="status 302") as caught:
            await made.send(notice())
    assert not caught.value.transient
    assert len(server.heard) == 1


async def test_redirects_in_a_circle_end() -> None:
    async with serving(status(307, Location="/")) as server, senders(NotificationEntry(url=server.address)) as made:
        with pytest.raises(SendFailed, match="more than 5 redirects"):
            await made.send(notice())
    assert len(server.heard) == 6


@pytest.mark.parametrize("location", ["http://[", "ftp://127.0.0.1/", "//", "mailto:x@y"])
async def test_a_redirect_to_nonsense_is_refused_in_one_line(location: str) -> None:
    async with serving(status(307, Location=location)) as server, senders(NotificationEntry(url=server.address)) as made:
        with pytest.raises(SendFailed) as caught:
            await made.send(notice())
    assert not caught.value.transient
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::1", "ftp://example.com/"])
async def test_an_address_that_is_none_is_not_tried_again(url: str) -> None:
    async with senders(NotificationEntry(url=url)) as made:
        with pytest.raises(SendFailed) as caught:
            await made.send(notice())
    assert not caught.value.transient


async def test_an_unknown_name_is_said_at_once() -> None:
    async with senders(NotificationEntry(url="http://127.0.0.1:1")) as made:
        with pytest.raises(SendFailed, match='no notification is called "nobody"') as caught:
            await made.send(notice("nobody"))
    assert not caught.value.transient


async def test_many_at_once_all_arrive() -> None:
    async with serving() as server, senders(NotificationEntry(url=server.address)) as made:
        await asyncio.gather(*(made.send(notice(id=f"n{number}")) for number in range(50)))
    assert {heard.headers["idempotency-key"] for heard in server.heard} == {f"n{number}" for number in range(50)}
