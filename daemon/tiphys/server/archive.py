"""The archive: the records of workflows that were deleted by a rule or by hand."""

from collections.abc import Mapping, Sequence

import anyio.to_thread
import structlog
from aiohttp import web

from tiphys.engine.house import House, NotThere
from tiphys.journal.protocol import ArchivedRun
from tiphys.server import answers, context, queries
from tiphys.server.problems import Problem
from tiphys.spec.workflows import ARGO_API_VERSION

FIELDS = frozenset({"metadata.name", "metadata.namespace", "metadata.uid", "status.phase"})
log = structlog.get_logger()


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /archived-workflows: what is known of each without its record."""
    kept = await context.of(request).house.archive()
    body = await anyio.to_thread.run_sync(_page, kept, dict(request.query))
    return await answers.sent(request, body)


async def got(request: web.Request) -> web.StreamResponse:
    """GET /archived-workflows/{uid}; also by its name."""
    house = context.of(request).house
    found = await house.archived(await _uid(request))
    return await answers.sent(request, await anyio.to_thread.run_sync(answers.encoded, found, request.query.get("fields", "")))


async def deleted(request: web.Request) -> web.Response:
    """DELETE /archived-workflows/{uid}."""
    here = context.of(request)
    uid = await _uid(request)
    await here.house.archived(uid)
    await here.house.forget_archived(uid)
    log.info("archived workflow deleted", uid=uid, who=await here.peers.who(request))
    return answers.value({})


async def label_keys(request: web.Request) -> web.Response:
    """GET /archived-workflows-label-keys."""
    kept = await context.of(request).house.archive()
    return answers.value({"items": sorted({key for run in kept for key in run.labels})})


async def label_values(request: web.Request) -> web.Response:
    """GET /archived-workflows-label-values: of the label that the selector names."""
    kept = await context.of(request).house.archive()
    keys = [requirement.key for requirement in queries.label_selector(request.query).requirements]
    if len(keys) != 1:
        raise Problem(400, "listOptions.labelSelector must name one label")
    return answers.value({"items": sorted({run.labels[keys[0]] for run in kept if keys[0] in run.labels})})


async def named(house: House, namespace: str, name: str) -> str:
    """The uid of the newest archived run of a name. Raises NotThere."""
    for run in await house.archive():
        if run.name == name and (namespace in queries.EVERYWHERE or run.namespace == namespace):
            return run.uid
    raise NotThere(f'workflows.argoproj.io "{name}" not found')


async def _uid(request: web.Request) -> str:
    """The uid that the path means."""
    given = request.match_info["uid"]
    house = context.of(request).house
    try:
        await house.archived(given)
    except NotThere:
        return await named(house, request.query.get("namespace", ""), request.query.get("name", "") or given)
    return given


def _page(kept: Sequence[ArchivedRun], query: Mapping[str, str]) -> bytes:
    labels = queries.label_selector(query)
    wanted = queries.field_selector(query.get("listOptions.fieldSelector", ""))
    if unknown := [one.name for one in wanted if one.name not in FIELDS]:
        raise Problem(400, f"field label not supported: {unknown[0]}; there are {', '.join(sorted(FIELDS))}")
    namespace, prefix = query.get("namespace", ""), query.get("namePrefix", "")
    found = [
        run
        for run in kept
        if (namespace in queries.EVERYWHERE or run.namespace == namespace)
        and run.name.startswith(prefix)
        and all((_field(run, one.name) == one.value) == one.equal for one in wanted)
        and labels.matches(run.labels)
    ]
    limit, offset = queries.count(query, "listOptions.limit"), queries.count(query, "listOptions.continue")
    end = offset + limit if limit else len(found)
    metadata: dict[str, object] = {}
    if len(found) > end:
        metadata = {"continue": str(end), "remainingItemCount": len(found) - end}
    listing = answers.listing("WorkflowList", [_shown(run) for run in found[offset:end]], metadata)
    return answers.encoded(listing, query.get("fields", ""))


def _field(run: ArchivedRun, name: str) -> str:
    return {"metadata.name": run.name, "metadata.namespace": run.namespace, "metadata.uid": run.uid, "status.phase": run.phase}[name]


def _shown(run: ArchivedRun) -> dict[str, object]:
    return {
        "apiVersion": ARGO_API_VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": run.name,
            "namespace": run.namespace,
            "uid": run.uid,
            "creationTimestamp": run.created_at,
            "labels": run.labels,
        },
        "spec": {},
        "status": {"phase": run.phase, "startedAt": run.started_at, "finishedAt": run.finished_at},
    }
