"""A process that owns an executor, to be killed: `owner.py ROOT ISOLATION MODE ORDER_ID SCRIPT [launch|adopt|attach]`.

Says `launched`, then what became of the attempt as JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from tests.process.orders import RESULT, opened, shell


async def main(root: str, isolation: str, mode: str, order_id: str, script: str, verb: str = "launch") -> None:
    asked = shell(script, id=order_id, wanted=RESULT, grace_seconds=2.0)
    async with opened(Path(root), isolation, mode=mode, writable=(f"{root}/shared",)) as executor:
        handle = await executor.launch(asked) if verb == "launch" else await executor.adopt(asked, None)
        if handle is None:
            print("unknown", flush=True)
            return
        print("launched", flush=True)
        outcome = await executor.wait(asked, handle)
        print(msgspec.json.encode(outcome).decode(), flush=True)
        log = b"".join([piece async for piece in executor.logs(handle)])
        print(msgspec.json.encode(log.decode()).decode(), flush=True)


asyncio.run(main(*sys.argv[1:]))
