"""The nodes of a workflow apart from it, for those to whom all of them at once are too many: in pages, or one by one as a stream."""

from collections.abc import Sequence

import anyio.to_thread
import msgspec
from aiohttp import web

from tiphys.engine.house import NotThere
from tiphys.server import answers, context, framing, past, streams, workflows
from tiphys.server.problems import Problem
from tiphys.server.streams import Stream
from tiphys.spec.objects import Object
from tiphys.spec.status import NodeStatus
from tiphys.spec.workflows import Workflow

LIMIT = 1000
"""Nodes of a page, where nobody says how many."""

AT_ONCE = 500


class Page(Object, kw_only=True):
    """A page of nodes. `metadata` has `resourceVersion`, and where there are more `continue` and `remainingItemCount`."""

    api_version: str
    kind: str
    metadata: dict[str, str | int]
    items: tuple[NodeStatus, ...]


async def nodes(request: web.Request) -> web.StreamResponse:
    """The nodes in the order they came: `listOptions.limit` of them (1000) from `listOptions.continue` on; `stream`: all, one a line.

    A page is of the moment it is asked for; nodes are only ever added behind, but where a retry takes some away.
    """
    query = request.query
    start, limit = _number(query.get("listOptions.continue", ""), 0), _number(query.get("listOptions.limit", ""), LIMIT) or LIMIT
    texts, version = await _texts(request)
    if query.get("stream", "").lower() in {"1", "true"}:
        return await streams.answered(request, lambda stream: _stream(stream, texts[start:]))
    page, left = texts[start : start + limit], max(0, len(texts) - start - limit)
    metadata: dict[str, object] = {"resourceVersion": version}
    if left:
        metadata |= {"continue": str(start + limit), "remainingItemCount": left}
    head = msgspec.json.encode({"apiVersion": "argoproj.io/v1alpha1", "kind": "NodeList", "metadata": metadata, "items": []})
    return await answers.sent(request, head[:-2] + await anyio.to_thread.run_sync(b",".join, page) + b"]}")


async def _stream(stream: Stream, texts: Sequence[bytes]) -> None:
    for start in range(0, len(texts), AT_ONCE):
        await stream.write(framing.framed(texts[start : start + AT_ONCE], events=stream.events))
        await stream.look()


async def _texts(request: web.Request) -> tuple[Sequence[bytes], str]:
    """The JSON of each node, and the workflow's version. Raises NotThere."""
    here = context.of(request)
    try:
        found = await here.albums.picture(workflows.find(request))
    except NotThere:
        names = request.match_info
        archived = await here.house.archived(await past.newest(here.house, names["namespace"], names["name"]))
        return await anyio.to_thread.run_sync(_of, archived), archived.metadata.resource_version
    return await anyio.to_thread.run_sync(found.each), found.version


def _of(archived: Workflow) -> list[bytes]:
    nodes_ = (archived.status.nodes if archived.status is not None else None) or {}
    return [msgspec.json.encode(node) for node in nodes_.values()]


def _number(text: str, otherwise: int) -> int:
    if text and not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Problem(400, f"{text!r} is not a whole number, zero or more")
    return int(text) if text else otherwise
