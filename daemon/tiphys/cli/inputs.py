"""The workflows that a file asks to run, under their final names and with the arguments that were given. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from tiphys.cli.errors import BadInput
from tiphys.manifests.reading import Located
from tiphys.spec import names, workflows
from tiphys.spec.workflows import (
    ARGO_API_VERSION,
    ClusterWorkflowTemplate,
    CronWorkflow,
    ObjectMeta,
    Workflow,
    WorkflowSpec,
    WorkflowTemplate,
    WorkflowTemplateRef,
)

LABELS = "workflows.argoproj.io/"
NAMELESS = "workflow-"

__all__ = ["BadInput", "Source", "chosen", "named", "overridden"]

Source = CronWorkflow | WorkflowTemplate | ClusterWorkflowTemplate


def chosen(documents: Sequence[Located], *, entrypoint: str, now: datetime) -> list[tuple[Workflow, Located]]:
    """The workflows to run, each with the document it comes from, which is itself where that is a Workflow.

    Without any Workflow document it is one made from the last template or CronWorkflow with an entrypoint. Raises BadInput.
    """
    workflows = [(located.document, located) for located in documents if isinstance(located.document, Workflow)]
    if workflows:
        return workflows
    sources = [(located.document, located) for located in documents if isinstance(located.document, Source)]
    if not sources:
        raise BadInput("there is nothing to run: no Workflow, WorkflowTemplate, ClusterWorkflowTemplate or CronWorkflow")
    able = [(source, located) for source, located in sources if entrypoint or _can_start(source)]
    if not able:
        raise BadInput(f"{sources[-1][0].metadata.name} has no entrypoint: name one of its templates with --entrypoint")
    source, located = able[-1]
    return [(_made_from(source, now), located)]


def _can_start(source: Source) -> bool:
    spec = source.spec.workflow_spec if isinstance(source, CronWorkflow) else source.spec
    return bool(spec.entrypoint or spec.workflow_template_ref)


def _made_from(source: Source, now: datetime) -> Workflow:
    """A workflow as Argo makes it from a template (`submit --from`) or at a tick of a schedule."""
    name = source.metadata.name or source.metadata.generate_name.rstrip("-")
    namespace = source.metadata.namespace
    if isinstance(source, CronWorkflow):
        extra = source.spec.workflow_metadata or ObjectMeta()
        metadata = ObjectMeta(
            generate_name=f"{name}-",
            namespace=namespace,
            labels={**(extra.labels or {}), f"{LABELS}cron-workflow": name},
            annotations={**(extra.annotations or {}), f"{LABELS}scheduled-time": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
        )
        return Workflow(api_version=ARGO_API_VERSION, metadata=metadata, spec=source.spec.workflow_spec)
    cluster = isinstance(source, ClusterWorkflowTemplate)
    label = f"{LABELS}cluster-workflow-template" if cluster else f"{LABELS}workflow-template"
    return Workflow(
        api_version=ARGO_API_VERSION,
        metadata=ObjectMeta(generate_name=f"{name}-", namespace=namespace, labels={label: name}),
        spec=WorkflowSpec(workflow_template_ref=WorkflowTemplateRef(name=name, cluster_scope=cluster)),
    )


def named(workflow: Workflow, name: str, namespace: str, draw: Callable[[], int]) -> Workflow:
    """The workflow with its final name, `name`, else its own, else its generateName and five letters that `draw` chooses; and a
    namespace where it has none.
    """
    metadata = workflow.metadata
    final = name or metadata.name or names.generated(metadata.generate_name or NAMELESS, (draw() for _ in range(names.GENERATED_LENGTH)))
    metadata = msgspec.structs.replace(metadata, name=final, namespace=metadata.namespace or namespace)
    return msgspec.structs.replace(workflow, metadata=metadata)


def overridden(workflow: Workflow, parameters: Mapping[str, str], entrypoint: str) -> Workflow:
    """The workflow with these arguments and this entrypoint in place of its own."""
    given = workflows.overridden(workflow, parameters)
    return msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, entrypoint=entrypoint)) if entrypoint else given
