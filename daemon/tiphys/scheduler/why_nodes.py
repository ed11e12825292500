"""Why a node that is there is as it is."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tiphys.errors import TiphysError
from tiphys.expressions import durations
from tiphys.scheduler import bodies, lone, retrying, why_conditions, why_hooks, why_limits, why_not_yet, why_retries
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.lone import Lone
from tiphys.scheduler.reasons import Kind, Reason, Room
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.scheduler.registry import Memo
from tiphys.scheduler.state import State
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Template

COMPOSITE = frozenset({NodeType.STEPS, NodeType.DAG, NodeType.STEP_GROUP, NodeType.TASK_GROUP})
CALLED = frozenset({Role.TASK, Role.STEP, Role.ITEM})


def reasons(state: State, draft: Draft, node: Node, room: Room | None) -> Iterator[Reason]:
    """Everything that makes a node what it is: what keeps it, then the conditions by which it came to be."""
    if node.phase.fulfilled:
        yield from _ended(state, draft, node)
        if (found := why_hooks.outstanding(draft, node)) is not None:
            yield found
    else:
        yield from _open(state, draft, node, room)
    for name in node.holding:
        lock = why_limits.lock(state, draft, name, node.id)
        text = f"it holds the lock {name}, for which {lock.waiting} wait"
        yield Reason(kind=Kind.LOCK, text=text, lock=lock)
    if (found := why_hooks.fired(draft, node)) is not None:
        yield found
    if node.phase not in (Phase.OMITTED, Phase.SKIPPED) and (one := called(draft, node)) is not None:
        yield from why_not_yet.conditions(one)


def called(draft: Draft, node: Node) -> Lone | None:
    """The step or task that a node was made for."""
    if node.role not in CALLED or not node.boundary:
        return None
    try:
        return lone.find(draft, draft.node(node.boundary), node.task)
    except (TiphysError, LookupError):
        return None


def template(draft: Draft, node: Node) -> Template | None:
    """A node's template as written; None where it has none."""
    try:
        return bodies.source_of(draft, node).template
    except (LookupError, TiphysError):
        return None


# what has not ended


def _open(state: State, draft: Draft, node: Node, room: Room | None) -> Iterator[Reason]:
    if node.waiting_for:
        yield why_limits.waits_for_lock(state, draft, node)
    elif node.ending:
        yield _stopping(draft, node)
    elif node.daemoned:
        home = draft.node(node.boundary).name if node.boundary else draft.run.name
        text = f"it is a daemon and is up{f' at {node.ip}' if node.ip else ''}: others do not wait for it"
        yield Reason(kind=Kind.DAEMON, text=text, changes=f"{home} ends")
    elif node.type is NodeType.SUSPEND:
        yield _suspend(node)
    elif node.type is NodeType.RETRY:
        yield from why_retries.reasons(draft, node)
    elif why_limits.executed(node):
        yield _running(draft, node) if node.phase is Phase.RUNNING else _slot(node, room)
    elif node.type is NodeType.CONTAINER:
        yield _container(draft, node)
    elif node.type in COMPOSITE:
        yield _inside(draft, node)


def _stopping(draft: Draft, node: Node) -> Reason:
    kind = Kind.DEADLINE if draft.run.deadline_passed and draft.run.shutdown is Shutdown.NONE else Kind.SHUTDOWN
    grace = draft.state.manifest.chosen.grace_seconds
    text = f"it is being ended: {node.ending}"
    return Reason(kind=kind, text=text, changes=f"its process has ended; after {grace:g} seconds of grace it is killed")


def _suspend(node: Node) -> Reason:
    missing = tuple(
        parameter.name
        for parameter in (node.outputs.parameters if node.outputs is not None else ())
        if parameter.value is None and (source := parameter.value_from) is not None and source.supplied is not None and not source.default
    )
    lines = tuple(f"nobody has supplied the output {name} yet, and it has no default" for name in missing)
    if node.wake_at is not None:
        text, changes = f"it waits until {node.wake_at:%Y-%m-%d %H:%M:%S} UTC, or until somebody resumes it", "time"
    else:
        text, changes = "it waits until somebody resumes it", "somebody resumes it"
    if missing:
        changes = f"somebody sets {why_limits.listed(missing)} and resumes it"
    return Reason(kind=Kind.SUSPEND, text=text, lines=lines, changes=changes, at=node.wake_at, missing=missing)


def _slot(node: Node, room: Room | None) -> Reason:
    lines = []
    if node.wake_at is not None:
        lines.append(f"if it has not started by {node.wake_at:%H:%M:%S} UTC it fails (timeout or pendingTimeout)")
    if room is None:
        text, changes = "it is to be launched: all that it waited for is there", "its executor starts it"
    elif room.before is None:
        text, changes = f"the {room.executor} executor is starting it", "its process is there"
    else:
        bound = f"{room.live} of {room.limit} places" if room.limit else why_limits.counted(room.live, "place")
        ahead = "1 attempt is" if room.before == 1 else f"{room.before} attempts are"
        text = f"it waits for a place with the {room.executor} executor: {bound} are taken and {ahead} before it"
        changes = "one of the running attempts ends" if room.before == 0 else f"{room.before + 1} of the attempts before it end"
    return Reason(kind=Kind.SLOT, text=text, lines=tuple(lines), changes=changes, at=node.wake_at, room=room)


def _running(draft: Draft, node: Node) -> Reason:
    since = node.launched_at or node.started_at
    lines = [f"progress {node.progress}"] if node.progress else []
    if node.handle is not None:
        lines.append(f"executor {node.handle.executor}, attempt {node.attempt}")
    deadline, why = _deadline(draft, node)
    if deadline is not None:
        lines.append(f"it is ended at {deadline:%Y-%m-%d %H:%M:%S} UTC ({why})")
    text = f"it runs since {since:%Y-%m-%d %H:%M:%S} UTC" if since is not None else "it runs"
    return Reason(kind=Kind.RUNNING, text=text, lines=tuple(lines), changes="its process ends", at=deadline)


def _deadline(draft: Draft, node: Node) -> tuple[datetime | None, str]:
    """When an attempt is ended if it has not ended by itself: the earliest of all that apply, and which that is."""
    found: list[tuple[datetime, str]] = []
    try:
        body = bodies.body(draft, node, bodies.source_of(draft, node))
        began = node.launched_at or node.started_at or draft.at
        if body.active_deadline_seconds is not None:
            found.append((began + timedelta(seconds=int(body.active_deadline_seconds)), "activeDeadlineSeconds of its template"))
        if body.timeout:
            found.append(((node.started_at or began) + durations.parse_loose(body.timeout), "timeout of its template"))
        if node.role is Role.ATTEMPT:
            wrapper = draft.node(node.owner)
            first = why_retries.attempts_of(draft, wrapper)[0]
            end = retrying.budget_end(retrying.strategy_of(draft, wrapper), first.started_at or began)
            if end is not None and first.id != node.id:
                found.append((end, "backoff.maxDuration of its retryStrategy"))
    except (TiphysError, ValueError, LookupError):
        pass  # then it has none that could be kept
    if draft.run.deadline_at is not None and not node.in_exit:
        found.append((draft.run.deadline_at, "activeDeadlineSeconds of the workflow"))
    return min(found, default=(None, ""))


def _container(draft: Draft, node: Node) -> Reason:
    pod = draft.node(node.owner)
    before = [draft.node(parent) for parent in node.parents if parent != pod.id]
    open_ = [other.display_name for other in before if not other.phase.fulfilled]
    if node.phase is Phase.PENDING and open_:
        text = f"it begins when the containers that it depends on have ended: {why_limits.listed(open_)}"
        return Reason(kind=Kind.DEPENDS, text=text, changes=f"the end of {why_limits.listed(open_)}")
    text = f"it is a container of {pod.name}, which is {pod.phase}"
    return Reason(kind=Kind.RUNNING, text=text, changes="its process ends", nodes=(why_limits.who(draft.run, pod),))


def _inside(draft: Draft, node: Node) -> Reason:
    """What a steps or dag node, or a group in one, waits for."""
    run = draft.state
    inner = [draft.node(other) for other in run.owned.get(node.id, ())]
    open_ = [other for other in inner if not other.settled and other.role is not Role.HOOK]
    calls = [name for queue in run.parked.values() for _, name, call in queue if call.owner == node.id]
    total, begun = _size(draft, node), sum(1 for other in inner if other.role is not Role.HOOK)
    lines = []
    if open_:
        lines.append(f"open: {why_limits.listed(f'{other.name} ({other.phase})' for other in open_)}")
    if calls:
        lines.append(f"waiting for room: {why_limits.listed(sorted(calls))}")
    if total is not None and total > begun:
        lines.append(f"not begun: {total - begun} of {total}")
    text = f"what is in it has not ended: {len(open_) + len(calls)} open" if open_ or calls else "what is in it waits to begin"
    nodes = tuple(why_limits.who(draft.run, other) for other in open_[: why_limits.MOST])
    return Reason(kind=Kind.INSIDE, text=text, lines=tuple(lines), changes="all of it has ended", nodes=nodes)


def _size(draft: Draft, node: Node) -> int | None:
    """Of how many parts a node consists; None where that is not known beforehand."""
    declared = template(draft, node)
    if declared is None:
        return None
    if node.type is NodeType.DAG and declared.dag is not None and not declared.dag.target:
        return len(declared.dag.tasks)
    return len(declared.steps) if node.type is NodeType.STEPS and declared.steps is not None else None


# what has ended


def _ended(state: State, draft: Draft, node: Node) -> Iterator[Reason]:
    one = called(draft, node)
    if node.phase is Phase.OMITTED:
        yield why_conditions.omitted(one) if one is not None else Reason(kind=Kind.OMITTED, text=node.message)
    elif node.phase is Phase.SKIPPED:
        yield _skipped(one, node)
    elif node.memo is not None and node.memo.hit:
        yield _remembered(state, draft, node)
    elif node.type is NodeType.RETRY:
        yield from why_retries.reasons(draft, node)
    elif node.phase.failed_or_error:
        yield _failed(draft, node)
    else:
        yield _succeeded(draft, node)


def _skipped(one: Lone | None, node: Node) -> Reason:
    found = why_conditions.when(one) if one is not None else None
    if found is None or node.message == "Skipped, empty params":
        loop = why_conditions.loop(one) if one is not None else None
        text = f"its loop has no items: {node.message}" if node.message.startswith("Skipped") else node.message or "it was skipped"
        return Reason(kind=Kind.SKIPPED, text=text, expression=loop.expression if loop is not None else None)
    lines = (
        *found.lines,
        *(f"{key} = {value}" for key, value in (found.expression.values if found.expression is not None else {}).items()),
    )
    return Reason(kind=Kind.SKIPPED, text=node.message or found.text, lines=lines, expression=found.expression)


def _remembered(state: State, draft: Draft, node: Node) -> Reason:
    assert node.memo is not None
    shared = draft.state.shared
    memo: Memo | None = shared.memos.get((draft.run.namespace, node.memo.cache_name, node.memo.key))
    text = f"it did not run: its outputs were remembered under the key {node.memo.key} of the cache {node.memo.cache_name}"
    if memo is None or memo.uid not in state.runs:
        return Reason(kind=Kind.MEMO, text=text, lines=("they came with a ConfigMap, or from a workflow that is deleted",))
    if node.finished_at is not None and memo.finished_at > node.finished_at:
        return Reason(kind=Kind.MEMO, text=text, lines=("what was remembered then has been made anew since",))
    giver = state.runs[memo.uid]
    given = why_limits.who(giver.run, giver.nodes.get(memo.node_id))
    return Reason(kind=Kind.MEMO, text=text, lines=(f"given by {given} at {memo.finished_at:%Y-%m-%d %H:%M:%S} UTC",), nodes=(given,))


def _succeeded(draft: Draft, node: Node) -> Reason:
    began = node.launched_at or node.started_at
    lines = []
    if began is not None and node.finished_at is not None:
        lines.append(f"from {began:%H:%M:%S} to {node.finished_at:%H:%M:%S} UTC, {_span(node.finished_at - began)}")
    if node.memo is not None:
        lines.append(f"nothing was remembered under the key {node.memo.key} of the cache {node.memo.cache_name}; now its outputs are")
    open_ = [other for other in draft.owned(node.id) if not other.phase.fulfilled]
    text = "it ended well" + (f" ({node.message})" if node.message else "")
    return Reason(kind=Kind.ENDED, text=text, lines=tuple(lines), nodes=tuple(why_limits.who(draft.run, other) for other in open_))


def _failed(draft: Draft, node: Node) -> Reason:
    lines = []
    code = node.outputs.exit_code if node.outputs is not None else None
    if code is not None:
        lines.append(f"exit code {code}")
    if node.launched_at is not None and node.finished_at is not None:
        lines.append(f"attempt {node.attempt}, it ran for {_span(node.finished_at - node.launched_at)}")
    elif why_limits.executed(node):
        lines.append("it never ran")
    if node.execution_error:
        lines.append("it could not be executed: a template, an argument or an output is at fault, not what it ran")
    guilty = culprits(draft, node)
    if guilty:
        lines.append(f"because of {why_limits.listed(f'{other.name} ({other.phase}: {_first(other.message)})' for other in guilty)}")
    text = f"{node.phase}: {node.message}" if node.message else str(node.phase)
    nodes = tuple(why_limits.who(draft.run, other) for other in guilty[: why_limits.MOST])
    return Reason(kind=Kind.ENDED, text=text, lines=tuple(lines), nodes=nodes)


def culprits(draft: Draft, node: Node) -> list[Node]:
    """The innermost nodes whose failure a failed node's own comes from; none where it is one itself."""
    found: list[Node] = []
    todo = [node]
    while todo:
        above = todo.pop()
        inner = [other for other in draft.owned(above.id) if other.phase.failed_or_error and other.role not in (Role.HOOK, Role.CONTAINER)]
        if above.type is NodeType.RETRY:
            inner = inner[-1:]
        elif above.type is NodeType.STEPS:
            inner = [other for other in inner if other.role is Role.GROUP]
        elif above.type is NodeType.DAG:
            inner = _unhandled(draft, above, inner) or inner
        if inner:
            todo.extend(reversed(inner))
        elif above is not node:
            found.append(above)
    return found


def _unhandled(draft: Draft, dag: Node, failed: list[Node]) -> list[Node]:
    """Of the failed tasks of a dag those after which nothing ran that depends on them."""
    skipped = (Phase.OMITTED, Phase.SKIPPED)
    handled = {before for other in draft.owned(dag.id) if other.phase not in skipped for before in other.after}
    return [other for other in failed if other.id not in handled]


def _first(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= 160 else line[:160] + "…"


def _span(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else durations.humanize(duration)
