"""The documents a manifest may hold."""

from collections.abc import Mapping

from msgspec import field, structs

from tiphys.spec.artifacts import ArtifactGC
from tiphys.spec.containers import Volume
from tiphys.spec.objects import JSON, AnyString, Object
from tiphys.spec.parameters import override
from tiphys.spec.status import WorkflowStatus
from tiphys.spec.templates import (
    Arguments,
    LifecycleHook,
    Metadata,
    Metrics,
    RetryStrategy,
    Synchronization,
    Template,
)

ARGO_API_VERSION = "argoproj.io/v1alpha1"
CORE_API_VERSION = "v1"


class ObjectMeta(Object):
    """Metadata of a document."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, AnyString] | None = None
    annotations: dict[str, AnyString] | None = None
    owner_references: JSON = None
    finalizers: tuple[str, ...] = ()
    managed_fields: JSON = None
    self_link: str = ""


class WorkflowTemplateRef(Object):
    """The resource a workflow takes its whole spec from."""

    name: str = ""
    cluster_scope: bool = False


class TTLStrategy(Object):
    """Seconds until a finished workflow is deleted."""

    seconds_after_completion: int | None = None
    seconds_after_success: int | None = None
    seconds_after_failure: int | None = None


class PodGC(Object):
    """When the remains of attempts are deleted."""

    strategy: str = ""
    label_selector: JSON = None
    delete_delay_duration: AnyString = ""


class VolumeClaimGC(Object):
    """When scratch volumes are deleted."""

    strategy: str = ""


class ArtifactRepositoryRef(Object):
    """Which artifact repository key-only artifacts use."""

    config_map: str = ""
    key: str = ""


class LabelValueFrom(Object):
    """A label from an expression."""

    expression: str = ""


class WorkflowMetadata(Object):
    """Labels and annotations added at the start."""

    labels: dict[str, AnyString] | None = None
    annotations: dict[str, AnyString] | None = None
    labels_from: dict[str, LabelValueFrom] | None = None


class WorkflowLevelArtifactGC(ArtifactGC):
    """The workflow's default for its artifacts."""


class WorkflowSpec(Object):
    """What a workflow does."""

    templates: tuple[Template, ...] = ()
    entrypoint: str = ""
    arguments: Arguments | None = None
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    executor: JSON = None
    volumes: tuple[Volume, ...] = ()
    volume_claim_templates: tuple[dict[str, JSON], ...] = ()
    parallelism: int | None = None
    artifact_repository_ref: ArtifactRepositoryRef | None = None
    suspend: bool | None = None
    node_selector: dict[str, str] | None = None
    affinity: JSON = None
    tolerations: JSON = None
    image_pull_secrets: JSON = None
    host_network: bool | None = None
    dns_policy: str | None = None
    dns_config: JSON = None
    on_exit: str = ""
    ttl_strategy: TTLStrategy | None = None
    active_deadline_seconds: int | None = None
    priority: int | None = None
    scheduler_name: str = ""
    pod_gc: PodGC | None = field(default=None, name="podGC")
    pod_priority_class_name: str = ""
    pod_priority: int | None = None
    host_aliases: JSON = None
    security_context: dict[str, JSON] | None = None
    pod_spec_patch: str = ""
    pod_disruption_budget: JSON = None
    metrics: Metrics | None = None
    shutdown: str = ""
    workflow_template_ref: WorkflowTemplateRef | None = None
    synchronization: Synchronization | None = None
    volume_claim_gc: VolumeClaimGC | None = field(default=None, name="volumeClaimGC")
    retry_strategy: RetryStrategy | None = None
    pod_metadata: Metadata | None = None
    template_defaults: Template | None = None
    archive_logs: bool | None = None
    hooks: dict[str, LifecycleHook] | None = None
    workflow_metadata: WorkflowMetadata | None = None
    artifact_gc: WorkflowLevelArtifactGC | None = field(default=None, name="artifactGC")
    executor_plugins: JSON = None
    pod_resources: JSON = None
    resource_claims: JSON = None


class Workflow(Object, kw_only=True, tag_field="kind", tag="Workflow"):
    """One run."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkflowSpec = WorkflowSpec()
    status: WorkflowStatus | None = None


class WorkflowTemplate(Object, kw_only=True, tag_field="kind", tag="WorkflowTemplate"):
    """A reusable spec of one namespace."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkflowSpec = WorkflowSpec()


class ClusterWorkflowTemplate(Object, kw_only=True, tag_field="kind", tag="ClusterWorkflowTemplate"):
    """A reusable spec of all namespaces."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkflowSpec = WorkflowSpec()


class StopStrategy(Object):
    """When a CronWorkflow stops for good."""

    expression: str = ""


class CronWorkflowSpec(Object):
    """A schedule and the workflow it creates. `schedule` is Argo's old singular field."""

    workflow_spec: WorkflowSpec = WorkflowSpec()
    schedules: tuple[str, ...] = ()
    schedule: str = ""
    timezone: str = ""
    concurrency_policy: str = ""
    suspend: bool = False
    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None
    workflow_metadata: ObjectMeta | None = None
    stop_strategy: StopStrategy | None = None
    when: AnyString = ""


class CronWorkflow(Object, kw_only=True, tag_field="kind", tag="CronWorkflow"):
    """A schedule that creates workflows."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    spec: CronWorkflowSpec = CronWorkflowSpec()
    status: JSON = None


class ConfigMap(Object, kw_only=True, tag_field="kind", tag="ConfigMap"):
    """Named texts."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, AnyString] | None = None
    binary_data: dict[str, str] | None = None
    immutable: bool | None = None


class Secret(Object, kw_only=True, tag_field="kind", tag="Secret"):
    """Named secret texts: `data` is base64, `string_data` plain. Never enters a row, event or log."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    type: str = ""
    data: dict[str, str] | None = None
    string_data: dict[str, AnyString] | None = None
    immutable: bool | None = None


class EventSelector(Object):
    """Which events are meant: `selector` is an expression over payload, metadata, discriminator, namespace."""

    selector: str = ""


class EventSubmit(Object):
    """What an event starts. The values of names, labels and annotations are expressions."""

    workflow_template_ref: WorkflowTemplateRef = WorkflowTemplateRef()
    metadata: ObjectMeta | None = None
    arguments: Arguments | None = None


class WorkflowEventBindingSpec(Object):
    """An event and what it starts."""

    event: EventSelector = EventSelector()
    submit: EventSubmit | None = None


class WorkflowEventBinding(Object, kw_only=True, tag_field="kind", tag="WorkflowEventBinding"):
    """Events that start workflows."""

    api_version: str
    metadata: ObjectMeta = ObjectMeta()
    spec: WorkflowEventBindingSpec = WorkflowEventBindingSpec()


Document = Workflow | WorkflowTemplate | ClusterWorkflowTemplate | CronWorkflow | ConfigMap | Secret | WorkflowEventBinding


def overridden(workflow: Workflow, parameters: Mapping[str, str]) -> Workflow:
    """The workflow with these arguments in place of its own."""
    if not parameters:
        return workflow
    arguments = workflow.spec.arguments or Arguments()
    arguments = structs.replace(arguments, parameters=override(arguments.parameters, parameters))
    return structs.replace(workflow, spec=structs.replace(workflow.spec, arguments=arguments))
