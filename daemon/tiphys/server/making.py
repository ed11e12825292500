"""Workflows made of something that is there: a template, a cron workflow, another workflow. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from tiphys.engine.house import child
from tiphys.scheduler import stored
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.records import Manifest, Run
from tiphys.server import bodies
from tiphys.server.problems import Problem
from tiphys.spec.workflows import (
    ARGO_API_VERSION,
    ClusterWorkflowTemplate,
    CronWorkflow,
    Document,
    ObjectMeta,
    Workflow,
    WorkflowSpec,
    WorkflowTemplate,
    WorkflowTemplateRef,
    overridden,
)

LABELS = "workflows.argoproj.io/"
NOT_COPIED = frozenset(f"{LABELS}{name}" for name in ("phase", "completed", "workflow-archiving-status"))
KINDS: Mapping[str, type[WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow]] = {
    "workflowtemplate": WorkflowTemplate,
    "workflowtemplates": WorkflowTemplate,
    "wftmpl": WorkflowTemplate,
    "clusterworkflowtemplate": ClusterWorkflowTemplate,
    "clusterworkflowtemplates": ClusterWorkflowTemplate,
    "cwft": ClusterWorkflowTemplate,
    "cronworkflow": CronWorkflow,
    "cronworkflows": CronWorkflow,
    "cronworkflowtemplate": CronWorkflow,
    "cronwf": CronWorkflow,
    "cwf": CronWorkflow,
}


def source(known: Sequence[Document], kind: str, namespace: str, name: str) -> WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow:
    """The definition that a submit names. Raises Problem."""
    wanted = KINDS.get(kind.lower())
    if wanted is None:
        raise Problem(400, f"resource kind {kind!r} is not supported; there are WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow")
    for one in known:
        there = "" if wanted is ClusterWorkflowTemplate else namespace
        if isinstance(one, wanted) and one.metadata.name == name and one.metadata.namespace == there:
            return one
    raise Problem(404, f'{wanted.__name__.lower()}s.argoproj.io "{name}" not found')


def of_source(found: WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow, namespace: str, at: datetime, uid: str = "") -> Workflow:
    """A workflow as Argo's submit makes it; to one of a CronWorkflow (its `uid`) `at` is the time it was scheduled for."""
    name = found.metadata.name
    if isinstance(found, CronWorkflow):
        made = child(found, uid, at, rfc3339(at), manual=True)
        return structs.replace(made, metadata=structs.replace(made.metadata, name="", generate_name=f"{name}-", namespace=namespace))
    cluster = isinstance(found, ClusterWorkflowTemplate)
    label = f"{LABELS}{'cluster-' if cluster else ''}workflow-template"
    return Workflow(
        api_version=ARGO_API_VERSION,
        metadata=ObjectMeta(generate_name=f"{name}-", namespace=namespace, labels={label: name}),
        spec=WorkflowSpec(workflow_template_ref=WorkflowTemplateRef(name=name, cluster_scope=cluster)),
    )


def chosen(made: Workflow, options: Mapping[str, Any]) -> Workflow:
    """The workflow with submitOptions over it (semantics part 3). Raises Problem."""
    meta, spec = made.metadata, made.spec
    if name := bodies.text(options, "name"):
        meta = structs.replace(meta, name=name)
    elif prefix := bodies.text(options, "generateName"):
        meta = structs.replace(meta, name="", generate_name=prefix)
    labels = bodies.labels(bodies.text(options, "labels"), "labels")
    annotations = bodies.labels(bodies.text(options, "annotations"), "annotations")
    meta = structs.replace(
        meta, labels={**(meta.labels or {}), **labels} or None, annotations={**(meta.annotations or {}), **annotations} or None
    )
    if entrypoint := bodies.text(options, "entryPoint"):
        spec = structs.replace(spec, entrypoint=entrypoint)
    if account := bodies.text(options, "serviceAccount"):
        spec = structs.replace(spec, service_account_name=account)
    if priority_class := bodies.text(options, "podPriorityClassName"):
        spec = structs.replace(spec, pod_priority_class_name=priority_class)
    if owner := options.get("ownerReference"):
        if not isinstance(owner, dict):
            raise Problem(400, "ownerReference must be an object")
        meta = structs.replace(meta, owner_references=[owner])
    if options.get("artifacts"):
        raise Problem(400, "submitOptions.artifacts is not there: nothing can be uploaded; write the artifact's place into the arguments")
    if (priority := options.get("priority")) is not None:
        if not isinstance(priority, int) or isinstance(priority, bool) or not -(2**31) <= priority < 2**31:
            raise Problem(400, "priority must be a whole number of 32 bits")
        spec = structs.replace(spec, priority=priority)
    return overridden(structs.replace(made, metadata=meta, spec=spec), bodies.pairs(bodies.texts(options, "parameters")))


def again(run: Run, manifest: Manifest, parameters: Mapping[str, str]) -> Workflow:
    """The workflow of a resubmit (semantics 2.14): what it takes from a WorkflowTemplate it takes from that as it is by now."""
    old = overridden(structs.replace(manifest.workflow, spec=stored.own(manifest)), run.overridden)
    meta = old.metadata
    labels = {key: value for key, value in run.labels.items() if key not in NOT_COPIED and not key.startswith(f"{LABELS}creator")}
    fresh = ObjectMeta(
        generate_name=meta.generate_name or f"{run.name}-",
        namespace=run.namespace,
        labels={**labels, f"{LABELS}resubmitted-from-workflow": run.name},
        annotations=run.annotations or None,
        owner_references=meta.owner_references,
    )
    deadline = old.spec.active_deadline_seconds or None
    spec = structs.replace(old.spec, shutdown="", active_deadline_seconds=deadline)
    return overridden(Workflow(api_version=old.api_version, metadata=fresh, spec=spec), parameters)


def again_of(old: Workflow, parameters: Mapping[str, str]) -> Workflow:
    """The workflow of a resubmit of one that is only in the archive."""
    run = Run(
        uid=old.metadata.uid,
        name=old.metadata.name,
        namespace=old.metadata.namespace,
        created_at=datetime.fromtimestamp(0, UTC),
        labels=dict(old.metadata.labels or {}),
        annotations=dict(old.metadata.annotations or {}),
    )
    spec = structs.replace(old.spec, suspend=None)
    return again(run, Manifest(uid=run.uid, workflow=structs.replace(old, spec=spec, status=None)), parameters)


def brought(manifest: Manifest, known: Sequence[Document]) -> list[Document]:
    """What a run had taken along and is not in force (any more)."""
    there = {(type(one), one.metadata.name) for one in known}
    taken: list[Document] = [*manifest.templates, *manifest.cluster_templates, *manifest.config_maps]
    return [one for one in taken if (type(one), one.metadata.name) not in there]
