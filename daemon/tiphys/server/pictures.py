"""Workflows as they are shown: what may not change meanwhile is copied on the loop, the work on it is done on a thread."""

from collections.abc import Callable, Mapping, Sequence

import anyio.to_thread
import msgspec
from msgspec import structs

from tiphys.engine.house import House, NotThere
from tiphys.scheduler import render
from tiphys.scheduler.records import Run
from tiphys.scheduler.state import RunState
from tiphys.server import answers, fields
from tiphys.spec.workflows import Workflow

AT_ONCE = 200
SMALL = 50
"""Nodes up to which a workflow is shown on the loop: to go to a thread takes longer."""


def whole(still: RunState) -> Workflow:
    """The workflow with its nodes."""
    return render.workflow(still)


def outline(still: RunState) -> Workflow:
    """The workflow without its nodes; its progress is there."""
    counted = render.progress(still)
    nodes, still.nodes = still.nodes, {}
    try:
        made = render.workflow(still)
    finally:
        still.nodes = nodes
    assert made.status is not None
    return structs.replace(made, status=structs.replace(made.status, progress=counted.get("", "0/0")))


def bare(still: RunState) -> Workflow:
    """The workflow without its nodes, and with what else is found in them."""
    made = whole(still)
    assert made.status is not None
    return structs.replace(made, status=structs.replace(made.status, nodes=None))


def drawing(wanted: str) -> Callable[[RunState], Workflow]:
    """How a workflow is drawn for somebody who wants these fields of it: what takes long is left out where it can be."""
    if fields.keeps(wanted, "status.nodes"):
        return whole
    return bare if fields.keeps(wanted, "status.storedTemplates") or fields.keeps(wanted, "status.synchronization") else outline


async def one(house: House, uid: str, wanted: str = "") -> bytes:
    """A workflow's JSON. Raises NotThere."""
    still = house.still(uid)
    draw = drawing(wanted)
    if len(still.nodes) <= SMALL:
        return answers.encoded(draw(still), wanted)
    return await anyio.to_thread.run_sync(lambda: answers.encoded(draw(still), wanted))


async def many(house: House, runs: Sequence[Run], wanted: str, metadata: Mapping[str, object]) -> bytes:
    """A WorkflowList's JSON; `wanted` is about the list. A run that is deleted meanwhile is left out."""
    of_item = fields.below(wanted, "items")
    draw = drawing(of_item)
    items: list[msgspec.Raw] = []
    for start in range(0, len(runs), AT_ONCE):
        stills = []
        for run in runs[start : start + AT_ONCE]:
            try:
                stills.append(house.still(run.uid))
            except NotThere:
                continue
        items += await anyio.to_thread.run_sync(_items, stills, draw, of_item)
    made = answers.listing("WorkflowList", items, metadata)
    if wanted:
        made = {key: value for key, value in made.items() if fields.keeps(wanted, key)}
    return await anyio.to_thread.run_sync(msgspec.json.encode, made)


def _items(stills: Sequence[RunState], draw: Callable[[RunState], Workflow], wanted: str) -> list[msgspec.Raw]:
    return [msgspec.Raw(answers.encoded(draw(still), wanted)) for still in stills]
