"""The effective workflow: its own spec over the WorkflowTemplate it refers to (semantics 2.17)."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler import sources
from tiphys.spec.workflows import ClusterWorkflowTemplate, Workflow, WorkflowSpec, WorkflowTemplate

LABELS = "workflows.argoproj.io/"


class MissingTemplate(TiphysError):
    """The workflow refers to a WorkflowTemplate that is not there."""


def workflow(
    submitted: Workflow,
    templates: Sequence[WorkflowTemplate],
    clustered: Sequence[ClusterWorkflowTemplate],
    defaults: Workflow | None = None,
) -> Workflow:
    """The workflow with everything merged in, the reference kept; `defaults` are below all. Raises MissingTemplate with Argo's words."""
    reference = submitted.spec.workflow_template_ref
    meta = submitted.metadata
    labels, annotations = dict(meta.labels or {}), dict(meta.annotations or {})
    spec = submitted.spec
    if reference is not None:
        resources: Sequence[WorkflowTemplate | ClusterWorkflowTemplate] = clustered if reference.cluster_scope else templates
        found = next((resource for resource in resources if resource.metadata.name == reference.name), None)
        if found is None:
            kind = "clusterworkflowtemplates" if reference.cluster_scope else "workflowtemplates"
            raise MissingTemplate(f'{kind}.argoproj.io "{reference.name}" not found')
        labels[f"{LABELS}{'cluster-' if reference.cluster_scope else ''}workflow-template"] = reference.name
        spec = merged(submitted.spec, found.spec)
    if defaults is not None:
        spec = merged(spec, defaults.spec)
        labels = {**(defaults.metadata.labels or {}), **labels}
        annotations = {**(defaults.metadata.annotations or {}), **annotations}
    if spec.workflow_metadata is not None:
        labels.update(spec.workflow_metadata.labels or {})
        annotations.update(spec.workflow_metadata.annotations or {})
    meta = structs.replace(meta, labels=labels or None, annotations=annotations or None)
    return structs.replace(submitted, metadata=meta, spec=spec)


def merged(over: WorkflowSpec, under: WorkflowSpec) -> WorkflowSpec:
    """One spec over another; `suspend` is always the upper one's, a parameter is taken whole from the upper one that names it."""
    top: dict[str, Any] = msgspec.to_builtins(over)
    below: dict[str, Any] = msgspec.to_builtins(structs.replace(under, suspend=None))
    result = sources.merged(top, below)
    parameters = _whole(top, below)
    if parameters:
        result.setdefault("arguments", {})["parameters"] = parameters
    for name in ("hooks",):
        if name in top or name in below:
            result[name] = {**below.get(name, {}), **top.get(name, {})}
    return msgspec.convert(result, WorkflowSpec)


def _whole(top: dict[str, Any], below: dict[str, Any]) -> list[dict[str, Any]]:
    upper = top.get("arguments", {}).get("parameters", [])
    lower = below.get("arguments", {}).get("parameters", [])
    names = {parameter["name"] for parameter in upper}
    return [*upper, *(parameter for parameter in lower if parameter["name"] not in names)]
