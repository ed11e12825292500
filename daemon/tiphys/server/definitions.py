"""Definitions in force, as they are shown: templates, cluster templates, event bindings, and cron workflows with how far they are."""

from collections.abc import Iterator, Mapping

import anyio.to_thread
from aiohttp import web
from msgspec import structs

from tiphys.engine.inbox import now
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.items import API_SOURCES, Cron, Definition
from tiphys.scheduler.registry import CRON_LABEL
from tiphys.server import answers, bodies, context, pictures, queries
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.spec.objects import JSON
from tiphys.spec.workflows import ARGO_API_VERSION, ClusterWorkflowTemplate, CronWorkflow, WorkflowEventBinding, WorkflowTemplate

STOPPED = "Stopped"
Kind = type[WorkflowTemplate] | type[ClusterWorkflowTemplate] | type[CronWorkflow] | type[WorkflowEventBinding]
Shown = WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow | WorkflowEventBinding


async def cron_run(request: web.Request) -> web.StreamResponse:
    """POST /cron-workflows/{namespace}/{name}/run, which is ours: a workflow of it starts now, whatever its schedule says."""
    await bodies.value(request)
    here = context.of(request)
    found = _find(request, CronWorkflow)
    assert isinstance(found.document, CronWorkflow)
    at = now()
    meta = found.document.metadata
    tick = await here.house.tick(meta.namespace, meta.name, at, rfc3339(at), manual=True, who=await here.peers.who(request))
    if not tick.uid:
        raise Problem(409, f"{meta.name} was not started: {tick.skipped}")
    return await answers.sent(request, await pictures.one(here.albums, tick.uid, request.query.get("fields", "")))


async def listed(request: web.Request, kind: Kind) -> web.Response:
    """The definitions of a kind in force, as the query wants them."""
    here = context.of(request)
    labels = queries.label_selector(request.query)
    fields = queries.field_selector(request.query.get("listOptions.fieldSelector", ""))
    pattern = request.query.get("namePattern", "")
    found = []
    for one in _all(request, kind):
        meta = one.document.metadata
        values = {"metadata.name": meta.name, "metadata.namespace": meta.namespace}
        if not all((values.get(field.name) == field.value) == field.equal for field in fields) or pattern not in meta.name:
            continue
        if labels.matches(meta.labels or {}):
            found.append(one)
    found.sort(key=lambda one: one.key)
    page, metadata = queries.page(found, request.query)
    items = [await _shown(here, one) for one in page]
    listing = answers.listing(f"{kind.__name__}List", items, metadata)
    return answers.json(await anyio.to_thread.run_sync(answers.encoded, listing, request.query.get("fields", "")))


async def got(request: web.Request, kind: Kind) -> web.Response:
    """One definition in force."""
    return await answer(request, _find(request, kind))


async def answer(request: web.Request, one: Definition) -> web.Response:
    """A definition as an answer."""
    shown = await _shown(context.of(request), one)
    return answers.json(await anyio.to_thread.run_sync(answers.encoded, shown, request.query.get("fields", "")))


def plain(value: object) -> web.Response:
    """A value as an answer, as it is."""
    return answers.value(value)


def words(kind: type) -> str:
    """A kind as Kubernetes' messages name it."""
    return f"{kind.__name__.lower()}s.argoproj.io"


def find(here: Context, kind: Kind, namespace: str, name: str) -> Definition | None:
    """The definition of a name, if it is in force."""
    return next(
        (
            one
            for one in here.house.definition_rows()
            if isinstance(one.document, kind) and one.document.metadata.name == name and one.document.metadata.namespace == namespace
        ),
        None,
    )


def version(one: Definition) -> str:
    """What changes with each change of a definition, and only then."""
    return str(int(one.at.timestamp() * 1_000_000))


def _all(request: web.Request, kind: Kind) -> Iterator[Definition]:
    namespace = "" if kind is ClusterWorkflowTemplate else request.match_info.get("namespace", "")
    for one in context.of(request).house.definition_rows():
        if isinstance(one.document, kind) and queries.covers(namespace, one.document.metadata.namespace):
            yield one


def _find(request: web.Request, kind: Kind) -> Definition:
    name = request.match_info["name"]
    for one in _all(request, kind):
        if one.document.metadata.name == name:
            return one
    raise Problem(404, f'{words(kind)} "{name}" not found')


async def _shown(here: Context, one: Definition) -> Shown:
    document = one.document
    assert isinstance(document, Shown)
    meta = structs.replace(document.metadata, resource_version=version(one))
    if not one.source.startswith(API_SOURCES):
        meta = structs.replace(meta, uid=one.uid, creation_timestamp=rfc3339(one.at))
    if isinstance(document, CronWorkflow):
        following = await anyio.to_thread.run_sync(here.next_run, document)
        status = _status(here, document, rfc3339(following) if following else "")
        if status["phase"] == STOPPED:
            meta = structs.replace(meta, labels={**(meta.labels or {}), f"{CRON_LABEL}-completed": "true"})
        return structs.replace(document, metadata=meta, status=status)
    return structs.replace(document, metadata=meta)


def _status(here: Context, cron: CronWorkflow, following: str) -> Mapping[str, JSON]:
    """A cron workflow's status as Argo shows it, and (ours) when it comes next."""
    meta = cron.metadata
    known = here.house.cron_state(meta.namespace, meta.name)
    row = known or Cron(namespace=meta.namespace, name=meta.name)
    status: dict[str, JSON] = {
        "active": [
            {"apiVersion": ARGO_API_VERSION, "kind": "Workflow", "name": run.name, "namespace": run.namespace, "uid": run.uid}
            for run in here.house.active_of(meta.namespace, meta.name)
        ],
        "conditions": [{"type": row.error_kind, "status": "True", "message": row.error}] if row.error else [],
        "succeeded": row.succeeded,
        "failed": row.failed,
        "phase": STOPPED if row.stopped else "Active",
    }
    if row.last_started_at is not None:
        status["lastScheduledTime"] = rfc3339(row.last_started_at)
    if following:
        status["nextScheduledTime"] = following
    return status
