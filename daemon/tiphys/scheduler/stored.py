"""The templates of other resources that a run uses, as status keeps them (semantics 2.1.3): they are a part of the run's own rows."""

from collections.abc import Iterable

from msgspec import structs

from tiphys.scheduler import sources
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Manifest, Node
from tiphys.scheduler.state import RunState
from tiphys.spec.objects import JSON
from tiphys.spec.workflows import WorkflowSpec, overridden


def templates(state: RunState, nodes: Iterable[Node]) -> dict[str, JSON]:
    """Every template from elsewhere that one of these nodes was made from, by `<scope>/<resource>/<template>`."""
    found: dict[str, JSON] = {}
    draft = Draft(state, state.run.created_at)
    for node in nodes:
        if node.inline or not node.template:
            continue
        if node.reference is not None:
            key = f"{'cluster' if node.reference.cluster_scope else 'namespaced'}/{node.reference.name}/{node.reference.template}"
        elif not node.scope.startswith(f"{sources.LOCAL}/"):
            key = f"{node.scope}/{node.template}"
        else:
            continue
        if key not in found:
            source = sources.find(draft, node.template, node.reference, "", node.scope)
            if not isinstance(source, str):
                found[key] = source.template
    return found


def own(manifest: Manifest) -> WorkflowSpec:
    """The workflow's own spec, as it was submitted; of a run from before that was kept, what may be submitted again."""
    effective = manifest.workflow.spec
    return manifest.submitted or (structs.replace(effective, templates=()) if effective.workflow_template_ref is not None else effective)


def spec(state: RunState) -> WorkflowSpec | None:
    """The whole spec of a run that takes it from a WorkflowTemplate."""
    merged = overridden(state.manifest.workflow, state.run.overridden).spec
    return structs.replace(merged, suspend=None) if merged.workflow_template_ref is not None else None
