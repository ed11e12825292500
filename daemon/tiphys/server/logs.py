"""What steps printed: of a whole workflow or of one node, as it is or as it comes."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio.lowlevel
import anyio.to_thread
import msgspec
import re2
from aiohttp import web
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from tiphys.engine.house import House, NotThere
from tiphys.scheduler.records import Node, Run
from tiphys.scheduler.state import RunState
from tiphys.server import context, streams, workflows
from tiphys.server.problems import Problem
from tiphys.server.streams import HungUp, Stream
from tiphys.spec import names
from tiphys.spec.status import NodeType, Phase

LONGEST_LINE = 1 << 20
BUFFERED = 100
SMALL = 1000
"""Nodes up to which a workflow is looked through on the loop."""

Line = tuple[int, str]
"""A line's number in its node's output, from 1, and its text."""

PRINTING = frozenset({NodeType.POD, NodeType.HTTP, NodeType.PLUGIN})


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted. `tail`: only so many of the last lines of each node; None: all. `keep` says whether a line is shown."""

    node: str
    follow: bool
    tail: int | None
    keep: Callable[[str], bool]


async def logged(request: web.Request) -> web.StreamResponse:
    """GET /workflows/{namespace}/{name}/log. Besides a pod's name, `podName` may be a node's id, name or display name."""
    house = context.of(request).house
    uid = workflows.find(request)
    wish = _wish(request.query, request.match_info.get("pod", ""))
    still = house.still(uid)
    nodes = await _chosen(still, wish)
    if wish.node and not nodes and not (wish.follow and not still.run.phase.completed):
        raise Problem(404, f'pods "{wish.node}" not found')

    async def speak(stream: Stream) -> None:
        if wish.follow:
            await _follow(house, uid, wish, stream)
            return
        for node in nodes:
            async for lines in _lines(house, uid, node.id, wish):
                await stream.send(_entries(lines, _pod(still.run, node)))
            await anyio.lowlevel.checkpoint()  # many nodes that printed nothing

    return await streams.answered(request, speak)


def _wish(query: Mapping[str, str], pod: str) -> Wish:
    tail = query.get("logOptions.tailLines", "")
    if tail and not (tail.isascii() and tail.isdecimal() and len(tail) < 10):
        raise Problem(400, f"logOptions.tailLines is {tail!r}; it must be a whole number, zero or more")
    return Wish(
        node=pod or query.get("podName", ""),
        follow=query.get("logOptions.follow", "").lower() in {"1", "true"},
        tail=int(tail) if tail else None,
        keep=_keeper(query.get("grep", "")),
    )


def _keeper(pattern: str) -> Callable[[str], bool]:
    if not pattern:
        return lambda line: True  # noqa: ARG005
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise Problem(400, f"grep {pattern!r}: {error}") from error
    return lambda line: compiled.search(line) is not None


async def _chosen(still: RunState, wish: Wish) -> list[Node]:
    if len(still.nodes) <= SMALL:
        return _printing(still.run, still.nodes, wish.node)
    return await anyio.to_thread.run_sync(_printing, still.run, still.nodes, wish.node)


def _printing(run: Run, nodes: Mapping[str, Node], wanted: str) -> list[Node]:
    """The nodes that are meant, or are below one that is, and print something, in the order they started."""
    found = [node for node in nodes.values() if node.type in PRINTING and (not wanted or _is_below(run, nodes, node, wanted))]
    return sorted(found, key=lambda node: (node.started_at is None, str(node.started_at), node.name))


def _is_below(run: Run, nodes: Mapping[str, Node], node: Node, wanted: str) -> bool:
    above: Node | None = node
    while above is not None:
        if wanted in {above.id, above.name, above.display_name, _pod(run, above)}:
            return True
        above = nodes.get(above.owner)
    return False


def _pod(run: Run, node: Node) -> str:
    template = node.reference.template if node.reference is not None else node.template
    return names.pod_name(run.name, node.name, template)


def _entries(lines: Sequence[Line], pod: str) -> list[bytes]:
    """The lines as JSON. `line`, which is ours, lets a client that was cut off leave out what it has."""
    return [msgspec.json.encode({"content": text, "podName": pod, "line": number}) for number, text in lines]


async def _lines(house: House, uid: str, node_id: str, wish: Wish) -> AsyncIterator[list[Line]]:
    """A node's lines, some at a time."""
    shown = 0
    if wish.tail is not None:
        last: deque[Line] = deque(maxlen=wish.tail)
        async for piece in _whole_lines(house.logs(uid, node_id), unfinished=not wish.follow):
            last.extend(line for line in piece if wish.keep(line[1]))
            shown = piece[-1][0]
        yield list(last)
        if not wish.follow:
            return
    async for piece in _whole_lines(house.logs(uid, node_id, follow=wish.follow)):
        if kept := [line for line in piece if line[0] > shown and wish.keep(line[1])]:
            yield kept


async def _whole_lines(pieces: AsyncIterator[bytes], *, unfinished: bool = True) -> AsyncIterator[list[Line]]:
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


async def _follow(house: House, uid: str, wish: Wish, stream: Stream) -> None:
    """Lines as they come, of every node that is meant, until the workflow has ended."""
    send, receive = anyio.create_memory_object_stream[list[bytes]](BUFFERED)
    async with anyio.create_task_group() as group, receive:
        group.start_soon(_gather, house, uid, wish, send)
        try:
            while True:
                entries: list[bytes] | None = None
                with anyio.move_on_after(streams.LOOK_SECONDS):
                    try:
                        entries = await receive.receive()
                    except anyio.EndOfStream:
                        return
                if entries:
                    await stream.send(entries)
                await stream.look()
        except HungUp:
            return
        finally:
            group.cancel_scope.cancel()


async def _gather(house: House, uid: str, wish: Wish, send: MemoryObjectSendStream[list[bytes]]) -> None:
    """Follow each node that is meant from when it runs."""
    async with send, anyio.create_task_group() as group:
        with contextlib.suppress(NotThere):  # it was deleted
            gathering = Gathering(house, house.still(uid).run, wish, send, group)
            async for change in house.changes(uid):
                if change.node is None:  # the first one at once; nothing here waits, so that no change after it is lost
                    group.start_soon(gathering.look_through)
                else:
                    gathering.notice(change.node.id)
            await gathering.look_through()  # what ended with the workflow need not have come as a change of its own


class Gathering:
    """The nodes of a run whose lines are followed, each by a task of its own."""

    def __init__(self, house: House, run: Run, wish: Wish, send: MemoryObjectSendStream[list[bytes]], group: TaskGroup) -> None:
        self._house = house
        self._run = run
        self._wish = wish
        self._send = send
        self._group = group
        self._started: set[str] = set()

    async def look_through(self) -> None:
        """Begin with all nodes that run, or did."""
        with contextlib.suppress(NotThere):
            for node in await _chosen(self._house.still(self._run.uid), self._wish):
                self._start(node)

    def notice(self, node_id: str) -> None:
        """A node has changed."""
        if node_id in self._started:
            return
        nodes = self._house.nodes(self._run.uid)
        node = nodes.get(node_id)
        if node is None or node.type not in PRINTING:
            return
        if not self._wish.node or _is_below(self._run, nodes, node, self._wish.node):
            self._start(node)

    def _start(self, node: Node) -> None:
        if node.id not in self._started and (node.phase is Phase.RUNNING or node.phase.completed):
            self._started.add(node.id)
            self._group.start_soon(_follow_node, self._house, self._run.uid, node.id, _pod(self._run, node), self._wish, self._send.clone())


async def _follow_node(house: House, uid: str, node_id: str, pod: str, wish: Wish, send: MemoryObjectSendStream[list[bytes]]) -> None:
    async with send:
        async for lines in _lines(house, uid, node_id, wish):
            await send.send(_entries(lines, pod))
