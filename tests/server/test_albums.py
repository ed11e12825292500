"""Workflows drawn node by node: what is kept is what would be drawn anew, it is bounded, and pages and streams hold all of it."""

import json
import random
from datetime import timedelta

import anyio
import msgspec
import pytest

from tests.generated import workflows
from tests.generated.world import UID, World
from tests.server.serving import BASE, succeeded, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.scheduler import events, stills
from tiphys.server import albums, answers, pictures
from tiphys.server.albums import Album, Albums
from tiphys.server.painting import Painter

PARTS = 4
SEEDS = 160
LOOP = [
    {"name": "main", "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "120"}}]]},
    {"name": "work", "container": {"image": "any", "command": ["true"]}},
]


class Drawn(World):
    """A world of which a picture is drawn after each event, and anew."""

    def __init__(self, *arguments, **more):
        self.album = Album()
        self.compared = 0
        super().__init__(*arguments, **more)

    def _take(self, event):
        super()._take(event)
        if UID in self.state.runs:
            self.compare()

    def compare(self):
        seen = stills.to_draw(self.run)
        found = self.album.drawn(seen)
        assert len(found.whole()) == found.size
        whole = pictures.whole(stills.to_draw(self.run))
        shown, anew = json.loads(found.whole()), json.loads(answers.encoded(whole))
        number = int(shown["metadata"].pop("resourceVersion"))
        assert number >= int(anew["metadata"].pop("resourceVersion")), "it never goes back"
        assert shown == anew
        assert list(shown["status"]["nodes"]) == list(anew["status"]["nodes"])
        assert found.each() == [msgspec.json.encode(node) for node in whole.status.nodes.values()], "byte for byte"
        self.compared += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_kept_is_what_is_drawn_anew(part):
    compared = 0
    for seed in range(part, SEEDS, PARTS):
        world = Drawn(workflows.workflow(random.Random(seed)), seed, crash=0.1)
        world.play()
        if world.run.run.phase.failed_or_error:  # nodes are removed, and come again
            world.now += timedelta(seconds=1)
            world._take(events.Asked(at=world.now, uid=UID, who="w", wish=events.Retry()))
            world.play()
        compared += world.compared
    assert compared > 300


async def of_many(served, count=120):
    """A workflow with more nodes than are drawn on the loop, at its end; its uid."""
    await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
    ended = await served.until("/workflows/default/hello", "Succeeded")
    assert len(ended["status"]["nodes"]) == count + 2
    return ended["metadata"]["uid"]


async def test_only_nodes_that_changed_are_drawn_again(opened, monkeypatch):
    drawn = []
    texts = Painter.texts
    monkeypatch.setattr(
        Painter, "texts", lambda self, nodes, *more: (drawn.extend(node.name for node in nodes), texts(self, nodes, *more))[1]
    )
    script = Script(otherwise=lambda order: Play(seconds=3600 if order.node_name == "hello[0].each(7:7)" else 0))
    async with opened(script) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
        with anyio.fail_after(10):
            while True:  # until nothing changes by itself any more: then nothing is drawn
                drawn.clear()
                _, found = await served.ask("GET", "/workflows/default/hello")
                if found["status"]["progress"] == "119/120" and not drawn:
                    break
        assert (await served.ask("PUT", "/workflows/default/hello/stop"))[0] == 200
        await served.until("/workflows/default/hello", "Failed")
        assert "hello[0].each(7:7)" in drawn
        assert "hello[0].each(8:8)" not in drawn


async def test_what_nobody_asks_for_is_forgotten(opened):
    async with opened() as served:
        uid = await of_many(served)
        kept = Albums(served.house)
        await kept.picture(uid)
        assert kept.size > 10_000
        kept.forget(anyio.current_time() - albums.KEEP_SECONDS)
        assert kept.size > 10_000, "it was asked for just now"
        kept.forget(anyio.current_time() + 1)
        assert kept.size == 0
        await kept.picture(uid)
        await served.ask("DELETE", "/workflows/default/hello")
        with anyio.fail_after(5):
            while served.house.runs():
                await anyio.sleep(0.01)
        kept.forget(0)
        assert kept.size == 0, "the workflow is gone"


async def test_there_is_room_for_so_much_and_the_last_one(opened, monkeypatch):
    async with opened() as served:
        uids = [await succeeded(served, workflow(name, templates=LOOP)) for name in "abc"]
        kept = Albums(served.house)
        await kept.picture(uids[0])
        monkeypatch.setattr(albums, "MOST_BYTES", kept.size // 2)
        one = kept.size
        for uid in uids:
            await kept.picture(uid)
            assert kept.size < 2 * one
        assert list(kept._albums) == uids[-1:]


async def pages(served, limit):
    """All nodes, page by page."""
    found, query = [], {"listOptions.limit": str(limit)}
    while True:
        status, page = await served.ask("GET", "/workflows/default/hello/nodes", **query)
        assert status == 200
        assert page["kind"] == "NodeList"
        assert len(page["items"]) <= limit
        found += page["items"]
        if "continue" not in page["metadata"]:
            return found
        assert page["metadata"]["remainingItemCount"] > 0
        query["listOptions.continue"] = page["metadata"]["continue"]


async def test_nodes_come_in_pages_and_as_a_stream(opened):
    async with opened() as served:
        await of_many(served)
        _, whole = await served.ask("GET", "/workflows/default/hello")
        nodes = list(whole["status"]["nodes"].values())
        assert await pages(served, 50) == nodes
        assert await pages(served, 122) == nodes
        async with served.session.get(f"{BASE}/workflows/default/hello/nodes", params={"stream": "true"}) as answer:
            lines = [json.loads(line)["result"] for line in (await answer.text()).splitlines()]
        assert lines == nodes
        for query in ({"listOptions.limit": "many"}, {"listOptions.continue": "-1"}):
            assert (await served.ask("GET", "/workflows/default/hello/nodes", **query))[0] == 400
        assert (await served.ask("GET", "/workflows/default/absent/nodes"))[0] == 404
        await served.ask("DELETE", "/workflows/default/hello")
        with anyio.fail_after(5):
            while served.house.runs():
                await anyio.sleep(0.01)
        assert await pages(served, 50) == nodes, "the archive has them"
