"""Lifecycle hooks: when they fire and what they run (semantics 2.12, 2.24)."""

from collections.abc import Iterator, Mapping

from tiphys.manifests.rules import syntax, tags
from tiphys.manifests.rules.problems import Path
from tiphys.manifests.rules.resolution import kind_of, literal, resource_of
from tiphys.manifests.rules.visits import Resource, Walk
from tiphys.spec import templates

EXIT = "exit"


def faults(hooks: Mapping[str, templates.LifecycleHook] | None, label: str) -> Iterator[tuple[str, str]]:
    """The name of each hook that could never fire, and why."""
    for name, hook in (hooks or {}).items():
        if name != EXIT and not hook.expression:
            yield name, f"{label}.{name} Expression required"
        elif fault := syntax.bare_fault(hook.expression):
            yield name, f"{label}.{name} expression: {fault}"


def has_exit(node: templates.WorkflowStep | templates.DAGTask) -> bool:
    """Whether something runs when the node has ended."""
    return bool(node.on_exit) or EXIT in (node.hooks or {})


def warn(walk: Walk, resource: Resource, path: Path, hooks: Mapping[str, templates.LifecycleHook] | None, on_exit: str) -> None:
    """Warn of hooks that name a template nobody knows: Argo accepts them, and they fail when they fire."""
    if on_exit:
        _warn_name(walk, resource, (*path, "onExit"), on_exit)
    for name, hook in (hooks or {}).items():
        if hook.template_ref is None:
            _warn_name(walk, resource, (*path, "hooks", name), hook.template)
            continue
        ref = hook.template_ref
        target, template = literal(walk, ref.name), literal(walk, ref.template)
        found = resource_of(walk, target, clustered=ref.cluster_scope)
        if not tags.has_tag(target + template) and (found is None or template not in found.templates):
            kind = kind_of(clustered=ref.cluster_scope)
            walk.report.warn((*path, "hooks", name), f"template reference {target}.{template} not found", f"it must be in the {kind} then")


def _warn_name(walk: Walk, resource: Resource, path: Path, name: str) -> None:
    name = literal(walk, name)
    if name not in resource.templates and not tags.has_tag(name):
        walk.report.warn(path, f"template name '{name}' undefined", walk.nearest(name, resource.templates))
