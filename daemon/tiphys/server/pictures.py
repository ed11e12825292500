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


def needs_nodes(wanted: str, prefix: str = "") -> bool:
    """Whether the query parameter `fields` keeps anything that is found in nodes; `prefix`: where the workflow is in the answer."""
    below = ("status.nodes", "status.storedTemplates", "status.synchronization")
    return any(fields.keeps(wanted, f"{prefix}{path}") for path in below)


async def one(house: House, uid: str, wanted: str = "") -> bytes:
    """A workflow's JSON. Raises NotThere."""
    still = house.still(uid)
    draw = whole if needs_nodes(wanted) else outline
    if len(still.nodes) <= SMALL:
        return answers.encoded(draw(still), wanted)
    return await anyio.to_thread.run_sync(lambda: answers.encoded(draw(still), wanted))


async def many(house: House, runs: Sequence[Run], wanted: str, metadata: Mapping[str, object]) -> bytes:
    """A WorkflowList's JSON; `wanted` is about the list. A run that is deleted meanwhile is left out."""
    draw = whole if needs_nodes(wanted, "items.") else outline
    items: list[msgspec.Raw] = []
    for start in range(0, len(runs), AT_ONCE):
        stills = []
        for run in runs[start : start + AT_ONCE]:
            try:
                stills.append(house.still(run.uid))
            except NotThere:
                continue
        items += await anyio.to_thread.run_sync(_items, stills, draw, wanted)
    made = answers.listing("WorkflowList", items, metadata)
    if wanted:
        made = {key: value for key, value in made.items() if fields.keeps(wanted, key)}
    return msgspec.json.encode(made)


def _items(stills: Sequence[RunState], draw: Callable[[RunState], Workflow], wanted: str) -> list[msgspec.Raw]:
    return [msgspec.Raw(_item(draw(still), wanted)) for still in stills]


def _item(workflow: Workflow, wanted: str) -> bytes:
    if not wanted:
        return answers.encoded(workflow)
    pruned = fields.pruned({"items": msgspec.to_builtins(workflow)}, wanted)
    return msgspec.json.encode(pruned.get("items", {}))
