"""Templates: the ten kinds of work, and what steps and tasks say when they call one."""

from __future__ import annotations

from tiphys.spec.artifacts import Artifact, ArtifactLocation, ArtifactPaths
from tiphys.spec.containers import Container, ContainerSetTemplate, ScriptTemplate, UserContainer, Volume
from tiphys.spec.objects import JSON, AnyString, IntOrString, Object
from tiphys.spec.parameters import KeySelector, Parameter


class Metadata(Object):
    """Labels and annotations for pods."""

    annotations: dict[str, AnyString] | None = None
    labels: dict[str, AnyString] | None = None


class Arguments(Object):
    """What a caller hands to a template."""

    parameters: tuple[Parameter, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


class Inputs(Object):
    """What a template takes."""

    parameters: tuple[Parameter, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


class Outputs(Object):
    """What a template, or a finished node, gives."""

    parameters: tuple[Parameter, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    result: str | None = None
    exit_code: str | None = None


class TemplateRef(Object):
    """A template in another resource."""

    name: str = ""
    template: str = ""
    cluster_scope: bool = False


class ContinueOn(Object):
    """Which ends of a step do not fail its parent."""

    error: bool = False
    failed: bool = False


class Sequence(Object):
    """Generated loop items: `count`, or `start` to `end`."""

    count: IntOrString | None = None
    start: IntOrString | None = None
    end: IntOrString | None = None
    format: str = ""


class LifecycleHook(Object):
    """A template that runs when something happens."""

    template: str = ""
    arguments: Arguments | None = None
    template_ref: TemplateRef | None = None
    expression: str = ""


class Backoff(Object):
    """Waits between attempts."""

    duration: AnyString = ""
    factor: IntOrString | None = None
    max_duration: AnyString = ""
    cap: AnyString = ""


class RetryStrategy(Object):
    """When and how often a template is tried again."""

    limit: IntOrString | None = None
    retry_policy: str = ""
    backoff: Backoff | None = None
    affinity: JSON = None
    expression: str = ""


class MutexRef(Object):
    """An exclusive lock."""

    name: str = ""
    namespace: str = ""
    database: bool = False


class DatabaseKey(Object):
    """A lock's row in a shared database."""

    key: str = ""


class SemaphoreRef(Object):
    """A counting lock."""

    config_map_key_ref: KeySelector | None = None
    database: DatabaseKey | None = None
    namespace: str = ""


class Synchronization(Object):
    """Locks held while a workflow or node runs. The singular fields are Argo's old ones, accepted with a warning."""

    semaphores: tuple[SemaphoreRef, ...] = ()
    mutexes: tuple[MutexRef, ...] = ()
    semaphore: SemaphoreRef | None = None
    mutex: MutexRef | None = None


class Cache(Object):
    """The memo's store."""

    config_map: KeySelector | None = None


class Memoize(Object):
    """Reuse of outputs by key."""

    key: str = ""
    cache: Cache | None = None
    max_age: str = ""


class MetricLabel(Object):
    """A label of a custom metric."""

    key: str = ""
    value: str = ""


class Counter(Object):
    """Adds its value."""

    value: AnyString = ""


class Gauge(Object):
    """Sets, adds or subtracts its value."""

    value: AnyString = ""
    realtime: bool | None = None
    operation: str = ""


class Histogram(Object):
    """Observes its value."""

    value: AnyString = ""
    buckets: tuple[float, ...] = ()


class Prometheus(Object):
    """A custom metric."""

    name: str = ""
    labels: tuple[MetricLabel, ...] = ()
    help: str = ""
    when: str = ""
    gauge: Gauge | None = None
    histogram: Histogram | None = None
    counter: Counter | None = None


class Metrics(Object):
    """Custom metrics of a workflow or template."""

    prometheus: tuple[Prometheus, ...] = ()


class WorkflowStep(Object):
    """One step of a steps template."""

    name: str = ""
    template: str = ""
    inline: Template | None = None
    arguments: Arguments | None = None
    template_ref: TemplateRef | None = None
    with_items: tuple[JSON, ...] | None = None
    with_param: AnyString = ""
    with_sequence: Sequence | None = None
    when: AnyString = ""
    continue_on: ContinueOn | None = None
    on_exit: str = ""
    hooks: dict[str, LifecycleHook] | None = None


class DAGTask(Object):
    """One task of a dag template."""

    name: str = ""
    template: str = ""
    inline: Template | None = None
    arguments: Arguments | None = None
    template_ref: TemplateRef | None = None
    dependencies: tuple[str, ...] = ()
    with_items: tuple[JSON, ...] | None = None
    with_param: AnyString = ""
    with_sequence: Sequence | None = None
    when: AnyString = ""
    continue_on: ContinueOn | None = None
    on_exit: str = ""
    depends: AnyString = ""
    hooks: dict[str, LifecycleHook] | None = None


class DAGTemplate(Object):
    """Tasks with dependencies."""

    target: str = ""
    tasks: tuple[DAGTask, ...] = ()
    fail_fast: bool | None = None


class SuspendTemplate(Object):
    """A wait for a person or for time."""

    duration: AnyString = ""


class HTTPHeaderSource(Object):
    """A header value from a Secret."""

    secret_key_ref: KeySelector | None = None


class HTTPHeader(Object):
    """A request header."""

    name: str = ""
    value: str = ""
    value_from: HTTPHeaderSource | None = None


class HTTPBodySource(Object):
    """A body as base64 bytes."""

    bytes: str = ""


class HTTP(Object):
    """One HTTP request."""

    method: str = ""
    url: str = ""
    headers: tuple[HTTPHeader, ...] = ()
    timeout_seconds: int | None = None
    success_condition: str = ""
    body: str = ""
    body_from: HTTPBodySource | None = None
    insecure_skip_verify: bool = False


class ManifestFrom(Object):
    """A resource's manifest from an artifact."""

    artifact: Artifact | None = None


class ResourceTemplate(Object):
    """A Kubernetes object and what to do with it."""

    action: str = ""
    merge_strategy: str = ""
    manifest: str = ""
    manifest_from: ManifestFrom | None = None
    set_owner_reference: bool = False
    success_condition: str = ""
    failure_condition: str = ""
    flags: tuple[str, ...] = ()


class TransformationStep(Object):
    """One expression over `data`."""

    expression: str = ""


class DataSource(Object):
    """What a data template starts from."""

    artifact_paths: ArtifactPaths | None = None


class Data(Object):
    """Lists keys and transforms the list."""

    source: DataSource | None = None
    transformation: tuple[TransformationStep, ...] = ()


class Template(Object):
    """A template: exactly one of the ten kinds, and everything around it."""

    name: str = ""
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    node_selector: dict[str, str] | None = None
    affinity: JSON = None
    metadata: Metadata | None = None
    annotations: dict[str, AnyString] | None = None
    daemon: bool | None = None
    steps: tuple[tuple[WorkflowStep, ...], ...] | None = None
    container: Container | None = None
    container_set: ContainerSetTemplate | None = None
    script: ScriptTemplate | None = None
    resource: ResourceTemplate | None = None
    dag: DAGTemplate | None = None
    suspend: SuspendTemplate | None = None
    data: Data | None = None
    http: HTTP | None = None
    plugin: dict[str, JSON] | None = None
    volumes: tuple[Volume, ...] = ()
    init_containers: tuple[UserContainer, ...] = ()
    sidecars: tuple[UserContainer, ...] = ()
    archive_location: ArtifactLocation | None = None
    active_deadline_seconds: IntOrString | None = None
    retry_strategy: RetryStrategy | None = None
    parallelism: int | None = None
    fail_fast: bool | None = None
    tolerations: JSON = None
    scheduler_name: str = ""
    priority_class_name: str = ""
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    executor: JSON = None
    host_aliases: JSON = None
    security_context: dict[str, JSON] | None = None
    pod_spec_patch: str = ""
    metrics: Metrics | None = None
    synchronization: Synchronization | None = None
    memoize: Memoize | None = None
    timeout: str = ""
    pending_timeout: str = ""
    pod_resources: JSON = None
    resource_claims: JSON = None


KINDS = ("container", "container_set", "steps", "dag", "script", "resource", "data", "suspend", "http", "plugin")
"""The template kinds by field, in Argo's order of precedence (semantics 2.3, step 14)."""

POD_KINDS = frozenset({"container", "container_set", "script", "resource", "data"})
"""Kinds that become Pod nodes."""


def kind(template: Template) -> str:
    """The first kind of `KINDS` that `template` sets, or "" where it sets none."""
    return next((name for name in KINDS if getattr(template, name) is not None), "")
