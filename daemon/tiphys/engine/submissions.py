"""A submission: a Workflow and the documents that came with it become the manifest of a run."""

import uuid
from collections.abc import Mapping, Sequence

from msgspec import structs

from tiphys.engine import repositories
from tiphys.errors import TiphysError
from tiphys.scheduler import effective
from tiphys.scheduler.records import Manifest, Settled
from tiphys.spec import names
from tiphys.spec.templates import Arguments
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, Document, ObjectMeta, Workflow, WorkflowTemplate


class Rejected(TiphysError):
    """A manifest that will not be run; the text lists why."""


def manifest(
    submitted: Workflow,
    documents: Sequence[Document],
    chosen: Settled,
    namespace: str,
    *,
    defaults: Workflow | None = None,
    configured: Mapping[str, object] | None = None,
    known: Sequence[Document] = (),
) -> Manifest:
    """The manifest of a new run, with a uid of its own. Raises Rejected where it refers to something that is not there.

    `chosen`: what settings say of runs; `defaults`: what lies below every workflow; `configured`: artifact repositories by name.
    `known`: definitions in force, whose ConfigMaps may be repositories.
    """
    templates = tuple(d for d in documents if isinstance(d, WorkflowTemplate))
    clustered = tuple(d for d in documents if isinstance(d, ClusterWorkflowTemplate))
    config_maps = tuple(d for d in documents if isinstance(d, ConfigMap))
    uid = str(uuid.uuid4())
    meta = submitted.metadata
    meta = structs.replace(meta, uid=uid, name=meta.name or _name(meta), namespace=meta.namespace or namespace)
    try:
        workflow = effective.workflow(structs.replace(submitted, metadata=meta), templates, clustered, defaults)
        near = [d for d in known if isinstance(d, ConfigMap) and d.metadata.namespace == meta.namespace]
        chosen = repositories.chosen(chosen, workflow, [*config_maps, *near], configured or {})
    except TiphysError as error:
        raise Rejected(f"workflow {meta.name}: {error}") from error
    if workflow.spec.arguments is None:  # as what is decided has it: what is the same is stored once
        workflow = structs.replace(workflow, spec=structs.replace(workflow.spec, arguments=Arguments()))
    return Manifest(
        uid=uid,
        workflow=workflow,
        submitted=submitted.spec if submitted.spec.workflow_template_ref is not None else None,
        templates=templates,
        cluster_templates=clustered,
        config_maps=config_maps,
        chosen=chosen,
    )


def _name(meta: ObjectMeta) -> str:
    return names.generated(meta.generate_name or "workflow-", uuid.uuid4().bytes)
