"""Many who follow one output: it is read once, who is slow holds up nobody and misses nothing, and who comes late has all of it."""

import json

import aiohttp
import anyio

from tests.server.serving import BASE, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.server import reels

LOG = f"{BASE}/workflows/default/hello/log"
FOLLOW = {"logOptions.follow": "true"}
LOOP = [
    {"name": "main", "parallelism": 5, "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "60"}}]]},
    {"name": "work", "container": {"image": "any", "command": ["true"]}},
]


def talk(order):
    """Some thousand lines of a node."""
    return Play(log="".join(f"{order.node_name} {number} {'x' * 100}\n" for number in range(1000)), seconds=0.1)


async def lines(answer) -> list[tuple[str, int]]:
    """Pod and number of each line."""
    found = [json.loads(line)["result"] for line in (await answer.text()).splitlines() if line]
    return [(one["podName"], one["line"]) for one in found]


async def test_one_who_reads_slowly_misses_nothing_and_holds_up_nobody(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(reels, "MOST_BYTES", 1 << 18)
    ended = []
    async with opened(Script(otherwise=talk)) as served, anyio.create_task_group() as group:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})

        async def follow(name, pause, **more):
            connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
            async with (
                aiohttp.ClientSession(connector=connector, read_bufsize=1 << 12) as session,
                session.get(LOG, params={**FOLLOW, **more}) as answer,
            ):
                assert answer.status == 200
                await anyio.sleep(pause)
                found = await lines(answer)
            ended.append((name, found))

        group.start_soon(follow, "quick", 0)
        group.start_soon(follow, "slow", 4)
        await served.until("/workflows/default/hello", "Succeeded")
    found = dict(ended)
    assert [name for name, _ in ended] == ["quick", "slow"]
    for name in ("quick", "slow"):
        assert len(found[name]) == len(set(found[name])) == 60_000
        for pod in {pod for pod, _ in found[name]}:
            assert [number for one, number in found[name] if one == pod] == list(range(1, 1001))


async def test_an_output_is_read_once_for_all_who_follow_it(opened):
    script = Script(otherwise=lambda order: Play(log=f"{order.node_name}\nlast\n", seconds=0.05))
    read = []
    async with opened(script) as served:
        real = served.house.logs

        def counted(uid, node_id, *, follow=False):
            read.append(node_id)
            return real(uid, node_id, follow=follow)

        served.house.logs = counted
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        found = []

        async def follow(**more):
            async with served.session.get(LOG, params={**FOLLOW, **more}) as answer:
                found.append((more, await lines(answer)))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(follow)
        assert [len(one) for _, one in found] == [120] * 20
        assert len(read) == len(set(read)) == 60


async def test_each_follower_is_shown_what_it_wants(opened):
    script = Script(otherwise=lambda order: Play(log=f"{order.node_name}\nsecond\nlast\n", seconds=0.05))
    wishes = [
        ({"grep": "last"}, 60),
        ({"podName": "each(7:7)"}, 3),
        ({"logOptions.limitBytes": "1"}, 60),
        ({"logOptions.tailLines": "0"}, 0),
    ]
    async with opened(script) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        found = []

        async def follow(wish, count):
            async with served.session.get(LOG, params={**FOLLOW, **wish}) as answer:
                found.append((wish, count, len(await lines(answer))))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for wish, count in wishes:
                    group.start_soon(follow, wish, count)
        assert [(wish, count) for wish, _, count in found] == [(wish, count) for wish, count, _ in found]
