"""Facts come in the order they were posted; those that need not be decided at once wait for others, for a while."""

from datetime import UTC, datetime

import anyio

from tiphys.engine import inbox
from tiphys.engine.inbox import Inbox
from tiphys.scheduler.events import Woken

AT = datetime(2031, 5, 6, tzinfo=UTC)


def fact(uid: str) -> Woken:
    return Woken(at=AT, uid=uid)


async def test_what_can_wait_comes_with_what_cannot() -> None:
    box = Inbox()
    batches = box.batches()
    box.post_soon(fact("a"))
    box.post_soon(fact("b"))
    box.post(fact("c"))
    assert [event.uid for event, _ in list(await anext(batches))] == ["a", "b", "c"]
    assert box.is_empty


async def test_what_can_wait_waits_not_long() -> None:
    box = Inbox()
    batches = box.batches()
    for _ in range(2):
        box.post_soon(fact("a"))
        began = anyio.current_time()
        with anyio.fail_after(10):
            assert len(list(await anext(batches))) == 1
        assert anyio.current_time() - began >= inbox.SOON_SECONDS * 0.9


async def test_what_is_too_much_for_one_batch_comes_in_the_next() -> None:
    box = Inbox()
    batches = box.batches()
    total = inbox.LARGEST_BATCH + 1
    for number in range(total):
        box.post_soon(fact(str(number)))
    found: list[str] = []
    with anyio.fail_after(10):
        while len(found) < total:
            part = [event.uid for event, _ in await anext(batches)]
            assert len(part) <= inbox.LARGEST_BATCH
            found += part
    assert found == [str(number) for number in range(total)]
