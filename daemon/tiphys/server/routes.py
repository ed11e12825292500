"""Every path that is served: Argo Server's (semantics part 4), and a few of our own. The OpenAPI document is made of this table."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio.to_thread
import msgspec
from aiohttp import web

from tiphys.scheduler.reasons import CronExplanation
from tiphys.server import (
    answers,
    archive,
    artifacts,
    asked,
    context,
    daemon,
    definitions,
    dispatching,
    eventlog,
    explaining,
    happenings,
    limits,
    logs,
    openapi,
    paging,
    steering,
    watching,
    workflows,
)
from tiphys.server.defining import Handlers
from tiphys.spec.workflows import (
    ClusterWorkflowTemplate,
    CronWorkflow,
    Workflow,
    WorkflowEventBinding,
    WorkflowTemplate,
)

BASE = "/api/v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LISTED = ("listOptions.labelSelector", "listOptions.fieldSelector", "listOptions.limit", "listOptions.continue", "fields")
FILTERED = (*LISTED, "nameFilter", "createdAfter", "finishedBefore")
PAGED = ("listOptions.limit", "listOptions.continue", "stream", "uid")
WATCHED = ("listOptions.labelSelector", "listOptions.fieldSelector", "listOptions.resourceVersion", "fields")
LOGGED = (
    "podName",
    "logOptions.container",
    "logOptions.follow",
    "logOptions.previous",
    "logOptions.sinceSeconds",
    "logOptions.sinceTime",
    "logOptions.sinceTime.seconds",
    "logOptions.sinceTime.nanos",
    "logOptions.timestamps",
    "logOptions.tailLines",
    "logOptions.limitBytes",
    "grep",
    "selector",
)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One thing that may be asked. `query`: the parameters it looks at; `body`: the struct of its body; `gives`: of its answer, or how it
    answers: "stream", "bytes", "text", "object"; `summary`: what it is for, where its handler's docstring does not say it.
    """

    method: str
    path: str
    handler: Handler
    query: tuple[str, ...] = ()
    body: type | None = None
    gives: type | str = "object"
    summary: str = ""


def _workflows() -> list[Route]:
    every = f"{BASE}/workflows"
    home = f"{every}/{{namespace}}"
    one = f"{home}/{{name}}"

    def action(name: str, handler: Handler, body: type) -> Route:
        return Route(method="PUT", path=f"{one}/{name}", handler=handler, query=("fields",), body=body, gives=Workflow)

    return [
        *_at((every, f"{every}/", home), lambda at: Route(method="GET", path=at, handler=workflows.listed, query=(*FILTERED, "nodes"))),
        Route(method="POST", path=home, handler=workflows.created, query=("fields",), body=asked.Submission, gives=Workflow),
        Route(method="POST", path=f"{home}/lint", handler=workflows.linted, body=asked.Submission, gives=Workflow),
        Route(method="POST", path=f"{home}/submit", handler=workflows.submitted, query=("fields",), body=asked.Submit, gives=Workflow),
        Route(method="GET", path=one, handler=workflows.got, query=("fields", "uid"), gives=Workflow),
        Route(method="DELETE", path=one, handler=workflows.deleted, query=("force",)),
        Route(method="GET", path=f"{one}/log", handler=logs.logged, query=LOGGED, gives="stream"),
        Route(method="GET", path=f"{one}/explain", handler=explaining.explained, query=("node",)),
        Route(method="GET", path=f"{one}/nodes", handler=paging.nodes, query=PAGED, gives=paging.Page),
        Route(method="GET", path=f"{one}/event-log", handler=eventlog.logged, query=("after", "follow"), gives="stream"),
        Route(method="GET", path=f"{BASE}/top", handler=explaining.top, query=("limit",), gives=explaining.Top),
        Route(method="GET", path=f"{one}/{{pod}}/log", handler=logs.logged, query=LOGGED, gives="stream"),
        action("suspend", steering.suspend, asked.Named),
        action("resume", steering.resume, asked.Resume),
        action("stop", steering.stop, asked.Stop),
        action("terminate", steering.terminate, asked.Named),
        action("retry", steering.retry, asked.Retry),
        action("resubmit", workflows.resubmitted, asked.Resubmit),
        action("set", steering.set_, asked.SetNode),
    ]


def _streams() -> list[Route]:
    watch = f"{BASE}/workflow-events"
    events = f"{BASE}/stream/events"
    chosen = ("listOptions.fieldSelector",)
    return [
        *_at(
            (watch, f"{watch}/", f"{watch}/{{namespace}}"),
            lambda at: Route(method="GET", path=at, handler=watching.watched, query=WATCHED, gives="stream"),
        ),
        *_at(
            (events, f"{events}/", f"{events}/{{namespace}}"),
            lambda at: Route(method="GET", path=at, handler=happenings.streamed, query=chosen, gives="stream"),
        ),
    ]


def _definitions(name: str, handlers: Handlers, body: type, *, namespaced: bool = True) -> list[Route]:
    every = f"{BASE}/{name}"
    home = f"{every}/{{namespace}}" if namespaced else every
    one = f"{home}/{{name}}"
    words = handlers.kind.__name__

    def route(method: str, path: str, handler: Handler, what: str, *, sent: bool = False, query: tuple[str, ...] = ()) -> Route:
        gives = handlers.kind if ("{name}" in path and method != "DELETE") or sent else "object"
        return Route(method=method, path=path, handler=handler, summary=what, body=body if sent else None, query=query, gives=gives)

    return [
        *_at(
            dict.fromkeys((every, f"{every}/", home)),
            lambda at: route("GET", at, handlers.listed, f"The {words}s in force.", query=(*LISTED, "namePattern")),
        ),
        route("POST", home, handlers.created, f"A new {words}; 409 where there is one of that name.", sent=True),
        route("POST", f"{home}/lint", handlers.linted, f"Whether a {words} is right; nothing is kept.", sent=True),
        route("GET", one, handlers.got, f"One {words}.", query=("fields",)),
        route("PUT", one, handlers.updated, f"A {words} in place of the former; 409 where it was changed meanwhile.", sent=True),
        route("DELETE", one, handlers.deleted, f"One {words} is no longer in force."),
    ]


def _crons() -> list[Route]:
    handlers = Handlers(kind=CronWorkflow)
    one = f"{BASE}/cron-workflows/{{namespace}}/{{name}}"
    return [
        *_definitions("cron-workflows", handlers, asked.Cron),
        *(
            Route(method="PUT", path=f"{one}/{name}", handler=handler, body=asked.Named, gives=CronWorkflow, summary=what)
            for name, handler, what in (
                ("suspend", handlers.suspended, "A cron workflow starts nothing until it is resumed."),
                ("resume", handlers.resumed, "A cron workflow goes on with its schedule."),
            )
        ),
        Route(method="GET", path=f"{one}/explain", handler=explaining.cron_explained, gives=CronExplanation),
        Route(method="POST", path=f"{one}/run", handler=definitions.cron_run, query=("fields",), body=asked.Named, gives=Workflow),
    ]


def _archive() -> list[Route]:
    every = f"{BASE}/archived-workflows"
    chosen = (*FILTERED, "namePrefix", "namespace")
    one = f"{every}/{{uid}}"
    which = ("name", "namespace")
    return [
        *_at((every, f"{every}/"), lambda at: Route(method="GET", path=at, handler=archive.listed, query=chosen)),
        Route(method="GET", path=one, handler=archive.got, query=(*which, "fields"), gives=Workflow),
        Route(method="DELETE", path=one, handler=archive.deleted, query=which),
        Route(method="PUT", path=f"{one}/retry", handler=archive.retried, body=asked.Retry, gives=Workflow),
        Route(method="PUT", path=f"{one}/resubmit", handler=archive.resubmitted, body=asked.Resubmit, gives=Workflow),
        Route(method="GET", path=f"{BASE}/archived-workflows-label-keys", handler=archive.label_keys, query=("namespace",)),
        Route(
            method="GET",
            path=f"{BASE}/archived-workflows-label-values",
            handler=archive.label_values,
            query=("listOptions.labelSelector", "namespace"),
        ),
    ]


def _events() -> list[Route]:
    one = f"{BASE}/sync/{{namespace}}/{{key}}"
    which = ("type", "cmName")
    event = f"{BASE}/events/{{namespace}}"
    return [
        *_at(
            (event, f"{event}/", f"{event}/{{discriminator}}"),
            lambda at: Route(method="POST", path=at, handler=dispatching.received, body=object),
        ),
        *_definitions("workflow-event-bindings", Handlers(kind=WorkflowEventBinding), asked.Binding),
        Route(method="POST", path=f"{BASE}/sync/{{namespace}}", handler=limits.created, body=asked.Limit),
        Route(method="GET", path=one, handler=limits.got, query=which),
        Route(method="PUT", path=one, handler=limits.updated, query=which, body=asked.Limit),
        Route(method="DELETE", path=one, handler=limits.deleted, query=which),
    ]


def _artifacts() -> list[Route]:
    """Where bytes are; as in Argo Server, not below /api/v1."""
    files = "/artifact-files/{namespace}/{id_kind}/{name}/{node}/{direction}/{artifact}"

    def route(path: str, handler: Handler) -> Route:
        return Route(method="GET", path=path, handler=handler, gives="bytes")

    return [
        route("/artifacts/{namespace}/{name}/{node}/{artifact}", artifacts.output),
        route("/artifacts-by-uid/{uid}/{node}/{artifact}", artifacts.output_by_uid),
        route("/input-artifacts/{namespace}/{name}/{node}/{artifact}", artifacts.input_),
        route("/input-artifacts-by-uid/{uid}/{node}/{artifact}", artifacts.input_by_uid),
        route(files, artifacts.file),
        route(f"{files}/{{path:.*}}", artifacts.file),
    ]


def _at(paths: "tuple[str, ...] | dict[str, None]", make: Callable[[str], Route]) -> list[Route]:
    return [make(path) for path in paths]


def every() -> list[Route]:
    """The routes."""
    return [
        Route(method="GET", path="/healthz", handler=daemon.healthz, gives="text"),
        Route(method="GET", path=f"{BASE}/version", handler=daemon.version),
        Route(method="GET", path=f"{BASE}/info", handler=daemon.info),
        Route(method="GET", path=f"{BASE}/userinfo", handler=daemon.userinfo),
        Route(method="POST", path=f"{BASE}/tracking/event", handler=daemon.tracked, body=object),
        Route(method="GET", path=f"{BASE}/openapi.json", handler=_described),
        *(
            Route(method="GET", path=f"{BASE}/{kind}/{{namespace}}", handler=daemon.nothing, summary="None: Argo Events is not served.")
            for kind in ("event-sources", "sensors")
        ),
        *_workflows(),
        *_streams(),
        *_definitions("workflow-templates", Handlers(kind=WorkflowTemplate), asked.Template),
        *_definitions("cluster-workflow-templates", Handlers(kind=ClusterWorkflowTemplate), asked.ClusterTemplate, namespaced=False),
        *_crons(),
        *_archive(),
        *_events(),
        *_artifacts(),
    ]


async def _described(request: web.Request) -> web.Response:
    """The OpenAPI document: what is served, in OpenAPI's words."""
    return answers.json(await anyio.to_thread.run_sync(_document, context.of(request).version))


@functools.lru_cache(maxsize=1)
def _document(version: str) -> bytes:
    return msgspec.json.encode(openapi.document(every(), version))


def table() -> list[web.RouteDef]:
    """The routes, for aiohttp."""
    return [web.route(one.method, one.path, one.handler, **_without_head(one)) for one in every()]


def _without_head(route: Route) -> dict[str, bool]:
    """Of what streams the headers alone would take as long as all of it."""
    return {"allow_head": False} if route.method == "GET" and route.gives == "stream" else {}
