"""Events that start workflows: every binding of the namespace is asked whether it is meant (semantics 2.21)."""

import secrets
from collections.abc import Mapping

import anyio.to_thread
import structlog
from aiohttp import web
from msgspec import structs

from tiphys.engine.inbox import now
from tiphys.errors import Busy, TiphysError
from tiphys.expressions import expr
from tiphys.expressions.chance import Chance
from tiphys.manifests.parameters import text_of
from tiphys.server import answers, bodies, context, making, naming, queries
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.spec.templates import Arguments
from tiphys.spec.workflows import EventSubmit, ObjectMeta, Workflow, WorkflowEventBinding, overridden

LABEL = "workflows.argoproj.io/workflow-event-binding"
log = structlog.get_logger()


async def received(request: web.Request) -> web.Response:
    """POST /events/{namespace}/{discriminator}: start what the bindings of the namespace say."""
    here = context.of(request)
    given = request.match_info.get("namespace", "")
    namespace = here.house.namespace if given in queries.EVERYWHERE else naming.namespace(given)
    payload = await bodies.any_value(request)
    headers: dict[str, list[object]] = {}
    for name, value in request.headers.items():
        if name.lower().startswith("x-"):
            headers.setdefault(name.lower(), []).append(value)
    event = {
        "payload": payload,
        "metadata": headers,
        "discriminator": request.match_info.get("discriminator", ""),
        "namespace": namespace,
    }
    who = await here.peers.who(request)
    wrong = []
    for one in here.house.definition_rows():
        document = one.document
        if isinstance(document, WorkflowEventBinding) and document.metadata.namespace == namespace:
            try:
                await _dispatch(here, document, event, who)
            except Busy:
                raise
            except TiphysError as error:
                wrong.append(f'failed to dispatch event to binding "{document.metadata.name}": {error}')
    if wrong:
        log.warning("event refused", namespace=namespace, reasons=wrong)
        raise Problem(400, "\n".join(wrong))
    return answers.value({})


async def _dispatch(here: Context, binding: WorkflowEventBinding, event: Mapping[str, object], who: str) -> None:
    chance = Chance(now=now(), seed=secrets.token_hex(16))
    made = await anyio.to_thread.run_sync(_made, here, binding, event, chance)
    if made is not None:
        [uid] = await here.house.submit([made], who=who)
        log.info("event dispatched", binding=binding.metadata.name, uid=uid, who=who)


def _made(here: Context, binding: WorkflowEventBinding, event: Mapping[str, object], chance: Chance) -> Workflow | None:
    """The workflow that a binding makes of an event; None: it is not meant. Raises a TiphysError."""
    meant = expr.compile(binding.spec.event.selector).run(event, chance.child("selector"), functions="plain")
    if not isinstance(meant, bool):
        raise Problem(400, "malformed workflow template expression: it did not evaluate to a boolean")
    submit = binding.spec.submit
    if not meant or submit is None:
        return None
    namespace = binding.metadata.namespace
    reference = submit.workflow_template_ref
    kind = "ClusterWorkflowTemplate" if reference.cluster_scope else "WorkflowTemplate"
    source = making.source(here.house.definitions(), kind, namespace, reference.name)
    made = making.of_source(source, namespace, now())
    metadata = _metadata(submit.metadata or ObjectMeta(), made.metadata, event, chance)
    metadata = structs.replace(metadata, labels={**(metadata.labels or {}), LABEL: binding.metadata.name})
    return overridden(structs.replace(made, metadata=metadata), _parameters(submit, event, chance))


def _metadata(given: ObjectMeta, made: ObjectMeta, event: Mapping[str, object], chance: Chance) -> ObjectMeta:
    """The workflow's metadata with the binding's expressions over it, each of which must give a text."""

    def text(source: str, what: str) -> str:
        value = expr.compile(source).run(event, chance.child(what))
        if not isinstance(value, str):
            raise Problem(400, f"workflow {what} expression must evaluate to a string, not {value!r}")
        return value

    if given.name:
        made = structs.replace(made, name=text(given.name, "name"), generate_name="")
    elif given.generate_name:
        made = structs.replace(made, generate_name=text(given.generate_name, "generateName"))
    labels = {key: text(source, f"label {key}") for key, source in (given.labels or {}).items()}
    annotations = {key: text(source, f"annotation {key}") for key, source in (given.annotations or {}).items()}
    return structs.replace(
        made, labels={**(made.labels or {}), **labels} or None, annotations={**(made.annotations or {}), **annotations} or None
    )


def _parameters(submit: EventSubmit, event: Mapping[str, object], chance: Chance) -> dict[str, str]:
    values: dict[str, str] = {}
    for parameter in (submit.arguments or Arguments()).parameters:
        source = parameter.value_from.event if parameter.value_from is not None else ""
        if not source:
            raise Problem(400, f'malformed workflow template parameter "{parameter.name}": valueFrom.event is missing')
        value = expr.compile(source).run(event, chance.child(f"parameter {parameter.name}"))
        values[parameter.name] = _text(value, parameter.name)
    return values


def _text(value: object, name: str) -> str:
    try:
        return text_of(value)
    except (TypeError, ValueError) as error:
        raise Problem(400, f"parameter {name}: its expression gives nothing that JSON can hold: {error}") from error
