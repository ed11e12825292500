"""A run as Argo shows it: the Workflow object with its status."""

from collections.abc import Iterable

from msgspec import structs

from tiphys.scheduler import concluding, stored
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Remains, Role
from tiphys.scheduler.state import RunState, Shared
from tiphys.spec import status
from tiphys.spec.objects import JSON
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Outputs
from tiphys.spec.workflows import Workflow, overridden

LABELS = "workflows.argoproj.io/"
EXECUTED = frozenset({NodeType.POD, NodeType.CONTAINER, NodeType.HTTP, NodeType.PLUGIN, NodeType.SUSPEND})
"""Nodes that count in progress, each for itself; all others show what is done below them."""
OUTBOUND = frozenset({NodeType.STEPS, NodeType.DAG})


def workflow(state: RunState) -> Workflow:
    """The Workflow object, status and all."""
    return _shown(state, workflow_status(state))


def of_remains(remains: Remains) -> Workflow:
    """The Workflow object of a run that is gone."""
    state = RunState(remains.run, remains.manifest, Shared())
    state.load(remains.nodes)
    return workflow(state)


def without_nodes(state: RunState, counted: str, templates: dict[str, JSON], locking: Iterable[Node]) -> Workflow:
    """The same without its nodes, in which nothing is looked for: `counted` is what is done of how many, `templates` those from elsewhere
    that nodes were made from, `locking` the nodes that hold or wait for locks.
    """
    return _shown(state, _status(state, counted, templates, locking, None))


def workflow_status(state: RunState) -> status.WorkflowStatus:
    """The status alone."""
    graph = Graph(state.nodes)
    counted = progress(state)
    nodes = {node.id: node_status(node, graph, state.run.name, counted.get(node.id, "")) for node in state.nodes.values()}
    return _status(state, counted.get("", "0/0"), stored.templates(state, state.nodes.values()), state.nodes.values(), nodes)


def _shown(state: RunState, made: status.WorkflowStatus) -> Workflow:
    run = state.run
    own = structs.replace(state.manifest.workflow, spec=stored.own(state.manifest))
    submitted = overridden(own, run.overridden)
    labels = {**run.labels, f"{LABELS}phase": str(run.phase)}
    if run.phase.completed:
        labels[f"{LABELS}completed"] = "true"
    meta = structs.replace(
        submitted.metadata,
        name=run.name,
        namespace=run.namespace,
        uid=run.uid,
        creation_timestamp=rfc3339(run.created_at),
        labels=labels,
        annotations=run.annotations or None,
    )
    spec = structs.replace(submitted.spec, suspend=True if run.suspended else None, shutdown=str(run.shutdown))
    return structs.replace(submitted, metadata=meta, spec=spec, status=made)


def _status(
    state: RunState, counted: str, templates: dict[str, JSON], locking: Iterable[Node], nodes: dict[str, status.NodeStatus] | None
) -> status.WorkflowStatus:
    run = state.run
    conditions: list[status.Condition] = []
    if run.phase.completed:
        conditions.append(status.Condition(type="Completed", status="True"))
    elif state.counters.get(("active",)):
        conditions.append(status.Condition(type="PodRunning", status="True"))
    if run.metrics_error:
        conditions.append(status.Condition(type="MetricsError", status="True", message=run.metrics_error))
    if run.artifact_gc_error:
        conditions.append(status.Condition(type="ArtifactGCError", status="True", message=run.artifact_gc_error))
    return status.WorkflowStatus(
        phase=run.phase,
        message=run.message,
        started_at=rfc3339(run.started_at) if run.started_at else None,
        finished_at=rfc3339(run.finished_at) if run.finished_at else None,
        estimated_duration=run.estimated_seconds,
        progress=counted,
        stored_templates=templates or None,
        stored_workflow_template_spec=stored.spec(state),
        nodes=nodes,
        persistent_volume_claims=_claims(state),
        outputs=run.outputs if run.outputs != Outputs() else None,
        conditions=tuple(conditions),
        synchronization=_synchronization(state, locking),
        artifact_repository_ref=state.manifest.chosen.repository_ref,
    )


def _claims(state: RunState) -> list[dict[str, object]] | None:
    """The volumes that volumeClaimTemplates made, as long as they are there."""
    spec = state.manifest.workflow.spec
    if state.run.phase.completed and concluding.releases_claims(spec, state.run.phase):
        return None
    names = [str((claim.get("metadata") or {}).get("name", "")) for claim in spec.volume_claim_templates]
    return [{"name": name, "persistentVolumeClaim": {"claimName": f"{state.run.name}-{name}"}} for name in names] or None


def _synchronization(state: RunState, nodes: Iterable[Node]) -> dict[str, object] | None:
    """Who holds and who waits for which lock, in Argo's shape."""
    who = [(f"{state.run.namespace}/{state.run.name}", state.run.holding, state.run.waiting_for)]
    who += [(f"{who[0][0]}/{node.id}", node.holding, node.waiting_for) for node in nodes if locks(node)]
    found: dict[str, object] = {}
    for kind, words in (("mutex", ("/Mutex/", "/Database/")), ("semaphore", ("/ConfigMap/", "/Semaphore/"))):
        holding: dict[str, list[str]] = {}
        waiting: dict[str, list[str]] = {}
        for holder, held, awaited in who:
            for lock in held:
                if any(word in lock for word in words):
                    holding.setdefault(lock, []).append(holder)
            if any(word in awaited for word in words):
                waiting.setdefault(awaited, []).append(holder)
        if holding or waiting:
            found[kind] = {
                name: [
                    {kind: lock, "holder" if kind == "mutex" else "holders": one[0] if kind == "mutex" else one}
                    for lock, one in locks.items()
                ]
                for name, locks in (("holding", holding), ("waiting", waiting))
                if locks
            }
    return found or None


def progress(state: RunState) -> dict[str, str]:
    """How many executed nodes are done, of how many, below each node by id, and under "" for the whole run.

    A node whose program says how far it is counts as much as that says. An executed node shows its own progress alone.
    """
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    for node in state.nodes.values():
        if node.type in EXECUTED:
            over, whole = own_progress(node)
            above: Node | None = node
            while above is not None:
                if above is node or above.type not in EXECUTED:
                    total[above.id] = total.get(above.id, 0) + whole
                    done[above.id] = done.get(above.id, 0) + over
                above = state.nodes.get(above.owner)
            total[""] = total.get("", 0) + whole
            done[""] = done.get("", 0) + over
    return {node_id: f"{done[node_id]}/{count}" for node_id, count in total.items()}


def own_progress(node: Node) -> tuple[int, int]:
    """What is done of how much of a node alone."""
    if node.type not in EXECUTED:
        return 0, 0
    if not node.progress:
        return int(node.phase is Phase.SUCCEEDED), 1
    said, _, of = node.progress.partition("/")
    return int(of if node.phase is Phase.SUCCEEDED else said), int(of)


def locks(node: Node) -> bool:
    """Whether a node holds a lock or waits for one."""
    return bool(node.holding or node.waiting_for)


def node_status(node: Node, graph: Graph, run_name: str, progress_: str = "") -> status.NodeStatus:
    """One node as Argo shows it. `run_name` is the workflow's name, `progress_` what is done below it."""
    retried = node.role is Role.ATTEMPT
    hooked = node.role is Role.HOOK or (node.role is Role.EXIT and node.name == f"{run_name}.onExit")
    hooked |= retried and not node.task and not node.name.startswith(f"{run_name}(")  # only the root has no task either
    return status.NodeStatus(
        id=node.id,
        name=node.name,
        display_name=node.display_name,
        type=NodeType.SKIPPED if node.original else node.type,
        template_name="" if node.reference is not None else node.template,
        template_ref=node.reference,
        template_scope=node.scope,
        phase=Phase.SKIPPED if node.original else node.phase,
        boundary_id=node.boundary,
        message=node.message,
        started_at=rfc3339(node.started_at) if node.started_at else None,
        finished_at=rfc3339(node.finished_at) if node.finished_at else None,
        estimated_duration=node.estimated_seconds,
        progress=progress_ or node.progress,
        pod_ip=node.ip,
        daemoned=True if node.daemoned else None,
        node_flag=status.NodeFlag(hooked=hooked, retried=retried) if hooked or retried else None,
        inputs=node.inputs,
        outputs=node.outputs,
        children=tuple(graph.children.get(node.id, ())),
        outbound_nodes=graph.outbound(node.id) if node.type in OUTBOUND and node.phase.fulfilled else (),
        host_node_name=node.handle.host if node.handle is not None else "",
        memoization_status=node.memo,
        synchronization_status=status.NodeSynchronizationStatus(waiting=node.waiting_for) if node.waiting_for else None,
    )


def node(state: RunState, node_id: str) -> status.NodeStatus:
    """One node without the graph's edges, for those who follow changes."""
    return node_status(state.nodes[node_id], Graph({}), state.run.name)
