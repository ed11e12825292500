"""Definitions made through the API: templates, cluster templates and cron workflows, created, changed, deleted, and cron workflows paused.

Each is a source of its own, so that one is changed without the others. What a file in the drop folder defines belongs to that file and is
only read here. Who made and who changed an object last is recorded in its labels, as Argo does.
"""

import uuid
from dataclasses import dataclass

import structlog
from aiohttp import web
from msgspec import structs

from tiphys.engine.house import creator_label
from tiphys.engine.inbox import now
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.items import API_SOURCES, Definition, definition_key
from tiphys.server import bodies, context, definitions, judging, naming, queries
from tiphys.server.context import Context
from tiphys.server.definitions import Kind, Shown
from tiphys.server.problems import EXISTS, Problem
from tiphys.spec import names
from tiphys.spec.workflows import ClusterWorkflowTemplate, CronWorkflow, ObjectMeta, WorkflowEventBinding, WorkflowTemplate

LABELS = "workflows.argoproj.io/"
KEPT_LABELS = frozenset(f"{LABELS}{name}" for name in ("creator", "actor", "action", "cron-workflow-completed"))
FIELDS = {WorkflowTemplate: "template", ClusterWorkflowTemplate: "template", CronWorkflow: "cronWorkflow", WorkflowEventBinding: "binding"}
"""Where a body holds the object."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """What may be asked of the definitions of one kind, as handlers of requests."""

    kind: Kind

    async def listed(self, request: web.Request) -> web.Response:
        """Those in force."""
        return await definitions.listed(request, self.kind)

    async def got(self, request: web.Request) -> web.Response:
        """One of them."""
        return await definitions.got(request, self.kind)

    async def created(self, request: web.Request) -> web.Response:
        """A new one is in force from now on; 409 where there is one of that name."""
        here = context.of(request)
        made, dry = await self._sent(request, here, "")
        meta = made.metadata
        if not meta.name and meta.generate_name:
            meta = structs.replace(meta, name=names.generated(naming.prefix(meta.generate_name), uuid.uuid4().bytes))
        if not meta.name:
            raise Problem(400, "name or generateName is required")
        naming.name(meta.name)
        made = structs.replace(made, metadata=meta)
        async with here.defining:
            there = self._there(here, meta.namespace, meta.name)
            if there is not None:
                raise Problem(409, f'{self._words} "{meta.name}" already exists{_of_file(there)}', EXISTS)
            await judging.judge(here, [made], meta.namespace or here.house.namespace)
            if dry:
                return await definitions.answer(request, Definition(document=made, source=_source(made), at=now()))
            fresh = structs.replace(meta, uid=str(uuid.uuid4()), creation_timestamp=rfc3339(now()), generation=1)
            who = await here.peers.who(request)
            marked = _marked(fresh, {f"{LABELS}creator": creator_label(who)} if who else {})
            return await self._kept(request, here, structs.replace(made, metadata=marked), who)

    async def updated(self, request: web.Request) -> web.Response:
        """One takes the place of the former; 409 where somebody else has changed it since it was read."""
        here = context.of(request)
        name = request.match_info["name"]
        made, dry = await self._sent(request, here, name)
        async with here.defining:
            before = self._own(here, made.metadata.namespace, name)
            wanted = made.metadata.resource_version
            if wanted and wanted != definitions.version(before):
                raise Problem(
                    409,
                    f'Operation cannot be fulfilled on {self._words} "{name}": the object has been modified; '
                    "please apply your changes to the latest version and try again",
                )
            await judging.judge(here, [made], made.metadata.namespace or here.house.namespace)
            if dry:
                return await definitions.answer(request, structs.replace(before, document=made))
            return await self._replaced(request, here, before, made, "Update")

    async def linted(self, request: web.Request) -> web.Response:
        """What is sent would do; nothing is kept."""
        here = context.of(request)
        made, _ = await self._sent(request, here, "")
        await judging.judge(here, [made], made.metadata.namespace or here.house.namespace)
        return definitions.plain(made)

    async def deleted(self, request: web.Request) -> web.Response:
        """One is no longer in force. Runs that began with it go on."""
        here = context.of(request)
        async with here.defining:
            before = self._own(here, self._namespace(request, here), request.match_info["name"])
            await here.house.undefine(before.source)
        log.info("definition deleted", definition=before.key, who=await here.peers.who(request))
        return definitions.plain({})

    async def suspended(self, request: web.Request) -> web.Response:
        """A cron workflow starts nothing until it is resumed."""
        return await self._paused(request, suspend=True)

    async def resumed(self, request: web.Request) -> web.Response:
        """A cron workflow goes on with its schedule."""
        return await self._paused(request, suspend=False)

    async def _paused(self, request: web.Request, *, suspend: bool) -> web.Response:
        here = context.of(request)
        await bodies.value(request)
        async with here.defining:
            before = self._own(here, self._namespace(request, here), request.match_info["name"])
            assert isinstance(before.document, CronWorkflow)
            made = structs.replace(before.document, spec=structs.replace(before.document.spec, suspend=suspend))
            return await self._replaced(request, here, before, made, "Suspend" if suspend else "Resume")

    async def _replaced(self, request: web.Request, here: Context, before: Definition, made: Shown, action: str) -> web.Response:
        old = before.document.metadata
        who = await here.peers.who(request)
        assert isinstance(before.document, type(made))
        meta = structs.replace(
            made.metadata,
            uid=old.uid,
            creation_timestamp=old.creation_timestamp,
            generation=old.generation + (made.spec != before.document.spec),
        )
        labels = {f"{LABELS}actor": creator_label(who), f"{LABELS}action": action} if who else {}
        if creator := (old.labels or {}).get(f"{LABELS}creator"):
            labels[f"{LABELS}creator"] = creator
        return await self._kept(request, here, structs.replace(made, metadata=_marked(meta, labels)), who)

    async def _kept(self, request: web.Request, here: Context, made: Shown, who: str) -> web.Response:
        cleared = structs.replace(made, metadata=structs.replace(made.metadata, resource_version="", managed_fields=None))
        await here.house.define([cleared], source=_source(cleared))
        log.info("definition kept", definition=definition_key(cleared), who=who)
        there = self._there(here, cleared.metadata.namespace, cleared.metadata.name)
        assert there is not None
        return await definitions.answer(request, there)

    async def _sent(self, request: web.Request, here: Context, name: str) -> tuple[Shown, bool]:
        """The object of a body, in the path's namespace; and whether nothing is to be kept. `name`: that it must have."""
        namespace = self._namespace(request, here)
        dry = False
        if bodies.is_yaml(request):
            found = await bodies.manifests(request, here.limits)
            if len(found) != 1 or not isinstance(found[0], self.kind):
                raise Problem(400, f"the body must hold one {self.kind.__name__}")
            made: Shown = found[0]
        else:
            body = await bodies.value(request)
            inner = body.get(FIELDS[self.kind])
            if inner is None and body.get("kind") == self.kind.__name__:
                inner = body  # the object alone
            dry = bodies.dry(body)
            document = await bodies.document(inner, self.kind.__name__, here.limits, request.content_length or bodies.SMALL + 1)
            assert isinstance(document, self.kind)
            made = document
        meta = made.metadata
        if namespace and meta.namespace not in {"", namespace}:
            raise Problem(400, "the namespace of the provided object does not match the namespace sent on the request")
        if name and meta.name not in {"", name}:
            raise Problem(400, "the name of the provided object does not match the name sent on the request")
        return structs.replace(made, metadata=structs.replace(meta, namespace=namespace, name=name or meta.name)), dry

    def _namespace(self, request: web.Request, here: Context) -> str:
        if self.kind is ClusterWorkflowTemplate:
            return ""
        given = request.match_info["namespace"]
        return here.house.namespace if given in queries.EVERYWHERE else naming.namespace(given)

    def _there(self, here: Context, namespace: str, name: str) -> Definition | None:
        return definitions.find(here, self.kind, namespace, name)

    def _own(self, here: Context, namespace: str, name: str) -> Definition:
        """The definition, if it was made here. Raises Problem."""
        found = self._there(here, namespace, name)
        if found is None:
            raise Problem(404, f'{self._words} "{name}" not found')
        if not found.source.startswith(API_SOURCES):
            raise Problem(409, f'{self._words} "{name}" cannot be changed here{_of_file(found)}')
        return found

    @property
    def _words(self) -> str:
        return definitions.words(self.kind)


def _source(made: Shown) -> str:
    return API_SOURCES + definition_key(made)


def _of_file(found: Definition) -> str:
    """Where a definition is from that belongs to a file, and what to do; "" for one of our own."""
    if found.source.startswith(API_SOURCES):
        return ""
    return f": it comes from the file {found.source.removeprefix('drop/')} in the drop folder; change that file, or remove it"


def _marked(meta: ObjectMeta, labels: dict[str, str]) -> ObjectMeta:
    """Metadata with who did what in place of what was sent."""
    sent = {key: value for key, value in (meta.labels or {}).items() if key not in KEPT_LABELS}
    return structs.replace(meta, labels={**sent, **labels} or None)
