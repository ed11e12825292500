"""What steps printed: of a whole workflow or of one node, as it is or as it comes."""

import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio.lowlevel
import anyio.to_thread
from aiohttp import web

from tiphys.engine.house import House, NotThere
from tiphys.scheduler.records import Node, Run
from tiphys.scheduler.state import RunState
from tiphys.server import audience, clocks, context, fetching, framing, merging, past, queries, reels, streams, workflows
from tiphys.server.clocks import Clock, Clocks, Timing
from tiphys.server.merging import Lines
from tiphys.server.problems import Problem
from tiphys.server.reels import PRINTING, Line, Piece, Reel, Span, entries, pod_name, whole_lines
from tiphys.server.streams import Stream
from tiphys.spec import names
from tiphys.spec.selectors import Selector
from tiphys.spec.status import NodeStatus
from tiphys.spec.workflows import Workflow

WRITE_BYTES = 1 << 18
"""So much is sent at once where it is there."""

SMALL = 1000
"""Nodes up to which a workflow is looked through on the loop."""

LABELS = "workflows.argoproj.io/"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted. `tail`: only so many of the last lines of each node; None: all. `keep` says whether a line is shown (as `grep` says).
    `limit`: only so many bytes of each node, up to the end of a line. `pods`: only those with such labels. `nothing`: of a container that
    prints nothing here. `timing`: which lines by the time that they came, and whether that is said.
    """

    node: str
    follow: bool
    tail: int | None
    keep: Callable[[str], bool]
    limit: int | None = None
    pods: Selector = field(default_factory=Selector)
    nothing: bool = False
    grep: str = ""
    timing: Timing = field(default_factory=Timing)

    @property
    def everything(self) -> bool:
        """Whether every line of every node is wanted."""
        less = self.node or self.grep or self.nothing or self.pods.requirements or self.timing
        return not less and self.tail is None and self.limit is None


async def logged(request: web.Request) -> web.StreamResponse:
    """GET /workflows/{namespace}/{name}/log. Besides a pod's name, `podName` may be a node's id, name or display name."""
    house = context.of(request).house
    wish = _wish(request.query, request.match_info.get("pod", ""))
    try:
        uid = workflows.find(request)
    except NotThere:
        return await _archived(request, house, wish)
    still = house.still(uid)
    nodes = await _chosen(still, wish)
    if wish.node and not nodes and not (wish.follow and not still.run.phase.completed):
        raise Problem(404, f'pods "{wish.node}" not found')

    async def speak(stream: Stream) -> None:
        if wish.follow:
            here = context.of(request)
            shared = request.app[audience.SOURCES].shared(Reel, uid, lambda: Reel(here, still.run))
            async with here.hub.watched(), shared as reel:
                await Follower(house, wish, reel, stream, Clocks(here, uid)).run()
            return
        times = Clocks(context.of(request), uid)
        meant = [node for node in nodes if not wish.timing.misses(node)]
        if wish.timing or len(meant) > 1:
            await times.learn(meant)
        read = functools.partial(_lines, house, times, uid, wish)
        kept, size = list[bytes](), 0
        async for node, lines in merging.merged(meant, read, times.of):
            told = entries(lines, pod_name(still.run, node))
            kept += told
            size += sum(map(len, told))
            if size >= WRITE_BYTES:
                await stream.send(kept)
                kept, size = [], 0
        await stream.send(kept)

    return await streams.answered(request, speak)


def _wish(query: Mapping[str, str], pod: str) -> Wish:
    container = query.get("logOptions.container", "")
    if container not in {"", "main", "init", "wait"}:
        raise Problem(400, f"logOptions.container {container!r}: what the containers of a pod print is kept together; ask without it")
    tail, limit = _number(query, "logOptions.tailLines"), _number(query, "logOptions.limitBytes")
    return Wish(
        node=pod or query.get("podName", ""),
        follow=query.get("logOptions.follow", "").lower() in {"1", "true"},
        tail=tail,
        grep=query.get("grep", ""),
        keep=_keeper(query.get("grep", "")),
        limit=limit,
        pods=queries.selector(query.get("selector", "")),
        nothing=container in {"init", "wait"} or query.get("logOptions.previous", "").lower() in {"1", "true"},
        timing=clocks.wanted(query),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Problem(400, f"{name} is {text!r}; it must be a whole number, zero or more")
    return int(text) if text else None


def _keeper(pattern: str) -> Callable[[str], bool]:
    if not pattern:
        return lambda line: True  # noqa: ARG005
    import re2  # noqa: PLC0415 - 2.5 MB, for those who search

    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise Problem(400, f"grep {pattern!r}: {error}") from error
    return lambda line: compiled.search(line) is not None


async def _chosen(still: RunState, wish: Wish) -> list[Node]:
    if len(still.nodes) <= SMALL:
        return _printing(still, wish)
    return await anyio.to_thread.run_sync(_printing, still, wish)


def _printing(still: RunState, wish: Wish) -> list[Node]:
    """The nodes that are meant, or are below one that is, and print something, in the order they started."""
    run, nodes, wanted = still.run, still.nodes, wish.node
    if wish.nothing:
        return []
    found = [node for node in nodes.values() if node.type in PRINTING and (not wanted or _is_below(run, nodes, node, wanted))]
    if wish.pods.requirements:
        found = [node for node in found if wish.pods.matches(_labels(still, node))]
    return sorted(found, key=lambda node: (node.started_at is None, str(node.started_at), node.name))


def _is_below(run: Run, nodes: Mapping[str, Node], node: Node, wanted: str) -> bool:
    above: Node | None = node
    while above is not None:
        if wanted in {above.id, above.name, above.display_name, pod_name(run, above)}:
            return True
        above = nodes.get(above.owner)
    return False


def _labels(still: RunState, node: Node) -> dict[str, str]:
    """The labels of a node's pod, as the manifest writes them."""
    spec = still.manifest.workflow.spec
    template = next((one for one in spec.templates if one.name == node.template), None)
    found = {f"{LABELS}workflow": still.run.name, f"{LABELS}completed": "true" if node.phase.fulfilled else "false"}
    for metadata in (spec.pod_metadata, template.metadata if template is not None else None):
        found |= (metadata.labels if metadata is not None else None) or {}
    return found


async def _archived(request: web.Request, house: House, wish: Wish) -> web.StreamResponse:
    """What the steps of a workflow printed that is only in the archive, as far as artifacts kept it."""
    asked = request.query.get("uid", "")
    names_ = request.match_info
    found = await house.archived(asked or await past.newest(house, names_["namespace"], names_["name"]))
    nodes = (found.status.nodes if found.status is not None else None) or {}
    meant = [node for node in nodes.values() if node.outputs is not None and not wish.nothing]
    if wish.node:
        meant = [node for node in meant if wish.node in {node.id, node.name, node.display_name, _shown_pod(found, node)}]

    async def speak(stream: Stream) -> None:
        for node in sorted(meant, key=lambda node: (node.started_at or "", node.name)):
            artifacts = node.outputs.artifacts if node.outputs is not None else ()
            pieces = functools.partial(fetching.logs, house, artifacts, found.metadata.namespace)
            async for lines in _read(pieces, wish, functools.partial(clocks.of_archived, node)):
                await stream.send(entries(lines, _shown_pod(found, node)))

    return await streams.answered(request, speak)


def _shown_pod(workflow: Workflow, node: NodeStatus) -> str:
    template = node.template_ref.template if node.template_ref is not None else node.template_name
    return names.pod_name(workflow.metadata.name, node.name, template)


def _lines(house: House, times: Clocks, uid: str, wish: Wish, node: Node) -> Lines:
    """A node's lines as they are, some at a time."""
    return _read(functools.partial(reels.output, house, uid, node.id), wish, functools.partial(times.of, node.id))


async def _read(pieces: Callable[[], AsyncIterator[bytes]], wish: Wish, clock: Callable[[], Awaitable[Clock]]) -> Lines:
    """The lines of an output that are wanted. `pieces` gives it, `clock` says when they came."""
    left = wish.limit
    async for found in _wanted(pieces, wish):
        lines = wish.timing.shown(found, await clock()) if wish.timing else found
        if left is None:
            yield lines
            continue
        kept, left = _within(lines, left)
        yield kept
        if left <= 0:
            return


def _within(lines: Sequence[Line], left: int) -> tuple[list[Line], int]:
    """The lines up to the one that makes so many bytes full, and how many are left."""
    kept = []
    for line in lines:
        if left <= 0:
            break
        kept.append(line)
        left -= len(line[1].encode()) + 1
    return kept, left


async def _wanted(pieces: Callable[[], AsyncIterator[bytes]], wish: Wish) -> AsyncIterator[list[Line]]:
    if wish.tail is not None:
        if last := (await _last(pieces(), wish))[0]:
            yield last
        return
    async for piece in whole_lines(pieces()):
        if kept := [line for line in piece if wish.keep(line[1])]:
            yield kept


async def _last(pieces: AsyncIterator[bytes], wish: Wish) -> tuple[list[Line], int]:
    """The last lines that are wanted, and the number of the last there is."""
    last: deque[Line] = deque(maxlen=wish.tail)
    number = 0
    async for piece in whole_lines(pieces, unfinished=not wish.follow):
        last.extend(line for line in piece if wish.keep(line[1]))
        number = piece[-1][0]
    return list(last), number


class Follower:
    """One who follows a run's output: how far it is on the reel, and what it is shown of that."""

    def __init__(self, house: House, wish: Wish, reel: Reel, stream: Stream, times: Clocks) -> None:
        self._house = house
        self._uid = reel.row.uid
        self._wish = wish
        self._reel = reel
        self.stream = stream
        self.number = 0
        self._times = times
        self._meant: dict[str, bool] = {}
        self._shown: dict[str, int] = {}
        self._left: dict[str, int] = {}

    async def run(self) -> None:
        """Tell what comes, until the workflow has ended."""
        reel = self._reel
        while not self._wish.nothing or not reel.over:
            news, over = reel.news, reel.over
            while self.number < reel.end and not self._wish.nothing:
                await self._go_on()
            if over and reel.failed is not None:
                raise reel.failed
            if over:
                await self._come_late()
                return
            if self._wish.everything and news is reel.news:
                await reel.audience.stay(self)
                await self.stream.room()
                continue
            await self.stream.look()
            with anyio.move_on_after(streams.LOOK_SECONDS):
                await news.wait()

    async def _go_on(self) -> None:
        """Tell some of what there is."""
        if 0 < self.number < self._reel.first:
            raise self.stream.cut()  # so far behind that nobody knows what it has
        lost, at = self._reel.lost(self.number)
        if self.number < at:
            self.number = at
            for span in lost:
                await self._catch_up(span)
            return
        data = bytearray()
        while at <= self.number < self._reel.end and len(data) < WRITE_BYTES:
            spool = self._reel.spool(self.number)
            self.number += 1
            data += spool.framed(events=self.stream.events).data if self._wish.everything else await self._chosen(spool.pieces or ())
            at = self._reel.kept
        await self.stream.write(bytes(data))

    async def _catch_up(self, span: Span) -> None:
        """Tell lines of a node that are only where the executor keeps them."""
        if not self._is_meant(span.node_id):
            return
        await self.stream.send(entries(await self._first(span.node_id), span.pod))
        async for piece in whole_lines(self._output(span.node_id)):
            if piece[-1][0] >= span.first:
                lines = [line for line in piece if span.first <= line[0] <= span.last]
                await self.stream.send(entries(await self._fresh(span.node_id, lines), span.pod))
            if piece[-1][0] >= span.last:
                return

    async def _chosen(self, pieces: Iterable[Piece]) -> bytes:
        """What is wanted of these, as it is sent."""
        chosen: list[bytes] = []
        for piece in pieces:
            if self._is_meant(piece.node_id):
                chosen += entries(await self._first(piece.node_id), piece.pod)
                chosen += entries(await self._fresh(piece.node_id, piece.lines), piece.pod)
        return framing.framed(chosen, events=self.stream.events)

    async def _come_late(self) -> None:
        """Of what has come to be meant only after it had printed something: all of it."""
        if self._wish.pods.requirements and not self._wish.nothing:
            with contextlib.suppress(NotThere):
                still = self._house.still(self._uid)
                for node in await _chosen(still, self._wish):
                    if node.id not in self._shown:
                        self._meant[node.id] = True
                        await self.stream.send(entries(await self._first(node.id), pod_name(still.run, node)))

    async def _first(self, node_id: str) -> list[Line]:
        """Of a node that was not met before what it printed until now, where that is not simply all that comes."""
        wish = self._wish
        if node_id in self._shown or (wish.tail is None and not wish.pods.requirements):
            return []
        lines, self._shown[node_id] = await _last(self._output(node_id), wish)
        return await self._limited(node_id, lines)

    async def _fresh(self, node_id: str, lines: Sequence[Line]) -> list[Line]:
        shown, keep = self._shown.get(node_id, 0), self._wish.keep
        return await self._limited(node_id, [line for line in lines if line[0] > shown and keep(line[1])])

    async def _limited(self, node_id: str, lines: list[Line]) -> list[Line]:
        if self._wish.timing and lines:
            lines = self._wish.timing.shown(lines, await self._times.of(node_id))
        if self._wish.limit is None:
            return lines
        kept, self._left[node_id] = _within(lines, self._left.get(node_id, self._wish.limit))
        return kept

    def _output(self, node_id: str) -> AsyncIterator[bytes]:
        return reels.output(self._house, self._uid, node_id)

    def _is_meant(self, node_id: str) -> bool:
        if not self._meant.get(node_id):
            self._meant[node_id] = self._wish.everything or self._judged(node_id)
        return self._meant[node_id]

    def _judged(self, node_id: str) -> bool:
        try:
            nodes = self._house.nodes(self._uid)
            node = nodes.get(node_id)
            if node is None or (self._wish.node and not _is_below(self._reel.row, nodes, node, self._wish.node)):
                return False
            return not self._wish.pods.requirements or self._wish.pods.matches(_labels(self._house.still(self._uid), node))
        except NotThere:
            return False
