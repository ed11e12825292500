"""Limits of semaphores: keys of ConfigMaps (type CONFIGMAP), and those that Argo keeps in a database (type DATABASE), here beside them.

Each ConfigMap that is made here is a source of its own; one from a file in the drop folder is only read.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from msgspec import structs

from tiphys.scheduler.items import API_SOURCES, Definition
from tiphys.scheduler.locks import STORED_LIMITS
from tiphys.server import answers, bodies, context, naming, queries
from tiphys.server.context import Context
from tiphys.server.problems import EXISTS, Problem
from tiphys.spec.workflows import CORE_API_VERSION, ConfigMap, ObjectMeta

CONFIGMAP, DATABASE = "CONFIGMAP", "DATABASE"
MOST = 2**31 - 1
log = structlog.get_logger()


class Place:
    """Where one limit is: a ConfigMap, and the key in it."""

    def __init__(self, here: Context, namespace: str, key: str, values: Mapping[str, Any]) -> None:
        kind = str(values.get("type") or CONFIGMAP).upper()
        kind = {"0": CONFIGMAP, "1": DATABASE}.get(kind, kind)
        if kind not in {CONFIGMAP, DATABASE}:
            raise Problem(400, f"type is {kind!r}; there are {CONFIGMAP}, {DATABASE}")
        name = bodies.text(values, "cmName")
        if kind == CONFIGMAP and not name:
            raise Problem(400, "cmName is required: the ConfigMap that holds the limit")
        if not key:
            raise Problem(400, "key is required")
        naming.key(key)
        if name:
            naming.name(name, "cmName")
        self.here, self.namespace, self.key, self.kind = here, namespace, key, kind
        self.name = name if kind == CONFIGMAP else STORED_LIMITS

    @property
    def found(self) -> Definition | None:
        """The ConfigMap, if it is in force."""
        for one in self.here.house.definition_rows():
            meta = one.document.metadata
            if isinstance(one.document, ConfigMap) and (meta.namespace, meta.name) == (self.namespace, self.name):
                return one
        return None

    @property
    def limit(self) -> str | None:
        """The limit as it is written, if there is one."""
        found = self.found
        if found is None:
            return None
        assert isinstance(found.document, ConfigMap)
        return (found.document.data or {}).get(self.key)

    async def keep(self, text: str | None) -> None:
        """Have that limit from now on; None: none. Raises Problem."""
        found, source = self.found, f"{API_SOURCES}ConfigMap/{self.namespace}/{self.name}"
        if found is not None and found.source != source:
            raise Problem(
                409,
                f'configmaps "{self.name}" comes from the file {found.source.removeprefix("drop/")} in the drop folder; change that file',
            )
        metadata = ObjectMeta(name=self.name, namespace=self.namespace)
        document = found.document if found is not None else ConfigMap(api_version=CORE_API_VERSION, metadata=metadata)
        assert isinstance(document, ConfigMap)
        data = {key: value for key, value in (document.data or {}).items() if key != self.key}
        if text is not None:
            data[self.key] = text
        if data:
            await self.here.house.define([structs.replace(document, data=data)], source=source)
        else:
            await self.here.house.undefine(source)

    def missing(self) -> Problem:
        """The answer where there is no such limit."""
        return Problem(404, f'sync limit "{self.key}" not found')

    def answer(self) -> web.Response:
        """The limit as Argo shows it."""
        text = self.limit or ""
        shown: dict[str, object] = {"namespace": self.namespace, "key": self.key, "type": self.kind}
        shown["limit"] = int(text) if text.strip().isdecimal() else 0
        if self.kind == CONFIGMAP:
            shown["cmName"] = self.name
        return answers.value(shown)


async def created(request: web.Request) -> web.Response:
    """A new limit; 409 where there is one."""
    here = context.of(request)
    body = await bodies.value(request)
    limit = _limit(body)
    async with here.defining:
        place = Place(here, _namespace(request, here), bodies.text(body, "key"), body)
        if place.limit is not None:
            raise Problem(409, f'sync limit "{place.key}" already exists', EXISTS)
        await place.keep(limit)
    log.info("limit kept", key=place.key, namespace=place.namespace, limit=limit, who=await here.peers.who(request))
    return place.answer()


async def got(request: web.Request) -> web.Response:
    """A limit (query: type, cmName)."""
    place = _asked(request, request.query)
    if place.limit is None:
        raise place.missing()
    return place.answer()


async def updated(request: web.Request) -> web.Response:
    """Another limit in place of the present one. Who waits looks again at once."""
    here = context.of(request)
    body = await bodies.value(request)
    limit = _limit(body)
    async with here.defining:
        place = _asked(request, {**request.query, **body})
        if place.limit is None:
            raise place.missing()
        await place.keep(limit)
    log.info("limit kept", key=place.key, namespace=place.namespace, limit=limit, who=await here.peers.who(request))
    return place.answer()


async def deleted(request: web.Request) -> web.Response:
    """No limit any more (query: type, cmName)."""
    here = context.of(request)
    async with here.defining:
        place = _asked(request, request.query)
        if place.limit is None:
            raise place.missing()
        await place.keep(None)
    log.info("limit deleted", key=place.key, namespace=place.namespace, who=await here.peers.who(request))
    return answers.value({})


def _asked(request: web.Request, values: Mapping[str, Any]) -> Place:
    here = context.of(request)
    return Place(here, _namespace(request, here), request.match_info["key"], values)


def _namespace(request: web.Request, here: Context) -> str:
    given = request.match_info["namespace"]
    return here.house.namespace if given in queries.EVERYWHERE else naming.namespace(given)


def _limit(body: Mapping[str, Any]) -> str:
    limit = body.get("limit")
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MOST:
        raise Problem(400, f"limit must be a whole number from 1 to {MOST}")
    return str(limit)
