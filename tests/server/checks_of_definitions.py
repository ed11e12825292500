"""Checks of templates, cluster templates, cron workflows, event bindings: made, changed, deleted, and what belongs to files left alone."""

import getpass
import json

from tests.server.checks import of
from tests.server.test_workflows import TEMPLATES

API = "argoproj.io/v1alpha1"
SPEC = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "any", "command": ["true"]}}]}
LABELS = "workflows.argoproj.io/"


def template(name="t", kind="WorkflowTemplate", **metadata):
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": SPEC}


def cron(name="c", **spec):
    return {
        "apiVersion": API,
        "kind": "CronWorkflow",
        "metadata": {"name": name},
        "spec": {"schedules": ["0 3 * * *"], "workflowSpec": SPEC, **spec},
    }


def binding(name="b"):
    submit = {
        "workflowTemplateRef": {"name": "greet"},
        "metadata": {"labels": {"from": "discriminator"}},
        "arguments": {"parameters": [{"name": "who", "valueFrom": {"event": "payload.who"}}]},
    }
    spec = {"event": {"selector": 'payload.who != "" && discriminator == "hello"'}, "submit": submit}
    return {"apiVersion": API, "kind": "WorkflowEventBinding", "metadata": {"name": name}, "spec": spec}


async def lives(served, home, field, made, changed, *, broken):
    """The life of a definition of any kind: linted, made, found, changed, deleted; and the answers where it may not be."""
    name = made["metadata"]["name"]
    assert (await served.ask("POST", f"{home}/lint", {field: made}))[0] == 200
    status, problem = await served.ask("POST", f"{home}/lint", {field: broken})
    assert (status, problem["code"]) == (400, 3), problem
    assert (await served.ask("POST", home, {field: broken}))[0] == 400
    assert (await served.ask("POST", home, {field: made, "createOptions": {"dryRun": ["All"]}}))[0] == 200
    assert (await served.ask("GET", f"{home}/{name}"))[0] == 404
    status, first = await served.ask("POST", home, {field: made})
    assert status == 200, first
    meta = first["metadata"]
    assert meta["labels"][f"{LABELS}creator"] == getpass.getuser()
    assert meta["uid"]
    assert meta["creationTimestamp"]
    assert await served.ask("GET", f"{home}/{name}") == (200, first)
    assert (await served.ask("GET", home))[1]["items"] == [first]
    status, problem = await served.ask("POST", home, {field: made})
    assert (status, problem["code"]) == (409, 6)
    assert (await served.ask("PUT", f"{home}/absent", {field: {**made, "metadata": {}}}))[0] == 404
    assert (await served.ask("PUT", f"{home}/other", {field: made}))[0] == 400
    status, second = await served.ask("PUT", f"{home}/{name}", {field: {**changed, "metadata": meta}})
    assert status == 200, second
    assert second["spec"] != first["spec"]
    assert second["metadata"]["uid"] == meta["uid"]
    assert second["metadata"]["creationTimestamp"] == meta["creationTimestamp"]
    assert int(second["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
    assert second["metadata"]["labels"][f"{LABELS}action"] == "Update"
    status, problem = await served.ask("PUT", f"{home}/{name}", {field: {**made, "metadata": meta}})
    assert status == 409
    assert "has been modified" in problem["message"]
    assert await served.ask("DELETE", f"{home}/{name}") == (200, {})
    assert (await served.ask("DELETE", f"{home}/{name}"))[0] == 404
    assert (await served.ask("GET", home))[1]["items"] == []


async def belongs_to_a_file(served, home, field, name):
    """What a file in the drop folder defines is only read."""
    _, found = await served.ask("GET", f"{home}/{name}")
    assert found["metadata"]["uid"] == (await served.ask("GET", f"{home}/{name}"))[1]["metadata"]["uid"]
    for method, path, body in (
        ("PUT", f"{home}/{name}", {field: found}),
        ("DELETE", f"{home}/{name}", None),
        ("POST", home, {field: found}),
    ):
        status, problem = await served.ask(method, path, body)
        assert status == 409
        assert "t.yaml" in problem["message"]
        assert "drop folder" in problem["message"]


@of(
    "GET /workflow-templates",
    "GET /workflow-templates/",
    "GET /workflow-templates/{namespace}",
    "POST /workflow-templates/{namespace}",
    "POST /workflow-templates/{namespace}/lint",
    "GET /workflow-templates/{namespace}/{name}",
    "PUT /workflow-templates/{namespace}/{name}",
    "DELETE /workflow-templates/{namespace}/{name}",
)
async def a_workflow_template_lives(served):
    broken = {**template(), "spec": {**SPEC, "entrypoint": "mian"}}
    changed = {**template(), "spec": {**SPEC, "arguments": {"parameters": [{"name": "p", "value": "1"}]}}}
    await lives(served, "/workflow-templates/default", "template", template(), changed, broken=broken)
    await served.define(TEMPLATES)
    await belongs_to_a_file(served, "/workflow-templates/default", "template", "greet")
    for path in ("/workflow-templates", "/workflow-templates/"):
        assert [one["metadata"]["name"] for one in (await served.ask("GET", path))[1]["items"]] == ["greet"]
    status, made = await served.ask("POST", "/workflow-templates/default", {"template": template("", generateName="gen-")})
    assert status == 200
    assert made["metadata"]["name"].startswith("gen-")
    page = await served.ask("GET", "/workflow-templates/default", **{"listOptions.limit": "1"})
    assert page[1]["metadata"] == {"continue": "1", "remainingItemCount": 1}
    nameless = template("")
    del nameless["metadata"]["name"]
    assert (await served.ask("POST", "/workflow-templates/default", {"template": nameless}))[0] == 400
    text = json.dumps(template("from-yaml"))
    assert (await served.sent("/workflow-templates/default", text))[0] == 200
    elsewhere = template(namespace="team")
    assert (await served.ask("POST", "/workflow-templates/default", {"template": elsewhere}))[0] == 400


@of(
    "GET /cluster-workflow-templates",
    "GET /cluster-workflow-templates/",
    "POST /cluster-workflow-templates",
    "POST /cluster-workflow-templates/lint",
    "GET /cluster-workflow-templates/{name}",
    "PUT /cluster-workflow-templates/{name}",
    "DELETE /cluster-workflow-templates/{name}",
)
async def a_cluster_workflow_template_lives(served):
    made = template(kind="ClusterWorkflowTemplate")
    changed = {**made, "spec": {**SPEC, "parallelism": 2}}
    await lives(served, "/cluster-workflow-templates", "template", made, changed, broken={**made, "spec": {"entrypoint": "main"}})
    await served.define(TEMPLATES)
    await belongs_to_a_file(served, "/cluster-workflow-templates", "template", "everywhere")
    assert len((await served.ask("GET", "/cluster-workflow-templates/"))[1]["items"]) == 1


@of(
    "GET /cron-workflows",
    "GET /cron-workflows/",
    "GET /cron-workflows/{namespace}",
    "POST /cron-workflows/{namespace}",
    "POST /cron-workflows/{namespace}/lint",
    "GET /cron-workflows/{namespace}/{name}",
    "PUT /cron-workflows/{namespace}/{name}",
    "DELETE /cron-workflows/{namespace}/{name}",
    "PUT /cron-workflows/{namespace}/{name}/suspend",
    "PUT /cron-workflows/{namespace}/{name}/resume",
    "POST /cron-workflows/{namespace}/{name}/run",
    "GET /cron-workflows/{namespace}/{name}/explain",
)
async def a_cron_workflow_lives_is_paused_and_run(served):
    await lives(
        served, "/cron-workflows/default", "cronWorkflow", cron(), cron(schedules=["0 4 * * *"]), broken=cron(timezone="Mars/Olympus")
    )
    assert (await served.ask("POST", "/cron-workflows/default", {"cronWorkflow": cron()}))[0] == 200
    _, paused = await served.ask("PUT", "/cron-workflows/default/c/suspend", {"name": "c", "namespace": "default"})
    assert paused["spec"]["suspend"] is True
    assert paused["metadata"]["labels"][f"{LABELS}action"] == "Suspend"
    _, going = await served.ask("PUT", "/cron-workflows/default/c/resume", {})
    assert "suspend" not in going["spec"]
    status, made = await served.ask("POST", "/cron-workflows/default/c/run", {})
    assert (status, made["metadata"]["labels"][f"{LABELS}cron-workflow"]) == (200, "c")
    _, told = await served.ask("GET", "/cron-workflows/default/c/explain")
    assert [tick["workflow"] for tick in told["ticks"]] == [made["metadata"]["name"]]
    assert (await served.ask("GET", "/cron-workflows/default/none/explain"))[0] == 404
    await served.define(TEMPLATES)
    await belongs_to_a_file(served, "/cron-workflows/default", "cronWorkflow", "nightly")
    status, problem = await served.ask("PUT", "/cron-workflows/default/nightly/suspend")
    assert status == 409
    assert "t.yaml" in problem["message"]
    for path in ("/cron-workflows", "/cron-workflows/"):
        assert len((await served.ask("GET", path))[1]["items"]) == 2


@of(
    "GET /workflow-event-bindings",
    "GET /workflow-event-bindings/",
    "GET /workflow-event-bindings/{namespace}",
    "POST /workflow-event-bindings/{namespace}",
    "POST /workflow-event-bindings/{namespace}/lint",
    "GET /workflow-event-bindings/{namespace}/{name}",
    "PUT /workflow-event-bindings/{namespace}/{name}",
    "DELETE /workflow-event-bindings/{namespace}/{name}",
)
async def an_event_binding_lives(served):
    changed = binding()
    changed["spec"]["event"] = {"selector": "true"}
    broken = binding()
    broken["spec"]["event"] = {"selector": "payload =="}
    await lives(served, "/workflow-event-bindings/default", "binding", binding(), changed, broken=broken)
    for path in ("/workflow-event-bindings", "/workflow-event-bindings/"):
        assert (await served.ask("GET", path))[1]["kind"] == "WorkflowEventBindingList"
