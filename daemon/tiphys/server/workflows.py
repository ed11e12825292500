"""Workflows: list, get, create, lint, submit, resubmit, delete."""

import itertools
from collections.abc import Iterator, Sequence

import anyio.to_thread
from aiohttp import web
from msgspec import structs

from tiphys.engine.house import NotThere
from tiphys.engine.inbox import now
from tiphys.journal.protocol import ArchivedRun
from tiphys.scheduler import events
from tiphys.scheduler.records import Run
from tiphys.scheduler.state import RunState
from tiphys.server import answers, bodies, context, judging, making, naming, past, pictures, queries
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.spec.workflows import Document, Workflow


def find(request: web.Request) -> str:
    """The uid of the run that the path names (and the query parameter `uid`). Raises NotThere."""
    house = context.of(request).house
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    if uid := request.query.get("uid", ""):
        return house.still(uid).run.uid
    if namespace not in queries.EVERYWHERE:
        return house.find(namespace, name)
    found = max((run for run in house.runs() if run.name == name), key=lambda run: run.created_at, default=None)
    return house.find(namespace, name) if found is None else found.uid


async def shown(request: web.Request, uid: str) -> web.StreamResponse:
    """A workflow as the answer."""
    here, wanted = context.of(request), request.query.get("fields", "")
    if not wanted and len(here.house.nodes(uid)) > pictures.SMALL:
        found = await here.albums.picture(uid)
        return await answers.in_pieces(request, found.pieces(), found.size)
    return await answers.sent(request, await pictures.one(here.albums, uid, wanted))


async def of_archive(request: web.Request, found: Workflow) -> web.StreamResponse:
    """An archived workflow as the answer."""
    return await answers.sent(request, await anyio.to_thread.run_sync(answers.encoded, found, request.query.get("fields", "")))


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /workflows/{namespace}; `nodes`: of which kind (suspended: those that wait to be resumed), all where it is not said."""
    house = context.of(request).house
    query, nodes = queries.read(request.match_info.get("namespace", ""), request.query), request.query.get("nodes", "")
    if nodes not in pictures.NODES:
        raise Problem(400, f"nodes is {nodes!r}; it may be suspended: then only nodes are told that wait to be resumed")
    metadata: dict[str, object] = {"resourceVersion": str(int(now().timestamp() * 1_000_000))}
    runs = house.runs()
    there, both = {run.uid for run in runs}, set[str]()

    def chosen(lines: Iterator[ArchivedRun]) -> tuple[list[Run], int]:
        def gone() -> Iterator[Run]:
            for line in lines:
                if line.uid in there:
                    both.add(line.uid)
                else:
                    yield past.row(line)

        return query.chosen(itertools.chain(runs, gone()))

    if past.wanted(query.labels):
        page, left = await house.archive(chosen)
    else:
        page, left = await anyio.to_thread.run_sync(query.chosen, runs)
    if left:
        metadata |= {"continue": str(query.offset + len(page)), "remainingItemCount": left}

    def outline(run: Run) -> Workflow | None:
        return past.outline(run) if run.uid in both or run.uid not in there else None

    return await answers.sent(request, await pictures.many(house, page, request.query.get("fields", ""), metadata, outline, nodes=nodes))


async def got(request: web.Request) -> web.StreamResponse:
    """GET /workflows/{namespace}/{name}; what is only in the archive is found there."""
    here = context.of(request)
    try:
        uid = find(request)
    except NotThere:
        if asked := request.query.get("uid", ""):
            uid = asked
        else:
            uid = await past.newest(here.house, request.match_info["namespace"], request.match_info["name"])
        return await of_archive(request, await here.house.archived(uid))
    return await shown(request, uid)


async def created(request: web.Request) -> web.StreamResponse:
    """POST /workflows/{namespace}. A YAML body may hold other documents, which are there for its one Workflow."""
    here = context.of(request)
    documents, dry = await _sent(request, here)
    return await started(request, here, documents, dry=dry)


async def linted(request: web.Request) -> web.StreamResponse:
    """POST /workflows/{namespace}/lint."""
    here = context.of(request)
    documents, _ = await _sent(request, here)
    await judging.judge(here, documents, _namespace(request, here))
    return answers.value(_workflow(documents))


async def submitted(request: web.Request) -> web.StreamResponse:
    """POST /workflows/{namespace}/submit: from a template or cron workflow that is in force."""
    here = context.of(request)
    body = await bodies.value(request)
    options = body.get("submitOptions") or {}
    if not isinstance(options, dict):
        raise Problem(400, "submitOptions must be an object")
    namespace = _namespace(request, here)
    source = making.source(here.house.definitions(), bodies.text(body, "resourceKind"), namespace, bodies.text(body, "resourceName"))
    made = making.chosen(making.of_source(source, namespace, now(), here.house.definition_uid(source)), options)
    dry = bodies.flag(options, "dryRun") or bodies.flag(options, "serverDryRun")
    return await started(request, here, [made], dry=dry)


async def resubmitted(request: web.Request) -> web.StreamResponse:
    """PUT /workflows/{namespace}/{name}/resubmit."""
    return await resubmit(request, find(request))


async def resubmit(request: web.Request, uid: str) -> web.StreamResponse:
    """The same work again, as a new workflow."""
    return await again(request, context.of(request).house.still(uid))


async def again(request: web.Request, still: RunState) -> web.StreamResponse:
    """The work of a run as it is, or as it had ended, as a new workflow."""
    here = context.of(request)
    body = await bodies.value(request)
    made = making.again(still.run, still.manifest, bodies.pairs(bodies.texts(body, "parameters")))
    documents = [made, *making.brought(still.manifest, here.house.definitions())]
    if not bodies.flag(body, "memoized"):
        return await started(request, here, documents)
    await judging.judge(here, documents, made.metadata.namespace)
    return await shown(request, await here.house.resubmit(still, documents, who=await here.peers.who(request)))


async def deleted(request: web.Request) -> web.StreamResponse:
    """DELETE /workflows/{namespace}/{name}: one that goes on is terminated first."""
    here = context.of(request)
    force = request.query.get("force", "").lower() in {"1", "true"}
    await here.house.ask(find(request), events.Delete(force=force), await here.peers.who(request))
    return answers.value({})


async def _sent(request: web.Request, here: Context) -> tuple[list[Document], bool]:
    """The documents of a body, its one Workflow in the path's namespace; and whether nothing is to be started."""
    dry = request.query.get("dryRun", "").lower() in {"1", "true"}
    documents: list[Document]
    if bodies.is_yaml(request):
        documents = await bodies.manifests(request, here.limits)
    else:
        body = await bodies.value(request)
        found = body.get("workflow")
        if found is None and body.get("kind") == "Workflow":
            found = body  # the Workflow alone
        dry = dry or bodies.dry(body)
        documents = [await bodies.document(found, "Workflow", here.limits, request.content_length or bodies.SMALL + 1)]
    workflow, namespace = _workflow(documents), _namespace(request, here)
    if workflow.metadata.namespace not in {"", namespace}:
        raise Problem(400, "the namespace of the provided object does not match the namespace sent on the request")
    placed = structs.replace(workflow, metadata=structs.replace(workflow.metadata, namespace=namespace))
    return [placed if one is workflow else one for one in documents], dry


def _workflow(documents: Sequence[Document]) -> Workflow:
    found = [one for one in documents if isinstance(one, Workflow)]
    if len(found) != 1:
        raise Problem(400, f"one Workflow is created at a time; the body holds {len(found)}")
    return found[0]


def _namespace(request: web.Request, here: Context) -> str:
    given = request.match_info["namespace"]
    return here.house.namespace if given in queries.EVERYWHERE else naming.namespace(given)


async def started(request: web.Request, here: Context, documents: Sequence[Document], *, dry: bool = False) -> web.StreamResponse:
    """Start the one Workflow among the documents, which is the answer; `dry`: only judge it."""
    meta = _workflow(documents).metadata
    if meta.name:
        naming.name(meta.name)
    elif meta.generate_name:
        naming.prefix(meta.generate_name)
    await judging.judge(here, documents, _workflow(documents).metadata.namespace or here.house.namespace)
    if dry:
        return answers.value(_workflow(documents))
    [uid] = await here.house.submit(documents, who=await here.peers.who(request))
    return await shown(request, uid)
