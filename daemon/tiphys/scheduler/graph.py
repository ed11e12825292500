"""Argo's graph over the nodes: children and outbound nodes (semantics 2.1.2), derived from the records when somebody asks."""

from collections.abc import Iterable, Sequence

from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType


class Graph:
    """The children of every node, by id."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self._owned: dict[str, list[Node]] = {}
        for node in nodes:
            if node.owner:
                self._owned.setdefault(node.owner, []).append(node)
        self._outbound: dict[str, tuple[str, ...]] = {}
        self.children: dict[str, list[str]] = {}
        for node in nodes:
            for parent in self._parents(node):
                self.children.setdefault(parent, []).append(node.id)

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
            found = self._outbound[node_id] = tuple(dict.fromkeys(self._out(self.nodes[node_id]))) if node_id in self.nodes else ()
        return found

    def _out(self, node: Node) -> Iterable[str]:
        inner = [child for child in self._owned.get(node.id, ()) if child.role is not Role.HOOK]
        if node.type is NodeType.POD and inner:
            followed = {parent for child in inner for parent in child.parents}
            return tuple(child.id for child in inner if child.id not in followed)
        if not inner:
            return (node.id,)
        match node.type:
            case NodeType.RETRY:  # the last attempt, or a hook that came after it
                return (self._owned[node.id][-1].id,)
            case NodeType.STEPS:
                return self.outbound(inner[-1].id)
            case NodeType.STEP_GROUP | NodeType.TASK_GROUP:
                return (last for child in inner for last in self.outbound(child.id))
            case NodeType.DAG:
                followed = {upstream for child in inner for upstream in child.after}
                return (last for child in inner if child.id not in followed for last in self.outbound(child.id))
        return (node.id,)

    def let_go(self) -> None:
        """Forget the nodes: children are known, and of what was asked the outbound nodes."""
        self.nodes = {}
        self._owned = {}

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
