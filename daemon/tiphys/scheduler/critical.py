"""Where a workflow's time went: the chain of nodes that made it last as long as it did, found backwards from its end.

Of what a node waited for, what ended last let it begin; the time between is told by what it was spent on. Only rows are looked at, and the
moments at which launches were commanded, where the event log is at hand.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from tiphys.scheduler import bodies
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import CriticalPath, Link
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import RunState
from tiphys.spec.status import NodeType, Phase

PLACE, QUEUE, LOCK, BACKOFF, SLOT, RUNNING, SUSPENDED, OTHER = (
    "place", "queue", "lock", "backoff", "slot", "running", "suspended", "other",
)  # fmt: skip
"""What time is spent on: a place among workflows (or the workflow's own locks); room under a parallelism; a lock; a retry's backoff; a
place with the executor, and starting; running; somebody or some time that a suspend waits for; whatever else."""

Add = Callable[[str, datetime, datetime], None]
"""Takes a time that was waited: why, from when, until when."""

OVERHEAD = (SLOT, OTHER)
ASIDE = frozenset({Role.HOOK, Role.CONTAINER})
MOST_TEMPLATES = 10


def path(run: RunState, now: datetime, launches: Mapping[str, datetime] | None = None) -> CriticalPath:
    """The critical path of a run up to its end, or up to now. `launches`: when each node's last launch was commanded, by id."""
    walk = _Walk(run, now, launches or {})
    links = list(reversed(list(walk.links())))
    row = run.run
    seconds = ((row.finished_at or now) - row.created_at).total_seconds()
    totals = {PLACE: ((row.started_at or row.finished_at or now) - row.created_at).total_seconds()}
    for link in links:
        totals[RUNNING] = totals.get(RUNNING, 0.0) + link.ran
        for why, spent in link.waited.items():
            totals[why] = totals.get(why, 0.0) + spent
    totals[OTHER] = max(0.0, seconds - sum(totals.values()))
    totals = {why: round(spent, 3) for why, spent in totals.items() if spent >= 0.0005}
    overhead = sum(totals.get(why, 0.0) for why in OVERHEAD)
    by_template = _work(run, now)
    return CriticalPath(
        seconds=round(seconds, 3),
        links=tuple(links),
        totals=totals,
        overhead=round(min(1.0, overhead / seconds), 4) if seconds > 0 else 0.0,
        work=round(sum(by_template.values()), 3),
        by_template=dict(sorted(by_template.items(), key=lambda one: -one[1])[:MOST_TEMPLATES]),
    )


def _work(run: RunState, now: datetime) -> dict[str, float]:
    """The seconds that attempts ran, by template."""
    found: dict[str, float] = {}
    for node in run.nodes.values():
        if node.launched_at is not None:
            name = node.reference.template if node.reference is not None else node.template
            found[name] = found.get(name, 0.0) + _between(node.launched_at, node.finished_at or now)
    return {name: round(seconds, 3) for name, seconds in found.items()}


def _between(start: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - start).total_seconds()) if start is not None and end is not None else 0.0


class _Walk:
    """From the end to the beginning."""

    def __init__(self, run: RunState, now: datetime, launches: Mapping[str, datetime]) -> None:
        self._run = run
        self._draft = Draft(run, now)
        self._now = now
        self._launches = launches
        self._last: dict[str, Node | None] = {}

    def links(self) -> Iterator[Link]:
        """The links, the last one first."""
        row = self._run.run
        node = self._draft.named(f"{row.name}.onExit") or self._draft.find(row.name)
        if node is not None:
            node = self._with_hooks(node)
        seen: set[str] = set()
        while node is not None:
            leaf = self._innermost(node)
            if leaf.id in seen:
                return
            seen.add(leaf.id)
            before, gaps = self._before(leaf)
            yield self._link(leaf, before, gaps)
            node = before

    def _end(self, node: Node) -> datetime:
        return node.finished_at or self._now

    def _late(self, node: Node) -> tuple[datetime, bool]:
        return self._end(node), node.finished_at is None

    def _begun(self, node: Node) -> datetime:
        return node.started_at or self._now

    def _innermost(self, node: Node) -> Node:
        """The leaf inside a node that ended last."""
        while True:
            if node.id not in self._last:
                inner = [one for one in self._draft.owned(node.id) if one.role not in ASIDE]
                self._last[node.id] = max((self._with_hooks(one) for one in inner), key=self._late, default=None)
            last = self._last[node.id]
            if last is None:
                return node
            node = last

    def _with_hooks(self, node: Node) -> Node:
        """A node, or the hook of it that ended after it."""
        hooks = [hook for suffix in node.fired if (hook := self._draft.named(f"{node.name}.{suffix}")) is not None]
        last = max(hooks, key=self._end, default=None)
        return last if last is not None and self._end(last) > self._end(node) else node

    def _before(self, leaf: Node) -> tuple[Node | None, list[tuple[Node, Node]]]:
        """What had to end for a leaf to begin, and the nodes around it that began for its sake, each with the one inside it."""
        around: list[tuple[Node, Node]] = []
        node = leaf
        while True:
            if node.role is Role.EXIT:
                entry = self._draft.find(self._run.run.name)
                return (self._with_hooks(entry) if entry is not None else None), around
            if node.role is Role.HOOK:
                host = self._draft.node(node.owner)
                if host.finished_at is not None and host.finished_at <= self._begun(node):
                    return host, around
                node = host  # it fired while its host went on
                continue
            if node.role is Role.ATTEMPT and (previous := self._previous(node)) is not None:
                return previous, around
            upstream = [found for other in node.after if (found := self._draft.find(other)) is not None]
            if not upstream and node.role is Role.GROUP:
                upstream = [found for other in node.parents if (found := self._draft.find(other)) is not None and found.role is Role.GROUP]
            if upstream:
                return max((self._with_hooks(one) for one in upstream), key=self._late), around
            if not node.owner:
                return None, around
            above = self._draft.node(node.owner)
            around.append((above, node))
            node = above

    def _previous(self, attempt: Node) -> Node | None:
        found = None
        for one in self._draft.owned(attempt.owner):
            if one.id == attempt.id:
                return found
            if one.role is Role.ATTEMPT:
                found = one
        return None

    def _link(self, leaf: Node, before: Node | None, around: list[tuple[Node, Node]]) -> Link:
        row = self._run.run
        began = row.started_at or row.created_at
        ready = max(began, self._end(self._innermost(before))) if before is not None else began
        waited: dict[str, float] = {}

        def add(why: str, start: datetime, end: datetime) -> None:
            if (spent := _between(max(start, ready), end)) > 0.0005:
                waited[why] = round(waited.get(why, 0.0) + spent, 3)

        outermost = around[-1][0] if around else leaf
        again = before is not None and leaf.role is Role.ATTEMPT and before.owner == leaf.owner
        add(BACKOFF if again else QUEUE, ready, self._begun(outermost))
        for above, inner in around:
            add(LOCK if self._locked(above) else QUEUE, self._begun(above), self._begun(inner))
        ran = self._own(leaf, add)
        return Link(
            node=leaf.name,
            id=leaf.id,
            template=leaf.reference.template if leaf.reference is not None else leaf.template,
            phase=str(leaf.phase),
            began=round((self._begun(leaf) - row.created_at).total_seconds(), 3),
            waited=waited,
            ran=ran,
        )

    def _own(self, leaf: Node, add: Add) -> float:
        """The leaf's own time: what it waited is added, what it ran is given."""
        begun, end = self._begun(leaf), self._end(leaf)
        if leaf.type is NodeType.SUSPEND:
            add(SUSPENDED, begun, end)
            return 0.0
        executed = leaf.type in (NodeType.POD, NodeType.HTTP, NodeType.PLUGIN)
        if not executed:
            return 0.0
        launched = leaf.launched_at or end
        commanded = self._launches.get(leaf.id)
        if leaf.waiting_for or (self._locked(leaf) and commanded is None):
            add(LOCK, begun, launched)
        else:
            taken = min(max(commanded or begun, begun), launched)
            add(LOCK if self._locked(leaf) else SLOT, begun, taken)
            add(SLOT, taken, launched)
        return round(_between(launched, end), 3) if leaf.phase is not Phase.PENDING else 0.0

    def _locked(self, node: Node) -> bool:
        """Whether a node's template asks for locks (an attempt's are its Retry node's)."""
        if node.role is Role.ATTEMPT:
            return False
        try:
            return bodies.source_of(self._draft, node).template.synchronization is not None
        except LookupError:
            return False
