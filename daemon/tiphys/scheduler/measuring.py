"""Custom metrics (semantics 2.22): what a workflow or template says of itself becomes samples; the world keeps and shows them.

A metric that cannot be computed never fails anything: the run has the condition MetricsError, which says why.
"""

import math
from collections.abc import Callable, Iterable

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import conditions, tags
from tiphys.expressions.scope import ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import bodies, decision, sources
from tiphys.scheduler.decision import Sample
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType
from tiphys.spec.templates import Metrics, Prometheus

UNNAMED = frozenset({NodeType.STEP_GROUP, NodeType.TASK_GROUP, NodeType.SKIPPED, NodeType.CONTAINER})
REALTIME = frozenset({"{{duration}}", "{{workflow.duration}}"})


class MeasureError(TiphysError):
    """A metric cannot be computed; the text says which and why."""


def begun(draft: Draft, node: Node, source: sources.Source) -> None:
    """A node begins: its realtime gauges count from now on."""
    metrics = source.template.metrics
    if metrics is not None:
        _measure(draft, node.id, metrics, lambda: node_scope(draft, node), realtime=True)


def over(draft: Draft, node: Node) -> None:
    """A node has its last phase."""
    if not (draft.state.measured or node.inline) or node.type in UNNAMED or not (node.template or node.reference or node.inline):
        return
    found = sources.find(draft, node.template, node.reference, node.inline, node.scope)
    if not isinstance(found, str) and found.template.metrics is not None:
        _measure(draft, node.id, found.template.metrics, lambda: node_scope(draft, node), realtime=False)


def run_begun(draft: Draft) -> None:
    """The run begins."""
    metrics = draft.state.manifest.workflow.spec.metrics
    if metrics is not None:
        _measure(draft, "", metrics, lambda: GlobalScope(draft), realtime=True)


def run_over(draft: Draft, entry: Node) -> None:
    """The run is over."""
    metrics = draft.state.manifest.workflow.spec.metrics
    if metrics is not None:
        _measure(draft, "", metrics, lambda: node_scope(draft, entry), realtime=False)


def node_scope(draft: Draft, node: Node) -> Scope:
    """What a node's metrics may name (argo-variables 9)."""
    began, ended = node.started_at or draft.at, node.finished_at or draft.at
    values: dict[str, object] = {
        "status": str(node.phase),
        "duration": f"{(ended - began).total_seconds():f}",
        "resourcesDuration.cpu": "0",
        "resourcesDuration.memory": "0",
    }
    values |= {f"inputs.parameters.{p.name}": p.value for p in (node.inputs.parameters if node.inputs else ()) if p.value is not None}
    if node.outputs is not None:
        values |= {f"outputs.parameters.{p.name}": p.value for p in node.outputs.parameters if p.value is not None}
        if node.outputs.result is not None:
            values["outputs.result"] = node.outputs.result
        if node.outputs.exit_code is not None:
            values["exitCode"] = node.outputs.exit_code
    if node.type is NodeType.RETRY:
        values["retries"] = str(sum(1 for other in draft.owned(node.id) if other.role is Role.ATTEMPT) - 1)
    elif node.role is Role.ATTEMPT:
        values["retries"] = str(bodies.attempt_scope(draft, node)["retries"])
    return ChainScope(FlatScope(values), GlobalScope(draft))


def _measure(draft: Draft, key: str, metrics: Metrics, scope: Callable[[], Scope], *, realtime: bool) -> None:
    samples: list[Sample] = []
    for metric in metrics.prometheus:
        counts = metric.gauge is not None and bool(metric.gauge.realtime)
        if counts or not realtime:
            try:
                samples += _sample(draft, key, metric, scope(), begins=realtime and counts)
            except TiphysError as error:
                draft.change_run(metrics_error=str(error))
    if samples:
        draft.command(decision.Measure(uid=draft.run.uid, samples=tuple(samples)))


def _sample(draft: Draft, key: str, metric: Prometheus, scope: Scope, *, begins: bool) -> Iterable[Sample]:
    """The sample of a metric, or none where its `when` is false. Raises MeasureError."""
    chance = draft.chance(f"{key}.{metric.name}")
    written = _written(metric)
    if metric.gauge is not None and metric.gauge.realtime and written.replace(" ", "") not in REALTIME:
        raise MeasureError(f"'{written}' is not available as a real time variable in metric '{metric.name}'")
    try:
        about = structs.replace(metric, gauge=None, counter=None, histogram=None)
        text = tags.compile(msgspec.json.encode(about).decode()).render(scope, Unresolved.FAIL, chance)
        rendered = msgspec.json.decode(text, type=Prometheus)
    except TiphysError as error:
        raise MeasureError(f"unable to substitute parameters for metric '{metric.name}': {error}") from error
    try:
        if rendered.when and not conditions.evaluate(rendered.when):
            return []
    except TiphysError as error:
        raise MeasureError(f"unable to compute 'when' clause for metric '{metric.name}': {error}") from error
    try:
        value = tags.render_plain(written, scope, Unresolved.FAIL, chance)
    except TiphysError as error:
        raise MeasureError(f"unable to substitute parameters for metric '{metric.name}': {error}") from error
    return [
        Sample(
            key=key,
            name=rendered.name,
            kind=_kind(metric),
            help=rendered.help,
            labels={label.key: label.value for label in rendered.labels},
            value=_number(value, metric.name),
            operation=metric.gauge.operation or "Set" if metric.gauge is not None else "",
            buckets=metric.histogram.buckets if metric.histogram is not None else (),
            since=draft.at if begins else None,
        )
    ]


def _kind(metric: Prometheus) -> str:
    return next((kind for kind in ("gauge", "counter", "histogram") if getattr(metric, kind) is not None), "")


def _written(metric: Prometheus) -> str:
    held = metric.gauge or metric.counter or metric.histogram
    return held.value if held is not None else ""


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise MeasureError(f"unable to compute value for metric '{name}': strconv.ParseFloat: parsing \"{text}\": invalid syntax") from None
    if math.isnan(number) or math.isinf(number):
        raise MeasureError(f"unable to compute value for metric '{name}': {text} is no finite number")
    return number
