"""Hera as its users write it, unmodified, over TLS with a token: what it builds runs, and everything it asks is answered in its words."""

import contextlib
import time

import pytest

from tests.certified import needed
from tiphys.service.tokens import Scope

needed("hera.workflows")
from hera.exceptions import AlreadyExists, BadRequest, Forbidden, NotFound, Unauthorized  # noqa: E402
from hera.workflows import (  # noqa: E402
    DAG,
    HTTP,
    Artifact,
    ClusterWorkflowTemplate,
    Container,
    CronWorkflow,
    NoneArchiveStrategy,
    Parameter,
    RetryStrategy,
    Step,
    Steps,
    Suspend,
    Task,
    Workflow,
    WorkflowsService,
    WorkflowTemplate,
    models,
    script,
)
from hera.workflows.models import TemplateRef, ValueFrom, WorkflowTemplateRef  # noqa: E402

PATIENCE_SECONDS = 40.0
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:hera")  # it uses pydantic's older names


@pytest.fixture(autouse=True)
def trusted(reached, monkeypatch):
    """The daemon's authority, as requests finds it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(reached.authority))


@pytest.fixture
def service(reached):
    with contextlib.closing(WorkflowsService(host=reached.url, token=reached.token, namespace="default")) as made:
        yield made


def until(service, name, *phases):
    """The workflow, once it has one of these phases."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = service.get_workflow(name)
        if found.status is not None and found.status.phase in phases:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} is not {' or '.join(phases)}")


def nodes(workflow):
    """The nodes by their display names."""
    return {node.display_name: node for node in workflow.status.nodes.values()}


def values(node):
    """A node's input parameters."""
    return {one.name: one.value for one in node.inputs.parameters}


def waiting(name, service):
    """A workflow that waits for somebody."""
    with Workflow(name=name, entrypoint="main", namespace="default", workflows_service=service) as made:
        gate = Suspend(name="gate")
        say = Container(name="say", image="busybox", command=["echo", "on"])
        with Steps(name="main"):
            gate()
            say()
    return made


@script()
def add(a: int, b: int):
    print(a + b)


@script()
def numbers():
    import json

    print(json.dumps([1, 2, 3]))


@script()
def square(value: int):
    print(value * value)


def test_a_diamond_of_scripts_is_created_and_waited_for(service):
    with Workflow(generate_name="diamond-", entrypoint="main", namespace="default", workflows_service=service) as made, DAG(name="main"):
        first = add(name="first", arguments={"a": 1, "b": 2})
        left = add(name="left", arguments={"a": first.result, "b": 10})
        right = add(name="right", arguments={"a": first.result, "b": 20})
        last = add(name="last", arguments={"a": left.result, "b": right.result})
        first >> [left, right] >> last
    ended = made.create(wait=True, poll_interval=1)
    assert ended.metadata.name.startswith("diamond-")
    assert made.name == ended.metadata.name
    assert ended.status.phase == "Succeeded"
    assert values(nodes(ended)["last"]) == {"a": "13", "b": "23"}
    assert nodes(ended)["last"].type == "Pod"


def test_a_loop_over_what_a_script_found(service):
    with Workflow(generate_name="loop-", entrypoint="main", namespace="default", workflows_service=service) as made, DAG(name="main"):
        found = numbers(name="found")
        each = square(name="each", arguments={"value": "{{item}}"}, with_param=found.result)
        found >> each
    ended = made.create(wait=True, poll_interval=1)
    assert ended.status.phase == "Succeeded"
    assert [values(node)["value"] for name, node in sorted(nodes(ended).items()) if name.startswith("each(")] == ["1", "2", "3"]


def test_steps_with_items_conditions_parameters_and_retries(service):
    with Workflow(
        generate_name="steps-",
        entrypoint="main",
        namespace="default",
        arguments=[Parameter(name="who", value="world")],
        workflows_service=service,
    ) as made:
        say = Container(
            name="say",
            image="busybox",
            command=["sh", "-c"],
            args=["echo hello {{inputs.parameters.who}} >/tmp/tiphys-hera-said; cat /tmp/tiphys-hera-said"],
            inputs=[Parameter(name="who")],
            outputs=[Parameter(name="said", value_from=ValueFrom(path="/tmp/tiphys-hera-said", default="nothing"))],
            retry_strategy=RetryStrategy(limit=2),
        )
        with Steps(name="main") as steps:
            say(name="one", arguments={"who": made.get_parameter("who")})
            with steps.parallel():
                say(name="many", arguments={"who": "{{item}}"}, with_items=["a", "b"])
                say(name="never", arguments={"who": "x"}, when="1 == 2")
    ended = made.create(wait=True, poll_interval=1)
    assert ended.status.phase == "Succeeded"
    found = nodes(ended)
    assert found["never"].phase == "Skipped"
    assert [node.type for name, node in found.items() if name.startswith("many(")].count("Retry") == 2
    (said,) = next(node.outputs.parameters for name, node in found.items() if name.startswith("one") and node.type == "Pod")
    assert (said.name, said.value) == ("said", "hello world")


def test_an_http_template_asks_and_judges(service, httpserver):
    with Workflow(generate_name="http-", entrypoint="main", namespace="default", workflows_service=service) as made:
        ask = HTTP(name="ask", url=f"{httpserver}/healthy", method="GET", success_condition="response.statusCode == 200")
        bad = HTTP(name="bad", url=f"{httpserver}/broken", method="GET", timeout_seconds=10)
        with Steps(name="main"):
            Step(name="ask", template=ask)
            Step(name="bad", template=bad, continue_on=models.ContinueOn(failed=True))
    ended = made.create(wait=True, poll_interval=1)
    found = nodes(ended)
    assert (found["ask"].type, found["ask"].phase, found["ask"].outputs.result) == ("HTTP", "Succeeded", "fine")
    assert found["bad"].phase == "Failed"
    assert ended.status.phase == "Succeeded"


def test_get_and_list_and_delete(service):
    with Workflow(
        name="listed",
        entrypoint="main",
        namespace="default",
        labels={"team": "blue"},
        annotations={"why": "so"},
        workflows_service=service,
    ) as made:
        Container(name="main", image="busybox", command=["echo", "hello"])
    created = made.create()
    assert (created.metadata.name, created.metadata.labels["team"]) == ("listed", "blue")
    assert created.metadata.uid
    until(service, "listed", "Succeeded")
    found = service.list_workflows(label_selector="team=blue").items
    assert [one.metadata.name for one in found] == ["listed"]
    assert found[0].metadata.annotations["why"] == "so"
    assert (
        found[0].status.progress.__root__ == "1/1" if hasattr(found[0].status.progress, "__root__") else found[0].status.progress == "1/1"
    )
    assert service.list_workflows(label_selector="team=red").items in (None, [])
    assert len(service.list_workflows(limit="1").items) == 1
    with pytest.raises(AlreadyExists, match="already exists"):
        made.create()
    service.delete_workflow("listed")
    with pytest.raises(NotFound):
        service.get_workflow("listed", namespace="elsewhere")


def test_lint_tells_what_is_wrong(service):
    with Workflow(name="fine", entrypoint="main", namespace="default", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["echo", "hello"])
    assert made.lint().metadata.name == "fine"
    with Workflow(name="wrong", entrypoint="main", namespace="default", workflows_service=service) as wrong:
        Container(name="main", image="busybox", command=["echo", "{{inputs.parameters.nothing}}"])
    with pytest.raises(BadRequest, match=r"inputs\.parameters\.nothing"):
        wrong.lint()
    with pytest.raises(BadRequest, match=r"inputs\.parameters\.nothing"):
        wrong.create()
    with pytest.raises(NotFound):
        service.get_workflow("wrong")


def test_suspend_and_resume(service):
    waiting("gated", service).create()
    until(service, "gated", "Running")
    assert service.suspend_workflow("gated", models.WorkflowSuspendRequest(name="gated", namespace="default")).spec.suspend is True
    service.resume_workflow("gated", models.WorkflowResumeRequest(name="gated", namespace="default"))
    ended = until(service, "gated", "Succeeded")
    assert nodes(ended)["gate"].type == "Suspend"


def test_stop_and_terminate_and_retry_and_resubmit(service):
    waiting("stopped", service).create()
    until(service, "stopped", "Running")
    service.stop_workflow("stopped", models.WorkflowStopRequest(name="stopped", namespace="default", message="enough"))
    assert until(service, "stopped", "Failed").status.message
    service.retry_workflow("stopped", models.WorkflowRetryRequest(name="stopped", namespace="default"))
    until(service, "stopped", "Running")
    service.terminate_workflow("stopped", models.WorkflowTerminateRequest(name="stopped", namespace="default"))
    until(service, "stopped", "Failed")
    again = service.resubmit_workflow("stopped", models.WorkflowResubmitRequest(name="stopped", namespace="default", memoized=False))
    assert again.metadata.name.startswith("stopped-")
    until(service, again.metadata.name, "Running")
    wish = models.WorkflowSetRequest(
        name=again.metadata.name, namespace="default", node_field_selector="displayName=gate", message="by hand", phase="Succeeded"
    )
    service.set_workflow(again.metadata.name, wish)
    assert nodes(until(service, again.metadata.name, "Succeeded"))["gate"].message == "by hand"


def test_a_failed_step_is_retried(service, reached):
    mark = reached.tiphysd.shared / "retried"
    with Workflow(name="retried", entrypoint="main", namespace="default", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["test", "-e", str(mark)])
    made.create()
    assert "exit code 1" in until(service, "retried", "Failed", "Error").status.message
    mark.touch()
    service.retry_workflow("retried", models.WorkflowRetryRequest(name="retried", namespace="default"))
    until(service, "retried", "Succeeded")


def test_logs(service):
    with Workflow(name="logged", entrypoint="main", namespace="default", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["echo", "one line"])
    made.create()
    until(service, "logged", "Succeeded")
    assert service.workflow_logs("logged", container="main", follow=False)


def test_a_workflow_template_is_created_got_updated_and_used(service):
    with WorkflowTemplate(name="greeting", entrypoint="main", namespace="default", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["echo", "first"])
    assert made.lint().metadata.name == "greeting"
    created = made.create()
    assert created.metadata.name == "greeting"
    with pytest.raises(AlreadyExists):
        made.create()
    assert made.get().spec.templates[0].container.command == ["echo", "first"]
    made.templates[0].command = ["echo", "second"]
    updated = made.update()
    assert updated.spec.templates[0].container.command == ["echo", "second"]
    assert updated.metadata.resource_version != created.metadata.resource_version
    assert "greeting" in [one.metadata.name for one in service.list_workflow_templates().items]
    used = Workflow(
        generate_name="used-",
        namespace="default",
        workflow_template_ref=WorkflowTemplateRef(name="greeting"),
        workflows_service=service,
    )
    ended = used.create(wait=True, poll_interval=1)
    assert nodes(ended)[ended.metadata.name].outputs is None or ended.status.phase == "Succeeded"
    submitted = service.submit_workflow(
        models.WorkflowSubmitRequest(namespace="default", resource_kind="WorkflowTemplate", resource_name="greeting")
    )
    until(service, submitted.metadata.name, "Succeeded")
    with (
        Workflow(generate_name="referring-", entrypoint="main", namespace="default", workflows_service=service) as other,
        DAG(name="main"),
    ):
        Task(name="there", template_ref=TemplateRef(name="greeting", template="main"))
    assert other.create(wait=True, poll_interval=1).status.phase == "Succeeded"
    service.delete_workflow_template("greeting")
    with pytest.raises(NotFound):
        made.get()


def test_a_template_that_is_not_there_is_made_by_an_update(service):
    with WorkflowTemplate(name="fresh", entrypoint="main", namespace="default", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["echo", "hello"])
    assert made.update().metadata.name == "fresh"
    assert made.get().metadata.name == "fresh"
    service.delete_workflow_template("fresh")


def test_a_cron_workflow_is_created_got_updated_suspended_and_resumed(service):
    with CronWorkflow(
        name="nightly", entrypoint="main", namespace="default", schedules=["0 3 * * *"], timezone="UTC", workflows_service=service
    ) as made:
        Container(name="main", image="busybox", command=["echo", "hello"])
    assert made.lint().metadata.name == "nightly"
    assert made.create().spec.schedules == ["0 3 * * *"]
    with pytest.raises(AlreadyExists):
        made.create()
    assert made.get().spec.timezone == "UTC"
    made.schedules = ["30 4 * * *"]
    assert made.update().spec.schedules == ["30 4 * * *"]
    assert "nightly" in [one.metadata.name for one in service.list_cron_workflows().items]
    request = {"name": "nightly", "namespace": "default"}
    assert service.suspend_cron_workflow("nightly", models.CronWorkflowSuspendRequest(**request)).spec.suspend is True
    assert not service.resume_cron_workflow("nightly", models.CronWorkflowResumeRequest(**request)).spec.suspend
    submitted = service.submit_workflow(
        models.WorkflowSubmitRequest(namespace="default", resource_kind="CronWorkflow", resource_name="nightly")
    )
    until(service, submitted.metadata.name, "Succeeded")
    service.delete_cron_workflow("nightly")
    with pytest.raises(NotFound):
        made.get()


def test_a_cluster_workflow_template_is_created_got_updated_and_used(service):
    with ClusterWorkflowTemplate(name="shared", entrypoint="main", workflows_service=service) as made:
        Container(name="main", image="busybox", command=["echo", "first"])
    assert made.lint().metadata.name == "shared"
    assert made.create().metadata.name == "shared"
    made.templates[0].command = ["echo", "second"]
    assert made.update().spec.templates[0].container.command == ["echo", "second"]
    assert made.get().spec.templates[0].container.command == ["echo", "second"]
    with Workflow(generate_name="sharing-", entrypoint="main", namespace="default", workflows_service=service) as user, DAG(name="main"):
        Task(name="there", template_ref=TemplateRef(name="shared", template="main", cluster_scope=True))
    assert user.create(wait=True, poll_interval=1).status.phase == "Succeeded"
    assert "shared" in [one.metadata.name for one in service.list_cluster_workflow_templates().items]
    service.delete_cluster_workflow_template("shared")
    with pytest.raises(NotFound):
        made.get()


def test_artifacts_go_from_step_to_step_and_can_be_fetched(service):
    with Workflow(name="handing", entrypoint="main", namespace="default", workflows_service=service) as made:
        make = Container(
            name="make",
            image="busybox",
            command=["sh", "-c", "echo made >/tmp/out"],
            outputs=[Artifact(name="out", path="/tmp/out", archive=NoneArchiveStrategy())],
        )
        use = Container(name="use", image="busybox", command=["cat", "/tmp/in"], inputs=[Artifact(name="in", path="/tmp/in")])
        with DAG(name="main"):
            first = make()
            first >> use(arguments=[first.get_artifact("out").with_name("in")])
    made.create()
    ended = until(service, "handing", "Succeeded", "Failed", "Error")
    assert ended.status.phase == "Succeeded", ended.status.message
    node = nodes(ended)["make"]
    # It gives what Python says of the bytes, whatever the server sends.
    assert service.get_output_artifact("handing", node.id, "out") == str(b"made\n")
    assert service.get_output_artifact_by_uid(ended.metadata.uid, node.id, "out") == str(b"made\n")


def test_what_was_deleted_is_in_the_archive_if_it_is_kept(service):
    assert service.list_archived_workflows().items is not None
    assert service.list_archived_workflow_label_keys().items is not None


def test_the_server_says_who_it_is_and_who_asks(service):
    assert service.get_version().version
    assert service.get_info() is not None
    assert service.get_user_info().name == "client"


def test_scopes_and_strangers(reached):
    with contextlib.closing(WorkflowsService(host=reached.url, token=reached.another(Scope.READ), namespace="default")) as reader:
        reader.list_workflows()
        with pytest.raises(Forbidden, match="needs a token of scope submit, this one has read"):
            waiting("denied", reader).create()
    with (
        contextlib.closing(WorkflowsService(host=reached.url, token="Bearer nobody", namespace="default")) as stranger,
        pytest.raises(Unauthorized, match="token not valid"),
    ):
        stranger.list_workflows()
