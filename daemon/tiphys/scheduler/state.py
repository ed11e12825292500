"""The state: a private, mutable index over frozen records, which only `State.apply` touches.

Counters and queues are arithmetic over the records, derived again at recovery; they are never persisted.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from msgspec import structs

from tiphys.scheduler import decision as words
from tiphys.scheduler import queues
from tiphys.scheduler.items import Item, Rules
from tiphys.scheduler.records import Manifest, Node, Run
from tiphys.scheduler.registry import Crowd, Memo, Memos, Registry
from tiphys.scheduler.todo import Todo
from tiphys.spec.status import FAILED_OR_ERROR, NodeType, Phase
from tiphys.spec.templates import DAGTask, Template, WorkflowStep
from tiphys.spec.workflows import ConfigMap, WorkflowSpec

if TYPE_CHECKING:
    from tiphys.scheduler.expanding import Expansion
    from tiphys.scheduler.plans import Plan
    from tiphys.scheduler.preparing import Prepared
    from tiphys.scheduler.redoing import Outline
    from tiphys.scheduler.sources import Source
    from tiphys.scheduler.variables import Gathered
    from tiphys.spec.work import WorkOrder

Key = tuple[str, ...]
"""A counter: ("active",), the run's pods; ("active", boundary); ("failed", boundary); ("open", owner); ("live", dag);
("deps", dag, task); ("daemons",) and ("daemons", boundary): those that are up."""

LOCK = "lock"
RUNS = "runs"
"""How many runs have a place: all of them, and those of a namespace."""
SHARED = frozenset({LOCK, RUNS})
ORIGINS = tuple(f"workflows.argoproj.io/{name}" for name in ("workflow-template", "cluster-workflow-template", "cron-workflow"))


def origin(namespace: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What runs have in common that come from one template or cron workflow; empty where a run has no such origin."""
    return next(((namespace, label, labels[label]) for label in ORIGINS if label in labels), ())


class Waiter(NamedTuple):
    """Who waits for a lock: ordered by rank (priority, age), then by when it came. `node_id` "" is the workflow itself."""

    rank: tuple[int, datetime, str]
    turn: int
    uid: str
    node_id: str


class Shared:
    """What runs have in common, derived from all their rows: locks held and places taken (counters), who waits for them, memos, the
    runs of each origin that succeeded by their ends; and what is in force for all of them.
    """

    __slots__ = ("_turn", "counters", "crowd", "memos", "queues", "registry", "rules", "succeeded")

    def __init__(self) -> None:
        self.registry = Registry()
        self.crowd = Crowd()
        self.rules = Rules()
        self.counters: dict[Key, int] = {}
        self.queues: dict[str, list[Waiter]] = {}
        self.succeeded: dict[tuple[str, ...], list[tuple[datetime, str, RunState]]] = {}
        self.memos = Memos()
        self._turn = 0

    def waiters(self, lock: str) -> list[Waiter]:
        """Who waits for a lock, first come first."""
        return self.queues.get(lock, [])

    def first_waiters(self, lock: str) -> list[Waiter]:
        """The first of the queue, if there is one: whoever ranks before it may pass."""
        return self.queues.get(lock, [])[:1]

    def wait(self, rank: tuple[int, datetime, str], uid: str, node_id: str, locks: tuple[str, ...]) -> None:
        """Put somebody into the queues of locks."""
        self._turn += 1
        for lock in locks:
            insort(self.queues.setdefault(lock, []), Waiter(rank, self._turn, uid, node_id))

    def leave(self, uid: str, node_id: str, locks: tuple[str, ...]) -> None:
        """Take somebody out of the queues of locks."""
        for lock in locks:
            queue = self.queues.get(lock, [])
            index = next((i for i, waiter in enumerate(queue) if (waiter.uid, waiter.node_id) == (uid, node_id)), None)
            if index is not None:
                del queue[index]
            if not queue:
                self.queues.pop(lock, None)

    def forget_success(self, run: Run) -> None:
        """Let the end of a run that had succeeded be none."""
        ends = self.succeeded.get(origin(run.namespace, run.labels), [])
        if run.phase is Phase.SUCCEEDED and ends:
            del ends[bisect_left(ends, (run.finished_at or run.created_at, run.uid))]
            if not ends:
                del self.succeeded[origin(run.namespace, run.labels)]


ACTIVE_TYPES = frozenset({NodeType.POD, NodeType.STEPS, NodeType.DAG})
ACTIVE_PHASES = frozenset({Phase.PENDING, Phase.RUNNING})
WASTE = 500
QUIET = (Phase.SUCCEEDED, Phase.SKIPPED, Phase.OMITTED)
"""Phases of nodes that count for nothing: what has one of them neither is active nor has failed."""


def effects(node: Node | None) -> Sequence[tuple[Key, int]]:
    """What one record adds to the counters that are sums over records (semantics 2.11)."""
    if node is None:
        return ()
    if node.holding or node.waiting_for or node.daemoned:
        return (*_effects_of_locks(node), *_effects_of_daemon(node))
    if node.type not in ACTIVE_TYPES:
        return ()
    if node.phase in ACTIVE_PHASES:
        inside = ((("active", node.boundary), 1),) if node.boundary else ()
        return (*inside, (("active",), 1)) if node.type is NodeType.POD else inside
    if node.boundary and node.phase in FAILED_OR_ERROR:
        return ((("failed", node.boundary), 1),)
    return ()


def _effects_of_locks(node: Node) -> Iterable[tuple[Key, int]]:
    for lock in node.holding:
        yield (LOCK, lock), 1
    if node.waiting_for:
        yield ("waiting",), 1


def _effects_of_daemon(node: Node) -> Iterable[tuple[Key, int]]:
    """Effects of a node that may be a daemon or wait for a lock."""
    if node.daemoned and not node.phase.fulfilled:
        yield ("daemons",), 1
        yield ("daemons", node.boundary), 1
        return
    for key, amount in effects(structs.replace(node, holding=(), waiting_for="", daemoned=False)):
        if key != ("active",) or not node.waiting_for:
            yield key, amount


def counts_alike(old: Node, new: Node) -> bool:
    """Whether two records are the same in all that `effects` looks at."""
    return (
        old.phase is new.phase
        and old.holding == new.holding
        and old.waiting_for == new.waiting_for
        and old.daemoned == new.daemoned
        and old.boundary == new.boundary
        and old.type is new.type
    )


def run_effects(run: Run) -> Iterable[tuple[Key, int]]:
    """What a run's own row adds to the counters that are sums over records."""
    for lock in run.holding:
        yield (LOCK, lock), 1
    if has_place(run):
        yield (RUNS,), 1
        yield (RUNS, run.namespace), 1


def has_place(run: Run) -> bool:
    """Whether the run counts among those that go on at once."""
    return run.phase is not Phase.UNKNOWN and not run.phase.completed and not run.postponed


def _measured(manifest: Manifest) -> bool:
    """Whether any template of a submission (those written in place aside) has custom metrics."""
    templates = [template for spec in _specs(manifest) for template in (*spec.templates, spec.template_defaults) if template is not None]
    return any(template.metrics is not None for template in templates)


def _specs(manifest: Manifest) -> Iterable[WorkflowSpec]:
    return [manifest.workflow.spec, *(one.spec for one in manifest.templates), *(one.spec for one in manifest.cluster_templates)]


def _watched(manifest: Manifest) -> bool:
    """Whether anything may follow from a node's beginning: hooks other than exit hooks."""
    for spec in _specs(manifest):
        templates = [template for template in (*spec.templates, spec.template_defaults) if template is not None]
        if spec.hooks or any(host.hooks or host.inline is not None for template in templates for host in _hosts(template)):
            return True
    return False


def _hooked(manifest: Manifest) -> bool:
    """Whether anything may follow from a node's end by a hook of its own."""
    templates = [template for spec in _specs(manifest) for template in (*spec.templates, spec.template_defaults) if template is not None]
    return _watched(manifest) or any(host.on_exit for template in templates for host in _hosts(template))


def _hosts(template: Template) -> Iterable[DAGTask | WorkflowStep]:
    yield from template.dag.tasks if template.dag is not None else ()
    for group in template.steps or ():
        yield from group


class RunState:
    """One run in memory. `sources`, `bodies`, `plans`, `moulds`, `aggregates`, `expansions` and `gathered` are caches of pure functions of
    the records, the last two for as long as there is a `rest`: what the last decision left to do; so is `outlined`, what a retry would
    do, for as long as nothing more was `decided`.
    """

    __slots__ = (
        "aggregates",
        "artifacts",
        "bodies",
        "counters",
        "decided",
        "expansions",
        "gathered",
        "globals",
        "hooked",
        "ids",
        "manifest",
        "measured",
        "moulds",
        "nodes",
        "outlined",
        "owned",
        "parked",
        "plans",
        "rank",
        "rest",
        "run",
        "shared",
        "sources",
        "waste",
        "watched",
    )

    def __init__(self, run: Run, manifest: Manifest, shared: Shared) -> None:
        self.run = run
        self.shared = shared
        self.rank = (-(manifest.workflow.spec.priority or 0), run.created_at, run.uid)
        self.manifest = manifest
        self.measured = _measured(manifest)
        self.watched = _watched(manifest)
        self.hooked = _hooked(manifest)
        self.nodes: dict[str, Node] = {}
        self.ids: dict[str, str] = {}
        self.owned: dict[str, list[str]] = {}
        self.counters: dict[Key, int] = {}
        self.parked: dict[str, list[queues.Entry]] = {}
        self.sources: dict[tuple[str, ...], Source | str] = {}
        self.bodies: dict[str, Template] = {}
        self.plans: dict[str, Plan] = {}
        self.moulds: dict[tuple[str, str, bool], WorkOrder] = {}
        self.aggregates: dict[tuple[str, str, int], dict[str, object] | str] = {}
        self.globals: tuple[Run, dict[str, str]] | None = None
        self.expansions: dict[tuple[str, str, int], Expansion] = {}
        self.gathered: dict[tuple[str, int], Gathered] = {}
        self.outlined: Outline | None = None
        self.decided = 0
        self.artifacts = False
        """Whether a node may have given an artifact."""
        self.rest: tuple[Todo, ...] = ()
        self.waste: list[list[Any]] = []

    def config_map(self, name: str, namespace: str = "") -> ConfigMap | None:
        """A ConfigMap by its name: one that came with the submission, else one in force in the namespace (the run's own)."""
        for found in self.manifest.config_maps:
            if found.metadata.name == name:
                return found
        return self.shared.registry.config_map(namespace or self.run.namespace, name)

    def put(self, node: Node) -> None:
        """Take a record in, new or changed."""
        old = self.nodes.get(node.id)
        if old is None or not counts_alike(old, node):
            for key, amount in effects(old) if old is not None else ():
                self.bump(key, -amount)
            for key, amount in effects(node):
                self.bump(key, amount)
        self.nodes[node.id] = node
        if node.outputs is not None and node.outputs.artifacts:
            self.artifacts = True
        if node.wanting or (old is not None and old.wanting):
            self._queue(node.id, () if old is None else old.wanting, node.wanting)
        if node.memo is not None and (remembered := self._memo_key(node)) and node.finished_at is not None:
            self.shared.memos.put(remembered, Memo(node.finished_at, self.run.uid, node.id, node.outputs))
        if old is None:
            self.ids[node.name] = node.id
            if node.owner:
                self.owned.setdefault(node.owner, []).append(node.id)
        if node.settled and node.id in self.plans:
            self.plans.pop(node.id, None)
        if self.bodies and node.settled:
            self.bodies.pop(node.id, None)

    def load(self, nodes: Iterable[Node]) -> None:
        """Take the records of a run in that has none yet: as `put` does, and cheaper, for there may be very many."""
        self.artifacts = True  # to look for any is left to who asks
        mine, ids, owned, last, alike = self.nodes, self.ids, self.owned, None, 0
        for node in nodes:
            if node.holding or node.wanting or node.daemoned or node.memo is not None:
                self.put(node)
                continue
            mine[node.id] = node
            ids[node.name] = node.id
            if node.owner:
                owned.setdefault(node.owner, []).append(node.id)
            if node.phase in QUIET:
                continue
            if last is not None and counts_alike(last, node):
                alike += 1
                continue
            self._count(last, alike)
            last, alike = node, 1
        self._count(last, alike)

    def inherit(self, begun: "RunState") -> None:
        """Take over what was read and made of the run's templates when it was decided to begin."""
        self.sources, self.bodies, self.plans, self.expansions = begun.sources, begun.bodies, begun.plans, begun.expansions

    def throw_away(self, most: int) -> None:
        """Let go of what slices no longer need, of so many at most: to forget a hundred thousand at once takes its time, too."""
        last = self.waste[-1]
        del last[-most:]
        if not last:
            self.waste.pop()

    def _count(self, node: Node | None, times: int) -> None:
        for key, amount in effects(node):
            self.bump(key, times * amount)

    def _memo_key(self, node: Node) -> tuple[str, str, str] | None:
        """Under what a node is remembered; None: it is not."""
        if node.memo is None or node.memo.hit or node.phase is not Phase.SUCCEEDED:
            return None
        return self.run.namespace, node.memo.cache_name, node.memo.key

    def set_run(self, run: Run) -> None:
        """Take the run's own row in, new or changed."""
        old = self.run if self.run is not run else None
        for key, amount in run_effects(old) if old is not None else ():
            self.bump(key, -amount)
        for key, amount in run_effects(run):
            self.bump(key, amount)
        self._queue("", old.wanting if old is not None else (), run.wanting)
        self.shared.crowd.put(self.rank, old, run)
        self.run = run
        again = old is not None and old.phase is Phase.SUCCEEDED
        if old is not None and again and (run.phase is not Phase.SUCCEEDED or run.finished_at != old.finished_at):
            self.shared.forget_success(old)  # it is retried
            again = False
        if run.phase is Phase.SUCCEEDED and not again and (key := origin(run.namespace, run.labels)):
            insort(self.shared.succeeded.setdefault(key, []), (run.finished_at or run.created_at, run.uid, self))

    def _queue(self, node_id: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        if old != new:
            if old:
                self.shared.leave(self.run.uid, node_id, old)
            if new:
                self.shared.wait(self.rank, self.run.uid, node_id, new)

    def remove(self, node_ids: Iterable[str]) -> None:
        """Forget records, all at once: what one owner has is looked through once, however many of it go."""
        owners: dict[str, None] = {}
        for node_id in node_ids:
            node = self.nodes.pop(node_id)
            self._queue(node_id, node.wanting, ())
            for counter, amount in effects(node):
                self.bump(counter, -amount)
            if key := self._memo_key(node):
                self.shared.memos.remove(key, self.run.uid, node.id)
            self.ids.pop(node.name, None)
            owners[node.owner] = None
        for owner in owners:
            if owner in self.owned:
                self.owned[owner] = [node_id for node_id in self.owned[owner] if node_id in self.nodes]

    def bump(self, key: Key, amount: int) -> None:
        """Move a counter; one at zero is not kept."""
        counters = self.shared.counters if key[0] in SHARED else self.counters
        value = counters.get(key, 0) + amount
        if value:
            counters[key] = value
        else:
            counters.pop(key, None)

    def counted(self, key: Key) -> int:
        """A counter's value."""
        return (self.shared.counters if key[0] in SHARED else self.counters).get(key, 0)


class State:
    """All runs, by uid."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self.shared = Shared()
        self._arriving: dict[str, Manifest] = {}
        self.begun: dict[str, RunState] = {}
        """Runs that are decided to begin, for the sake of the caches made on the way."""
        self.prepared: dict[str, Prepared] = {}
        """Of runs that are about to begin, the templates that were read beforehand."""

    def load(self, manifest: Manifest, run: Run, nodes: Iterable[Node], prepared: "Prepared | None" = None) -> None:
        """Take the rows of one run in, and what was read of its templates; `DaemonStarted` then sets it going."""
        state = RunState(run, manifest, self.shared)
        state.sources.update(prepared or {})
        state.set_run(run)
        state.load(nodes)
        self.runs[run.uid] = state

    def load_items(self, items: Iterable[Item]) -> None:
        """Take the rows in that belong to no single run."""
        for item in items:
            self.shared.registry.put(item)

    def apply(self, decision: words.Decision) -> None:
        """Make the state what the decision says; the only way it ever changes."""
        changes = decision.changes
        if len(changes) == 1 and type(changes[0]) is words.NodePut:  # what nearly every decision is
            self.runs[changes[0].uid].put(changes[0].node)
        else:
            removed = [change.node_id for change in changes if isinstance(change, words.NodeRemoved)]
            if removed:
                self.runs[decision.uid].remove(removed)
            for change in changes:
                self._change(change)
        run = self.runs.get(decision.uid)
        if run is not None:
            _arithmetic(run, decision)

    def _forget(self, uid: str) -> None:
        run = self.runs.pop(uid, None)
        if run is not None:
            run.remove([node.id for node in run.nodes.values() if node.wanting or node.holding or node.memo is not None])
            self.shared.forget_success(run.run)
            for key, amount in run_effects(run.run):
                run.bump(key, -amount)
            run._queue("", run.run.wanting, ())  # noqa: SLF001 - the state and its runs are one
            self.shared.crowd.remove(run.rank, run.run)

    def _change(self, change: words.Change) -> None:
        match change:
            case words.NodePut(uid=uid, node=node):
                self.runs[uid].put(node)
            case words.RunPut(run=run) if run.uid not in self.runs:
                fresh = self.runs[run.uid] = RunState(run, self._arriving.pop(run.uid), self.shared)
                fresh.set_run(run)
                if (begun := self.begun.pop(run.uid, None)) is not None:
                    fresh.inherit(begun)
            case words.RunPut(run=run):
                self.runs[run.uid].set_run(run)
            case words.ManifestPut(manifest=manifest):
                self._arriving[manifest.uid] = manifest
            case words.NodeRemoved():
                pass  # done before: what is removed may be put again in the same decision
            case words.RunRemoved(uid=uid):
                self._forget(uid)
            case words.ItemPut(item=item):
                self.shared.registry.put(item)
            case words.ItemRemoved(kind=kind, key=key):
                self.shared.registry.remove(kind, key)
            case words.Archived():
                pass  # the archive is on disk alone
            case _:
                assert_never(change)


def _arithmetic(run: RunState, decision: words.Decision) -> None:
    run.decided += 1
    run.outlined = None
    run.rest = decision.rest
    if not run.rest and run.expansions:
        run.waste += [expansion.calls for expansion in run.expansions.values()]
        run.expansions.clear()
    if not run.rest and run.gathered:
        run.waste += [gathered.pieces for gathered in run.gathered.values()]
        run.gathered.clear()
    if run.waste:
        run.throw_away(WASTE)
    for key, amount in decision.bumps:
        run.bump(key, amount)
    for queue, amount in decision.unparked:
        for _ in range(amount):
            heapq.heappop(run.parked[queue])
    for queue, call in decision.parked:
        heapq.heappush(run.parked.setdefault(queue, []), queues.entry(call))
    if decision.unparked:
        for queue in [queue for queue, waiting in run.parked.items() if not waiting]:
            del run.parked[queue]


def nodes_of(run: RunState, owner: str) -> Sequence[str]:
    """Ids of the nodes that `owner` waits for, in the order they were made."""
    return run.owned.get(owner, ())
