"""Retry of a finished workflow in place (semantics 2.14): what failed is forgotten, what succeeded stays."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler import places, recovery, submitting
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Retry
from tiphys.scheduler.records import Node, Role, Run, Shutdown
from tiphys.scheduler.state import RunState
from tiphys.spec.status import NodeType, Phase

EXECUTED = frozenset({NodeType.POD, NodeType.CONTAINER, NodeType.HTTP, NodeType.PLUGIN})
LEAVES = EXECUTED | {NodeType.SKIPPED, NodeType.SUSPEND}
"""What is made anew. Argo leaves failed suspends and what could not be called as they are, and fails again at once."""
EXIT = "onExit"


class Outline(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a retry does to the nodes of a run of which so much was `decided`: ids of those that go, and those that are others then;
    those of the rest that something is still to come of; and the newest attempt.
    """

    decided: int
    at: datetime
    restart: tuple[str, ...]
    doomed: tuple[str, ...]
    changed: tuple[Node, ...]
    open: tuple[Node, ...]
    newest: int


def retry(draft: Draft, wish: Retry) -> Refusal | None:
    """Delete failed nodes and what followed them, set their ancestors Running, and go on."""
    run = draft.run
    if (refusal := refused(run, wish)) is not None:
        return refusal
    if run.deleting or run.collecting:
        return Refusal(reason=f"workflow {run.name} cannot be retried: it, or artifacts of it, are being deleted")
    found = draft.state.outlined
    if found is None or (found.decided, found.at, found.restart) != (draft.state.decided, draft.at, wish.restart):
        found = outline(draft.state, draft.at, wish.restart)
    for node in found.changed:
        draft.put(node)
    for node_id in found.doomed:
        draft.remove(node_id)
    again(draft, wish, found.newest + 1, found.open)
    return None


def refused(run: Run, wish: Retry) -> Refusal | None:
    """Why a run that ended so is not retried."""
    if run.phase is Phase.SUCCEEDED and not wish.restart:
        return Refusal(reason="To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector")
    if not run.phase.failed_or_error and run.phase is not Phase.SUCCEEDED:
        return Refusal(reason=f"Cannot retry a workflow in phase {run.phase}")
    return None


def outline(state: RunState, at: datetime, restart: tuple[str, ...] = ()) -> Outline:
    """What a retry at that time would do. The state is only read: of one that nothing changes meanwhile this may be done on any thread."""
    draft = Draft(state, at)
    doomed = _doomed(draft, restart)
    newest = max((node.attempt for node in draft.all_nodes()), default=draft.run.generation)
    _restart_daemons(draft, _reset_ancestors(draft, doomed), doomed)
    left = [node for node in draft.all_nodes() if node.id not in doomed]
    return Outline(
        decided=state.decided,
        at=at,
        restart=restart,
        doomed=tuple(doomed),
        changed=tuple(node for node in draft.changed() if node.id not in doomed),
        open=tuple(node for node in left if recovery.is_outstanding(node)),
        newest=newest,
    )


def again(draft: Draft, wish: Retry, generation: int, outstanding: tuple[Node, ...] | None = None) -> None:
    """Set the run going again, with the nodes that are left (`outstanding`: those of them that something is still to come of)."""
    parameters = tuple(structs.replace(p, value=wish.parameters.get(p.name, p.value)) for p in draft.run.parameters)
    draft.change_run(
        phase=Phase.UNKNOWN,
        message="",
        started_at=None,
        finished_at=None,
        deadline_passed=False,
        deadline_at=None,
        artifact_gc_error="",
        shutdown=Shutdown.NONE,
        generation=generation,
        parameters=parameters,
        overridden={**draft.run.overridden, **wish.parameters},
    )
    try:
        if places.take(draft) and submitting.lock(draft):
            recovery.go_on(draft, outstanding)
    except TiphysError as error:
        submitting.refuse(draft, f"Failed to acquire the synchronization lock. {error}")


def left(state: RunState, at: datetime, restart: Iterable[str] = ()) -> list[Node]:
    """The nodes of a finished run as a retry at that time would leave them. The state is only read."""
    draft = Draft(state, at)
    doomed = _doomed(draft, restart)
    _restart_daemons(draft, _reset_ancestors(draft, doomed), doomed)
    return [node for node in draft.all_nodes() if node.id not in doomed]


def _tree(draft: Draft, node_id: str) -> Iterator[str]:
    """A node and everything that belongs to it, at all depths."""
    yield node_id
    for other in draft.owned(node_id):
        yield from _tree(draft, other.id)


class _Order:
    """What came after what."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._followers: dict[str, list[str]] = {}
        self._following: dict[str, dict[str, None]] = {}
        for node in draft.all_nodes():
            for other in node.after or (parent for parent in node.parents if node.role is Role.GROUP and parent != node.owner):
                self._followers.setdefault(other, []).append(node.id)

    def following(self, node_id: str) -> dict[str, None]:
        """Everything that followed a node beside it, with all that is inside."""
        found = self._following.get(node_id)
        if found is None:
            found = self._following[node_id] = {}
            stack = list(self._followers.get(node_id, ()))
            while stack:
                other = stack.pop()
                if other not in found:
                    found.update(dict.fromkeys(_tree(self._draft, other)))
                    stack.extend(self._followers.get(other, ()))
        return found


def _doomed(draft: Draft, restart: Iterable[str] = ()) -> dict[str, None]:
    """Ids to delete: failed leaves that nothing followed well, those to `restart`, all that came after them, and the exit handler's tree.

    What hooks did says nothing of whether a failure was handled, and a failed hook fails nothing: neither counts. Of a retried
    template only the last attempt is gone on with.
    """
    order = _Order(draft)
    doomed: dict[str, None] = {}
    for node_id in restart:
        node = draft.find(node_id)
        if node is not None:
            above = list(_trail(draft, node))[node.role is Role.ATTEMPT :]
            doomed.update(dict.fromkeys(_tree(draft, above[0].id)))
            for other in above:
                doomed.update(order.following(other.id))
    handled: dict[str, bool] = {}
    for node in draft.all_nodes():
        trail = list(_trail(draft, node))
        if trail[-1].role is Role.EXIT:
            doomed[node.id] = None
        elif node.phase.failed_or_error and node.type in LEAVES and not _hooked(trail) and not _superseded(draft, trail):
            above = trail[1:] if node.role is Role.ATTEMPT else trail
            fresh = [other.id for other in above if other.id not in handled]
            handled.update({i: any(_succeeded(draft, draft.node(later)) for later in order.following(i)) for i in fresh})
            if not any(handled[other.id] for other in above):
                doomed.update(dict.fromkeys(_tree(draft, above[0].id)))
                for other in above:
                    doomed.update(order.following(other.id))
    return doomed


def _trail(draft: Draft, node: Node) -> Iterator[Node]:
    """The node, its owner, and so on to the root that it belongs to."""
    yield node
    while node.owner:
        node = draft.node(node.owner)
        yield node


def _hooked(trail: Iterable[Node]) -> bool:
    return any(node.role is Role.HOOK for node in trail)


def _superseded(draft: Draft, trail: Iterable[Node]) -> bool:
    """Whether the node belongs to an attempt that another one followed."""
    attempts = (node for node in trail if node.role is Role.ATTEMPT)
    return any(draft.last_owned(node.owner, Role.ATTEMPT) is not node for node in attempts)


def _succeeded(draft: Draft, node: Node) -> bool:
    return node.phase is Phase.SUCCEEDED and node.type in EXECUTED and not _hooked(_trail(draft, node))


def _restart_daemons(draft: Draft, reset: set[str], doomed: dict[str, None]) -> None:
    """What stayed up for the steps or tasks that are made anew has been ended: it is needed again."""
    for node in list(draft.all_nodes()):
        if node.daemoned and node.role is not Role.ATTEMPT and node.boundary in reset and node.id not in doomed:
            doomed.update(dict.fromkeys(_tree(draft, node.id)))
            group = draft.node(node.owner)
            if group.id not in reset and group.id not in doomed:
                _reset(draft, group, doomed)


def _reset_ancestors(draft: Draft, doomed: dict[str, None]) -> set[str]:
    seen: set[str] = set()
    for node_id in list(doomed):
        for node in list(_trail(draft, draft.node(node_id)))[1:]:
            if node.id in seen:
                break
            seen.add(node.id)
            if node.id not in doomed and node.type in recovery.COMPOSITE:
                _reset(draft, node, doomed)
    return seen


def _reset(draft: Draft, node: Node, doomed: dict[str, None]) -> None:
    """Set a group going again. Its exit hook will run again too, at its new end."""
    fired = tuple(suffix for suffix in node.fired if suffix != EXIT)
    for other in draft.owned(node.id):
        if other.role is Role.HOOK and other.name == f"{node.name}.{EXIT}":
            doomed.update(dict.fromkeys(_tree(draft, other.id)))
    draft.change(
        node,
        phase=Phase.RUNNING,
        message="",
        started_at=draft.at,
        finished_at=None,
        settled=False,
        outputs=None,
        execution_error=False,
        fired=fired,
    )
