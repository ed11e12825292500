"""Explanations of an open engine's runs: what the scheduler sees, how full the executors are, and what the event log says."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import anyio.to_thread
from msgspec import structs

from tiphys.engine import history
from tiphys.engine.engine import Engine
from tiphys.engine.inbox import now
from tiphys.errors import TiphysError
from tiphys.journal.protocol import Logged
from tiphys.scheduler import activity, critical, explaining, orders, stills, why_crons
from tiphys.scheduler.activity import Activity
from tiphys.scheduler.explaining import Unknown
from tiphys.scheduler.reasons import CronExplanation, Explanation, Room, RunExplanation, Told
from tiphys.spec.status import Phase


async def of_node(engine: Engine, uid: str, name: str, folder: Path | None) -> Explanation | Unknown:
    """Why a node is as it is, and by which events. `folder`: where its attempt works. Raises KeyError where no run has the uid."""
    state = engine._state  # noqa: SLF001 (explanations are pictures of the state)
    node = explaining.find(state.runs[uid], name)
    room = _room(engine, uid, node.id) if node is not None and node.phase is Phase.PENDING else None
    found = explaining.explain_node(state, uid, name, now(), room)
    if isinstance(found, Unknown):
        return found
    nodes = dict(state.runs[uid].nodes)
    log = await engine.journal.events(uid)
    if not found.id:
        return structs.replace(found, decided=history.of_wishes(log, nodes))
    decided = await anyio.to_thread.run_sync(history.of_node, log, found.id, nodes)
    return structs.replace(found, decided=decided, output=str(folder) if folder is not None else "")


async def of_run(engine: Engine, uid: str) -> RunExplanation:
    """Why a workflow is as it is, by which events, and where its time went. Raises KeyError where no run has the uid."""
    state = engine._state  # noqa: SLF001 (as above)
    moment = now()
    found = explaining.explain_run(state, uid, moment)
    still = stills.of(state.runs[uid])
    log = await engine.journal.events(uid)

    def look() -> RunExplanation:
        path = critical.path(still, moment, history.launches(log))
        return structs.replace(found, path=path, decided=history.of_run(log, still.nodes))

    return await anyio.to_thread.run_sync(look)


async def log_of(engine: Engine, uid: str, after: int) -> list[Told]:
    """A run's event log, from the event after that number on. Empty for an unknown run."""
    run = engine._state.runs.get(uid)  # noqa: SLF001 (as above)
    nodes = dict(run.nodes) if run is not None else {}
    log = await engine.journal.events(uid, after)

    def told(log: Sequence[Logged]) -> list[Told]:
        return [history.told(one, nodes) for one in log]

    return await anyio.to_thread.run_sync(told, log)


def of_cron(engine: Engine, namespace: str, name: str, following: datetime | None) -> CronExplanation | None:
    """Why a cron workflow is as it is; None: there is none."""
    return why_crons.explain_cron(engine._state, namespace, name, now(), following)  # noqa: SLF001 (as above)


def rooms(engine: Engine) -> list[Room]:
    """How full each executor is; `before` counts the attempts that wait for it."""
    launcher = engine._launcher  # noqa: SLF001 (as above)
    return [
        Room(executor=name, limit=launcher._room.get(name, 0), live=launcher._live[name], before=len(waiting))  # noqa: SLF001
        for name, waiting in launcher._waiting.items()  # noqa: SLF001
    ]


def look(engine: Engine, most: int) -> Activity:
    """What runs and what waits in all runs."""
    return activity.look(engine._state, now(), most)  # noqa: SLF001 (as above)


def _room(engine: Engine, uid: str, node_id: str) -> Room | None:
    """How full the executor of a node that has not started is, and how many are before it."""
    launcher = engine._launcher  # noqa: SLF001 (as above)
    for name, waiting in launcher._waiting.items():  # noqa: SLF001
        before = next((index for index, one in enumerate(waiting) if (one.uid, one.node_id) == (uid, node_id)), None)
        if before is not None:
            return Room(executor=name, limit=launcher._room.get(name, 0), live=launcher._live[name], before=before)  # noqa: SLF001
    run = engine._state.runs[uid]  # noqa: SLF001
    try:
        name = orders.executor_name(run, run.nodes[node_id])
    except (LookupError, TiphysError):
        return None
    return Room(executor=name, limit=launcher._room.get(name, 0), live=launcher._live.get(name, 0))  # noqa: SLF001
