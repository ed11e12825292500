"""Workflows as JSON text, node by node: a node's text is made again when its row is another one, or what hangs on it.

To draw a node costs far more than to look whether it is still the same. What was drawn is kept as long as somebody asks for it now and
then; a workflow nobody looks at costs nothing here.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress

import anyio
import anyio.to_thread
import msgspec
from msgspec import structs

from tiphys.engine.house import House, NotThere
from tiphys.scheduler import render, stored
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import RunState
from tiphys.spec.objects import JSON
from tiphys.spec.status import NodeStatus

KEEP_SECONDS = 60.0
"""How long what was drawn is kept after somebody asked for it."""

MOST_BYTES = 256 << 20
"""Of texts of all workflows; the one that was asked for last is kept in any case."""

AT_ONCE = 1000
"""Nodes whose texts are joined at once."""

HERE: dict[str, NodeStatus] = {"": msgspec.Raw(b"\xff")}  # type: ignore[dict-item]
"""Stands where the nodes belong; no JSON text holds such a byte."""

encode = msgspec.json.Encoder().encode
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
        self._texts: dict[str, bytes] = {}
        self._graph = Graph(())
        self._below: dict[str, tuple[int, int]] = {}
        self._all = (0, 0)
        self._templates: dict[str, JSON] = {}
        self._locking: set[str] = set()
        self._latest: datetime | None = None

    def drawn(self, still: RunState) -> Picture:
        """The run as it is."""
        self._take_in(still)
        made = render.without_nodes(still, self._progress(), self._templates, self._lockers())
        assert made.status is not None
        version = self._version(still)
        metadata = structs.replace(made.metadata, resource_version=version)
        text = msgspec.json.encode(structs.replace(made, metadata=metadata, status=structs.replace(made.status, nodes=HERE)))
        head, _, tail = text.partition(PLACE)
        nodes = list(self._texts.values())
        return Picture(head, nodes, tail, len(head) + len(tail) + self.size + max(0, len(nodes) - 1), version)

    def _version(self, still: RunState) -> str:
        run = still.run
        moments = (run.created_at, run.started_at, run.finished_at, self._latest)
        return str(int(max(moment for moment in moments if moment is not None).timestamp() * 1_000_000))

    def _progress(self) -> str:
        return f"{self._all[0]}/{self._all[1]}"

    def _lockers(self) -> list[Node]:
        return [node for node in self._rows.values() if node.id in self._locking] if self._locking else []

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
        redrawn = {new.id for _, new in changed}
        for old, new in changed:
            redrawn |= self._count(old, new)
        for new in added:
            redrawn |= self._count(None, new)
        self._note(still, [new for _, new in changed], added)
        if added or any(_shape(old) != _shape(new) for old, new in changed):
            redrawn |= self._hang(now)
        for new in added:  # in their order
            self._draw(still.run.name, new)
        for node_id in redrawn.difference([new.id for new in added]):
            self._draw(still.run.name, rows[node_id])

    def _count(self, old: Node | None, new: Node) -> set[str]:
        """Take along what is done of a node; the ids of those above it that show another sum for it."""
        was, now = render.own_progress(old) if old is not None else (0, 0), render.own_progress(new)
        done, of = now[0] - was[0], now[1] - was[1]
        if not done and not of:
            return set()
        self._all = (self._all[0] + done, self._all[1] + of)
        above, found = self._rows.get(new.owner), set()
        while above is not None:
            sums = self._below.get(above.id, (0, 0))
            self._below[above.id] = (sums[0] + done, sums[1] + of)
            found.add(above.id)
            above = self._rows.get(above.owner)
        return found

    def _note(self, still: RunState, changed: Sequence[Node], added: Sequence[Node]) -> None:
        """Know what else the workflow shows of its nodes."""
        for key, template in stored.templates(still, added).items():
            self._templates.setdefault(key, template)
        for node in (*changed, *added):
            (self._locking.add if render.locks(node) else self._locking.discard)(node.id)
            for moment in (node.started_at, node.finished_at):
                if moment is not None and (self._latest is None or moment > self._latest):
                    self._latest = moment

    def _hang(self, rows: Sequence[Node]) -> set[str]:
        """Know anew what hangs under what; the ids of the nodes for which that is another."""
        old, new = self._graph, Graph(rows)
        self._graph = new
        found = {node_id for node_id, children in new.children.items() if old.children.get(node_id) != children}
        found |= old.children.keys() - new.children.keys()
        found |= {node.id for node in rows if node.type in render.OUTBOUND and old.outbound(node.id) != new.outbound(node.id)}
        new.let_go()
        return found & self._rows.keys()

    def _draw(self, run_name: str, node: Node) -> None:
        sums, own = self._below.get(node.id, (0, 0)), render.own_progress(node)
        counted = f"{sums[0] + own[0]}/{sums[1] + own[1]}" if sums[1] + own[1] else ""
        made = render.node_status(node, self._graph, run_name, counted)
        text = b"%b:%b" % (encode(node.id), encode(made))
        self.size += len(text) - len(self._texts.get(node.id, b""))
        self._texts[node.id] = text


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
