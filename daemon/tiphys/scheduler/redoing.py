"""Retry of a finished workflow in place (semantics 2.14): what failed is forgotten, what succeeded stays."""

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler import recovery, submitting
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Retry
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.status import NodeType, Phase

EXECUTED = frozenset({NodeType.POD, NodeType.CONTAINER, NodeType.HTTP, NodeType.PLUGIN})
GROUPS = frozenset({NodeType.STEPS, NodeType.STEP_GROUP, NodeType.DAG, NodeType.TASK_GROUP, NodeType.RETRY})


def retry(draft: Draft, wish: Retry) -> Refusal | None:
    """Delete failed nodes and what followed them, set their ancestors Running, and go on."""
    run = draft.run
    if not run.phase.failed_or_error:
        return Refusal(reason=f"Cannot retry a workflow in phase {run.phase}")
    graph = Graph(list(draft.all_nodes()))
    doomed = _doomed(draft, graph)
    newest = max((node.attempt for node in draft.all_nodes()), default=run.generation)
    _reset_ancestors(draft, doomed)
    for node_id in doomed:
        draft.remove(node_id)
    parameters = tuple(structs.replace(p, value=wish.parameters.get(p.name, p.value)) for p in run.parameters)
    draft.change_run(
        phase=Phase.RUNNING,
        message="",
        started_at=draft.at,
        finished_at=None,
        deadline_passed=False,
        deadline_at=None if run.deadline_at is None else draft.at + (run.deadline_at - (run.started_at or draft.at)),
        shutdown=Shutdown.NONE,
        generation=newest + 1,
        parameters=parameters,
    )
    try:
        if submitting.lock(draft):
            recovery.go_on(draft)
    except TiphysError as error:
        submitting.refuse(draft, f"Failed to acquire the synchronization lock. {error}")
    return None


def _doomed(draft: Draft, graph: Graph) -> dict[str, None]:
    """Ids to delete: failed leaves without a succeeded descendant, all that came after them, and the exit handler's tree."""
    doomed: dict[str, None] = {}
    for node in draft.all_nodes():
        if node.in_exit and (node.role is Role.EXIT or not _in_host_exit(draft, node)):
            doomed[node.id] = None
        elif node.phase.failed_or_error and node.type in EXECUTED | {NodeType.SKIPPED, NodeType.SUSPEND}:
            first = draft.node(node.owner) if node.role is Role.ATTEMPT else node
            below = graph.descendants(first.id)
            if not any(draft.node(i).phase is Phase.SUCCEEDED and draft.node(i).type in EXECUTED for i in below):
                doomed[first.id] = None
                doomed.update(dict.fromkeys(below))
    return doomed


def _in_host_exit(draft: Draft, node: Node) -> bool:
    """Whether the node belongs to the exit handler of a step or task, not of the workflow."""
    while node.boundary:
        node = draft.node(node.boundary)
    return node.role is not Role.EXIT


def _reset_ancestors(draft: Draft, doomed: dict[str, None]) -> None:
    seen: set[str] = set()
    for node_id in doomed:
        node = draft.node(node_id)
        while node.owner and node.owner not in seen:
            seen.add(node.owner)
            node = draft.node(node.owner)
            if node.id not in doomed and node.type in GROUPS:
                draft.change(
                    node,
                    phase=Phase.RUNNING,
                    message="",
                    started_at=draft.at,
                    finished_at=None,
                    settled=False,
                    outputs=None,
                    execution_error=False,
                )
