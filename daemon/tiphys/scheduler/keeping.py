"""A resubmit that keeps what succeeded (semantics 2.14): the old run's nodes, but those that a retry would make anew, renamed."""

from datetime import datetime

from msgspec import structs

from tiphys.scheduler import redoing
from tiphys.scheduler.records import Manifest, Node
from tiphys.scheduler.state import RunState
from tiphys.spec import names
from tiphys.spec.status import NodeType

LOCAL = "local/"


def kept(old: RunState, made: Manifest, at: datetime) -> tuple[Node, ...]:
    """The nodes with which the run of `made` begins that resubmits a failed one: what it needs not do again.

    A pod that did its work shows where it did (`original`); inside it counts as what it is, succeeded.
    """
    left = redoing.left(old, at)
    before, after = old.run.name, made.workflow.metadata.name
    ids: dict[str, str] = {}
    taken: dict[str, str] = {}
    for node in left:
        name = after + node.name.removeprefix(before)
        first = found = names.node_id(after, name)
        count = 1
        while taken.setdefault(found, name) != name:
            count += 1
            found = f"{first}-{count}"
        ids[node.id] = found
    return tuple(_renamed(node, ids, before, after) for node in left)


def _renamed(node: Node, ids: dict[str, str], before: str, after: str) -> Node:
    pod = node.type in (NodeType.POD, NodeType.CONTAINER) and node.phase.fulfilled
    return structs.replace(
        node,
        id=ids[node.id],
        name=after + node.name.removeprefix(before),
        display_name=after if node.display_name == before else node.display_name,
        owner=ids.get(node.owner, ""),
        boundary=ids.get(node.boundary, ""),
        parents=tuple(ids[parent] for parent in node.parents if parent in ids),
        after=tuple(ids[other] for other in node.after if other in ids),
        scope=f"{LOCAL}{after}" if node.scope == f"{LOCAL}{before}" else node.scope,
        original=(node.original or node.id) if pod and not node.phase.failed_or_error else "",
        message=f"original pod: {node.original or node.id}" if pod and not node.phase.failed_or_error else node.message,
        handle=None,
        usage=None,
        daemoned=False,
        ip="",
        holding=(),
        wanting=(),
        waiting_for="",
        ending="",
        launched_at=None,
        wake_at=None,
    )
