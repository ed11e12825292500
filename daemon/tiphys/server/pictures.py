"""Workflows as they are shown: what may not change meanwhile is copied on the loop, the work on it is done on a thread."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import anyio.to_thread
import msgspec
from msgspec import structs

from tiphys.engine.house import House, NotThere
from tiphys.scheduler import render
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.records import Node, Run
from tiphys.scheduler.state import RunState
from tiphys.server import answers, fields
from tiphys.server.albums import Albums
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.workflows import Workflow

__all__ = ["drawing", "many", "one", "outline", "rfc3339", "version", "whole"]

AT_ONCE = 200
LARGE = 1 << 20
"""Bytes that are joined on a thread."""

SMALL = 50
"""Nodes up to which a workflow is shown on the loop: to go to a thread takes longer."""


def version(run: Run, nodes: Iterable[Node] = ()) -> str:
    """A number that grows as a run goes on: the last moment at which anything of it began or ended, in microseconds."""
    moments = [run.created_at, run.started_at, run.finished_at]
    moments += [moment for node in nodes for moment in (node.started_at, node.finished_at)]
    return str(int(max(moment for moment in moments if moment is not None).timestamp() * 1_000_000))


def whole(still: RunState) -> Workflow:
    """The workflow with its nodes."""
    return _versioned(render.workflow(still), version(still.run, still.nodes.values()))


def _versioned(made: Workflow, number: str) -> Workflow:
    return structs.replace(made, metadata=structs.replace(made.metadata, resource_version=number))


def outline(still: RunState) -> Workflow:
    """The workflow without its nodes; its progress is there."""
    counted = render.progress(still)
    nodes, still.nodes = still.nodes, {}
    try:
        made = render.workflow(still)
    finally:
        still.nodes = nodes
    made = _versioned(made, version(still.run, still.nodes.values()))
    assert made.status is not None
    return structs.replace(made, status=structs.replace(made.status, progress=counted.get("", "0/0")))


def waiting(still: RunState) -> Workflow:
    """The workflow with those of its nodes only that wait for somebody to resume them; its progress is there."""
    made = outline(still)
    assert made.status is not None
    nodes = {node.id: _brief(node) for node in still.nodes.values() if node.type is NodeType.SUSPEND and node.phase is Phase.RUNNING}
    return structs.replace(made, status=structs.replace(made.status, nodes=nodes or None))


def _brief(node: Node) -> NodeStatus:
    return NodeStatus(
        id=node.id,
        name=node.name,
        display_name=node.display_name,
        type=node.type,
        template_name=node.template,
        phase=node.phase,
        started_at=rfc3339(node.started_at) if node.started_at else None,
    )


def bare(still: RunState) -> Workflow:
    """The workflow without its nodes, and with what else is found in them."""
    made = whole(still)
    assert made.status is not None
    return structs.replace(made, status=structs.replace(made.status, nodes=None))


NODES: Mapping[str, Callable[[RunState], Workflow] | None] = {"": None, "suspended": waiting}
"""How workflows are drawn of which only such nodes are wanted; "": all of them, where any are."""


def drawing(wanted: str) -> Callable[[RunState], Workflow]:
    """How a workflow is drawn for somebody who wants these fields of it: what takes long is left out where it can be."""
    if fields.keeps(wanted, "status.nodes"):
        return whole
    return bare if fields.keeps(wanted, "status.storedTemplates") or fields.keeps(wanted, "status.synchronization") else outline


async def one(albums: Albums, uid: str, wanted: str = "") -> bytes:
    """A workflow's JSON. Raises NotThere."""
    if not wanted and len(albums.house.nodes(uid)) > SMALL:
        found = await albums.picture(uid)
        return await anyio.to_thread.run_sync(found.whole) if found.size > LARGE else found.whole()
    still = albums.house.still(uid)
    draw = drawing(wanted)
    if len(still.nodes) <= SMALL:
        return answers.encoded(draw(still), wanted)
    return await anyio.to_thread.run_sync(lambda: answers.encoded(draw(still), wanted))


async def many(
    house: House,
    runs: Sequence[Run],
    wanted: str,
    metadata: Mapping[str, object],
    archived: Callable[[Run], Workflow | None] = lambda run: None,  # noqa: ARG005
    *,
    nodes: str = "",
) -> bytes:
    """A WorkflowList's JSON; `wanted` is about the list, `nodes` says of which kind they are shown (one of `NODES`). Of a run that is not
    there (any more) `archived` tells what is shown.
    """
    of_item = fields.below(wanted, "items")
    draw = NODES[nodes] or drawing(of_item)
    items: list[msgspec.Raw] = []
    for start in range(0, len(runs), AT_ONCE):
        stills: list[RunState | Workflow] = []
        for run in runs[start : start + AT_ONCE]:
            try:
                stills.append(house.still(run.uid))
            except NotThere:
                if (kept := archived(run)) is not None:
                    stills.append(kept)
        items += await anyio.to_thread.run_sync(_items, stills, draw, of_item)
    made = answers.listing("WorkflowList", items, metadata)
    if wanted:
        made = {key: value for key, value in made.items() if fields.keeps(wanted, key)}
    return await anyio.to_thread.run_sync(msgspec.json.encode, made)


def _items(stills: Sequence[RunState | Workflow], draw: Callable[[RunState], Workflow], wanted: str) -> list[msgspec.Raw]:
    return [msgspec.Raw(answers.encoded(still if isinstance(still, Workflow) else draw(still), wanted)) for still in stills]
