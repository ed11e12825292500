"""What steps printed: of a whole workflow or of one node, as it is or as it comes."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
from tiphys.server import context, fetching, past, queries, streams, workflows
from tiphys.server.problems import Problem
from tiphys.server.streams import HungUp, Stream
from tiphys.spec import names
from tiphys.spec.selectors import Selector
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.workflows import Workflow

LONGEST_LINE = 1 << 20
BUFFERED = 100
SMALL = 1000
"""Nodes up to which a workflow is looked through on the loop."""

LABELS = "workflows.argoproj.io/"
UNKNOWN_TIMES = ("timestamps", "sinceSeconds", "sinceTime")
Line = tuple[int, str]
"""A line's number in its node's output, from 1, and its text."""

PRINTING = frozenset({NodeType.POD, NodeType.HTTP, NodeType.PLUGIN})


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted. `tail`: only so many of the last lines of each node; None: all. `keep` says whether a line is shown.
    `limit`: only so many bytes of each node, up to the end of a line. `pods`: only those with such labels. `nothing`: of a container that
    prints nothing here.
    """

    node: str
    follow: bool
    tail: int | None
    keep: Callable[[str], bool]
    limit: int | None = None
    pods: Selector = field(default_factory=Selector)
    nothing: bool = False


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
            await _follow(house, uid, wish, stream)
            return
        for node in nodes:
            async for lines in _lines(house, uid, node, wish):
                await stream.send(_entries(lines, _pod(still.run, node)))
            await anyio.lowlevel.checkpoint()  # many nodes that printed nothing

    return await streams.answered(request, speak)


def _wish(query: Mapping[str, str], pod: str) -> Wish:
    for name in UNKNOWN_TIMES:
        if query.get(f"logOptions.{name}", "") not in {"", "0", "false"}:
            raise Problem(400, f"logOptions.{name} is not there: what a step prints is kept as it is, without the time of each line")
    container = query.get("logOptions.container", "")
    if container not in {"", "main", "init", "wait"}:
        raise Problem(400, f"logOptions.container {container!r}: what the containers of a pod print is kept together; ask without it")
    tail, limit = _number(query, "logOptions.tailLines"), _number(query, "logOptions.limitBytes")
    return Wish(
        node=pod or query.get("podName", ""),
        follow=query.get("logOptions.follow", "").lower() in {"1", "true"},
        tail=tail,
        keep=_keeper(query.get("grep", "")),
        limit=limit,
        pods=queries.selector(query.get("selector", "")),
        nothing=container in {"init", "wait"} or query.get("logOptions.previous", "").lower() in {"1", "true"},
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Problem(400, f"{name} is {text!r}; it must be a whole number, zero or more")
    return int(text) if text else None


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
        if wanted in {above.id, above.name, above.display_name, _pod(run, above)}:
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


def _pod(run: Run, node: Node) -> str:
    template = node.reference.template if node.reference is not None else node.template
    return names.pod_name(run.name, node.name, template)


def _entries(lines: Sequence[Line], pod: str) -> list[bytes]:
    """The lines as JSON. `line`, which is ours, lets a client that was cut off leave out what it has."""
    return [msgspec.json.encode({"content": text, "podName": pod, "line": number}) for number, text in lines]


async def _archived(request: web.Request, house: House, wish: Wish) -> web.StreamResponse:
    """What the steps of a workflow printed that is only in the archive, as far as artifacts kept it."""
    asked = request.query.get("uid", "")
    names_ = request.match_info
    found = await (house.archived(asked) if asked else past.newest(house, names_["namespace"], names_["name"]))
    nodes = (found.status.nodes if found.status is not None else None) or {}
    meant = [node for node in nodes.values() if node.outputs is not None and not wish.nothing]
    if wish.node:
        meant = [node for node in meant if wish.node in {node.id, node.name, node.display_name, _shown_pod(found, node)}]

    async def speak(stream: Stream) -> None:
        for node in sorted(meant, key=lambda node: (node.started_at or "", node.name)):
            artifacts = node.outputs.artifacts if node.outputs is not None else ()
            async for lines in _read(lambda kept=artifacts: fetching.logs(house, kept, found.metadata.namespace), wish):
                await stream.send(_entries(lines, _shown_pod(found, node)))

    return await streams.answered(request, speak)


def _shown_pod(workflow: Workflow, node: NodeStatus) -> str:
    template = node.template_ref.template if node.template_ref is not None else node.template_name
    return names.pod_name(workflow.metadata.name, node.name, template)


async def _lines(house: House, uid: str, node: Node, wish: Wish) -> AsyncIterator[list[Line]]:
    """A node's lines, some at a time; where what it left was deleted, those that its artifacts kept."""
    found = False
    async for lines in _read(lambda follow=False: house.logs(uid, node.id, follow=follow), wish, follows=wish.follow):
        found = True
        yield lines
    row = house.row(uid)
    now = house.nodes(uid).get(node.id) if row is not None else None
    if not found and row is not None and now is not None and now.outputs is not None:
        kept = now.outputs.artifacts
        async for lines in _read(lambda: fetching.logs(house, kept, row.namespace), wish):
            yield lines


async def _read(pieces: Callable[..., AsyncIterator[bytes]], wish: Wish, *, follows: bool = False) -> AsyncIterator[list[Line]]:
    """The lines of an output that are wanted. `pieces` gives it, and with follow=True what comes until its end."""
    left = wish.limit
    async for lines in _wanted(pieces, wish, follows=follows):
        if left is None:
            yield lines
            continue
        kept = []
        for line in lines:
            if left <= 0:
                break
            kept.append(line)
            left -= len(line[1].encode()) + 1
        yield kept
        if left <= 0:
            return


async def _wanted(pieces: Callable[..., AsyncIterator[bytes]], wish: Wish, *, follows: bool) -> AsyncIterator[list[Line]]:
    shown = 0
    if wish.tail is not None:
        last: deque[Line] = deque(maxlen=wish.tail)
        async for piece in _whole_lines(pieces(), unfinished=not follows):
            last.extend(line for line in piece if wish.keep(line[1]))
            shown = piece[-1][0]
        if last:
            yield list(last)
        if not follows:
            return
    async for piece in _whole_lines(pieces(follow=True) if follows else pieces()):
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
        if node is None or node.type not in PRINTING or self._wish.nothing:
            return
        if self._wish.pods.requirements:
            self._group.start_soon(self.look_through)
        elif not self._wish.node or _is_below(self._run, nodes, node, self._wish.node):
            self._start(node)

    def _start(self, node: Node) -> None:
        if node.id not in self._started and (node.phase is Phase.RUNNING or node.phase.completed):
            self._started.add(node.id)
            self._group.start_soon(_follow_node, self._house, self._run.uid, node, _pod(self._run, node), self._wish, self._send.clone())


async def _follow_node(house: House, uid: str, node: Node, pod: str, wish: Wish, send: MemoryObjectSendStream[list[bytes]]) -> None:
    async with send:
        async for lines in _lines(house, uid, node, wish):
            await send.send(_entries(lines, pod))
