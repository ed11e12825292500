"""Why things are as they are, and what goes on: paths of our own."""

import os
from datetime import datetime

import anyio.to_thread
import msgspec
from aiohttp import web
from msgspec import structs

from tiphys.scheduler.activity import Activity
from tiphys.scheduler.reasons import Kind, Reason, Room, RunExplanation
from tiphys.scheduler.registry import CRON_LABEL
from tiphys.server import answers, context, workflows
from tiphys.server.context import Context
from tiphys.server.problems import Problem

MOST, USUAL = 1000, 50
MEMORY = "/proc/meminfo"


class Machine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How busy the machine is: load over 1, 5 and 15 minutes, and memory in bytes."""

    load: tuple[float, float, float]
    processors: int
    memory_bytes: int = 0
    available_bytes: int = 0


class Top(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What goes on. `executors`: `before` counts the attempts that wait for each."""

    machine: Machine
    executors: tuple[Room, ...]
    activity: Activity


async def explained(request: web.Request) -> web.Response:
    """GET /workflows/{namespace}/{name}/explain, with the query parameter `node` of one node, else of the whole workflow."""
    here = context.of(request)
    uid = workflows.find(request)
    if node := request.query.get("node", ""):
        return answers.value(await here.house.explain(uid, node))
    found = await here.house.explain_run(uid)
    return answers.json(await anyio.to_thread.run_sync(msgspec.json.encode, await _scheduled(here, uid, found)))


async def _scheduled(here: Context, uid: str, found: RunExplanation) -> RunExplanation:
    """With the time at which the run's cron workflow ticks next, which only who watches schedules knows."""
    if not any(reason.kind is Kind.CRON for reason in found.reasons):
        return found
    run = here.house.still(uid).run
    name = run.labels.get(CRON_LABEL, "")
    cron = next((c for c, _ in here.house.cron_workflows() if (c.metadata.namespace, c.metadata.name) == (run.namespace, name)), None)
    following = await anyio.to_thread.run_sync(here.next_run, cron) if cron is not None else None
    reasons = tuple(_next(reason, following) if reason.kind is Kind.CRON else reason for reason in found.reasons)
    return structs.replace(found, reasons=reasons)


async def cron_explained(request: web.Request) -> web.Response:
    """GET /cron-workflows/{namespace}/{name}/explain: why its next tick starts something or does not, and what became of the last ones."""
    house = context.of(request).house
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    cron = next((c for c, _ in house.cron_workflows() if (c.metadata.namespace, c.metadata.name) == (namespace, name)), None)
    following = await anyio.to_thread.run_sync(context.of(request).next_run, cron) if cron is not None else None
    return answers.value(house.explain_cron(namespace, name, following))


def _next(reason: Reason, following: datetime | None) -> Reason:
    return reason if following is None else structs.replace(reason, changes="it ticks next", at=following)


async def top(request: web.Request) -> web.Response:
    """GET /top: what runs, what waits and why, how busy the machine is; `limit` bounds each list."""
    text = request.query.get("limit", "") or str(USUAL)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= MOST):
        raise Problem(400, f"limit is {text!r}; it must be a whole number, at most {MOST}")
    activity, executors = context.of(request).house.activity(int(text))
    machine = await anyio.to_thread.run_sync(_machine)
    return answers.value(Top(machine=machine, executors=tuple(executors), activity=activity))


def _machine() -> Machine:
    found = {}
    try:
        with open(MEMORY, encoding="ascii") as lines:  # noqa: PTH123 (a file of the kernel)
            for line in lines:
                name, _, value = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(value.split()[0]) * 1024
    except OSError:
        pass  # another kernel: then it is not said
    return Machine(
        load=os.getloadavg(),
        processors=os.cpu_count() or 1,
        memory_bytes=found.get("MemTotal", 0),
        available_bytes=found.get("MemAvailable", 0),
    )
