"""Large workflows that go on are drawn while the daemon has nothing else to do: who asks for one first finds most of it at hand.

It waits for what is recorded, and a daemon of which nothing is recorded costs nothing here. It takes a thousandth of the time, or so.
"""

import time

import anyio
import structlog

from tiphys.engine.house import House, NotThere
from tiphys.server.albums import Albums

LOOK_SECONDS = 0.1
QUIET = 0.3
"""The share of that time up to which computing counts as having nothing to do."""

REST, MOST_REST_SECONDS = 1000, 60.0
"""After it drew it rests for so many times as long as it took, but not longer than that."""

log = structlog.get_logger()


class Ahead:
    """Draws what has changed of large workflows."""

    def __init__(self, house: House, albums: Albums) -> None:
        self._house = house
        self._albums = albums

    async def run(self) -> None:
        """For ever."""
        while True:
            uids = await self._house.stirred()
            self._albums.stale |= uids
            for uid in uids:
                await self._quiet()
                began = time.process_time()
                await self._prepare(uid)
                await anyio.sleep(min(REST * (time.process_time() - began), MOST_REST_SECONDS))

    async def _quiet(self) -> None:
        """Wait until the daemon has little to do."""
        while True:
            before = time.process_time()
            await anyio.sleep(LOOK_SECONDS)
            if self._house.recovered and time.process_time() - before < QUIET * LOOK_SECONDS:
                return

    async def _prepare(self, uid: str) -> None:
        try:
            await self._albums.prepare(uid)
        except NotThere:
            pass  # deleted meanwhile
        except Exception as error:
            log.exception("not-drawn-ahead", uid=uid, error=str(error))
