"""Finding templates: by name in a scope, in another resource, or written in place; with the workflow's templateDefaults under them."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tiphys.expressions import tags
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node
from tiphys.scheduler.skeletons import Skeleton
from tiphys.scheduler.state import RunState
from tiphys.spec.templates import Template, TemplateRef, kind
from tiphys.spec.workflows import WorkflowSpec

MERGE_KEYS = {
    "templates": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "parameters": "name",
    "artifacts": "name",
    "sidecars": "name",
    "initContainers": "name",
    "tasks": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "tolerations": "key",
    "hostAliases": "ip",
}
"""Lists that merge element-wise, and by which key (semantics 2.17)."""

LOCAL = "local"
RESULT_MENTION = re.compile(r"(?:steps|tasks)(?:\.([-\w]+)|\['([^']+)'\])\.outputs\.result")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A template as written: `template` decoded, `text` its JSON, compiled, with tags still in it; `scope` is where its names live;
    `captured` are the steps or tasks whose result its text mentions; `skeleton` is what follows from it where it is of steps or a dag.
    """

    template: Template
    text: tags.Tagged
    kind: str
    name: str
    scope: str
    captured: frozenset[str]
    skeleton: Skeleton


LIST = (list, tuple)


def merged(over: dict[str, Any], under: dict[str, Any]) -> dict[str, Any]:
    """`over` on `under`: maps key-wise, lists with a merge key element-wise, everything else whole."""
    result = dict(under)
    for key, value in over.items():
        below = under.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = merged(value, below)
        elif key in MERGE_KEYS and isinstance(value, LIST) and isinstance(below, LIST):
            result[key] = _merged_list(value, below, MERGE_KEYS[key])
        else:
            result[key] = value
    return result


def _merged_list(over: Sequence[Any], under: Sequence[Any], key: str) -> list[Any]:
    names = [entry.get(key) for entry in over if isinstance(entry, dict)]
    below = {entry.get(key): entry for entry in under if isinstance(entry, dict)}
    rest = [entry for entry in under if not isinstance(entry, dict) or entry.get(key) not in names]
    whole = key == "name" and any("value" in entry or "valueFrom" in entry for entry in over if isinstance(entry, dict))
    return [entry if whole or not isinstance(entry, dict) else merged(entry, below.get(entry.get(key), {})) for entry in over] + rest


def with_defaults(template: Template, defaults: Template | None) -> Template:
    """The template over templateDefaults; a default of another template kind is dropped (semantics 2.17)."""
    if defaults is None:
        return template
    over = msgspec.to_builtins(template)
    under = msgspec.to_builtins(defaults)
    own = kind(template)
    for field in ("container", "script"):
        if field != own:
            under.pop(field, None)
    return msgspec.convert(merged(over, under), Template)


def find(draft: Draft, name: str, reference: TemplateRef | None, inline: str, scope: str) -> Source | str:
    """The template of a call, or why there is none (Argo's words). Cached: a template is a snapshot of the submission."""
    cache = draft.state.sources
    key = ("inline", scope, inline) if inline else _key(name, reference, scope)
    found = cache.get(key)
    if found is None:
        found = cache[key] = _find(draft, name, reference, inline, scope)
    return found


def known(state: RunState, node: Node) -> Source | None:
    """The template a node was made from, if it is one of a scope's own and has been looked for before."""
    found = state.sources.get((node.scope, node.template)) if node.reference is None and not node.inline else None
    return found if type(found) is Source else None


def _key(name: str, reference: TemplateRef | None, scope: str) -> tuple[str, ...]:
    if reference is None:
        return (scope, name)
    return ("cluster" if reference.cluster_scope else "namespaced", reference.name, reference.template)


def _find(draft: Draft, name: str, reference: TemplateRef | None, inline: str, scope: str) -> Source | str:
    if inline:
        template = msgspec.json.decode(inline, type=Template)
        return made(template, _defaults(draft), "", scope)
    spec: WorkflowSpec | None
    if reference is not None:
        scope = f"{'cluster' if reference.cluster_scope else 'namespaced'}/{reference.name}"
        name = reference.template
    spec = _spec(draft, scope)
    if spec is None:
        return f"workflow template {scope.partition('/')[2]} not found"
    for template in spec.templates:
        if template.name == name:
            return made(template, _defaults(draft), name, scope)
    return f"template {name} not found" + ("" if reference is None else f" in workflow template {reference.name}")


def _spec(draft: Draft, scope: str) -> WorkflowSpec | None:
    manifest = draft.state.manifest
    where, _, name = scope.partition("/")
    if where == LOCAL:
        return manifest.workflow.spec
    resources = manifest.cluster_templates if where == "cluster" else manifest.templates
    return next((resource.spec for resource in resources if resource.metadata.name == name), None)


def _defaults(draft: Draft) -> Template | None:
    return draft.state.manifest.workflow.spec.template_defaults


def made(template: Template, defaults: Template | None, name: str, scope: str) -> Source:
    """A template of a scope, over templateDefaults."""
    full = with_defaults(template, defaults)
    text = msgspec.json.encode(full).decode()
    mentions = RESULT_MENTION.findall(text) if ".outputs.result" in text else ()  # to look for one in megabytes takes its time
    captured = frozenset(dotted or quoted for dotted, quoted in mentions)
    tagged, skeleton = tags.compile(text), Skeleton(full)
    return Source(template=full, text=tagged, kind=kind(full), name=name, scope=scope, captured=captured, skeleton=skeleton)


def local_scope(draft: Draft) -> str:
    """The scope of the workflow's own templates."""
    return f"{LOCAL}/{draft.run.name}"


def cached_as(resource: str, name: str, *, cluster: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Under which keys the template of a resource is kept: as others refer to it, and as its own scope does."""
    where = "cluster" if cluster else "namespaced"
    return (where, resource, name), (f"{where}/{resource}", name)
