"""Large workflows are drawn before anybody asks, while there is nothing else to do; what is kept is bounded, and what is shown is true."""

import anyio
import msgspec
import pytest

from tests.server.serving import succeeded, workflow
from tiphys.engine import watching
from tiphys.engine.house import NotThere
from tiphys.executors.scripted import Play, Script
from tiphys.server import ahead, albums, pictures
from tiphys.server.albums import Albums
from tiphys.server.painting import Painter

LOOP = [
    {"name": "main", "steps": [[{"name": "each", "template": "work", "withSequence": {"count": "120"}}]]},
    {"name": "work", "container": {"image": "any", "command": ["true"]}},
]
LAST = "hello[0].each(7:7)"


@pytest.fixture
def drawn(monkeypatch):
    """The names of nodes that were drawn."""
    found = []
    texts = Painter.texts
    monkeypatch.setattr(
        Painter, "texts", lambda self, nodes, *more: (found.extend(node.name for node in nodes), texts(self, nodes, *more))[1]
    )
    monkeypatch.setattr(watching, "LARGE", 100)
    monkeypatch.setattr(ahead, "MOST_REST_SECONDS", 0.05)
    return found


def lasting():
    """A script in which all but one step end at once."""
    return Script(otherwise=lambda order: Play(seconds=3600 if order.node_name == LAST else 0))


async def until(what):
    """Wait until something is so."""
    with anyio.fail_after(10):
        while not what():
            await anyio.sleep(0.01)


async def started(served):
    """A workflow all but one of whose steps have ended; its uid."""
    await served.ask("POST", "/workflows/default", {"workflow": workflow(templates=LOOP)})
    uid = served.house.find("default", "hello")
    await until(lambda: len(served.house.nodes(uid)) == 122 and open_(served, uid) == [LAST])
    return uid


def open_(served, uid):
    return [node.name for node in served.house.nodes(uid).values() if node.type == "Pod" and not node.phase.fulfilled]


def is_true(found, served, uid):
    whole = pictures.whole(served.house.still(uid))
    assert found.each() == [msgspec.json.encode(node) for node in whole.status.nodes.values()]
    return True


async def test_who_asks_first_finds_what_was_drawn_ahead(opened, drawn, monkeypatch):
    monkeypatch.setattr(ahead, "QUIET", 10.0)  # the machine that tests may be never quiet
    async with opened(lasting()) as served:
        uid = await started(served)
        await until(lambda: "hello[0].each(8:8)" in drawn)
        with anyio.fail_after(10):
            while True:  # until all that changed was drawn
                before = len(drawn)
                await anyio.sleep(0.5)
                if len(drawn) == before:
                    break
        drawn.clear()
        _, found = await served.ask("GET", "/workflows/default/hello")
        assert found["status"]["progress"] == "119/120"
        assert not drawn
        assert list(found["status"]["nodes"]) == list(served.house.nodes(uid))
        assert (await served.ask("PUT", "/workflows/default/hello/stop"))[0] == 200
        await until(lambda: LAST in drawn)
        assert "hello[0].each(8:8)" not in drawn
        await served.until("/workflows/default/hello", "Failed")


@pytest.mark.parametrize(("quiet", "large"), [(10.0, 5000), (-1.0, 100)], ids=["it is small", "there is much to do"])
async def test_not_every_workflow_is_drawn_ahead(opened, drawn, monkeypatch, quiet, large):
    monkeypatch.setattr(ahead, "QUIET", quiet)
    monkeypatch.setattr(watching, "LARGE", large)
    async with opened(lasting()) as served:
        await started(served)
        drawn.clear()  # the answer to the submission
        await anyio.sleep(3 * ahead.LOOK_SECONDS)
        assert not drawn


async def test_what_was_drawn_ahead_stays_until_it_is_out_of_date(opened, drawn, monkeypatch):
    monkeypatch.setattr(watching, "LARGE", 5000)
    async with opened(lasting()) as served:
        uid = await started(served)
        kept = Albums(served.house)
        await kept.prepare(uid)
        kept.forget(anyio.current_time() + 1)
        assert kept.size > 10_000, "nobody asked, and nothing changed"
        assert is_true(await kept.picture(uid), served, uid)
        kept.stale.add(uid)
        kept.forget(anyio.current_time() - albums.KEEP_SECONDS)
        assert kept.size > 10_000, "it was drawn just now"
        kept.forget(anyio.current_time() + 1)
        assert kept.size == 0
        assert not kept.stale
        await kept.prepare(uid)
        await served.ask("PUT", "/workflows/default/hello/stop")
        await served.until("/workflows/default/hello", "Failed")
        kept.forget(anyio.current_time() - albums.KEEP_SECONDS)
        assert kept.size == 0, "it has ended, and nobody asked"
        await kept.prepare(uid)
        kept.forget(anyio.current_time() - albums.KEEP_SECONDS)
        assert kept.size > 10_000, "it has ended just now"
        assert is_true(await kept.picture(uid), served, uid)
        await served.ask("DELETE", "/workflows/default/hello")
        await until(lambda: not served.house.runs())
        kept.forget(0)
        assert kept.size == 0
        with pytest.raises(NotThere):
            await kept.prepare(uid)


async def test_what_nobody_asked_for_makes_room_first(opened, drawn, monkeypatch):
    async with opened() as served:
        uids = [await succeeded(served, workflow(name, templates=LOOP)) for name in "abc"]
        kept = Albums(served.house)
        await kept.picture(uids[0])
        one = kept.size
        monkeypatch.setattr(Albums, "_asked", lambda *_: None)
        monkeypatch.setattr(albums, "MOST_BYTES", one * 2)
        monkeypatch.setattr(albums, "NODE_BYTES", one / 122)
        await kept.prepare(uids[1])
        assert one * 1.5 < kept.size
        await kept.prepare(uids[2])
        assert list(kept._albums) == uids[:2], "there is no room for it"
        monkeypatch.setattr(albums, "MOST_BYTES", one * 3 // 2)
        kept._make_room()
        assert list(kept._albums) == uids[:1], "who was asked for stays"
