"""What a workflow shows of all its nodes taken together, kept as they change: sums of progress, templates, locks, the last moment."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tiphys.scheduler import render, stored
from tiphys.scheduler.records import Node
from tiphys.scheduler.state import RunState
from tiphys.spec.objects import JSON
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import TemplateRef

EVER = datetime.min.replace(tzinfo=UTC)


class Tally:
    """Sums over the nodes of one run. What is the same object as in the node before is not looked at again: there may be very many."""

    def __init__(self) -> None:
        self.below: dict[str, tuple[int, int]] = {}
        """What is done of how much below a node, by its id."""
        self.templates: dict[str, JSON] = {}
        self.latest = EVER
        self._all = (0, 0)
        self._locking: set[str] = set()

    @property
    def progress(self) -> str:
        """Of the whole run."""
        return f"{self._all[0]}/{self._all[1]}"

    def lockers(self, rows: Mapping[str, Node]) -> list[Node]:
        """The nodes that hold locks or wait for one, in their order."""
        return [node for node in rows.values() if node.id in self._locking] if self._locking else []

    def add(self, still: RunState, nodes: Iterable[Node], rows: Mapping[str, Node]) -> set[str]:
        """Take nodes in, new ones; the ids of those above them that show another sum for it."""
        pod, succeeded = NodeType.POD, Phase.SUCCEEDED
        found: set[str] = set()
        owner, done, of = "", 0, 0
        template = reference = scope = inline = started_at = None
        kinds: dict[tuple[str, str, TemplateRef | None, bool], Node] = {}
        latest = self.latest
        for node in nodes:
            if node.owner is not owner:
                if of:
                    found |= self._count(owner, done, of, rows)
                owner, done, of = node.owner, 0, 0
            if node.type is pod and not node.progress:
                of += 1
                if node.phase is succeeded:
                    done += 1
            else:
                own = render.own_progress(node)
                done, of = done + own[0], of + own[1]
            if node.template is not template or node.scope is not scope or node.reference is not reference or node.inline is not inline:
                template, scope, reference, inline = node.template, node.scope, node.reference, node.inline
                kinds.setdefault((template, scope, reference, not inline), node)
            if node.holding or node.waiting_for:
                self._locking.add(node.id)
            if node.started_at is not started_at:
                started_at = node.started_at
                if started_at is not None and started_at > latest:
                    latest = started_at
            if node.finished_at is not None and node.finished_at > latest:
                latest = node.finished_at
        self.latest = latest
        self._keep(still, kinds.values())
        return found | self._count(owner, done, of, rows)

    def change(self, still: RunState, changed: Iterable[tuple[Node, Node]], rows: Mapping[str, Node]) -> set[str]:
        """Take along what differs between nodes as they were and as they are; the ids as for `add`."""
        found: set[str] = set()
        for old, new in changed:
            was, now = render.own_progress(old), render.own_progress(new)
            found |= self._count(new.owner, now[0] - was[0], now[1] - was[1], rows)
            (self._locking.add if render.locks(new) else self._locking.discard)(new.id)
            self.latest = max(self.latest, new.started_at or EVER, new.finished_at or EVER)
        self._keep(still, (new for _, new in changed))
        return found

    def _count(self, owner: str, done: int, of: int, rows: Mapping[str, Node]) -> set[str]:
        """Add to the sums of an owner and of all above it; their ids."""
        found: set[str] = set()
        if not done and not of:
            return found
        self._all = (self._all[0] + done, self._all[1] + of)
        above = rows.get(owner)
        while above is not None:
            if above.type not in render.EXECUTED:  # such a node shows its own
                sums = self.below.get(above.id, (0, 0))
                self.below[above.id] = (sums[0] + done, sums[1] + of)
                found.add(above.id)
            above = rows.get(above.owner)
        return found

    def _keep(self, still: RunState, nodes: Iterable[Node]) -> None:
        for key, template in stored.templates(still, nodes).items():
            self.templates.setdefault(key, template)
