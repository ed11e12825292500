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


LARGE = 5000
"""Nodes from which on it is worth while to know that a run changed before anybody asks for it."""


class Watchers:
    """The followers of each run. They get changes after these were recorded, never before."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._stirred: set[str] = set()
        self._stirs = anyio.Event()
        self._streams: dict[str, list[MemoryObjectSendStream[Change]]] = {}

    def tell(self, made: decision.Decision) -> None:
        """Hand a recorded decision's changes to the run's followers."""
        if made.uid not in self._stirred and (run_state := self._state.runs.get(made.uid)) is not None and len(run_state.nodes) >= LARGE:
            self._stirred.add(made.uid)
            self._stirs.set()
        streams = self._streams.get(made.uid)
        if not streams:
            return
        puts = [change.run for change in made.changes if isinstance(change, decision.RunPut)]
        there = self._state.runs.get(made.uid)  # not, where a later decision of the same batch deleted the run
        run = puts[-1] if puts else there.run if there is not None else None
        if run is None:
            self._end(made.uid)
            return
        nodes = sorted((change.node for change in made.changes if isinstance(change, decision.NodePut)), key=_turn)
        changes = [Change(node=render.node_status(node, Graph({}), run.name), phase=run.phase, message=run.message) for node in nodes]
        if puts:
            changes.append(Change(node=None, phase=run.phase, message=run.message))
        for stream in list(streams):
            for told in changes:
                stream.send_nowait(told)
        if there is None:
            self._end(made.uid)

    async def stirred(self) -> set[str]:
        """The large runs that changed since this was asked last, at least one: for a single follower of them all."""
        await self._stirs.wait()
        self._stirs = anyio.Event()
        found, self._stirred = self._stirred, set()
        return found

    def _end(self, uid: str) -> None:
        """The run is deleted: whoever follows it is told nothing more."""
        for stream in self._streams.get(uid, ()):
            stream.close()

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
            if not self._streams[uid]:
                del self._streams[uid]
            send.close()
            receive.close()
