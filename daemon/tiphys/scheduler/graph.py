"""Argo's graph over the nodes: children and outbound nodes (semantics 2.1.2), derived from the records when somebody asks."""

from collections.abc import Iterable, Mapping, Sequence

from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType


class Graph:
    """The children of every node, by id. Nodes that were made together often have the same parents: those are looked up once."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes
        self._owners: dict[str, list[Node]] | None = None
        self._outbound: dict[str, tuple[str, ...]] = {}
        self.children: dict[str, list[str]] = {}
        last: tuple[str, ...] = ()
        lists: list[list[str]] = []
        for node_id, node in nodes.items():
            if node.after:
                for parent in self._parents(node):
                    self.children.setdefault(parent, []).append(node_id)
                continue
            if node.parents is not last:
                last = node.parents
                lists = [self.children.setdefault(parent, []) for parent in last]
            for children in lists:
                children.append(node_id)

    @property
    def _owned(self) -> dict[str, list[Node]]:
        if self._owners is None:
            self._owners = owners = dict[str, list[Node]]()
            last, owned = "", list[Node]()
            for node in self.nodes.values():
                if node.owner is not last:
                    last = node.owner
                    owned = owners.setdefault(last, []) if last else []
                owned.append(node)
        return self._owners

    def _parents(self, node: Node) -> Iterable[str]:
        yield from node.parents
        seen: set[str] = set()
        for upstream in node.after:
            for parent in self.outbound(upstream):
                if parent not in seen:
                    seen.add(parent)
                    yield parent

    def outbound(self, node_id: str) -> tuple[str, ...]:
        """The last nodes inside a node: those that what follows it hangs under."""
        found = self._outbound.get(node_id)
        if found is None:
            node = self.nodes.get(node_id)
            if node is None or node_id not in self._owned:
                return () if node is None else (node_id,)
            found = self._outbound[node_id] = tuple(dict.fromkeys(self._out(node)))
        return found

    def _out(self, node: Node) -> Iterable[str]:
        owned = self._owned[node.id]
        inner = [child for child in owned if child.role is not Role.HOOK]
        if node.type is NodeType.POD and inner:
            followed = {parent for child in inner for parent in child.parents}
            return tuple(child.id for child in inner if child.id not in followed)
        if not inner:
            return (node.id,)
        match node.type:
            case NodeType.RETRY:  # the last attempt, or a hook that came after it
                return (owned[-1].id,)
            case NodeType.STEPS:
                return self.outbound(inner[-1].id)
            case NodeType.STEP_GROUP | NodeType.TASK_GROUP:
                return self._each([child.id for child in inner])
            case NodeType.DAG:
                followed = {upstream for child in inner for upstream in child.after}
                return self._each([child.id for child in inner if child.id not in followed])
        return (node.id,)

    def _each(self, node_ids: Sequence[str]) -> Sequence[str]:
        owned = self._owned
        if not any(node_id in owned for node_id in node_ids):
            return node_ids
        return [last for node_id in node_ids for last in (self.outbound(node_id) if node_id in owned else (node_id,))]

    def go_on(self, nodes: Mapping[str, Node]) -> None:
        """The same nodes as they are now: what hangs under what is still the same."""
        self.nodes = nodes
        self._owners = None

    def descendants(self, node_id: str) -> list[str]:
        """Everything below a node in the graph, itself aside."""
        seen: dict[str, None] = {}
        stack = list(self.children.get(node_id, ()))
        while stack:
            below = stack.pop()
            if below not in seen:
                seen[below] = None
                stack.extend(self.children.get(below, ()))
        return list(seen)
