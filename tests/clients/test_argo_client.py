"""The official Python client of Argo Server, as its generator made it: it checks the type of everything that it is answered."""

import time

import pytest

from tests.certified import needed
from tiphys.service.tokens import Scope

needed("argo_workflows")
import argo_workflows  # noqa: E402
from argo_workflows import apis, models  # noqa: E402
from argo_workflows.exceptions import ApiException, ForbiddenException, NotFoundException, UnauthorizedException  # noqa: E402

PATIENCE_SECONDS = 40.0
NAMESPACE = "default"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Client:
    """The services of one who shows a token."""

    def __init__(self, reached, token):
        configuration = argo_workflows.Configuration(
            host=reached.url, api_key={"BearerToken": token}, api_key_prefix={"BearerToken": "Bearer"}, ssl_ca_cert=str(reached.authority)
        )
        self.api = argo_workflows.ApiClient(configuration)
        self.workflows = apis.WorkflowServiceApi(self.api)
        self.templates = apis.WorkflowTemplateServiceApi(self.api)
        self.cluster_templates = apis.ClusterWorkflowTemplateServiceApi(self.api)
        self.crons = apis.CronWorkflowServiceApi(self.api)
        self.info = apis.InfoServiceApi(self.api)
        self.archive = apis.ArchivedWorkflowServiceApi(self.api)


@pytest.fixture
def client(reached):
    made = Client(reached, reached.token)
    yield made
    made.api.close()


def container(name, *command):
    return models.IoArgoprojWorkflowV1alpha1Template(name=name, container=models.Container(image="busybox", command=list(command)))


def workflow(name, *templates, **spec):
    return models.IoArgoprojWorkflowV1alpha1Workflow(
        api_version="argoproj.io/v1alpha1",
        kind="Workflow",
        metadata=models.ObjectMeta(name=name),
        spec=models.IoArgoprojWorkflowV1alpha1WorkflowSpec(entrypoint="main", templates=list(templates), **spec),
    )


def waiting(name):
    """A workflow that waits for somebody, then says something."""
    gate = models.IoArgoprojWorkflowV1alpha1Template(name="gate", suspend=models.IoArgoprojWorkflowV1alpha1SuspendTemplate())
    steps = [
        models.IoArgoprojWorkflowV1alpha1ParallelSteps([models.IoArgoprojWorkflowV1alpha1WorkflowStep(name=name, template=name)])
        for name in ("gate", "say")
    ]
    main = models.IoArgoprojWorkflowV1alpha1Template(name="main", steps=steps)
    return workflow(name, main, gate, container("say", "echo", "on"))


def create(client, made):
    return client.workflows.create_workflow(NAMESPACE, models.IoArgoprojWorkflowV1alpha1WorkflowCreateRequest(workflow=made))


def until(client, name, *phases):
    """The workflow, once it has one of these phases."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = client.workflows.get_workflow(NAMESPACE, name)
        if found.get("status") is not None and found.status.get("phase") in phases:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} is not {' or '.join(phases)}")


def nodes(found):
    """The nodes by their display names."""
    return {node.display_name: node for node in found.status.nodes.values()}


def test_create_get_list_and_delete(client):
    created = create(client, workflow("made", container("main", "echo", "hello")))
    assert created.metadata.name == "made"
    ended = until(client, "made", "Succeeded")
    assert ended.status.progress == "1/1"
    assert nodes(ended)["made"].type == "Pod"
    assert "made" in [one.metadata.name for one in client.workflows.list_workflows(NAMESPACE)["items"]]
    assert client.workflows.list_workflows(NAMESPACE, list_options_label_selector="no=such").get("items") in (None, [])
    with pytest.raises(ApiException) as raised:
        create(client, workflow("made", container("main", "echo", "hello")))
    assert raised.value.status == 409
    client.workflows.delete_workflow(NAMESPACE, "made")
    with pytest.raises(NotFoundException):
        client.workflows.get_workflow(NAMESPACE, "absent")


def test_a_graph_with_a_loop_and_a_script(client):
    task = models.IoArgoprojWorkflowV1alpha1DAGTask
    parameter = models.IoArgoprojWorkflowV1alpha1Parameter
    tasks = [
        task(name="found", template="found"),
        task(
            name="each",
            template="each",
            depends="found",
            with_param="{{tasks.found.outputs.result}}",
            arguments=models.IoArgoprojWorkflowV1alpha1Arguments(parameters=[parameter(name="value", value="{{item}}")]),
        ),
    ]
    found = models.IoArgoprojWorkflowV1alpha1ScriptTemplate(image="busybox", command=["sh"], source="echo '[1, 2]'")
    templates = [
        models.IoArgoprojWorkflowV1alpha1Template(name="main", dag=models.IoArgoprojWorkflowV1alpha1DAGTemplate(tasks=tasks)),
        models.IoArgoprojWorkflowV1alpha1Template(name="found", script=found),
        models.IoArgoprojWorkflowV1alpha1Template(
            name="each",
            inputs=models.IoArgoprojWorkflowV1alpha1Inputs(parameters=[parameter(name="value")]),
            container=models.Container(image="busybox", command=["echo", "{{inputs.parameters.value}}"]),
        ),
    ]
    create(client, workflow("graph", *templates))
    ended = until(client, "graph", "Succeeded", "Failed", "Error")
    assert ended.status.phase == "Succeeded"
    assert {name for name in nodes(ended) if name.startswith("each")} == {"each", "each(0:1)", "each(1:2)"}


def test_an_http_template(client, httpserver):
    ask = models.IoArgoprojWorkflowV1alpha1Template(
        name="main", http=models.IoArgoprojWorkflowV1alpha1HTTP(url=f"{httpserver}/healthy", success_condition="response.statusCode == 200")
    )
    create(client, workflow("asking", ask))
    assert nodes(until(client, "asking", "Succeeded"))["asking"].outputs.result == "fine"


def test_lint(client):
    request = models.IoArgoprojWorkflowV1alpha1WorkflowLintRequest
    fine = client.workflows.lint_workflow(NAMESPACE, request(workflow=workflow("fine", container("main", "echo"))))
    assert fine.metadata.name == "fine"
    with pytest.raises(ApiException) as raised:
        client.workflows.lint_workflow(
            NAMESPACE, request(workflow=workflow("wrong", container("main", "echo", "{{inputs.parameters.nothing}}")))
        )
    assert raised.value.status == 400
    assert "inputs.parameters.nothing" in raised.value.body


def test_steering(client):
    create(client, waiting("steered"))
    until(client, "steered", "Running")
    wish = models.IoArgoprojWorkflowV1alpha1WorkflowSuspendRequest(name="steered", namespace=NAMESPACE)
    assert client.workflows.suspend_workflow(NAMESPACE, "steered", wish).spec.suspend is True
    client.workflows.resume_workflow(NAMESPACE, "steered", models.IoArgoprojWorkflowV1alpha1WorkflowResumeRequest())
    assert nodes(until(client, "steered", "Succeeded"))["gate"].type == "Suspend"
    again = client.workflows.resubmit_workflow(NAMESPACE, "steered", models.IoArgoprojWorkflowV1alpha1WorkflowResubmitRequest())
    name = again.metadata.name
    until(client, name, "Running")
    client.workflows.stop_workflow(NAMESPACE, name, models.IoArgoprojWorkflowV1alpha1WorkflowStopRequest(message="enough"))
    until(client, name, "Failed")
    client.workflows.retry_workflow(NAMESPACE, name, models.IoArgoprojWorkflowV1alpha1WorkflowRetryRequest())
    until(client, name, "Running")
    client.workflows.terminate_workflow(NAMESPACE, name, models.IoArgoprojWorkflowV1alpha1WorkflowTerminateRequest())
    until(client, name, "Failed")


def test_set(client):
    create(client, waiting("set"))
    until(client, "set", "Running")
    wish = models.IoArgoprojWorkflowV1alpha1WorkflowSetRequest(node_field_selector="displayName=gate", phase="Succeeded", message="by hand")
    client.workflows.set_workflow(NAMESPACE, "set", wish)
    assert nodes(until(client, "set", "Succeeded"))["gate"].message == "by hand"


def test_logs_are_a_stream(client):
    create(client, workflow("logged", container("main", "echo", "one line")))
    until(client, "logged", "Succeeded")
    stream = client.workflows.workflow_logs(NAMESPACE, "logged", log_options_container="main", _preload_content=False)
    assert b'"content":"one line"' in b"".join(stream.stream())


def test_workflow_templates(client):
    template = models.IoArgoprojWorkflowV1alpha1WorkflowTemplate(
        metadata=models.ObjectMeta(name="greeting"),
        spec=models.IoArgoprojWorkflowV1alpha1WorkflowSpec(entrypoint="main", templates=[container("main", "echo", "first")]),
    )
    service = client.templates
    service.lint_workflow_template(NAMESPACE, models.IoArgoprojWorkflowV1alpha1WorkflowTemplateLintRequest(template=template))
    made = service.create_workflow_template(NAMESPACE, models.IoArgoprojWorkflowV1alpha1WorkflowTemplateCreateRequest(template=template))
    assert made.metadata.name == "greeting"
    found = service.get_workflow_template(NAMESPACE, "greeting")
    found.spec.templates[0].container.command = ["echo", "second"]
    service.update_workflow_template(NAMESPACE, "greeting", models.IoArgoprojWorkflowV1alpha1WorkflowTemplateUpdateRequest(template=found))
    assert service.get_workflow_template(NAMESPACE, "greeting").spec.templates[0].container.command == ["echo", "second"]
    assert "greeting" in [one.metadata.name for one in service.list_workflow_templates(NAMESPACE)["items"]]
    submitted = client.workflows.submit_workflow(
        NAMESPACE, models.IoArgoprojWorkflowV1alpha1WorkflowSubmitRequest(resource_kind="WorkflowTemplate", resource_name="greeting")
    )
    until(client, submitted.metadata.name, "Succeeded")
    service.delete_workflow_template(NAMESPACE, "greeting")
    with pytest.raises(NotFoundException):
        service.get_workflow_template(NAMESPACE, "greeting")


def test_cluster_workflow_templates(client):
    template = models.IoArgoprojWorkflowV1alpha1ClusterWorkflowTemplate(
        metadata=models.ObjectMeta(name="shared"),
        spec=models.IoArgoprojWorkflowV1alpha1WorkflowSpec(entrypoint="main", templates=[container("main", "echo", "first")]),
    )
    service = client.cluster_templates
    service.create_cluster_workflow_template(models.IoArgoprojWorkflowV1alpha1ClusterWorkflowTemplateCreateRequest(template=template))
    assert service.get_cluster_workflow_template("shared").metadata.name == "shared"
    assert "shared" in [one.metadata.name for one in service.list_cluster_workflow_templates()["items"]]
    service.delete_cluster_workflow_template("shared")


def test_cron_workflows(client):
    spec = models.IoArgoprojWorkflowV1alpha1WorkflowSpec(entrypoint="main", templates=[container("main", "echo", "first")])
    cron = models.IoArgoprojWorkflowV1alpha1CronWorkflow(
        metadata=models.ObjectMeta(name="nightly"),
        spec=models.IoArgoprojWorkflowV1alpha1CronWorkflowSpec(schedules=["0 3 * * *"], workflow_spec=spec),
    )
    service = client.crons
    service.lint_cron_workflow(NAMESPACE, models.IoArgoprojWorkflowV1alpha1LintCronWorkflowRequest(cron_workflow=cron))
    service.create_cron_workflow(NAMESPACE, models.IoArgoprojWorkflowV1alpha1CreateCronWorkflowRequest(cron_workflow=cron))
    found = service.get_cron_workflow(NAMESPACE, "nightly")
    found.spec.schedules = ["30 4 * * *"]
    service.update_cron_workflow(NAMESPACE, "nightly", models.IoArgoprojWorkflowV1alpha1UpdateCronWorkflowRequest(cron_workflow=found))
    assert service.get_cron_workflow(NAMESPACE, "nightly").spec.schedules == ["30 4 * * *"]
    wish = models.IoArgoprojWorkflowV1alpha1CronWorkflowSuspendRequest()
    assert service.suspend_cron_workflow(NAMESPACE, "nightly", wish).spec.suspend is True
    service.resume_cron_workflow(NAMESPACE, "nightly", models.IoArgoprojWorkflowV1alpha1CronWorkflowResumeRequest())
    assert "nightly" in [one.metadata.name for one in service.list_cron_workflows(NAMESPACE)["items"]]
    service.delete_cron_workflow(NAMESPACE, "nightly")


def test_the_server_says_who_it_is_and_who_asks(client):
    assert client.info.get_version().version
    client.info.get_info()
    assert client.info.get_user_info().name == "client"
    client.archive.list_archived_workflows()


def test_scopes_and_strangers(reached):
    reader = Client(reached, reached.another(Scope.READ))
    reader.workflows.list_workflows(NAMESPACE)
    with pytest.raises(ForbiddenException):
        create(reader, waiting("denied"))
    with pytest.raises(UnauthorizedException):
        Client(reached, "nobody").workflows.list_workflows(NAMESPACE)
