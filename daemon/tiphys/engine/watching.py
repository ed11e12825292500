"""Who follows a run: every recorded change goes to each of them."""

import math
from collections.abc import AsyncIterator

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from tiphys.scheduler import decision, render
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node
from tiphys.scheduler.recovery import COMPOSITE
from tiphys.scheduler.state import State
from tiphys.spec.status import NodeStatus, Phase

LAST = 1_000_000
"""Longer than any node's name."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something recorded: a node as it is now (without the graph's edges), or None where only the workflow itself changed."""

    node: NodeStatus | None
    phase: Phase
    message: str


def _turn(node: Node) -> int:
    """Where a node stands among those of one decision: what contains others ends after them, the rest stays in order."""
    return -len(node.name) if node.phase.fulfilled and node.type in COMPOSITE else -LAST


class Watchers:
    """The followers of each run. They get changes after these were recorded, never before."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._streams: dict[str, list[MemoryObjectSendStream[Change]]] = {}

    def tell(self, made: decision.Decision) -> None:
        """Hand a recorded decision's changes to the run's followers."""
        streams = self._streams.get(made.uid)
        if not streams:
            return
        run = self._state.runs[made.uid].run
        nodes = sorted((change.node for change in made.changes if isinstance(change, decision.NodePut)), key=_turn)
        changes = [Change(node=render.node_status(node, Graph(()), run.name), phase=run.phase, message=run.message) for node in nodes]
        if any(isinstance(change, decision.RunPut) for change in made.changes):
            changes.append(Change(node=None, phase=run.phase, message=run.message))
        for stream in list(streams):
            for told in changes:
                stream.send_nowait(told)

    async def follow(self, uid: str) -> AsyncIterator[Change]:
        """The run's changes from now on, until it is completed."""
        run = self._state.runs[uid].run
        yield Change(node=None, phase=run.phase, message=run.message)
        if run.phase.completed:
            return
        send, receive = anyio.create_memory_object_stream[Change](math.inf)
        self._streams.setdefault(uid, []).append(send)
        try:
            async for change in receive:
                yield change
                if change.node is None and change.phase.completed:
                    return
        finally:
            self._streams[uid].remove(send)
            send.close()
            receive.close()
