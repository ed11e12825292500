"""Workflows as JSON text, node by node: a node's text is made again when its row is another one, or what hangs on it.

To draw a node costs far more than to look whether it is still the same. What was drawn is kept as long as somebody asks for it now and
then; a workflow nobody looks at costs nothing here.
"""

import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import anyio
import anyio.to_thread
import msgspec
from msgspec import structs

from tiphys.engine.house import House
from tiphys.scheduler import render
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role, Run
from tiphys.scheduler.state import RunState
from tiphys.server.painting import Painter
from tiphys.server.tallies import Tally
from tiphys.spec.status import NodeStatus

KEEP_SECONDS = 60.0
"""How long what was drawn is kept after somebody asked for it."""

MOST_BYTES = 256 << 20
"""Of texts of all workflows; the one that was asked for last is kept in any case."""

NODE_BYTES = 400
"""About what a node's text takes, before it is drawn."""

WAY_SECONDS = 0.001
"""How long who draws what nobody waits for lets others go first, now and then."""

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
        self.take_in(still)
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

    def take_in(self, still: RunState, give_way: Callable[[], None] = lambda: None) -> None:
        """Draw what is another one. `give_way` is called now and then."""
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
        self._draw(still.run.name, [rows[node_id] for node_id in redrawn] if before else [], added, give_way)
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

    def _draw(self, run_name: str, old: Sequence[Node], added: Sequence[Node], give_way: Callable[[], None]) -> None:
        """Draw nodes anew, and draw those that were added behind all others."""
        paint = self._painter.texts
        if old:
            drawn, places = len(self._places), self._places
            places.update(zip(islice(self._rows, drawn, len(self._texts)), range(drawn, len(self._texts)), strict=True))
            for node, text in zip(old, paint(old, self._graph, run_name, self._tally.below, give_way), strict=True):
                place = places[node.id]
                self.size += len(text) - len(self._texts[place])
                self._texts[place] = text
        new = paint(added, self._graph, run_name, self._tally.below, give_way)
        self.size += sum(map(len, new))
        self._texts += new


def _shape(node: Node) -> Shape:
    """All of a node that the graph looks at."""
    return node.id, node.owner, node.parents, node.after, node.type, node.role


class Albums:
    """The albums of those workflows that somebody asked for lately, and of those that were drawn ahead (`ahead`)."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._albums: dict[str, Album] = {}
        self._turns: dict[str, anyio.Lock] = {}
        self._asked_at: dict[str, float] = {}
        self._ahead_at: dict[str, float] = {}
        self.stale: set[str] = set()
        """Of those that were drawn ahead, the ones that have changed since."""

    async def picture(self, uid: str) -> Picture:
        """The workflow. Raises NotThere."""
        async with self._turn(uid):
            still = self.house.still(uid)
            self._asked(uid)
            try:
                return await anyio.to_thread.run_sync(self._album(uid).drawn, still)
            except BaseException:
                self._albums.pop(uid, None)  # half taken in
                raise
            finally:
                self._make_room()

    async def prepare(self, uid: str) -> None:
        """Draw a workflow that nobody may have asked for, if there is room. One that has ended counts as asked for. Raises NotThere."""
        turn = self._turn(uid)
        async with turn:
            still = self.house.still(uid)
            if self.size + NODE_BYTES * len(still.nodes) > MOST_BYTES and uid not in self._albums:
                return
            if still.run.phase.completed:
                self._asked(uid)
            self._ahead_at[uid] = anyio.current_time()
            self.stale.discard(uid)
            try:
                await anyio.to_thread.run_sync(self._album(uid).take_in, still, lambda: _give_way(turn))
            except BaseException:
                self._albums.pop(uid, None)
                raise
            finally:
                self._make_room()

    def _turn(self, uid: str) -> anyio.Lock:
        return self._turns.setdefault(uid, anyio.Lock())

    def _album(self, uid: str) -> Album:
        return self._albums.setdefault(uid, Album())

    def _asked(self, uid: str) -> None:
        self._asked_at.pop(uid, None)
        self._asked_at[uid] = anyio.current_time()

    async def run(self) -> None:
        """Forget what nobody asks for any more; for ever."""
        while True:
            await anyio.sleep(KEEP_SECONDS / 4)
            self.forget(anyio.current_time() - KEEP_SECONDS)

    def forget(self, asked_before: float) -> None:
        """Forget what was asked for last before that time, and what is no longer there. What was drawn ahead stays while it is up to date:
        else it would keep rows in memory that are no longer in force.
        """
        for uid in list(self._turns):
            row = self.house.row(uid)
            if row is None or (self._asked_at.get(uid, -math.inf) < asked_before and not self._is_ahead(uid, row, asked_before)):
                self._drop(uid)

    def _is_ahead(self, uid: str, row: Run, since: float) -> bool:
        at = self._ahead_at.get(uid)
        return at is not None and not row.phase.completed and (at >= since or uid not in self.stale)

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return sum(album.size for album in self._albums.values())

    def _make_room(self) -> None:
        """What nobody asked for goes first, then what was asked for longest ago."""
        for uid in [*(self._albums.keys() - self._asked_at.keys()), *list(self._asked_at)[:-1]]:
            if self.size <= MOST_BYTES:
                return
            self._drop(uid)

    def _drop(self, uid: str) -> None:
        """Forget one; not while it is drawn."""
        if uid in self._turns and self._turns[uid].locked():
            return
        for kept in (self._albums, self._turns, self._asked_at, self._ahead_at):
            kept.pop(uid, None)
        self.stale.discard(uid)


def _give_way(turn: anyio.Lock) -> None:
    """Let others go first, who may be many and short, unless somebody waits for this."""
    if not turn.statistics().tasks_waiting:
        time.sleep(WAY_SECONDS)
