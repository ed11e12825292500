"""One template after the other: the order in which Argo looks at a template, without our own stack growing with the document's."""

from collections.abc import Iterator

from tiphys.manifests.rules import containers, dag, inputs, leaf, locations, metrics, outdated, outputs, pods, steps, syntax, visibility
from tiphys.manifests.rules.visits import Steps, Visit
from tiphys.spec import templates

RETRY_POLICIES = frozenset({"", "Always", "OnFailure", "OnError", "OnTransientError"})
CHOICE = "choose one of: container, containerSet, steps, script, resource, dag, suspend, template, template ref"


def run(visit: Visit) -> None:
    """Check a template and every template that it calls and that this walk has not seen yet."""
    stack: list[Iterator[Visit]] = [_check(visit)]
    while stack:
        needed = next(stack[-1], None)
        if needed is None:
            stack.pop()
        else:
            stack.append(_check(needed))


def _check(visit: Visit) -> Steps:
    walk, template = visit.walk, visit.template
    if visit.key in walk.visited:
        return
    walk.visited.add(visit.key)
    _check_retry(visit)
    _check_type(visit)
    inputs.check(visit)
    inputs.declare(visit)
    containers.check_init_names(visit)
    inputs.check_timeouts(visit)
    pods.check(visit)
    if visit.kind == "steps":
        yield from steps.check(visit)
    elif visit.kind == "dag":
        yield from dag.check(visit)
    elif visit.kind:
        leaf.check(visit)
    outputs.check(visit)
    if template.archive_location is not None:
        for text in locations.faults(f"templates.{template.name}.archiveLocation", template.archive_location):
            visit.error(text, "archiveLocation")
    metrics.check(visit)
    visibility.publish(walk, template)
    if visit.resource.path is not None:
        outdated.check_template(walk.report, visit.path, template)


def _check_retry(visit: Visit) -> None:
    retry = visit.template.retry_strategy
    if retry is None:
        return
    if retry.retry_policy not in RETRY_POLICIES:
        visit.error(f"{retry.retry_policy} is not a valid RetryPolicy", "retryStrategy", "retryPolicy")
    if fault := syntax.bare_fault(retry.expression):
        visit.error(f"templates.{visit.template.name}.retryStrategy.expression: {fault}", "retryStrategy", "expression")


def _check_type(visit: Visit) -> None:
    template = visit.template
    count = sum(getattr(template, kind) is not None for kind in templates.KINDS)
    if count == 0:
        visit.error(f"templates.{template.name} template type unspecified. {CHOICE}")
    elif count > 1:
        visit.error(f"templates.{template.name} multiple template types specified. {CHOICE}")
