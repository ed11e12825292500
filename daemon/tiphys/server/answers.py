"""JSON answers, whole or pruned to the fields that were asked for."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio.lowlevel
import msgspec
from aiohttp import web
from msgspec import structs

from tiphys.server import fields
from tiphys.spec.objects import JSON
from tiphys.spec.workflows import Workflow

IN_PIECES = 1000
"""Nodes from which on a workflow is encoded in pieces: the encoder holds the interpreter, and the loop must not wait for it."""


PIECE = 1 << 18
"""Bytes that are sent at once."""


def encoded(value: object, wanted: str = "") -> bytes:
    """JSON text; `wanted` as the query parameter `fields`. May take long: on a thread, where the value may be large."""
    if isinstance(value, Workflow):
        return _pruned(value, wanted) if wanted else msgspec.json.encode(raw_nodes(value))
    return msgspec.json.encode(fields.pruned(msgspec.to_builtins(value), wanted) if wanted else value)


def raw_nodes(workflow: Workflow) -> Workflow:
    """The same workflow, its nodes already JSON text where they are many."""
    status = workflow.status
    if status is None or not status.nodes or len(status.nodes) < IN_PIECES:
        return workflow
    raw: Mapping[str, Any] = {key: msgspec.Raw(msgspec.json.encode(node)) for key, node in status.nodes.items()}
    return structs.replace(workflow, status=structs.replace(status, nodes=raw))


def _pruned(workflow: Workflow, wanted: str) -> bytes:
    """The workflow's JSON with only what is wanted: its nodes are gone through one by one, as above."""
    status = workflow.status
    nodes = (status.nodes if status is not None else None) or {}
    if status is not None and nodes:
        workflow = structs.replace(workflow, status=structs.replace(status, nodes={}))
    made = fields.pruned(msgspec.to_builtins(workflow), wanted)
    if nodes and fields.keeps(wanted, "status.nodes"):
        raw = {}
        for key, node in nodes.items():
            found = fields.pruned({"status": {"nodes": {key: msgspec.to_builtins(node)}}}, wanted)
            if key in found.get("status", {}).get("nodes", {}):
                raw[key] = msgspec.Raw(msgspec.json.encode(found["status"]["nodes"][key]))
        made.setdefault("status", {})["nodes"] = raw
    return msgspec.json.encode(made)


def json(body: bytes) -> web.Response:
    """An answer that is JSON text already."""
    return web.Response(body=body, content_type="application/json")


async def sent(request: web.Request, body: bytes) -> web.StreamResponse:
    """An answer that is JSON text already and may be large: it goes out in pieces, since copying all of it would hold the loop."""
    if len(body) <= PIECE:
        return json(body)
    return await in_pieces(request, (body[start : start + PIECE] for start in range(0, len(body), PIECE)), len(body))


async def in_pieces(request: web.Request, pieces: Iterable[bytes], size: int) -> web.StreamResponse:
    """An answer that is JSON text of so many bytes, made while it is sent."""
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.content_length = size
    with contextlib.suppress(ConnectionError):  # whoever asked has hung up
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await anyio.lowlevel.checkpoint()
    return response


def value(found: object) -> web.Response:
    """A small value as an answer."""
    return json(encoded(found))


def listing(kind: str, items: Sequence[object], metadata: Mapping[str, JSON] | None = None) -> dict[str, object]:
    """A list in Kubernetes' shape."""
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": dict(metadata or {}), "items": list(items)}
