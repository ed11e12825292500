"""Custom metrics: names, labels, help and values (semantics 2.22, 2.24)."""

import re
from collections.abc import Iterator

from tiphys.manifests.rules.visits import Visit
from tiphys.spec import templates

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def check(visit: Visit) -> None:
    """Report what is wrong with the metrics of a template."""
    metrics = visit.template.metrics
    for index, metric in enumerate(metrics.prometheus if metrics else ()):
        for text in faults(f"templates.{visit.template.name} ", metric):
            visit.error(text, "metrics", "prometheus", index)


def faults(label: str, metric: templates.Prometheus) -> Iterator[str]:
    """What is wrong with one metric, behind `label`."""
    if not _NAME.fullmatch(metric.name):
        yield f"{label}metric name '{metric.name}' is invalid. Metric names must contain alphanumeric characters or '_'"
    for entry in metric.labels:
        if not _NAME.fullmatch(entry.key):
            yield f"metric label '{entry.key}' is invalid: keys may only contain alphanumeric characters or '_'"
    if not metric.help:
        yield f"{label}metric '{metric.name}' must contain a help string under 'help: ' field"
    for text in _value_faults(metric):
        yield f"{label}metric '{metric.name}' error: {text}"


def _value_faults(metric: templates.Prometheus) -> Iterator[str]:
    if metric.gauge is not None:
        if not metric.gauge.value:
            yield "missing gauge.value"
        elif metric.gauge.realtime and "resourcesDuration." in metric.gauge.value:
            yield "'resourcesDuration.*' metrics cannot be used in real-time"
    if metric.counter is not None and not metric.counter.value:
        yield "missing counter.value"
    if metric.histogram is not None and not metric.histogram.value:
        yield "missing histogram.value"
