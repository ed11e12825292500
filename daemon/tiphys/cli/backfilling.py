"""`tiphys cron backfill`: the workflows that a cron workflow would have started from one time to another.

All of them are handed to the daemon at once; one after another they go by a mutex, so nobody has to stay. Their names say which tick each
is for: a backfill that was cut off is typed again, and what is there already is not started twice.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import structs

from tiphys.cli import inputs, standing, times
from tiphys.cli.client import Said
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.spec.templates import MutexRef, Synchronization
from tiphys.spec.workflows import ARGO_API_VERSION, CronWorkflow, ObjectMeta, Workflow

FORMATS = {
    "RFC1123": "%a, %d %b %Y %H:%M:%S UTC",
    "RFC1123Z": "%a, %d %b %Y %H:%M:%S +0000",
    "RFC3339": "%Y-%m-%dT%H:%M:%SZ",
    "Mon, 02 Jan 2006 15:04:05 MST": "%a, %d %b %Y %H:%M:%S UTC",
    "Mon, 02 Jan 2006 15:04:05 -0700": "%a, %d %b %Y %H:%M:%S +0000",
    "2006-01-02T15:04:05Z07:00": "%Y-%m-%dT%H:%M:%SZ",
}
LABEL = f"{inputs.LABELS}backfill"
SCHEDULED = f"{inputs.LABELS}scheduled-time"
THERE = 409


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was typed."""

    name: str
    start: str
    end: str = ""
    backfill: str = ""
    argument: str = "cronScheduleTime"
    format: str = "RFC1123"
    most: int = 1000
    parallel: bool = False


def main(remote: Remote, wish: Wish) -> Exit:
    """Hand all of them to the daemon; 1 where one was refused."""
    if wish.format not in FORMATS:
        raise BadInput(f"--format is {wish.format!r}; there are {', '.join(FORMATS)}")
    cron = msgspec.json.decode(remote.client.get(standing.path(remote, standing.CRONS, wish.name)), type=CronWorkflow)
    ticks = _ticks(remote, cron, wish)
    if not ticks:
        remote.print("There is no suitable scheduling time.")
    code = Exit.SUCCEEDED
    for at, text in ticks:
        made = workflow(cron, wish, at, text)
        try:
            remote.client.post(remote.path(), msgspec.json.encode({"workflow": made}))
            remote.print(f"Created {made.metadata.name} for {text}")
        except Said as error:
            if error.status == THERE:
                remote.print(f"{made.metadata.name} for {text} is there already")
            else:
                remote.tell(str(error))
                code = Exit.FAILED
    return code


def _ticks(remote: Remote, cron: CronWorkflow, wish: Wish) -> list[tuple[datetime, str]]:
    start, end = _moment(wish.start, "--start"), _moment(wish.end, "--end") if wish.end else remote.now
    if start > end:
        raise BadInput("--start is later than --end")
    found = [*remote.wiring.ticks(cron, start, end, wish.most)]
    if len(found) > wish.most:
        raise BadInput(f"these are more than {wish.most} workflows: take a shorter time, or say with --maxworkflowcount how many may be")
    return found


def workflow(cron: CronWorkflow, wish: Wish, at: datetime, text: str) -> Workflow:
    """The workflow of a tick. It does not count among those of the schedule itself: not for its concurrency, not in its history."""
    name, extra = wish.backfill or f"{cron.metadata.name}-backfill", cron.spec.workflow_metadata or ObjectMeta()
    meta = ObjectMeta(
        name=f"{name}-{at.astimezone(UTC):%Y%m%d%H%M%S}",
        namespace=cron.metadata.namespace,
        labels={**(extra.labels or {}), LABEL: name},
        annotations={**(extra.annotations or {}), SCHEDULED: text},
    )
    spec = cron.spec.workflow_spec
    if not wish.parallel:
        locks = spec.synchronization or Synchronization()
        locks = structs.replace(locks, mutexes=(*locks.mutexes, MutexRef(name=name)))
        spec = structs.replace(spec, synchronization=locks)
    said = at.astimezone(UTC).strftime(FORMATS[wish.format])
    return inputs.overridden(Workflow(api_version=ARGO_API_VERSION, metadata=meta, spec=spec), {wish.argument: said}, "")


def _moment(text: str, option: str) -> datetime:
    found = times.moment(text)
    if found is None:
        raise BadInput(f"{option} is {text!r}; it is a time as 2026-01-02T15:04:05Z, 2026-01-02 or Mon, 02 Jan 2026 15:04:05 GMT")
    return found - timedelta(microseconds=found.microsecond)
