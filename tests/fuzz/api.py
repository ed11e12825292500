"""Calls drawn from the served OpenAPI document: `python tests/fuzz/api.py CALLS [SEED]`. It fails on any 5xx and any hang."""

import sys
import tempfile
import time
from pathlib import Path

import anyio
import anyio.to_thread

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.server import schemas
from tests.server.serving import served, waiting, workflow
from tests.server.test_workflows import TEMPLATES


async def main(count: int, start: int) -> int:
    """Serve, call, and say what came of it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder) / "api.sock") as opened:
            await opened.define(TEMPLATES)
            for body in (workflow("hello"), waiting("waits")):
                await opened.ask("POST", "/workflows/default", {"workflow": body})
            tally = await anyio.to_thread.run_sync(schemas.calls, opened.path, count, start)
            runs = len(opened.house.runs())
    print(f"{tally.calls} calls of {len(tally.operations)} operations in {time.monotonic() - began:.0f} s; {runs} workflows are there")
    print("answers:", ", ".join(f"{status}: {number}" for status, number in sorted(tally.statuses.items())))
    print(f"slowest to begin: {tally.slowest[0] * 1000:.0f} ms, {tally.slowest[1][:100]}")
    for text in tally.wrong[:20]:
        print("WRONG", text)
    print(f"{len(tally.wrong)} wrong" if tally.wrong else "no 5xx, no hang")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    sys.exit(anyio.run(main, given[0] if given else 10_000, given[1] if len(given) > 1 else 1))
