"""Why a workflow is as it is: its place among the others, its locks, its end, and what of it is left when it has ended."""

from collections.abc import Iterator
from itertools import islice

from tiphys.scheduler import queues, retention, why_hooks, why_limits, why_nodes
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import Kind, Reason, Waiting
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.scheduler.registry import CRON_LABEL
from tiphys.scheduler.state import State
from tiphys.spec.status import NodeType, Phase

LEAVES = frozenset({NodeType.POD, NodeType.HTTP, NodeType.PLUGIN, NodeType.SUSPEND})


def reasons(state: State, draft: Draft) -> Iterator[Reason]:
    """Everything that makes a workflow what it is."""
    run = draft.run
    if run.postponed:
        yield why_limits.place(state, draft.state)
    elif run.waiting_for:
        yield why_limits.waits_for_lock(state, draft, None)
    for name in run.holding:
        lock = why_limits.lock(state, draft, name, "")
        yield Reason(kind=Kind.LOCK, text=f"the workflow holds the lock {name}, for which {lock.waiting} wait", lock=lock)
    if run.phase.completed:
        yield from _after(draft)
    else:
        yield from _before(draft)
    if (found := why_hooks.exit_handler(draft)) is not None:
        yield found
    yield from _cron(draft)


def _before(draft: Draft) -> Iterator[Reason]:
    run = draft.run
    if run.suspended:
        yield why_limits.suspended()
    ending = [node for node in draft.state.nodes.values() if node.ending and not node.phase.fulfilled]
    if run.shutdown is not Shutdown.NONE:
        text = f"the workflow is being ended ({run.shutdown})"
        names = why_limits.listed(node.name for node in ending)
        lines = (f"still ending: {names}",) if ending else ()
        nodes = tuple(why_limits.who(run, node) for node in ending[: why_limits.MOST])
        changes = f"the end of {names}" if ending else "the end of its exit handler, or of what is left"
        yield Reason(kind=Kind.SHUTDOWN, text=text, lines=lines, changes=changes, nodes=nodes)
    if run.deadline_at is not None:
        passed = "has passed" if run.deadline_passed else "is"
        text = f"its deadline (activeDeadlineSeconds) {passed} {run.deadline_at:%Y-%m-%d %H:%M:%S} UTC"
        changes = "" if run.deadline_passed else "all that runs is ended then"
        yield Reason(kind=Kind.DEADLINE, text=text, changes=changes, at=run.deadline_at)
    if run.deleting:
        yield Reason(kind=Kind.DELETION, text="it is deleted when it has ended", changes="its end")
    entry, handler = draft.find(run.name), draft.named(f"{run.name}.onExit")
    if entry is not None and entry.phase.fulfilled and (found := why_hooks.outstanding(draft, entry)) is not None:
        yield found
    if entry is not None and entry.settled and (handler is None or handler.settled) and draft.count("daemons"):
        names = why_limits.listed(node.name for node in draft.state.nodes.values() if node.daemoned and not node.phase.fulfilled)
        yield Reason(kind=Kind.DAEMON, text=f"it ends when its daemons have ended: {names}", changes=f"the end of {names}")


def _after(draft: Draft) -> Iterator[Reason]:
    run = draft.run
    entry, handler = draft.find(run.name), draft.named(f"{run.name}.onExit")
    guilty = [one for root in (entry, handler) if root is not None and root.phase.failed_or_error for one in _culprits(draft, root)]
    lines = tuple(f"{node.name}: {node.phase}: {node.message}" for node in guilty[: why_limits.MOST])
    text = f"it ended {run.phase}" + (f": {run.message}" if run.message else "")
    yield Reason(kind=Kind.ENDED, text=text, lines=lines, nodes=tuple(why_limits.who(run, node) for node in guilty[: why_limits.MOST]))
    if run.deleting:
        lines = (f"artifacts with the strategies {', '.join(run.collecting)} are being deleted first",) if run.collecting else ()
        yield Reason(kind=Kind.DELETION, text="it is being deleted", lines=lines, changes="its artifacts are gone")
    elif run.collecting:
        text = f"its artifacts with the strategy {', '.join(run.collecting)} are being deleted"
        yield Reason(kind=Kind.ARTIFACTS, text=text, changes="they are gone")
    if run.artifact_gc_error:
        changes = "somebody deletes it with --force" if run.deleting else ""
        yield Reason(kind=Kind.ARTIFACTS, text=f"some artifacts could not be deleted: {run.artifact_gc_error}", changes=changes)
    at = retention.expires_at(run, draft.state.manifest.workflow.spec.ttl_strategy)
    if at is not None:
        if draft.state.shared.rules.cleans:
            text, changes = f"it is deleted at {at:%Y-%m-%d %H:%M:%S} UTC (ttlStrategy)", "it is deleted"
        else:
            text, changes, at = "its ttlStrategy would delete it, but nothing is cleaned up here", "", None
        yield Reason(kind=Kind.TTL, text=text, changes=changes, at=at)


def _culprits(draft: Draft, root: Node) -> list[Node]:
    return why_nodes.culprits(draft, root) or [root]


def _cron(draft: Draft) -> Iterator[Reason]:
    run, registry = draft.run, draft.state.shared.registry
    name = run.labels.get(CRON_LABEL, "")
    if not name:
        return
    ticks = registry.ticks_of(f"{run.namespace}/{name}")
    lines = []
    own = next((tick for tick in ticks if tick.uid == run.uid), None)
    if own is not None:
        lines.append(f"it was scheduled for {own.scheduled_at:%Y-%m-%d %H:%M:%S} UTC{' by hand' if own.manual else ''}")
    if ticks:
        last = ticks[-1]
        became = f"skipped: {last.skipped}" if last.skipped else f"started {last.workflow}"
        lines.append(f"the last tick was at {last.scheduled_at:%Y-%m-%d %H:%M:%S} UTC: {became}")
    yield Reason(kind=Kind.CRON, text=f"it was started by the cron workflow {name}", lines=tuple(lines))


# what of it has not ended


def waiting(draft: Draft, most: int) -> tuple[list[Waiting], dict[str, int]]:
    """What of a run runs or waits by itself, each with its first reason, at most so many of each kind; and how many there are of each."""
    found: list[Waiting] = []
    counts: dict[str, int] = {}
    if draft.run.phase.completed:
        return found, counts
    launching = 0
    for node in draft.state.nodes.values():
        if node.finished_at is not None and node.settled:
            continue
        if node.type is NodeType.POD and node.phase is Phase.PENDING and not (node.waiting_for or node.ending):
            launching += 1  # there may be very many of these
            if launching > most:
                continue
        kind = _kind(node)
        if kind is not None:
            counts[kind] = counts.get(kind, 0) + 1
            if counts[kind] <= most:
                found.append(Waiting(node=node.name, phase=str(node.phase), kind=kind, text=_text(node, kind), at=node.wake_at))
    if launching > most:
        counts[Kind.SLOT] += launching - most
    for queue in draft.state.parked.values():
        first = next(iter(why_limits.parked(draft, queue[0][2])), None)
        kind = first.kind if first is not None else Kind.PARALLELISM
        text = first.text.partition(";")[0] if first is not None else "there is room: it begins at the next event"
        counts[kind] = counts.get(kind, 0) + len(queue)
        found += [Waiting(node=name, phase="", kind=kind, text=text) for _, name, _ in islice(queues.ordered(queue), most)]
    return found, {str(kind): count for kind, count in counts.items()}


def _kind(node: Node) -> Kind | None:
    """The kind of reason of a node that waits or runs by itself, not for what is in it."""
    if node.phase.fulfilled:
        return Kind.HOOKS if node.fired and node.role is not Role.ATTEMPT else None
    if node.waiting_for:
        return Kind.LOCK
    if node.type is NodeType.RETRY:
        return Kind.BACKOFF if node.wake_at is not None else None
    if node.type not in LEAVES:
        return None
    if node.ending:
        return Kind.SHUTDOWN
    if node.daemoned:
        return Kind.DAEMON
    if node.type is NodeType.SUSPEND:
        return Kind.SUSPEND
    return Kind.RUNNING if node.phase is Phase.RUNNING else Kind.SLOT


def _text(node: Node, kind: Kind) -> str:
    since = node.launched_at or node.started_at
    match kind:
        case Kind.LOCK:
            return f"waits for the lock {node.waiting_for}"
        case Kind.BACKOFF:
            return f"waits before its next attempt until {node.wake_at:%H:%M:%S} UTC"
        case Kind.SHUTDOWN:
            return f"is being ended: {node.ending}"
        case Kind.DAEMON:
            return "is up as a daemon"
        case Kind.SUSPEND:
            return f"waits until {node.wake_at:%H:%M:%S} UTC" if node.wake_at is not None else "waits until somebody resumes it"
        case Kind.HOOKS:
            return "has ended, its hooks have not"
        case Kind.SLOT:
            return "is to be launched"
        case _:
            return f"runs since {since:%H:%M:%S} UTC" if since is not None else "runs"
