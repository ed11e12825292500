"""From a name to a template: in the same resource, in another one, or written inline (semantics 2.17, 2.24)."""

from __future__ import annotations

import msgspec

from tiphys.manifests.rules import scopes, tags
from tiphys.manifests.rules.problems import Path
from tiphys.manifests.rules.visits import Resource, Visit, Walk
from tiphys.spec import templates, workflows

Holder = templates.WorkflowStep | templates.DAGTask | templates.LifecycleHook


class Found(msgspec.Struct, frozen=True):
    """What a call comes to: the visit it needs, or none; `known` is false where only a run can tell."""

    visit: Visit | None = None
    known: bool = True

    @property
    def template(self) -> templates.Template | None:
        """The template that is called, where it is found."""
        return self.visit.template if self.visit else None


UNSEEN = "give its file too, or lint without --offline to have this refused"
NOTHING = Found()
LATER = Found(known=False)


def called(visit: Visit, holder: Holder, label: str, scope: scopes.Scope, *keys: str | int) -> Found:
    """The template that a step, task or hook at `keys` calls; what is wrong with the call is reported behind `label`."""
    walk, callers, place = visit.walk, visit.called_from(label), visit.at(*keys)
    inline = None if isinstance(holder, templates.LifecycleHook) else holder.inline
    if inline is not None:
        path = place if visit.resource.path is None else (*place, "inline")
        return Found(Visit(walk, visit.resource, inline, path, callers=callers, outer=scope))
    if holder.template_ref is not None:
        return referenced(walk, holder.template_ref, visit.at(*keys, "templateRef"), callers, also_named=bool(holder.template))
    if not holder.template:
        walk.report.error(place, f"{callers}failed to get a template", "name one with template or templateRef, or write it inline")
        return LATER
    return named(walk, visit.resource, holder.template, visit.at(*keys, "template"), callers)


def named(walk: Walk, resource: Resource, name: str, place: Path, callers: str) -> Found:
    """The template `name` of `resource`, called at `place`."""
    name = literal(walk, name)
    if tags.has_tag(name):
        return LATER
    index = resource.templates.get(name)
    if index is None:
        walk.report.error(place, f"{callers}template name '{name}' undefined", walk.nearest(name, resource.templates))
        return LATER
    path = place if resource.path is None else (*resource.path, "templates", index)
    return Found(Visit(walk, resource, resource.spec.templates[index], path, callers=callers))


def referenced(walk: Walk, ref: templates.TemplateRef, place: Path, callers: str, *, also_named: bool = False) -> Found:
    """The template of another resource that a templateRef at `place` means."""
    report = walk.report
    if also_named:
        report.error(place, f"{callers}template name cannot be specified with templateRef")
        return LATER
    for field, text in (("name", ref.name), ("template", ref.template)):
        if not text:
            report.error(place, f"{callers}{'resource' if field == 'name' else 'template'} name is required")
            return LATER
    name, template = literal(walk, ref.name), literal(walk, ref.template)
    if tags.has_tag(name) or tags.has_tag(template):
        return LATER
    resource = resource_of(walk, name, clustered=ref.cluster_scope)
    if resource is None and walk.definitions.offline:
        report.unseen(place, kind_of(clustered=ref.cluster_scope), name, UNSEEN)
        return LATER
    if resource is None or template not in resource.templates:
        hint = walk.nearest(template, resource.templates) if resource else f"no {kind_of(clustered=ref.cluster_scope)} {name} is known"
        report.error(place, f"{callers}template reference {name}.{template} not found", hint)
        return LATER
    return Found(Visit(walk, resource, resource.spec.templates[resource.templates[template]], place, callers=callers))


def resource_of(walk: Walk, name: str, *, clustered: bool) -> Resource | None:
    """The templates of a known WorkflowTemplate, or ClusterWorkflowTemplate where `clustered`."""
    definitions = walk.definitions
    document: workflows.WorkflowTemplate | workflows.ClusterWorkflowTemplate | None
    document = definitions.cluster_workflow_templates.get(name) if clustered else definitions.workflow_templates.get(name)
    if document is None:
        return None
    key = (clustered, name)
    if key not in walk.resources:
        walk.resources[key] = Resource(f"{'cluster' if clustered else 'namespaced'}/{name}", document.spec, None)
    return walk.resources[key]


def kind_of(*, clustered: bool) -> str:
    """The kind of resource that a reference means."""
    return "ClusterWorkflowTemplate" if clustered else "WorkflowTemplate"


def literal(walk: Walk, text: str) -> str:
    """`text` with the workflow parameters that have a value put in; the other tags stay."""
    if not tags.has_tag(text):
        return text
    for tag in set(tags.scan(text)):
        value = walk.values.get(tag.strip())
        if value is not None:
            text = text.replace("{{" + tag + "}}", value)
    return text
