"""The bodies of requests, as the OpenAPI document shows them. Clients may send more than these; what is not used is not refused."""

from tiphys.spec.objects import JSON, Object
from tiphys.spec.workflows import ClusterWorkflowTemplate, CronWorkflow, Workflow, WorkflowEventBinding, WorkflowTemplate


class Submission(Object):
    """A workflow to create or to lint."""

    workflow: Workflow
    namespace: str = ""
    server_dry_run: bool = False
    instance_id: str = ""
    create_options: JSON = None


class SubmitOptions(Object):
    """What a submit changes of what it takes from a template."""

    name: str = ""
    generate_name: str = ""
    entry_point: str = ""
    parameters: tuple[str, ...] = ()
    labels: str = ""
    annotations: str = ""
    service_account: str = ""
    priority: int | None = None
    pod_priority_class_name: str = ""
    dry_run: bool = False
    server_dry_run: bool = False
    owner_reference: JSON = None
    artifacts: tuple[str, ...] = ()


class Submit(Object):
    """Start a workflow from what is in force."""

    resource_kind: str
    resource_name: str
    namespace: str = ""
    submit_options: SubmitOptions | None = None


class Named(Object):
    """What an action is about; the path says it too."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class Resume(Named):
    """Which suspend nodes go on; none named: all of it."""

    node_field_selector: str = ""


class Stop(Named):
    """Which suspend nodes fail, with which message; none named: all of it ends."""

    node_field_selector: str = ""
    message: str = ""


class Retry(Named):
    """How a retry goes on."""

    restart_successful: bool = False
    node_field_selector: str = ""
    parameters: tuple[str, ...] = ()


class Resubmit(Named):
    """How the same work is begun again."""

    memoized: bool = False
    parameters: tuple[str, ...] = ()


class SetNode(Object):
    """What suspend nodes are given. `output_parameters` is the JSON text of a map."""

    node_field_selector: str
    namespace: str = ""
    name: str = ""
    phase: str = ""
    message: str = ""
    output_parameters: str = ""


class Template(Object):
    """A workflow template."""

    template: WorkflowTemplate
    namespace: str = ""
    name: str = ""
    create_options: JSON = None


class ClusterTemplate(Object):
    """A cluster workflow template."""

    template: ClusterWorkflowTemplate
    name: str = ""
    create_options: JSON = None


class Cron(Object):
    """A cron workflow."""

    cron_workflow: CronWorkflow
    namespace: str = ""
    name: str = ""
    create_options: JSON = None


class Binding(Object):
    """An event binding."""

    binding: WorkflowEventBinding
    namespace: str = ""
    name: str = ""


class Limit(Object):
    """A semaphore's limit. `type` is CONFIGMAP (then `cm_name` says which) or DATABASE."""

    limit: int
    key: str = ""
    namespace: str = ""
    type: str = "CONFIGMAP"
    cm_name: str = ""
