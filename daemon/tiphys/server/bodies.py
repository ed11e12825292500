"""Bodies of requests into values and documents. What may be large is read on a thread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from aiohttp import web

from tiphys.manifests import kinds, reading, shapes
from tiphys.manifests.diagnostics import render
from tiphys.server.problems import Problem
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity
from tiphys.spec.workflows import ARGO_API_VERSION, Document

SMALL = 4096
"""Bytes up to which a body is read on the loop."""

YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
CONTAINERS = frozenset[type]({dict, list})
DEEPEST = "the JSON is nested too deeply"

T = TypeVar("T")


async def _aside(work: Callable[[], T], size: int) -> T:
    return work() if size <= SMALL and shapes.are_made() else await anyio.to_thread.run_sync(work)


def is_yaml(request: web.Request) -> bool:
    """Whether a request says that its body is YAML."""
    return request.content_type in YAML


async def value(request: web.Request) -> dict[str, Any]:
    """The map that a body holds; an empty body is an empty map. Raises Problem."""
    data = await request.read()
    found = await _aside(lambda: _decoded(data), len(data))
    if not isinstance(found, dict):
        raise Problem(400, "the body must be a JSON object")
    return found


async def any_value(request: web.Request) -> Any:
    """Whatever JSON a body holds; an empty body is an empty map. Raises Problem."""
    data = await request.read()
    return await _aside(lambda: _decoded(data), len(data))


def _decoded(data: bytes) -> Any:
    if not data.strip():
        return {}
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Problem(400, DEEPEST) from error


async def manifests(request: web.Request, limits: LimitSettings) -> list[Document]:
    """The documents of a YAML body. Raises Problem with everything that is wrong with their form."""
    data = await request.read()
    parsed = await _aside(lambda: reading.parse(data, "", limits), len(data))
    wrong = [diagnostic for diagnostic in parsed.diagnostics if diagnostic.severity is Severity.ERROR]
    if wrong:
        raise Problem(400, "\n".join(map(render, wrong)))
    return [located.document for located in parsed.documents]


async def document(found: Any, kind: str, limits: LimitSettings, size: int) -> Document:
    """The document that a JSON body holds; `size`: of the body, in bytes. Its kind need not be said. Raises Problem."""
    if not isinstance(found, dict):
        raise Problem(400, f"the body must hold a {kind}")
    return await _aside(lambda: _document(found, kind, limits), size)


def _document(found: dict[str, Any], kind: str, limits: LimitSettings) -> Document:
    _bound(found, limits.nesting)
    given = {"apiVersion": ARGO_API_VERSION, "kind": kind, **{key: inner for key, inner in found.items() if inner not in ("", None)}}
    if given["kind"] != kind:
        raise Problem(400, f"the body must hold a {kind}, not a {given['kind']}")
    given.pop("status", None)
    identity = kinds.judge(given)
    problems = [identity] if identity is not None else []
    problems += shapes.check(given, kinds.STRUCTS[kind])
    wrong = [finding.message for finding in problems if finding.severity is Severity.ERROR]
    if wrong:
        raise Problem(400, "\n".join(wrong))
    try:
        return msgspec.convert(given, type=kinds.STRUCTS[kind])
    except (msgspec.ValidationError, RecursionError) as error:
        raise Problem(400, str(error)) from error


def _bound(found: Any, nesting: int) -> None:
    """Refuse what is nested too deeply: everything after this goes down with it."""
    level: list[Any] = [found]
    for _ in range(nesting):
        level = [inner for one in level for inner in (one.values() if type(one) is dict else one) if type(inner) in CONTAINERS]
        if not level:
            return
    raise Problem(400, f"{DEEPEST}; the bound is the setting limits.nesting ({nesting})")


def text(body: Mapping[str, Any], name: str) -> str:
    """A text of a body; "" where it is not there. Raises Problem."""
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Problem(400, f"{name} must be a string")
    return found


def flag(body: Mapping[str, Any], name: str) -> bool:
    """A truth value of a body. Raises Problem."""
    found = body.get(name)
    if found is not None and not isinstance(found, bool):
        raise Problem(400, f"{name} must be true or false")
    return bool(found)


def dry(body: Mapping[str, Any]) -> bool:
    """Whether a body that creates or updates wants nothing to be kept."""
    options = body.get("createOptions") or body.get("updateOptions")
    return flag(body, "serverDryRun") or (isinstance(options, Mapping) and bool(options.get("dryRun")))


def texts(body: Mapping[str, Any], name: str) -> Sequence[str]:
    """A list of texts of a body. Raises Problem."""
    found = body.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Problem(400, f"{name} must be a list of strings")
    return found


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Parameters as `NAME=VALUE`. Raises Problem."""
    made = {}
    for one in given:
        name, sign, found = one.partition("=")
        if not sign or not name:
            raise Problem(400, f"expected parameter of the form: NAME=VALUE. Received: {one}")
        made[name] = found
    return made


def labels(given: str, what: str) -> dict[str, str]:
    """Labels as `k=v,…`. Raises Problem."""
    made = {}
    for one in filter(None, given.split(",")):
        name, sign, found = one.partition("=")
        if not sign or not name.strip():
            raise Problem(400, f"expected {what} of the form: NAME1=VALUE1,NAME2=VALUE2. Received: {given}")
        made[name.strip()] = found.strip()
    return made
