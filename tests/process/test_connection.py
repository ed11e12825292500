"""When requests to the launcher are sent, held against a real socket."""

import asyncio
import json
import socket

from tiphys.executors.process.connection import Wire


async def test_what_is_held_is_sent_when_it_is_flushed_and_not_before():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: Wire(lambda _report: None), sock=ours)
    with theirs:

        async def heard() -> list[object]:
            return json.loads(await asyncio.wait_for(loop.sock_recv(theirs, 4096), 5))

        wire.hold()
        wire.send({"op": "one"})
        wire.send({"op": "two"})
        for _ in range(3):
            await asyncio.sleep(0)
        try:
            raise AssertionError(theirs.recv(4096))
        except BlockingIOError:
            wire.flush()
        assert await heard() == [{"op": "one"}, {"op": "two"}]
        wire.send({"op": "three"})  # nobody holds it any more: it goes at the end of the turn
        assert await heard() == [{"op": "three"}]
        wire.close()
        await wire.lost.wait()


async def test_what_answers_to_reports_ask_is_sent_with_one_call():
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()

    def report(told: dict[str, object]) -> None:
        wire.send({"op": "find", "id": told["id"]})

    _, wire = await loop.create_connection(lambda: Wire(report), sock=ours)
    with theirs:
        theirs.setblocking(False)
        await loop.sock_sendall(theirs, b'[{"told":"a","id":"1"},{"told":"a","id":"2"}]\n[{"told":"a","id":"3"}]\n')
        said = json.loads(await asyncio.wait_for(loop.sock_recv(theirs, 4096), 5))
        assert [one["id"] for one in said] == ["1", "2", "3"]
        wire.close()
        await wire.lost.wait()
