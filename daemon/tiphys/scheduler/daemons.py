"""Daemons: steps that stay up beside others until the steps or dag they are in ends (semantics 2.18).

A daemon that is ready is settled for its owner although it runs; what becomes of it later is nobody's concern but its Retry node's.
"""

from collections.abc import Iterator

from tiphys.scheduler import hooks, nodes, todo
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node
from tiphys.spec.status import Phase

DISMISSED = "the daemon is not needed any more"
LEFT = "daemon ended by itself"


def ready(draft: Draft, node: Node, ip: str) -> None:
    """A daemon, or the Retry node of one, is up: dependents go on. Its locks are free from now on, and it takes no room."""
    if node.holding:
        draft.later(todo.Freed(node.holding))
    node = draft.change(node, daemoned=True, ip=ip, holding=())
    if hooks.settled(draft, node) == 0:
        draft.later(todo.Settle(node.id))
    draft.later(todo.Admit(node.boundary))


def dismiss(draft: Draft, boundary: Node) -> None:
    """End the daemons of a steps or dag node that is over."""
    if draft.count("daemons", boundary.id):
        for _ in range(draft.waiting(boundary.id)):  # attempts that would follow
            draft.queue(boundary.id).pop()
        for node in [node for node in up(draft) if node.boundary == boundary.id]:
            _end(draft, node)


def dismiss_all(draft: Draft) -> bool:
    """End the daemons that are still up; whether there are any."""
    if not draft.count("daemons"):
        return False
    for node in list(up(draft)):
        _end(draft, node)
    return True


def up(draft: Draft) -> Iterator[Node]:
    """The daemons that are up."""
    return (node for node in draft.all_nodes() if node.daemoned and not node.phase.fulfilled)


def _end(draft: Draft, node: Node) -> None:
    if node.type not in nodes.ATTEMPTED:
        attempts = [attempt for attempt in draft.owned(node.id) if not attempt.phase.fulfilled]
        for attempt in attempts:
            _end(draft, attempt)
        if not attempts:  # between two attempts
            nodes.end(draft, node, Phase.SUCCEEDED)
    elif not node.ending:
        nodes.stop(draft, node)
        if node.id in draft.state.nodes:
            draft.change(node, ending=DISMISSED)
        else:
            nodes.end(draft, node, Phase.SUCCEEDED)  # it was about to be launched
