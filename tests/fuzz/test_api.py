"""What the OpenAPI document says may be sent is sent: nothing of it is answered with a failure of ours, and nothing hangs."""

import time

import anyio.to_thread
import pytest

from tests.server.serving import served, waiting, workflow
from tests.server.test_workflows import TEMPLATES

SECONDS = 10


@pytest.mark.slow
async def test_calls_of_every_operation_are_answered(tmp_path):
    from tests.server import schemas

    async with served(tmp_path / "api.sock") as opened:
        await opened.define(TEMPLATES)
        for body in (workflow("hello"), waiting("waits")):
            await opened.ask("POST", "/workflows/default", {"workflow": body})
        tally = await anyio.to_thread.run_sync(schemas.calls, opened.path, 10_000, 1, time.monotonic() + SECONDS)
        assert tally.wrong == []
        assert tally.calls > 30  # a busy machine makes fewer in its time
        assert (await opened.ask("GET", "/version"))[0] == 200
