"""What a called template makes known to its caller: the variables of a finished step or task (argo-variables.md 3)."""

from collections.abc import Iterator

from tiphys.manifests.rules import scopes, tags
from tiphys.manifests.rules.resolution import literal
from tiphys.manifests.rules.visits import Walk
from tiphys.spec import artifacts, parameters, templates

RESULT_KINDS = frozenset({"container", "script", "data", "http", "plugin"})
ALWAYS = (".id", ".startedAt", ".finishedAt", ".hostNodeName")
AGGREGATED_RESULT_KINDS = frozenset({"script", "container_set"})


def has_result(template: templates.Template) -> bool:
    """Whether nodes of this template give outputs.result and an exit code."""
    kind = templates.kind(template)
    if kind == "container_set":
        assert template.container_set is not None
        return any(container.name == "main" for container in template.container_set.containers)
    return kind in RESULT_KINDS


def add(scope: scopes.Scope, prefix: str, template: templates.Template | None, *, looped: bool, known: bool = True) -> None:
    """Make the variables of the node `prefix` ("steps.a") known; whatever it may give where its template is not `known`."""
    scope.node(prefix, ALWAYS if template is None else endings(template, looped=looped))
    if template is None and not known:
        scope.anything(f"{prefix}.")


def endings(template: templates.Template, *, looped: bool) -> list[str]:
    """What follows the name of a node of this template in its variables."""
    found = [*ALWAYS]
    if template.daemon:
        found.append(".ip")
    if has_result(template) or (looped and templates.kind(template) in AGGREGATED_RESULT_KINDS):
        found += (".outputs.result", ".exitCode")
    if looped:
        found.append(".outputs.parameters")
    return found + [f".outputs.{kind}.{output.name}" for kind, output in _outputs(template)]


def publish(walk: Walk, template: templates.Template) -> None:
    """Make what a template exports with globalName known everywhere; any name at all where only a run can tell it."""
    for kind, output in _outputs(template):
        name = literal(walk, output.global_name)
        if tags.has_tag(name):
            walk.everywhere.anything(f"workflow.outputs.{kind}.")
        elif name:
            walk.everywhere.add(f"workflow.outputs.{kind}.{name}")


def _outputs(template: templates.Template) -> Iterator[tuple[str, parameters.Parameter | artifacts.Artifact]]:
    if template.outputs is not None:
        yield from (("parameters", output) for output in template.outputs.parameters)
        yield from (("artifacts", output) for output in template.outputs.artifacts)
