"""After a failure: which step it was, and why. Pure, up to `report`, which is handed the log's last lines."""

from collections.abc import Mapping, Sequence

import msgspec

from tiphys.cli import tree
from tiphys.spec import names
from tiphys.spec.status import NodeStatus, NodeType
from tiphys.spec.workflows import Workflow

SHOWN = 3
TAIL_LINES = 20
GROUPS = frozenset({NodeType.STEPS, NodeType.DAG, NodeType.STEP_GROUP, NodeType.TASK_GROUP, NodeType.RETRY})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a failed step on this machine; "" and () where there is nothing."""

    output: Sequence[str] = ()
    log: str = ""
    folder: str = ""


def culprits(workflow: Workflow) -> list[NodeStatus]:
    """The nodes that failed by themselves, the earliest end first: of a retried step only its last attempt."""
    nodes = (workflow.status.nodes if workflow.status else None) or {}
    if not nodes:
        return []
    replaced = _earlier_attempts(nodes)
    failed = {key: node for key, node in nodes.items() if node.phase.failed_or_error and key not in replaced}
    ancestors: set[str] = set()
    for node in failed.values():
        if node.type not in GROUPS:
            ancestors |= _above(node, nodes, ancestors)
    leaves = [node for key, node in failed.items() if key not in ancestors and not (node.type in GROUPS and _failed_below(node, nodes))]
    return sorted(leaves, key=lambda node: (node.finished_at or "9", node.started_at or "9", node.name))


def _earlier_attempts(nodes: Mapping[str, NodeStatus]) -> set[str]:
    """Attempts that another one followed."""
    by_name = {node.name: node for node in nodes.values()}
    latest: dict[str, tuple[int, str]] = {}
    numbers: dict[str, int] = {}
    for key, node in nodes.items():
        found = tree.ATTEMPT.search(node.name)
        retry = by_name.get(node.name[: found.start()]) if found else None
        if found and retry and retry.type is NodeType.RETRY:
            numbers[key] = int(found[1])
            latest[retry.name] = max(latest.get(retry.name, (-1, "")), (numbers[key], key))
    return numbers.keys() - {key for _, key in latest.values()}


def _above(node: NodeStatus, nodes: Mapping[str, NodeStatus], known: set[str]) -> set[str]:
    """The ids of the nodes that hold `node`, by boundary; a step or container names its own."""
    found: set[str] = set()
    boundary = node.boundary_id
    while boundary and boundary in nodes and boundary not in known and boundary not in found:
        found.add(boundary)
        boundary = nodes[boundary].boundary_id
    return found


def _failed_below(node: NodeStatus, nodes: Mapping[str, NodeStatus]) -> bool:
    """Whether a group's failure is a child's."""
    return any(nodes[child].phase.failed_or_error for child in node.children if child in nodes)


def report(workflow: Workflow, node: NodeStatus, evidence: Evidence) -> list[tree.Line]:
    """What to tell about one failed node."""
    message = " ".join(node.message.split()) or str(node.phase)
    title = f"{tree.icon(node)} {node.display_name or node.name}: {message}"
    lines = [tree.Line(text=title, sign=tree.icon(node), colour=tree.COLOURS[node.phase])]
    facts = [("node", node.name), ("template", tree.template_name(node))]
    if node.type is NodeType.POD:
        own = node.template_ref.template if node.template_ref else node.template_name
        facts.append(("pod", names.pod_name(workflow.metadata.name, node.name, own)))
    facts += [("log", evidence.log), ("folder", evidence.folder)]
    lines += [tree.Line(text=f"    {label:<9} {value}") for label, value in facts if value]
    if evidence.output:
        lines.append(tree.Line(text="    its last lines of output:"))
        lines += [tree.Line(text=f"      │ {line}") for line in evidence.output]
    return lines
