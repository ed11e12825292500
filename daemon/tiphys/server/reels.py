"""What a workflow's steps print, read once for all who follow it.

A reel takes in the output of a run as it comes: lines are numbered and encoded once, and every follower is given the same bytes. It keeps
the last of it in memory, so much and no more. Who falls behind that, or comes later, reads what it lacks from where the executor keeps
it; nobody waits for anybody else.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec
import structlog
from anyio.abc import TaskGroup

from tiphys.engine.house import House, NotThere
from tiphys.scheduler.records import Node, Run
from tiphys.server import context, fetching, framing, problems
from tiphys.server.audience import Audience, Member
from tiphys.server.context import Context
from tiphys.server.framing import Frame
from tiphys.spec import names
from tiphys.spec.status import NodeType, Phase

LONGEST_LINE = 1 << 20
MOST_BYTES = 8 << 20
"""Of a run's lines in memory."""

AT_ONCE_BYTES = 1 << 18
"""What has come of a run is handed on when it is so much, however short a time ago that was done last."""

MOST_SPOOLS = 5000
"""Of which it is known separately what was in them."""

PRINTING = frozenset({NodeType.POD, NodeType.HTTP, NodeType.PLUGIN})
log = structlog.get_logger()

Line = tuple[int, str]
"""A line's number in its node's output, from 1, and its text."""


def pod_name(run: Run, node: Node) -> str:
    """The name of a node's pod, as Argo shows it."""
    template = node.reference.template if node.reference is not None else node.template
    return names.pod_name(run.name, node.name, template)


def entries(lines: Iterable[Line], pod: str) -> list[bytes]:
    """The lines as JSON. `line`, which is ours, lets a client that was cut off leave out what it has."""
    return [msgspec.json.encode({"content": text, "podName": pod, "line": number}) for number, text in lines]


async def whole_lines(pieces: AsyncIterator[bytes], *, unfinished: bool = True) -> AsyncIterator[list[Line]]:
    """The lines without their ends, numbered. What has no end is a line too where it is far too long, or (`unfinished`) is the last."""
    rest, number = b"", 0
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines.append(rest)
            rest = b""
        if lines:
            yield [(number + index, line.decode("utf-8", "replace")) for index, line in enumerate(lines, 1)]
            number += len(lines)
    if rest and unfinished:
        yield [(number + 1, rest.decode("utf-8", "replace"))]


async def output(house: House, uid: str, node_id: str, *, follow: bool = False) -> AsyncIterator[bytes]:
    """What a node printed, with `follow` until its end; where what it left was deleted, what its artifacts kept."""
    found = False
    async for piece in house.logs(uid, node_id, follow=follow):
        found = True
        yield piece
    row = house.row(uid)
    node = house.nodes(uid).get(node_id) if row is not None else None
    if not found and row is not None and node is not None and node.outputs is not None:
        async for piece in fetching.logs(house, node.outputs.artifacts, row.namespace):
            yield piece


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of one node that came together."""

    node_id: str
    pod: str
    lines: Sequence[Line]

    @property
    def span(self) -> "Span":
        """Which lines these are."""
        return Span(self.node_id, self.pod, self.lines[0][0], self.lines[-1][0])


@dataclass(frozen=True, slots=True)
class Span:
    """Which lines of a node there were."""

    node_id: str
    pod: str
    first: int
    last: int


class Spool:
    """What came of a run between two rounds; its lines are let go some time, what they were stays known."""

    __slots__ = ("_frames", "pieces", "size", "spans")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces: Sequence[Piece] | None = pieces
        self.spans: Sequence[Span] = ()
        self.size = 0
        self._frames: dict[bool, Frame] = {}

    def framed(self, *, events: bool) -> Frame:
        """All of it as it is sent, made once for everybody."""
        if events not in self._frames:
            assert self.pieces is not None
            self._frames[events] = Frame(
                framing.framed((entry for piece in self.pieces for entry in entries(piece.lines, piece.pod)), events=events)
            )
        return self._frames[events]

    def drop(self) -> None:
        """Let the lines go."""
        assert self.pieces is not None
        self.spans = [piece.span for piece in self.pieces]
        self.pieces = None
        self._frames = {}


class UpToDate(Member, Protocol):
    """A follower that has all there was, and wants all of it."""

    number: int
    """Of the spool that comes next for it."""


class Reel:
    """The output of one run, from when it is first followed until the run has ended."""

    def __init__(self, here: Context, run: Run) -> None:
        self._here = here
        self.row = run
        """As it was when it was first followed."""
        self._begun: set[str] = set()
        self._fresh: list[Piece] = []
        self._fresh_bytes = 0
        self._taken = anyio.Event()
        self._spools: list[Spool] = []
        self._kept = 0
        self._kept_bytes = 0
        self._past: dict[str, Span] = {}
        self.audience: Audience[UpToDate] = Audience()
        self.first = 0
        """The number of the first spool of which it is known separately what was in it."""
        self.over = False
        """Nothing more will come."""
        self.failed: Exception | None = None
        self.news = anyio.Event()
        """Set when something has come; a new one takes its place then."""

    @property
    def end(self) -> int:
        """The number of the spool that will come next."""
        return self.first + len(self._spools)

    @property
    def kept(self) -> int:
        """The number of the first spool whose lines are here."""
        return self.first + self._kept

    def spool(self, number: int) -> Spool:
        """A spool that is not past."""
        return self._spools[number - self.first]

    def lost(self, number: int) -> tuple[list[Span], int]:
        """What can no longer be had here of the spools from this one on, and the first spool that can. At the beginning that is all."""
        spans = dict(self._past) if not number else {}
        for spool in self._spools[max(0, number - self.first) : self._kept]:
            for span in spool.spans:
                before = spans.get(span.node_id)
                spans[span.node_id] = span if before is None else Span(span.node_id, span.pod, before.first, span.last)
        return list(spans.values()), self.kept

    async def run(self) -> None:
        """Take in what comes."""
        try:
            async with anyio.create_task_group() as group:
                await self._gather(group)
        except NotThere:
            pass  # it was deleted
        except Exception as error:  # whoever follows is told; nobody else is to suffer from it
            self.failed = problems.gathered(error)
            log.exception("output not followed", uid=self.row.uid)
        await self._hand_on()
        self.over = True
        self.wake()

    async def _gather(self, group: TaskGroup) -> None:
        hub, uid, seen = self._here.hub, self.row.uid, -1
        while True:
            changed, number = hub.changed, hub.number
            row, there = hub.row(uid)
            over = row is None or not there or row.phase.completed
            if seen < 0 or over or uid in hub.since(seen):
                await self._look(group)
                seen = number
            await self._hand_on()
            if over:
                return
            await changed.wait()

    async def _look(self, group: TaskGroup) -> None:
        """Begin with the nodes that have come to print: those that have ended are read at once, the others followed."""
        ended = []
        for node in self._here.house.nodes(self.row.uid).values():
            if node.id in self._begun or node.type not in PRINTING or node.handle is None:
                continue
            if node.phase.completed:
                ended.append(node)
            elif node.phase is Phase.RUNNING:
                group.start_soon(self._follow, node)
            else:
                continue
            self._begun.add(node.id)
        for node, data in await quickly(self._here.printed, ended):
            if data is None:
                group.start_soon(self._follow, node)
            elif data:
                self._take(Piece(node.id, pod_name(self.row, node), _split(data)), len(data))

    async def _follow(self, node: Node) -> None:
        pod = pod_name(self.row, node)
        async for lines in whole_lines(output(self._here.house, self.row.uid, node.id, follow=True)):
            self._take(Piece(node.id, pod, lines), sum(len(text) for _, text in lines))
            if self._fresh_bytes >= AT_ONCE_BYTES:
                await self._hand_on()
                await anyio.lowlevel.checkpoint()

    def _take(self, piece: Piece, size: int) -> None:
        self._fresh.append(piece)
        self._fresh_bytes += size
        self._here.hub.stir()

    async def _hand_on(self) -> None:
        """Give what has come to those who follow."""
        await self._here.house.committed()
        if not self._fresh:
            return
        made = Spool(self._fresh)
        made.size = self._fresh_bytes
        self._fresh, self._fresh_bytes = [], 0
        self._spools.append(made)
        self._kept_bytes += made.size
        self._let_go()
        for member in self.audience.members():
            if member.number == self.end - 1 and not member.stream.behind:
                member.stream.put(made.framed(events=member.stream.events))
                member.number = self.end
            else:
                self.audience.wake(member)
        self._wake()

    def wake(self) -> None:
        """Have all followers look."""
        self.audience.wake_all()
        self._wake()

    def _wake(self) -> None:
        self.news.set()
        self.news = anyio.Event()

    def _let_go(self) -> None:
        """Keep no more in memory than there is room for."""
        while self._kept_bytes > MOST_BYTES and self._kept < len(self._spools) - 1:
            self._kept_bytes -= self._spools[self._kept].size
            self._spools[self._kept].drop()
            self._kept += 1
        while self._kept > MOST_SPOOLS:
            for span in self._spools.pop(0).spans:
                before = self._past.get(span.node_id)
                self._past[span.node_id] = span if before is None else Span(span.node_id, span.pod, before.first, span.last)
            self.first += 1
            self._kept -= 1


def _split(data: bytes) -> list[Line]:
    lines = data.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    return [(number, line.decode("utf-8", "replace")) for number, line in enumerate(lines, 1)]


async def quickly(printed: Mapping[str, context.Printed], nodes: Sequence[Node]) -> list[tuple[Node, bytes | None]]:
    """What finished nodes printed, all of it, where their executor has a short way to it; else None."""
    found: dict[str, bytes | None] = {}
    for executor, way in printed.items():
        asked = [node for node in nodes if node.handle is not None and node.handle.executor == executor]
        if asked:
            answers = await way([node.handle for node in asked if node.handle is not None])
            found |= {node.id: data for node, data in zip(asked, answers, strict=True)}
    return [(node, found.get(node.id)) for node in nodes]
