"""The state: a private, mutable index over frozen records, which only `State.apply` touches.

Counters and queues are arithmetic over the records, derived again at recovery; they are never persisted.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, assert_never

from tiphys.scheduler import decision as words
from tiphys.scheduler.records import Manifest, Node, Run
from tiphys.spec.status import NodeType, Phase

if TYPE_CHECKING:
    from tiphys.scheduler.calls import Call
    from tiphys.scheduler.plans import Plan
    from tiphys.scheduler.sources import Source

Key = tuple[str, ...]
"""A counter: ("active",), the run's pods; ("active", boundary); ("failed", boundary); ("open", owner); ("live", dag);
("deps", dag, task)."""

ACTIVE_TYPES = frozenset({NodeType.POD, NodeType.STEPS, NodeType.DAG})
ACTIVE_PHASES = frozenset({Phase.PENDING, Phase.RUNNING})


def effects(node: Node | None) -> Iterable[tuple[Key, int]]:
    """What one record adds to the counters that are sums over records (semantics 2.11)."""
    if node is None or node.type not in ACTIVE_TYPES:
        return
    if node.phase in ACTIVE_PHASES:
        if node.type is NodeType.POD and not node.waiting_for:
            yield ("active",), 1
        if node.boundary:
            yield ("active", node.boundary), 1
    elif node.phase.failed_or_error and node.boundary:
        yield ("failed", node.boundary), 1


class RunState:
    """One run in memory. `sources`, `plans` and `aggregates` are caches of pure functions of the records."""

    __slots__ = ("aggregates", "counters", "dirty", "globals", "ids", "manifest", "nodes", "owned", "parked", "plans", "run", "sources")

    def __init__(self, run: Run, manifest: Manifest) -> None:
        self.run = run
        self.manifest = manifest
        self.nodes: dict[str, Node] = {}
        self.ids: dict[str, str] = {}
        self.owned: dict[str, list[str]] = {}
        self.counters: dict[Key, int] = {}
        self.parked: dict[str, deque[Call]] = {}
        self.sources: dict[tuple[str, ...], Source | str] = {}
        self.plans: dict[str, Plan] = {}
        self.aggregates: dict[tuple[str, str], dict[str, object] | str] = {}
        self.globals: dict[str, str] | None = None

    def put(self, node: Node) -> None:
        """Take a record in, new or changed."""
        old = self.nodes.get(node.id)
        for key, amount in effects(old):
            self.bump(key, -amount)
        for key, amount in effects(node):
            self.bump(key, amount)
        self.nodes[node.id] = node
        if old is None:
            self.ids[node.name] = node.id
            if node.owner:
                self.owned.setdefault(node.owner, []).append(node.id)
        if node.settled:
            self.plans.pop(node.id, None)

    def remove(self, node_id: str) -> None:
        """Forget a record."""
        node = self.nodes.pop(node_id)
        for key, amount in effects(node):
            self.bump(key, -amount)
        self.ids.pop(node.name, None)
        if node.owner in self.owned and node_id in self.owned[node.owner]:
            self.owned[node.owner].remove(node_id)

    def bump(self, key: Key, amount: int) -> None:
        """Move a counter; one at zero is not kept."""
        value = self.counters.get(key, 0) + amount
        if value:
            self.counters[key] = value
        else:
            self.counters.pop(key, None)


class State:
    """All runs, by uid."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self._arriving: dict[str, Manifest] = {}

    def load(self, manifest: Manifest, run: Run, nodes: Iterable[Node]) -> None:
        """Take the rows of one run in; `DaemonStarted` then sets it going."""
        state = RunState(run, manifest)
        for node in nodes:
            state.put(node)
        self.runs[run.uid] = state

    def apply(self, decision: words.Decision) -> None:
        """Make the state what the decision says; the only way it ever changes."""
        for change in decision.changes:
            self._change(change)
        run = self.runs.get(decision.uid)
        if run is not None:
            _arithmetic(run, decision)

    def _change(self, change: words.Change) -> None:
        match change:
            case words.NodePut(uid=uid, node=node):
                self.runs[uid].put(node)
            case words.RunPut(run=run) if run.uid not in self.runs:
                self.runs[run.uid] = RunState(run, self._arriving.pop(run.uid))
            case words.RunPut(run=run):
                self.runs[run.uid].run = run
                self.runs[run.uid].globals = None
            case words.ManifestPut(manifest=manifest):
                self._arriving[manifest.uid] = manifest
            case words.NodeRemoved(uid=uid, node_id=node_id):
                self.runs[uid].remove(node_id)
            case words.RunRemoved(uid=uid):
                self.runs.pop(uid, None)
            case _:
                assert_never(change)


def _arithmetic(run: RunState, decision: words.Decision) -> None:
    for key, amount in decision.bumps:
        run.bump(key, amount)
    for queue, call in decision.parked:
        run.parked.setdefault(queue, deque()).append(call)
    for queue, amount in decision.unparked:
        waiting = run.parked[queue]
        for _ in range(amount):
            waiting.popleft()
        if not waiting:
            del run.parked[queue]


def nodes_of(run: RunState, owner: str) -> Sequence[str]:
    """Ids of the nodes that `owner` waits for, in the order they were made."""
    return run.owned.get(owner, ())
