"""Many who follow the same: they are told the same bytes, who is slow is shown the newest, and the last is always told."""

import json
import socket
import zlib

import aiohttp
import anyio
import pytest
import structlog

from tests.server.serving import BASE, waiting, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.server import framing, gzipping, hub, watching

LOOP = [
    {"name": "main", "parallelism": 5, "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "60"}}]]},
    {"name": "work", "container": {"image": "any", "command": ["true"]}},
]
SLOWLY = Script(otherwise=lambda order: Play(log=f"{order.node_name}\n", seconds=0.1))
FOLLOWED = [
    ("/workflows/default/hello/log", {"logOptions.follow": "true"}),
    ("/workflows/default/hello/event-log", {"follow": "true"}),
]


async def watched(session, ended, **headers):
    """Watch until the workflow has ended; the events and their answer's headers."""
    found, rest = [], b""
    async with session.get(f"{BASE}/workflow-events/default", headers=headers) as answer:
        while not found or found[-1]["object"]["status"].get("phase") != "Succeeded":
            *lines, rest = (rest + await answer.content.readany()).split(b"\n")
            found += [json.loads(line)["result"] for line in lines if line]
        ended.append((answer.headers.get("Content-Encoding", ""), found))


@pytest.mark.parametrize("encoding", ["gzip, deflate", "identity"])
@pytest.mark.parametrize(("path", "query"), FOLLOWED)
async def test_many_who_follow_are_told_the_same_to_the_end(opened, path, query, encoding):
    async with opened(SLOWLY) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        found = []

        async def follow(pause):
            await anyio.sleep(pause)
            async with served.session.get(f"{BASE}{path}", params=query, headers={"Accept-Encoding": encoding}) as answer:
                assert answer.headers.get("Content-Encoding", "identity") == encoding.split(",")[0]
                assert answer.headers["Vary"] == "Accept-Encoding"
                found.append(await answer.read())

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(follow, number * 0.08)
        whole = await (await served.session.get(f"{BASE}{path}")).read()
        assert {bytes(sorted(one)) for one in found} == {bytes(sorted(whole))}, "all lines, whatever their order"
        assert len(whole.splitlines()) >= 60


async def raw(served, path, **headers):
    """All bytes of an answer's body as they come, without what HTTP puts around them."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(served.path)), auto_decompress=False) as session,
        session.get(f"{BASE}{path}", headers=headers) as answer,
    ):
        return await answer.read()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_compressed_stream_has_a_right_end(opened, fails):
    async with opened(SLOWLY) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        if fails:

            async def nothing(*_arguments, **_more):
                raise OSError("no disk")
                yield b""

            served.house.logs = nothing
        with anyio.fail_after(20), structlog.testing.capture_logs():
            data = await raw(served, "/workflows/default/hello/log?logOptions.follow=true", **{"Accept-Encoding": "gzip"})
        reader = zlib.decompressobj(31)
        lines = reader.decompress(data).splitlines()
        assert reader.eof
        assert not reader.unused_data
        assert len(lines) == (1 if fails else 60)
        assert (b'"error"' in lines[-1]) is fails


async def test_an_event_is_encoded_and_compressed_once_for_all_who_watch(opened, monkeypatch):
    made = []
    real = gzipping.Piece

    def counted(data):
        made.append(len(data))
        return real(data)

    monkeypatch.setattr(framing, "Piece", counted)
    ended = []
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting("a")})
        await served.until("/workflows/default/a", "Running")
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(watched, served.session, ended)
            await anyio.sleep(0.5)
            made.clear()
            await served.ask("PUT", "/workflows/default/a/resume")
    assert [encoding for encoding, _ in ended] == ["gzip"] * 20
    told = max(len(events) for _, events in ended) - 1
    assert 1 <= len(made) <= told + 1
    assert len({json.dumps(events[-1]) for _, events in ended}) == 1


async def test_the_end_is_told_at_once_however_rarely_other_changes_are(opened, monkeypatch):
    monkeypatch.setattr(watching, "REST", 1e9)
    monkeypatch.setattr(watching, "LONGEST_SECONDS", 60.0)
    ended = []
    async with opened(SLOWLY) as served, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(watched, served.session, ended)
        await anyio.sleep(0.3)
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        with anyio.fail_after(10):
            await served.until("/workflows/default/hello", "Succeeded")
            while len(ended) < 3:
                await anyio.sleep(0.01)
        assert max(len(events) for _, events in ended) <= 3, "in between there was no time to tell"


async def test_what_changed_last_is_told_after_the_rest(opened, monkeypatch):
    monkeypatch.setattr(watching, "REST", 1e9)
    monkeypatch.setattr(watching, "LONGEST_SECONDS", 1.0)
    async with opened() as served, served.session.get(f"{BASE}/workflow-events/default") as answer:
        told = []
        with anyio.fail_after(10):
            await served.ask("POST", "/workflows/default", {"workflow": waiting("a")})
            await served.until("/workflows/default/a", "Running")
            await anyio.sleep(0.5)
            await served.ask("PUT", "/workflows/default/a/suspend")  # nothing else happens after it
            while not told or told[-1]["object"]["spec"].get("suspend") is not True:
                told.append(json.loads(await answer.content.readline())["result"])
        assert len(told) <= 4


async def test_who_watches_slowly_is_shown_the_newest_and_not_all_there_was(opened, monkeypatch):
    for module in (watching, hub):
        monkeypatch.setattr(module, "REST", 0)
    text = "x" * 900_000
    script = Script(otherwise=lambda order: Play(seconds=0.2))
    async with opened(script) as served:
        body = workflow(templates=LOOP)
        body["metadata"]["annotations"] = {"text": text}
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        connection.connect(str(served.path))
        connection.send(b"GET /api/v1/workflow-events/default HTTP/1.1\r\nHost: x\r\n\r\n")
        ended = []
        async with anyio.create_task_group() as group:
            group.start_soon(watched, served.session, ended)
            await anyio.sleep(0.3)
            await served.ask("POST", "/workflows/default", {"workflow": body})
            await served.until("/workflows/default/hello", "Succeeded")
        found = bytearray()
        with anyio.fail_after(10):
            while b'"phase":"Succeeded","startedAt"' not in found:
                try:
                    found += connection.recv(1 << 20)
                except BlockingIOError:
                    await anyio.sleep(0.05)
        connection.close()
        [(_, events)] = ended
        assert found.count(b'{"result":{"type":') < len(events) - 1, "what was old before it could be read was left out"
