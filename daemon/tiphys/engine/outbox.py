"""The outbox: notifications that were committed with what they tell of are delivered, at least once, however often the daemon restarts."""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import anyio
import anyio.abc

from tiphys import faults
from tiphys.engine.engine import Engine, Refused
from tiphys.engine.inbox import now
from tiphys.notices.errors import SendFailed
from tiphys.scheduler.events import Notified
from tiphys.spec.notices import Notice
from tiphys.voice import Voice

AT_ONCE = 16
FIRST_SECONDS, MOST_SECONDS = 1.0, 3600.0
LOOK_SECONDS = 15.0

log = Voice()


class Outbox:
    """Delivers what an engine's outbox holds. `send`: one try; `give_up`: after how many seconds, by target."""

    def __init__(self, engine: Engine, send: Callable[[Notice], Awaitable[None]], give_up: Callable[[], Mapping[str, float]]) -> None:
        self._engine = engine
        self._send = send
        self._give_up = give_up
        self._trying: set[str] = set()

    async def run(self) -> None:
        """Deliver, for ever."""
        async with anyio.create_task_group() as group:
            while True:
                self._engine.outgoing = anyio.Event()
                wait = self._begin_due(group)
                with anyio.move_on_after(wait):
                    await self._engine.outgoing.wait()

    def _begin_due(self, group: anyio.abc.TaskGroup) -> float:
        """Try what is due; seconds until the next look."""
        at, soonest = now(), math.inf
        for held in self._engine.registry.outbox.values():
            notice = held.notice
            if notice.id in self._trying:
                continue
            if notice.due_at is not None and notice.due_at > at:
                soonest = min(soonest, (notice.due_at - at).total_seconds())
            elif len(self._trying) < AT_ONCE:
                self._trying.add(notice.id)
                group.start_soon(self._try, notice)
        return min(soonest, LOOK_SECONDS)

    async def _try(self, notice: Notice) -> None:
        error, again_at = "", None
        faults.point("notifying")
        try:
            await self._send(notice)
        except SendFailed as failure:
            error = str(failure)
            again_at = self._next(notice) if failure.transient else None
        faults.point("notified")
        if error:
            log.warning(
                "notification failed", id=notice.id, target=notice.target, workflow=notice.name, reason=error, again_at=str(again_at)
            )
        try:
            await self._engine.tell(Notified(at=now(), notice_id=notice.id, error=error, again_at=again_at))
        except Refused as refusal:
            log.debug("notification is gone", id=notice.id, reason=str(refusal))
        finally:
            self._trying.discard(notice.id)
            self._engine.outgoing.set()

    def _next(self, notice: Notice) -> datetime | None:
        """When to try again: later and later; None: it is given up."""
        at = now()
        patience = self._give_up().get(notice.target, 0.0)
        if (at - notice.created_at).total_seconds() > patience:
            return None
        return at + timedelta(seconds=min(FIRST_SECONDS * 2**notice.attempts, MOST_SECONDS))
