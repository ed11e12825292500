"""Leaf templates: containers, scripts, container sets, resources and the containers beside them (semantics 2.24)."""

import re

from tiphys.manifests.rules import containers, embedded, inputs, resolvable, syntax, tags
from tiphys.manifests.rules.visits import Visit
from tiphys.spec import templates

ACTIONS = frozenset({"get", "create", "apply", "delete", "replace", "patch"})
WITHOUT_MANIFEST = frozenset({"get", "delete"})

_NOT_NEGATIVE = re.compile(r"\+?[0-9]+|-0+")


def check(visit: Visit) -> None:
    """Report what is wrong with the body of a leaf template."""
    template = visit.template
    label = f"templates.{template.name}"
    resolvable.check(visit, template, visit.scope, f"{label}:")
    if template.container is not None:
        containers.check_mounts(visit, template.container)
        _check_image(visit, template.container.image, "container")
    if template.container_set is not None:
        containers.check_set(visit, template.container_set)
    if template.resource is not None:
        _check_resource(visit, template.resource)
    if template.script is not None:
        _check_image(visit, template.script.image, "script")
    containers.check_beside(visit)
    _check_expressions(visit)
    if template.active_deadline_seconds is not None and not _is_deadline(template.active_deadline_seconds):
        visit.error(f"{label}.activeDeadlineSeconds must be a positive integer > 0 or an argo variable", "activeDeadlineSeconds")
    if template.parallelism is not None:
        visit.error(f"{label}.parallelism is only valid for steps and dag templates", "parallelism")


def _is_deadline(value: int | str) -> bool:
    if isinstance(value, str) and tags.has_tag(value):
        return True
    return _NOT_NEGATIVE.fullmatch(str(value)) is not None


def _check_image(visit: Visit, image: str, kind: str) -> None:
    defaults = visit.resource.spec.template_defaults
    default = getattr(defaults, kind) if defaults is not None else None
    if not image and (default is None or not default.image):
        visit.error(f"templates.{visit.template.name}.{kind}.image may not be empty", kind)


def _check_resource(visit: Visit, resource: templates.ResourceTemplate) -> None:
    label = f"templates.{visit.template.name}.resource"
    if not tags.has_tag(resource.action) and resource.action not in ACTIONS:
        visit.error(f"{label}.action must be one of: get, create, apply, delete, replace, patch", "resource", "action")
    if resource.action in WITHOUT_MANIFEST:
        return
    source = resource.manifest_from
    if not resource.manifest and source is None:
        visit.error(f"either {label}.manifest or {label}.manifestFrom must be specified", "resource")
    if resource.manifest and source is not None:
        visit.error("shouldn't have both `manifest` and `manifestFrom` specified in `Manifest` for resource template", "resource")
    if source is not None and source.artifact is not None:
        declared = {artifact.name for artifact in (visit.template.inputs or inputs.NO_INPUTS).artifacts}
        if source.artifact.name not in declared:
            visit.error(f"artifact {source.artifact.name} in `manifestFrom` refer to a non-exist artifact", "resource", "manifestFrom")
    if resource.manifest and (fault := embedded.yaml_fault(tags.filled(resource.manifest, "placeholder"))):
        visit.error(f"{label}.manifest must be a valid yaml", "resource", "manifest", hint=fault)


def _check_expressions(visit: Visit) -> None:
    template = visit.template
    if template.http is not None and (fault := syntax.bare_fault(template.http.success_condition)):
        visit.error(f"templates.{template.name}.http.successCondition: {fault}", "http", "successCondition")
    for index, step in enumerate(template.data.transformation if template.data else ()):
        if fault := syntax.bare_fault(step.expression):
            keys = ("data", "transformation", index, "expression")
            visit.error(f"templates.{template.name}.data.transformation[{index}].expression: {fault}", *keys)
