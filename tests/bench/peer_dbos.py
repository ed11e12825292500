"""DBOS at the peers' work, in its own environment: COUNT steps of one workflow, eight at a time, its records in ./dbos.sqlite."""

import asyncio
import subprocess
import sys

from dbos import DBOS

COUNT = int(sys.argv[1])
DBOS(config={"name": "peer", "system_database_url": "sqlite:///dbos.sqlite", "log_level": "ERROR", "run_admin_server": False})
room = asyncio.Semaphore(8)


@DBOS.step()
async def one(number: int) -> str:
    async with room:
        made = await asyncio.create_subprocess_exec("/bin/true", stdout=subprocess.PIPE)
        said, _ = await made.communicate()
    if made.returncode:
        raise subprocess.CalledProcessError(made.returncode, "/bin/true")
    return said.decode()


@DBOS.workflow()
async def every() -> int:
    """All of them; DBOS wants them begun in the same order each time, and gather does that."""
    return len(await asyncio.gather(*(one(number) for number in range(COUNT))))


async def main() -> int:
    return await every()


DBOS.launch()
ended = asyncio.run(main())
DBOS.destroy()
sys.exit(0 if ended == COUNT else 1)
