"""Ticks: each moment of each CronWorkflow's schedules is told to the daemon once, which decides what becomes of it (semantics 2.20).

How far each CronWorkflow is, is in the daemon's rows; here is only when to look next. The wall clock may jump: it is looked at anew
at least every few seconds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

import anyio
import anyio.to_thread
import structlog

from tiphys.engine.engine import Refused
from tiphys.engine.house import NotThere
from tiphys.engine.inbox import now as wall_clock
from tiphys.scheduler.crons import schedules as schedules_text
from tiphys.scheduler.items import Cron, Tick
from tiphys.spec.workflows import CronWorkflow
from tiphys.triggers import schedules
from tiphys.triggers.schedules import Schedule, ScheduleError

CATCH_UP = "workflows.tiphys.dev/catch-up"
"""Annotation of a CronWorkflow: `latest` (the default, Argo's) makes up for the last missed tick, `all` for every one."""
MOST_SECONDS = 15.0
LATE = timedelta(seconds=60)
"""A tick that is noticed later than this was missed: the machine slept, or the clock was set."""
MOST_MISSED = 100
MOST_MADE_UP = 100

log = structlog.get_logger()


class Daemon(Protocol):
    """What takes the ticks."""

    def cron_workflows(self) -> Sequence[tuple[CronWorkflow, Cron | None]]:
        """The CronWorkflows in force, each with how far it is."""
        ...

    def when_definitions_change(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each change of definitions."""
        ...

    async def tick(self, namespace: str, name: str, scheduled_at: datetime, shown: str, *, missed: str = "") -> Tick:
        """A moment has come, or was missed: what became of it."""
        ...


@dataclass
class Watched:
    """A CronWorkflow as it was when its schedules were read; `after`: up to when its ticks are told; `began`: when it was first seen."""

    cron: CronWorkflow
    schedules: tuple[Schedule, ...]
    after: datetime
    began: datetime

    def next(self) -> datetime | None:
        """The next tick."""
        return min((tick for one in self.schedules if (tick := one.next(self.after, self.began))), default=None)

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The last ticks after one moment until another, each once, however many schedules have it."""
        found = {tick for one in self.schedules for tick in one.between(after, until, most, self.began)}
        return sorted(found)[-most:]

    @property
    def zone(self) -> ZoneInfo:
        """Whose offset the scheduled time is shown with."""
        return self.schedules[0].zone


class CronTrigger:
    """Tells ticks, for ever. `timezone`: of CronWorkflows that name none ("": the machine's)."""

    def __init__(self, daemon: Daemon, timezone: str = "", clock: Callable[[], datetime] = wall_clock) -> None:
        self._daemon = daemon
        self._timezone = timezone
        self._clock = clock
        self._watched: dict[tuple[str, str], Watched] = {}
        self._changed = anyio.Event()
        daemon.when_definitions_change(self._definitions_changed)

    async def run(self) -> None:
        """Tell what is due, sleep until the next."""
        while True:
            self._changed = anyio.Event()
            await self._look()
            wait = await self._tell_due()
            with anyio.move_on_after(wait):
                await self._changed.wait()

    def next_run(self, cron: CronWorkflow) -> datetime | None:
        """When a CronWorkflow ticks next, as far as that is known."""
        watched = self._watched.get((cron.metadata.namespace, cron.metadata.name))
        return watched.next() if watched is not None else None

    def _definitions_changed(self) -> None:
        self._changed.set()

    async def _look(self) -> None:
        """Read the schedules of CronWorkflows that are new or others."""
        there: Mapping[tuple[str, str], tuple[CronWorkflow, Cron | None]] = {
            (cron.metadata.namespace, cron.metadata.name): (cron, status) for cron, status in self._daemon.cron_workflows()
        }
        for key in [key for key in self._watched if key not in there]:
            del self._watched[key]
        for key, (cron, status) in there.items():
            before = self._watched.get(key)
            if before is not None and before.cron is cron:
                continue
            if before is not None and schedules_text(before.cron) == schedules_text(cron):
                before.cron = cron
                continue
            await self._begin(key, cron, status)

    async def _begin(self, key: tuple[str, str], cron: CronWorkflow, status: Cron | None) -> None:
        try:
            read = await anyio.to_thread.run_sync(self._read, cron)
        except ScheduleError as error:
            self._watched.pop(key, None)
            log.error("cron workflow cannot be scheduled", namespace=key[0], cron_workflow=key[1], reason=str(error))  # noqa: TRY400
            return
        at = self._clock()
        watched = self._watched[key] = Watched(cron, read, at, at)
        if status is not None and status.last_scheduled_at is not None and status.last_used == schedules_text(cron):
            watched.began = status.last_scheduled_at
            await self._missed(key, watched, status.last_scheduled_at, at)
            watched.began = at

    def _read(self, cron: CronWorkflow) -> tuple[Schedule, ...]:
        texts = (*cron.spec.schedules, *((cron.spec.schedule,) if cron.spec.schedule else ()))
        return tuple(schedules.parse(text, cron.spec.timezone or self._timezone) for text in texts)

    async def _tell_due(self) -> float:
        """Tell the ticks that are due; seconds until the next, or until the clock is to be looked at again."""
        at, soonest = self._clock(), math.inf
        for key, watched in list(self._watched.items()):
            if watched.after > at + LATE:  # the clock was set back
                watched.after = at
            due = watched.next()
            if due is not None and due <= at:
                await self._missed(key, watched, watched.after, at - LATE)
                for tick in watched.between(max(watched.after, at - LATE), at, MOST_MADE_UP):
                    await self._tell(key, watched, tick)
                watched.after = at
                due = watched.next()
            if due is not None:
                soonest = min(soonest, (due - self._clock()).total_seconds())
        return min(max(soonest, 0.0), MOST_SECONDS) if self._watched else math.inf

    async def _missed(self, key: tuple[str, str], watched: Watched, after: datetime, until: datetime) -> None:
        """Ticks that passed unseen: made up for as the CronWorkflow says, or written down as skipped."""
        if until <= after:
            return
        spec, annotations = watched.cron.spec, watched.cron.metadata.annotations or {}
        everything = annotations.get(CATCH_UP) == "all"
        ticks = watched.between(after, until, MOST_MADE_UP if everything else MOST_MISSED)
        deadline = spec.starting_deadline_seconds or 0
        in_time = [tick for tick in ticks if deadline and self._clock() < tick + timedelta(seconds=deadline)]
        made_up = (in_time if deadline else ticks) if everything else in_time[-1:]
        why = "it was missed, and a later one is made up for" if made_up else "it was missed: "
        if not made_up:
            why += f"startingDeadlineSeconds ({deadline}) has passed" if deadline else "startingDeadlineSeconds is not set"
        for tick in ticks:
            await self._tell(key, watched, tick, missed="" if tick in made_up else why)

    async def _tell(self, key: tuple[str, str], watched: Watched, tick: datetime, missed: str = "") -> None:
        namespace, name = key
        shown = schedules.scheduled_time(tick, watched.zone)
        try:
            made = await self._daemon.tick(namespace, name, tick, shown, missed=missed)
        except (Refused, NotThere) as refusal:
            log.debug("tick not taken", namespace=namespace, cron_workflow=name, scheduled_at=shown, reason=str(refusal))
            return
        log.info("tick", namespace=namespace, cron_workflow=name, scheduled_at=shown, workflow=made.workflow, skipped=made.skipped)
