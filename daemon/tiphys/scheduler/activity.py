"""What goes on in all runs together: what runs, what waits, and why."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from tiphys.scheduler import why_limits, why_runs
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import Kind
from tiphys.scheduler.state import RunState, State

GOING = frozenset({Kind.RUNNING, Kind.DAEMON, Kind.SHUTDOWN})


class Doing(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A node that runs or waits, or (`node` "") a workflow that waits."""

    workflow: str
    node: str
    phase: str
    kind: Kind
    text: str
    since: datetime | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`workflows`: how many are in which phase; `running` and `waiting`: the first of each, `counts`: all of both by kind of reason."""

    at: datetime
    workflows: dict[str, int]
    running: tuple[Doing, ...] = ()
    waiting: tuple[Doing, ...] = ()
    counts: dict[str, int] = {}


def look(state: State, now: datetime, most: int) -> Activity:
    """What goes on now; at most so many of what runs and of what waits are told one by one, those first that are at it the longest."""
    workflows: dict[str, int] = {}
    found: list[Doing] = []
    counts: dict[str, int] = {}
    for run in state.runs.values():
        word = "Postponed" if run.run.postponed else str(run.run.phase) or "Pending"
        workflows[word] = workflows.get(word, 0) + 1
        if not run.run.phase.completed:
            found.extend(_of(run, now, most, counts))
    places = [one.rank[2] for one in state.shared.crowd.postponed]
    for place, uid in enumerate(places[:most]):
        found.append(_postponed(state, uid, f"number {place + 1} of {len(places)} that wait for a place"))
    if places:
        counts[Kind.PLACE] = len(places)
    found.sort(key=lambda one: (one.since is None, one.since or now, one.workflow, one.node))
    return Activity(
        at=now,
        workflows=workflows,
        running=tuple([one for one in found if one.kind in GOING][:most]),
        waiting=tuple([one for one in found if one.kind not in GOING][:most]),
        counts={str(kind): count for kind, count in counts.items()},
    )


def _of(run: RunState, now: datetime, most: int, counts: dict[str, int]) -> Iterator[Doing]:
    """What a run does, at most so many of each kind; all of it is counted."""
    name = why_limits.workflow(run.run)
    if run.run.waiting_for:
        text = f"waits for the lock {run.run.waiting_for}"
        counts[Kind.LOCK] = counts.get(Kind.LOCK, 0) + 1
        yield Doing(workflow=name, node="", phase=str(run.run.phase), kind=Kind.LOCK, text=text, since=run.run.created_at)
    if run.run.suspended:
        counts[Kind.SUSPENDED] = counts.get(Kind.SUSPENDED, 0) + 1
        yield Doing(workflow=name, node="", phase=str(run.run.phase), kind=Kind.SUSPENDED, text="is suspended", since=run.run.started_at)
    waiting, all_ = why_runs.waiting(Draft(run, now), most)
    for kind, count in all_.items():
        counts[kind] = counts.get(kind, 0) + count
    for one in waiting:
        node = run.nodes.get(run.ids.get(one.node, ""))
        since = (node.launched_at or node.started_at) if node is not None else None
        yield Doing(workflow=name, node=one.node, phase=one.phase, kind=one.kind, text=one.text, since=since)


def _postponed(state: State, uid: str, text: str) -> Doing:
    run = state.runs[uid].run
    return Doing(workflow=why_limits.workflow(run), node="", phase=str(run.phase), kind=Kind.PLACE, text=text, since=run.created_at)
