"""Workflows as JSON text, node by node: a node's text is made again when its row is another one, or what hangs on it.

To draw a node costs far more than to look whether it is still the same. What was drawn is kept as long as somebody asks for it now and
then; a workflow nobody looks at costs nothing here.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import anyio
import anyio.to_thread
import msgspec
from msgspec import structs

from tiphys.engine.house import House, NotThere
from tiphys.scheduler import render
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import RunState
from tiphys.server.painting import Painter
from tiphys.server.tallies import Tally
from tiphys.spec.status import NodeStatus

KEEP_SECONDS = 60.0
"""How long what was drawn is kept after somebody asked for it."""

MOST_BYTES = 256 << 20
"""Of texts of all workflows; the one that was asked for last is kept in any case."""

AT_ONCE = 1000
"""Nodes whose texts are joined at once."""

HERE: dict[str, NodeStatus] = {"": msgspec.Raw(b"\xff")}  # type: ignore[dict-item]
"""Stands where the nodes belong; no JSON text holds such a byte."""

PLACE = msgspec.json.encode(HERE)[1:-1]
Shape = tuple[str, str, tuple[str, ...], tuple[str, ...], str, Role]


@dataclass(frozen=True)
class Picture:
    """A workflow's JSON, its nodes one by one."""

    head: bytes
    nodes: Sequence[bytes]
    tail: bytes
    size: int
    version: str

    def pieces(self) -> Iterator[bytes]:
        """All of it, some at a time."""
        yield self.head
        for start in range(0, len(self.nodes), AT_ONCE):
            yield (b"," if start else b"") + b",".join(self.nodes[start : start + AT_ONCE])
        yield self.tail

    def each(self) -> list[bytes]:
        """The JSON of each node."""
        return [text[text.index(b'":{') + 2 :] for text in self.nodes]

    def whole(self) -> bytes:
        """All of it. May take long where it is large."""
        return b"".join(self.pieces())


class Album:
    """The nodes of one run as they were drawn last. Used by one thread at a time."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all nodes' texts."""
        self._rows: dict[str, Node] = {}
        self._texts: list[bytes] = []
        self._places: dict[str, int] = {}
        """Where nodes stand among the texts; all that were there when one changed."""
        self._graph = Graph({})
        self._tally = Tally()
        self._painter = Painter()

    def drawn(self, still: RunState) -> Picture:
        """The run as it is."""
        self._take_in(still)
        made = render.without_nodes(still, self._tally.progress, self._tally.templates, self._tally.lockers(self._rows))
        assert made.status is not None
        version = self._version(still)
        metadata = structs.replace(made.metadata, resource_version=version)
        text = msgspec.json.encode(structs.replace(made, metadata=metadata, status=structs.replace(made.status, nodes=HERE)))
        head, _, tail = text.partition(PLACE)
        nodes = self._texts.copy()
        return Picture(head, nodes, tail, len(head) + len(tail) + self.size + max(0, len(nodes) - 1), version)

    def _version(self, still: RunState) -> str:
        run = still.run
        moments = (run.created_at, run.started_at, run.finished_at, self._tally.latest)
        return str(int(max(moment for moment in moments if moment is not None).timestamp() * 1_000_000))

    def _take_in(self, still: RunState) -> None:
        """Draw what is another one."""
        rows = still.nodes
        before, now = list(self._rows.values()), list(rows.values())
        changed = [(before[at], now[at]) for at in compress(range(len(before)), map(operator.is_not, before, now))]
        if len(now) < len(before) or any(old.id != new.id or old.owner != new.owner for old, new in changed):
            self.__init__()  # type: ignore[misc] # nodes are gone: as if nothing had been drawn
            before, changed = [], []
        added = now[len(before) :]
        self._rows = rows
        redrawn = {new.id for _, new in changed} | self._tally.change(still, changed, rows) | self._tally.add(still, added, rows)
        if added or any(_shape(old) != _shape(new) for old, new in changed):
            redrawn |= self._hang(rows)
        if before:
            redrawn.difference_update([new.id for new in added])
        self._draw(still.run.name, [rows[node_id] for node_id in redrawn] if before else [], added)
        self._graph.go_on(rows)

    def _hang(self, rows: dict[str, Node]) -> set[str]:
        """Know anew what hangs under what; the ids of the nodes for which that is another."""
        old, new = self._graph, Graph(rows)
        self._graph = new
        found = {node_id for node_id, children in new.children.items() if old.children.get(node_id) != children}
        found |= old.children.keys() - new.children.keys()
        shown = [node.id for node in rows.values() if node.type in render.OUTBOUND and node.phase.fulfilled]
        found.update(node_id for node_id in shown if old.outbound(node_id) != new.outbound(node_id))
        return found & self._rows.keys()

    def _draw(self, run_name: str, old: Sequence[Node], added: Sequence[Node]) -> None:
        """Draw nodes anew, and draw those that were added behind all others."""
        paint = self._painter.texts
        if old:
            drawn, places = len(self._places), self._places
            places.update(zip(islice(self._rows, drawn, len(self._texts)), range(drawn, len(self._texts)), strict=True))
            for node, text in zip(old, paint(old, self._graph, run_name, self._tally.below), strict=True):
                place = places[node.id]
                self.size += len(text) - len(self._texts[place])
                self._texts[place] = text
        new = paint(added, self._graph, run_name, self._tally.below)
        self.size += sum(map(len, new))
        self._texts += new


def _shape(node: Node) -> Shape:
    """All of a node that the graph looks at."""
    return node.id, node.owner, node.parents, node.after, node.type, node.role


class Albums:
    """The albums of those workflows that somebody asked for lately."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._albums: dict[str, Album] = {}
        self._turns: dict[str, anyio.Lock] = {}
        self._asked_at: dict[str, float] = {}

    async def picture(self, uid: str) -> Picture:
        """The workflow. Raises NotThere."""
        async with self._turns.setdefault(uid, anyio.Lock()):
            still = self.house.still(uid)
            self._asked_at.pop(uid, None)
            self._asked_at[uid] = anyio.current_time()
            album = self._albums.setdefault(uid, Album())
            try:
                return await anyio.to_thread.run_sync(album.drawn, still)
            except BaseException:
                self._albums.pop(uid, None)  # half taken in
                raise
            finally:
                self._make_room()

    async def run(self) -> None:
        """Forget what nobody asks for any more; for ever."""
        while True:
            await anyio.sleep(KEEP_SECONDS / 4)
            self.forget(anyio.current_time() - KEEP_SECONDS)

    def forget(self, asked_before: float) -> None:
        """Forget what was asked for last before that time, and what is no longer there."""
        for uid in [uid for uid, at in self._asked_at.items() if at < asked_before or not self._is_there(uid)]:
            self._drop(uid)

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return sum(album.size for album in self._albums.values())

    def _is_there(self, uid: str) -> bool:
        try:
            self.house.nodes(uid)
        except NotThere:
            return False
        return True

    def _make_room(self) -> None:
        for uid in list(self._asked_at)[:-1]:
            if self.size <= MOST_BYTES:
                return
            self._drop(uid)

    def _drop(self, uid: str) -> None:
        """Forget one; not while it is drawn."""
        if uid in self._turns and self._turns[uid].locked():
            return
        for kept in (self._albums, self._turns, self._asked_at):
            kept.pop(uid, None)
