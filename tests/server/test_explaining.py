"""Why things are as they are, over the socket: nodes, workflows, the event log as it grows, and what goes on in the house."""

import json

import aiohttp
import anyio

from tests.server.serving import BASE, waiting, workflow
from tiphys.executors.scripted import Play, Script

ONE = "/workflows/default/hello"


def kinds(told):
    """The events, less that an attempt started: one that ends at once never says so."""
    return [one["event"] for one in told if one["event"] != "Started"]


def locked(name):
    return workflow(name, synchronization={"mutexes": [{"name": "only"}]}, templates=waiting()["spec"]["templates"])


async def test_a_node_is_explained_with_the_events_that_made_it(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting()})
        status, found = await served.ask("GET", f"{ONE}/explain", node="wait")
        assert status == 200
        assert (found["node"], found["phase"], found["type"]) == ("hello[0].wait", "Running", "Suspend")
        assert found["reasons"][0]["kind"] == "suspend"
        assert found["reasons"][0]["changes"] == "somebody resumes it"
        assert [one["event"] for one in found["decided"]] == ["Submitted"]
        assert found["decided"][0]["became"] == ["Running"]
        status, found = await served.ask("GET", f"{ONE}/explain", node="work")
        assert (found["node"], "phase" in found, found["reasons"][0]["kind"]) == ("hello[1].work", False, "order")
        await served.ask("PUT", f"{ONE}/resume")
        await served.until(ONE, "Succeeded")
        _, found = await served.ask("GET", f"{ONE}/explain", node="wait")
        assert [(one["event"], one.get("text")) for one in found["decided"]] == [("Submitted", "it was submitted"), ("Asked", "resume")]
        assert found["decided"][1]["who"]
        _, found = await served.ask("GET", f"{ONE}/explain", node="work")
        assert kinds(found["decided"]) == ["Asked", "Exited"]
        assert found["decided"][0]["commands"] == ["Launch hello[1].work/0"]


async def test_what_is_not_there_says_so(opened):
    async with opened() as served:
        status, found = await served.ask("GET", f"{ONE}/explain")
        assert (status, found["message"]) == (404, 'workflows.argoproj.io "hello" not found')
        await served.ask("POST", "/workflows/default", {"workflow": waiting()})
        status, found = await served.ask("GET", f"{ONE}/explain", node="waiit")
        assert status == 404
        assert found["message"] == 'there is no node "waiit", and nothing that is known will become one; did you mean wait?'
        assert (await served.ask("GET", "/top", limit="x"))[0] == 400
        async with served.session.get(f"{BASE}{ONE}/event-log", params={"after": "-1"}) as answer:
            assert answer.status == 400


async def test_a_workflow_is_explained_with_its_lock_its_path_and_what_is_open(opened):
    async with opened(Script(otherwise=lambda order: Play(seconds=0.2))) as served:
        for name in ("hello", "second"):
            await served.ask("POST", "/workflows/default", {"workflow": locked(name)})
        _, found = await served.ask("GET", "/workflows/default/second/explain")
        lock = found["reasons"][0]
        assert (lock["kind"], lock["lock"]["place"], lock["lock"]["holders"][0]["workflow"]) == ("lock", 1, "default/hello")
        _, found = await served.ask("GET", f"{ONE}/explain")
        assert [(one["node"], one["kind"]) for one in found["open"]] == [("hello[0].wait", "suspend")]
        await served.ask("PUT", f"{ONE}/resume")
        await served.until(ONE, "Succeeded")
        _, found = await served.ask("GET", f"{ONE}/explain")
        path = found["path"]
        assert [link["node"] for link in path["links"]] == ["hello[0].wait", "hello[1].work"]
        assert path["links"][1]["ran"] >= 0.15
        assert abs(sum(path["totals"].values()) - path["seconds"]) < 0.01
        assert found["decided"][-1]["became"] == ["Succeeded"]


async def test_a_launch_that_waits_for_a_place_is_told_how_many_are_before_it(opened):
    script = Script(otherwise=lambda order: Play(seconds=30))
    loop = [
        {"name": "main", "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "5"}}]]},
        {"name": "work", "container": {"image": "any", "command": ["true"]}},
    ]
    async with opened(script) as served:
        served.engine._launcher._room["scripted"] = 2
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=loop)})
        with anyio.fail_after(20):  # what runs is told a moment later while others wait for room
            while (await served.ask("GET", "/top"))[1]["activity"]["counts"] != {"running": 2, "slot": 3}:
                await anyio.sleep(0.02)
        _, found = await served.ask("GET", f"{ONE}/explain", node="each(4:4)")
        assert found["reasons"][0]["room"] == {"executor": "scripted", "limit": 2, "live": 2, "before": 2}
        _, found = await served.ask("GET", "/top")
        assert found["executors"] == [{"executor": "scripted", "limit": 2, "live": 2, "before": 3}]
        assert found["activity"]["workflows"] == {"Running": 1}
        assert {one["workflow"] for one in found["activity"]["running"]} == {"default/hello"}
        assert found["machine"]["memoryBytes"] > 0
        _, found = await served.ask("GET", "/top", limit="1")
        assert (len(found["activity"]["running"]), len(found["activity"]["waiting"])) == (1, 1)


async def log(served, **query):
    async with served.session.get(f"{BASE}{ONE}/event-log", params=query) as answer:
        assert answer.status == 200
        return [json.loads(line)["result"] for line in (await answer.text()).splitlines() if line]


async def test_the_event_log_as_it_is_and_from_a_number_on(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        await served.until(ONE, "Succeeded")
        found = await log(served)
        assert kinds(found) == ["Submitted", "Exited"]
        assert found[0]["became"] == ["the workflow Running", "hello Pending"]
        assert found[0]["commands"] == ["Launch hello/0"]
        assert found[-1]["text"] == "hello, attempt 0: succeeded, exit code 0"
        assert await log(served, after=str(found[0]["number"])) == found[1:]
        assert await log(served, follow="true") == found


async def test_who_follows_the_event_log_misses_nothing_and_all_share_one_reading(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting()})
        logs, readings = [], []
        real = served.house.log_of

        async def counted(uid, after=0):
            readings.append(after)
            return await real(uid, after)

        served.house.log_of = counted

        async def follow():
            logs.append(await log(served, follow="true"))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(60):
                    group.start_soon(follow)
                await anyio.sleep(0.5)
                await served.ask("PUT", f"{ONE}/suspend")
                await served.ask("PUT", f"{ONE}/resume")
        assert len(logs) == 60
        whole = await log(served)
        assert kinds(whole) == ["Submitted", "Asked", "Asked", "Exited"]
        assert all(one == whole for one in logs)
        assert len(readings) < 10


async def test_two_hundred_followers_of_a_large_workflows_events_miss_nothing(opened, tmp_path):
    loop = [
        {"name": "main", "parallelism": 50, "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "1000"}}]]},
        {"name": "work", "container": {"image": "any", "command": ["true"]}},
    ]
    async with opened(Script(otherwise=lambda order: Play(seconds=0.05))) as served:
        logs, readings = [], []
        real = served.house.log_of

        async def counted(uid, after=0):
            readings.append(after)
            return await real(uid, after)

        served.house.log_of = counted
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=loop)})

        async def follow():
            connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"{BASE}{ONE}/event-log", params={"follow": "true"}) as answer,
            ):
                logs.append([line for line in (await answer.text()).splitlines() if line])

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(follow)
        assert len(readings) < 60
        async with served.session.get(f"{BASE}{ONE}/event-log") as answer:
            whole = [line for line in (await answer.text()).splitlines() if line]
        assert len(whole) > 1000
        assert [len(one) for one in logs] == [len(whole)] * 200
        assert all(one == whole for one in logs)
