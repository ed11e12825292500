"""Artifacts for whoever wants to look at them: brought to a folder of their own, sent in pieces, and forgotten.

Archives are handed out as they are stored; a folder that is stored as it is goes out as tar+gzip, or is browsed file by file.
"""

import contextlib
import html
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import anyio
import anyio.from_thread
import anyio.to_thread
from aiohttp import web
from msgspec import structs

from tiphys.artifacts import locations
from tiphys.artifacts.locations import InRepository
from tiphys.engine.house import NotThere
from tiphys.server import context, fetching, past
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.spec.artifacts import Artifact, ArtifactLocation
from tiphys.spec.templates import Inputs, Outputs

SHOWN = frozenset({"text/plain", "image/png", "image/jpeg", "image/gif", "image/webp", "application/json", "application/pdf"})
"""What a browser may show by itself. Anything that can hold a script is only ever saved."""


async def output(request: web.Request) -> web.StreamResponse:
    """An output artifact of a node."""
    return await _answered(request, _by_name, inputs=False)


async def output_by_uid(request: web.Request) -> web.StreamResponse:
    """An output artifact of a node of a workflow that may be archived."""
    return await _answered(request, _by_uid, inputs=False)


async def input_(request: web.Request) -> web.StreamResponse:
    """An input artifact of a node."""
    return await _answered(request, _by_name, inputs=True)


async def input_by_uid(request: web.Request) -> web.StreamResponse:
    """An input artifact of a node of a workflow that may be archived."""
    return await _answered(request, _by_uid, inputs=True)


async def file(request: web.Request) -> web.StreamResponse:
    """A file of an artifact that is a folder; of a folder in it a page with links to what is there."""
    of, kind = request.match_info["id_kind"], request.match_info["direction"]
    if of not in {"workflows", "archived-workflows"} or kind not in {"inputs", "outputs"}:
        raise Problem(404, "Not Found")
    return await _answered(request, _by_name if of == "workflows" else _by_uid, inputs=kind == "inputs", browsing=True)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a node of a workflow took or gave; `home`: the repository that the workflow chose, if it is not the configured one."""

    namespace: str
    given: Inputs | Outputs | None
    home: ArtifactLocation | None = None


class Find(Protocol):
    """Finds what the path names."""

    async def __call__(self, request: web.Request, *, inputs: bool) -> Found:
        """What the node took (`inputs`) or gave."""
        ...


async def _by_name(request: web.Request, *, inputs: bool) -> Found:
    here = context.of(request)
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    try:
        uid = here.house.find(namespace, name)
    except NotThere:
        uid = await past.newest(here.house, namespace, name)
    return await _of(here, uid, request.match_info["node"], inputs=inputs)


async def _by_uid(request: web.Request, *, inputs: bool) -> Found:
    uid = request.match_info.get("uid") or request.match_info["name"]
    return await _of(context.of(request), uid, request.match_info["node"], inputs=inputs)


async def _of(here: Context, uid: str, node_id: str, *, inputs: bool) -> Found:
    """What a node took or gave. Raises NotThere and Problem."""
    try:
        still = here.house.still(uid)
    except NotThere:
        archived = await here.house.archived(uid)
        shown = ((archived.status.nodes if archived.status is not None else None) or {}).get(node_id)
        if shown is not None:
            return Found(namespace=archived.metadata.namespace, given=shown.inputs if inputs else shown.outputs)
    else:
        node = still.nodes.get(node_id)
        if node is not None:
            given = node.inputs if inputs else node.outputs
            return Found(namespace=still.run.namespace, given=given, home=still.manifest.chosen.repository)
    raise Problem(404, f'node "{node_id}" not found')


async def _answered(request: web.Request, find: Find, *, inputs: bool, browsing: bool = False) -> web.StreamResponse:
    here = context.of(request)
    path = _path(request.match_info.get("path", ""))
    found = await find(request, inputs=inputs)
    artifact = _artifact(found, request.match_info["artifact"], inputs=inputs)
    async with fetching.fetched(here.house, artifact, found.namespace, path) as fetched:
        if not await anyio.to_thread.run_sync(fetched.is_dir):
            return await _sent(request, fetched, path[-1] if path else _file_name(artifact))
        if browsing:
            return await _page(request, fetched, path)
        packed = await anyio.to_thread.run_sync(_packed, fetched, _plain(artifact.name))
        return await _sent(request, packed, f"{artifact.name}.tgz")


def _path(text: str) -> Sequence[str]:
    """A path below an artifact, in its parts. Raises Problem where it leads anywhere else."""
    parts = [part for part in text.split("/") if part]
    if ".." in parts or "." in parts or "\0" in text or "\\" in text:
        raise Problem(400, "the path may not lead out of the artifact")
    return parts


def _artifact(found: Found, name: str, *, inputs: bool) -> Artifact:
    for artifact in found.given.artifacts if found.given is not None else ():
        if artifact.name == name:
            home = found.home.s3 if found.home is not None else None
            if home is None or artifact.s3 is None or not locations.key_only(artifact):
                return artifact
            return structs.replace(artifact, s3=structs.replace(home, key=artifact.s3.key))
    raise Problem(404, f'{"input" if inputs else "output"} artifact "{name}" not found')


def _file_name(artifact: Artifact) -> str:
    """What a stored artifact is called: the end of its key."""
    place = locations.place(artifact)
    key = place.key if isinstance(place, InRepository) else locations.key(artifact)
    return key.rstrip("/").rsplit("/", 1)[-1] or artifact.name


def _plain(name: str) -> str:
    """A name as that of one entry of a folder."""
    return name.replace("/", "_").lstrip(".") or "artifact"


def _packed(folder: Path, name: str) -> Path:
    """A folder as tar+gzip, beside it; `name` is what it unpacks to."""
    made, source = folder.parent / "packed", folder.parent / "named" / name
    source.parent.mkdir()
    folder.rename(source)
    with made.open("xb") as packed:
        from tiphys.artifacts import packing  # noqa: PLC0415 - tarfile and zipfile are large, and many daemons never pack anything

        packing.pack(source, packed, None, anyio.from_thread.check_cancelled)
    return made


def _kind(name: str) -> str:
    if name.endswith((".tgz", ".tar.gz")):
        return "application/gzip"
    return mimetypes.guess_type(name)[0] or ("text/plain" if name.endswith(".log") else "application/octet-stream")


async def _sent(request: web.Request, path: Path, name: str) -> web.StreamResponse:
    """The file's bytes, in pieces. What is said of it keeps a browser from running any of it as a page of ours."""
    kind = await anyio.to_thread.run_sync(_kind, name)
    held = "inline" if kind in SHOWN else "attachment"
    response = web.StreamResponse(
        headers={
            "Content-Disposition": f"{held}; filename*=UTF-8''{quote(name)}",
            "Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'",
            "X-Content-Type-Options": "nosniff",
        }
    )
    response.content_type = kind
    response.content_length = await anyio.to_thread.run_sync(lambda: path.lstat().st_size)
    async with contextlib.aclosing(fetching.pieces(path)) as pieces:
        with contextlib.suppress(ConnectionError):  # whoever asked has hung up
            await response.prepare(request)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
    return response


def _names(folder: Path) -> list[str]:
    return sorted(f"{one.name}/" if one.is_dir() and not one.is_symlink() else one.name for one in folder.iterdir())


async def _page(request: web.Request, folder: Path, path: Sequence[str]) -> web.Response:
    """What is in a folder, as links; one that holds an index.html is shown by its file's name only, never as a page of ours."""
    entries = await anyio.to_thread.run_sync(lambda: _names(folder))
    base = request.rel_url.raw_path.rstrip("/")
    links = [f'<li><a href="{html.escape(base)}/{quote(name)}">{html.escape(name)}</a></li>' for name in entries]
    title = html.escape("/".join([request.match_info["artifact"], *path]))
    text = f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title></head><body><ul>{''.join(links)}</ul></body></html>"
    return web.Response(
        text=text,
        content_type="text/html",
        headers={"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"},
    )
