"""Watches and logs: nothing is missed, nobody is told too often, and a stream ends when it should."""

import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog

from tests.server.serving import BASE, served, waiting, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.server import hub, pictures, streams

LOOP = [
    {"name": "main", "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "20"}}]]},
    {"name": "work", "container": {"image": "any", "command": ["true"]}},
]


@asynccontextmanager
async def events(served, path="/workflow-events/default", **query):
    """What gives the next event of a watch."""
    async with served.session.get(f"{BASE}{path}", params=query) as answer:
        assert answer.status == 200

        async def following():
            with anyio.fail_after(5):
                return json.loads(await answer.content.readline())["result"]

        yield following


async def test_a_watch_tells_what_is_there_and_what_changes(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting("a")})
        await served.ask("POST", "/workflows/other", {"workflow": waiting("elsewhere")})
        async with events(served) as following:
            first = await following()
            assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
            await served.ask("POST", "/workflows/default", {"workflow": waiting("b")})
            while True:
                event = await following()
                if event["object"]["metadata"]["name"] == "b":
                    break
            assert event["type"] == "ADDED"
            await served.ask("PUT", "/workflows/default/a/resume")
            while event["object"]["status"].get("phase") != "Succeeded":
                event = await following()
            assert (event["type"], event["object"]["metadata"]["name"]) == ("MODIFIED", "a")
            await served.ask("DELETE", "/workflows/default/a")
            while event["type"] != "DELETED":
                event = await following()
            assert event["object"]["metadata"]["name"] == "a"


async def test_slow_records_make_no_watch_slow(opened, monkeypatch):
    """Those who watch wait for what is recorded, and somebody who comes between two rounds is told of the second; that costs nothing for
    which anybody would have to be told less often.
    """
    async with opened() as served:
        committed = served.house.committed

        async def slowly() -> None:
            await anyio.sleep(0.1)
            await committed()

        async def submit(name: str) -> None:
            await served.ask("POST", "/workflows/default", {"workflow": waiting(name)})

        async def until_told(following: Callable[[], Awaitable[Any]], name: str) -> None:
            while (await following())["object"]["metadata"]["name"] != name:
                pass

        await submit("a")
        monkeypatch.setattr(served.house, "committed", slowly)
        async with events(served) as first, anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(submit, f"b{number}")
                await until_told(first, f"b{number}")
                group.start_soon(submit, f"c{number}")
                async with events(served) as second:
                    await until_told(second, f"c{number}")
                await until_told(first, f"c{number}")


async def test_a_watch_is_chosen_and_pruned(opened):
    async with opened() as served:
        for name in "ab":
            await served.ask("POST", "/workflows/default", {"workflow": waiting(name)})
        chosen = {"listOptions.fieldSelector": "metadata.name=b", "fields": "result.object.metadata.name,result.object.status.phase"}
        async with events(served, **chosen) as following:
            assert await following() == {"type": "ADDED", "object": {"metadata": {"name": "b"}, "status": {"phase": "Running"}}}
            await served.ask("PUT", "/workflows/default/a/resume")
            await served.ask("PUT", "/workflows/default/b/resume")
            event = await following()
            while event["object"]["status"]["phase"] != "Succeeded":
                event = await following()
            assert event["object"]["metadata"]["name"] == "b"


async def test_changes_that_come_fast_are_told_five_times_a_second(opened):
    script = Script(otherwise=lambda order: Play(seconds=0.01 * (1 + len(order.node_name) % 7)))
    async with opened(script) as served, events(served) as following:
        templates = [LOOP[0] | {"parallelism": 1}, LOOP[1]]
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=templates)})
        began, told = anyio.current_time(), 0
        while True:
            event = await following()
            told += 1
            if event["object"]["status"].get("phase") == "Succeeded":
                break
        assert told <= (anyio.current_time() - began) * 5 + 2
        assert len(event["object"]["status"]["nodes"]) == 22


async def test_a_watch_as_server_sent_events(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting("a")})
        headers = {"Accept": "text/event-stream"}
        async with served.session.get(f"{BASE}/workflow-events/default", headers=headers) as answer:
            assert answer.content_type == "text/event-stream"
            line = await answer.content.readline()
            assert line.startswith(b"data: {")
            assert json.loads(line.removeprefix(b"data: "))["result"]["type"] == "ADDED"
            assert await answer.content.readline() == b"\n"


async def test_each_watcher_hears_of_everything(opened):
    async with opened() as served:
        ended = []

        async def watch():
            async with events(served) as following:
                while True:
                    event = await following()
                    if event["object"]["status"].get("phase") == "Succeeded":
                        ended.append(event["object"]["status"]["nodes"].keys())
                        return

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(watch)
            await anyio.sleep(0.1)
            await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        assert len(ended) == 30
        assert {len(nodes) for nodes in ended} == {22}


async def test_streams_end_with_the_daemon(tmp_path):
    async with anyio.create_task_group() as group:
        got = []
        async with served(tmp_path / "api.sock") as serving:
            listening = anyio.Event()

            async def listen():
                async with serving.session.get(f"{BASE}/workflow-events/default") as answer:
                    listening.set()
                    got.append(await answer.content.read())

            group.start_soon(listen)
            await listening.wait()
            await anyio.sleep(0.1)
            began = anyio.current_time()
            serving.stop()
            with anyio.fail_after(5):
                while not got:
                    await anyio.sleep(0.01)
            assert anyio.current_time() - began < 3


async def log(served, path="/workflows/default/hello/log", **query):
    """The entries of a log."""
    async with served.session.get(f"{BASE}{path}", params=query) as answer:
        assert answer.status == 200, await answer.text()
        text = await answer.text()
        return [(entry["podName"], entry["content"]) for entry in (json.loads(line)["result"] for line in text.splitlines() if line)]


TALK = [
    {"name": "main", "steps": [[{"name": "one", "template": "talk"}], [{"name": "two", "template": "talk"}]]},
    {"name": "talk", "container": {"image": "any", "command": ["true"]}},
]
SPEECH = Script({"*.one": Play(log="a\nb\nc\n"), "*.two": Play(log="d\n\ne", seconds=0.2)})


async def test_logs_of_a_workflow_and_of_its_nodes(opened):
    async with opened(SPEECH) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=TALK)})
        ended = await served.until("/workflows/default/hello", "Succeeded")
        found = await log(served)
        assert [text for _, text in found] == ["a", "b", "c", "d", "", "e"]
        pods = list(dict.fromkeys(pod for pod, _ in found))
        assert [pod.rsplit("-", 1)[0] for pod in pods] == ["hello-talk", "hello-talk"]
        [node] = [node["id"] for node in ended["status"]["nodes"].values() if node["displayName"] == "two"]
        for name in (pods[1], "two", "hello[1].two", node):
            assert [text for _, text in await log(served, podName=name)] == ["d", "", "e"]
        assert [text for _, text in await log(served, f"/workflows/default/hello/{pods[0]}/log")] == ["a", "b", "c"]
        assert [text for _, text in await log(served, **{"logOptions.tailLines": "1"})] == ["c", "e"]
        assert [text for _, text in await log(served, grep="[ad]")] == ["a", "d"]
        assert (await served.ask("GET", "/workflows/default/hello/log", podName="absent"))[0] == 404
        assert (await served.ask("GET", "/workflows/default/hello/log", grep="("))[0] == 400
        assert (await served.ask("GET", "/workflows/default/hello/log", **{"logOptions.tailLines": "x"}))[0] == 400


async def test_logs_are_followed_to_the_end_of_the_workflow(opened):
    async with opened(SPEECH) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=TALK)})
        with anyio.fail_after(5):
            found = await log(served, **{"logOptions.follow": "true"})
        assert [text for _, text in found] == ["a", "b", "c", "d", "", "e"]
        with anyio.fail_after(5):
            found = await log(served, podName="one", **{"logOptions.follow": "true", "logOptions.tailLines": "2"})
        assert [text for _, text in found] == ["b", "c"]


async def test_followers_of_a_thousand_nodes_miss_nothing(opened):
    templates = [{**LOOP[0], "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "1000"}}]]}, LOOP[1]]
    script = Script(otherwise=lambda order: Play(log=f"{order.node_name}\n", seconds=0.05))
    async with opened(script) as served:
        lines = []

        async def follow():
            lines.append(len(await log(served, **{"logOptions.follow": "true"})))

        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=templates)})
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(follow)
        assert lines == [1000] * 3


async def test_watchers_that_come_and_go_leave_nothing_behind(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting("a")})
        for _ in range(5):
            async with events(served) as following:
                assert (await following())["object"]["metadata"]["name"] == "a"
        async with events(served) as first, events(served) as second:
            await first()
            await second()
            await served.ask("PUT", "/workflows/default/a/resume")
            for following in (first, second):
                event = await following()
                while event["object"]["status"]["phase"] != "Succeeded":
                    event = await following()


async def test_one_who_hangs_up_is_no_failure(opened):
    script = Script(otherwise=lambda order: Play(log=f"{order.node_name}\n" * 1000, seconds=0.02))
    templates = [{**LOOP[0], "parallelism": 5, "steps": [[{"name": "e", "template": "work", "withSequence": {"count": "100"}}]]}, LOOP[1]]
    async with opened(script) as served:
        with structlog.testing.capture_logs() as lines:
            await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=templates)})
            for path in ("/workflows/default/hello/log?logOptions.follow=true", "/workflow-events/default"):
                answer = await served.session.get(f"{BASE}{path}")
                await answer.content.readline()
                answer.close()
            await served.until("/workflows/default/hello", "Succeeded")
            await anyio.sleep(0.3)
    assert lines == []


async def test_a_picture_is_drawn_once_for_all_who_watch(opened, monkeypatch):
    drawn = []
    draw = pictures.one

    async def counted(house, uid, wanted=""):
        drawn.append(uid)
        return await draw(house, uid, wanted)

    monkeypatch.setattr(hub.pictures, "one", counted)
    async with opened() as served:
        body = waiting("a")
        await served.ask("POST", "/workflows/default", {"workflow": body})
        await served.until("/workflows/default/a", "Running")
        drawn.clear()
        told = []

        async def watch() -> None:
            async with events(served) as following:
                while (event := await following())["object"]["status"]["phase"] != "Succeeded":
                    pass
                told.append(event)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(watch)
            await anyio.sleep(0.5)
            await served.ask("PUT", "/workflows/default/a/resume")
        assert len(told) == 20
        assert len(drawn) < 20, "each change once, and what the request itself shows"


async def test_who_reads_nothing_does_not_stay(opened, monkeypatch):
    monkeypatch.setattr(streams, "STUCK_SECONDS", 0.5)
    async with opened() as served:
        annotations = {"text": "x" * 200_000}
        for number in range(40):
            body = workflow(f"w{number}")
            body["metadata"]["annotations"] = annotations
            await served.ask("POST", "/workflows/default", {"workflow": body})
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        connection.connect(str(served.path))
        connection.send(b"GET /api/v1/workflow-events/default HTTP/1.1\r\nHost: x\r\n\r\n")
        with anyio.fail_after(10):
            while True:  # nothing is read meanwhile; then what lay in the kernel, and the end
                await anyio.sleep(1.0)
                got = 0
                try:
                    while piece := connection.recv(1 << 20):
                        got += len(piece)
                    break
                except BlockingIOError:
                    continue
                except ConnectionError:
                    break
        connection.close()
