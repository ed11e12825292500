"""The archive: finished workflows, also those that are no longer there otherwise. Lists of workflows hold both."""

import re
from collections.abc import Iterator
from datetime import datetime

import anyio.to_thread
import structlog
from aiohttp import web

from tiphys.engine.house import NotThere
from tiphys.journal.protocol import ArchivedRun
from tiphys.scheduler.records import Run
from tiphys.server import answers, bodies, context, making, past, queries, steering, workflows
from tiphys.server.problems import Problem
from tiphys.spec.workflows import Workflow

STARTED = re.compile(r"^spec\.startedAt(<=?|>=?)(.*)$")
SIGNS = {"<": datetime.__lt__, "<=": datetime.__le__, ">": datetime.__gt__, ">=": datetime.__ge__}
GONE = (
    "the workflow is only in the archive, which keeps what it was, and no longer its rows from which it could go on "
    "(the setting journal.remains_bytes says how many are kept): resubmit it"
)
log = structlog.get_logger()


async def listed(request: web.Request) -> web.StreamResponse:
    """Workflows of the archive: metadata and how they ended."""
    here = context.of(request)
    asked = dict(request.query)
    bounds, kept = [], []
    for part in filter(None, asked.get("listOptions.fieldSelector", "").split(",")):
        if found := STARTED.match(part.strip()):
            bounds.append((SIGNS[found[1]], queries.time(found[2], "spec.startedAt")))
        elif not part.startswith("ext."):
            kept.append(part)
    asked["listOptions.fieldSelector"] = ",".join(kept)
    prefix = asked.get("namePrefix", "")
    query = queries.read(asked.get("namespace", ""), asked)

    def chosen(lines: Iterator[ArchivedRun]) -> tuple[list[Run], dict[str, object]]:
        meant = (one for one in map(past.row, lines) if one.name.startswith(prefix) and query.matches(one) and timely(one))
        return queries.page(meant, asked)

    def timely(one: Run) -> bool:
        return all(one.started_at is not None and sign(one.started_at, bound) for sign, bound in bounds)

    page, metadata = await here.house.archive(chosen)
    listing = answers.listing("WorkflowList", [past.outline(one) for one in page], metadata)
    return answers.json(await anyio.to_thread.run_sync(answers.encoded, listing, request.query.get("fields", "")))


async def got(request: web.Request) -> web.StreamResponse:
    """One workflow of the archive, as it was shown last."""
    return await workflows.of_archive(request, await _find(request))


async def deleted(request: web.Request) -> web.StreamResponse:
    """Take one workflow out of the archive; it stays where it is otherwise."""
    here = context.of(request)
    found = await _find(request)
    await here.house.forget_archived(found.metadata.uid)
    log.info("archived workflow deleted", uid=found.metadata.uid, workflow=found.metadata.name, who=await here.peers.who(request))
    return answers.value({})


async def retried(request: web.Request) -> web.StreamResponse:
    """Retry in place what is still there; what is only in the archive is made again under its name, with what succeeded in it."""
    here = context.of(request)
    uid = request.match_info["uid"]
    if here.house.row(uid) is not None:
        return await steering.retry_of(request, uid)
    found = await _find(request)
    body = await bodies.value(request)
    ended = await here.house.ended(found.metadata.uid)
    if ended is None:
        raise Problem(409, GONE)
    wish = steering.retry_wish(body, lambda: ended)
    return await workflows.shown(request, await here.house.revive(ended, wish, who=await here.peers.who(request)))


async def resubmitted(request: web.Request) -> web.StreamResponse:
    """The same work again, as a new workflow."""
    here = context.of(request)
    uid = request.match_info["uid"]
    if here.house.row(uid) is not None:
        return await workflows.resubmit(request, uid)
    found = await _find(request)
    if (ended := await here.house.ended(found.metadata.uid)) is not None:
        return await workflows.again(request, ended)
    body = await bodies.value(request)
    if bodies.flag(body, "memoized"):
        raise Problem(409, GONE.replace("resubmit it", "resubmit it without memoized"))
    made = making.again_of(found, bodies.pairs(bodies.texts(body, "parameters")))
    return await workflows.started(request, here, [made])


async def label_keys(request: web.Request) -> web.StreamResponse:
    """The labels that archived workflows have."""
    namespace = request.query.get("namespace", "")

    def look(lines: Iterator[ArchivedRun]) -> set[str]:
        return {key for one in lines if queries.covers(namespace, one.namespace) for key in one.labels}

    return answers.value({"items": sorted(await context.of(request).house.archive(look))})


async def label_values(request: web.Request) -> web.StreamResponse:
    """The values that a label (listOptions.labelSelector) has among archived workflows."""
    key = request.query.get("listOptions.labelSelector", "").strip()
    if not key or not re.fullmatch(r"[A-Za-z0-9./_-]+", key):
        raise Problem(400, "listOptions.labelSelector must be the key of a label")
    namespace = request.query.get("namespace", "")

    def look(lines: Iterator[ArchivedRun]) -> set[str]:
        return {one.labels[key] for one in lines if queries.covers(namespace, one.namespace) and key in one.labels}

    return answers.value({"items": sorted(await context.of(request).house.archive(look))})


async def _find(request: web.Request) -> Workflow:
    """The archived workflow of the path's uid, or of its name; the query may say name and namespace too. Raises NotThere."""
    given, house = request.match_info["uid"], context.of(request).house
    name, namespace = request.query.get("name", ""), request.query.get("namespace", "")
    try:
        found = await house.archived(given)
    except NotThere:
        return await house.archived(await past.newest(house, namespace, name or given))
    meta = found.metadata
    if name in {"", meta.name} and queries.covers(namespace, meta.namespace):
        return found
    raise NotThere(f'workflows.argoproj.io "{given}" not found')
