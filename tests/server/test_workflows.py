"""Workflows over the API: what Argo's clients send comes to the engine, and what they expect comes back."""

import getpass
from datetime import datetime

import anyio

from tests.server.serving import waiting, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.scheduler.events import Asked

TEMPLATES = """
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: greet}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: you}]}
  templates:
    - name: main
      inputs: {parameters: [{name: who}]}
      container: {image: any, command: [echo, "{{inputs.parameters.who}}"]}
    - name: other
      container: {image: any, command: ["true"]}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterWorkflowTemplate
metadata: {name: everywhere}
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: any, command: ["true"]}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedules: ["0 3 * * *"]
  workflowSpec:
    entrypoint: main
    templates:
      - name: main
        container: {image: any, command: ["true"]}
"""


async def test_a_workflow_is_created_and_found_again(opened):
    async with opened() as served:
        status, made = await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        assert status == 200
        assert made["metadata"]["name"] == "hello"
        assert made["metadata"]["uid"]
        assert made["metadata"]["labels"]["workflows.argoproj.io/creator"] == getpass.getuser()
        ended = await served.until("/workflows/default/hello", "Succeeded")
        assert ended["kind"] == "Workflow"
        assert [node["phase"] for node in ended["status"]["nodes"].values()] == ["Succeeded"]
        assert ended["status"]["progress"] == "1/1"


async def test_a_name_is_generated(opened):
    async with opened() as served:
        _, made = await served.ask("POST", "/workflows/default", {"namespace": "default", "workflow": workflow("")})
        assert made["metadata"]["name"].startswith("hello-")
        assert len(made["metadata"]["name"]) == len("hello-") + 5


async def test_a_workflow_goes_where_the_path_says(opened):
    async with opened() as served:
        _, made = await served.ask("POST", "/workflows/team", {"workflow": workflow()})
        assert made["metadata"]["namespace"] == "team"
        elsewhere = workflow("other")
        elsewhere["metadata"]["namespace"] = "mine"
        status, problem = await served.ask("POST", "/workflows/team", {"workflow": elsewhere})
        assert (status, problem["code"]) == (400, 3)
        assert problem["message"] == "the namespace of the provided object does not match the namespace sent on the request"
        assert (await served.ask("GET", "/workflows/default/hello"))[0] == 404
        assert (await served.ask("GET", "/workflows/-/hello"))[0] == 200


async def test_a_name_that_is_taken_is_a_conflict(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        answer = await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        assert answer == (409, {"code": 6, "message": 'workflows.argoproj.io "hello" already exists'})


async def test_what_is_wrong_with_a_workflow_is_said(opened):
    async with opened() as served:
        status, problem = await served.ask("POST", "/workflows/default", {"workflow": workflow(entrypoint="mian")})
        assert status == 400
        assert "mian" in problem["message"]
        status, problem = await served.ask("POST", "/workflows/default", {"workflow": workflow(entrypoynt="main")})
        assert status == 400
        assert "entrypoynt" in problem["message"]
        for body in ({}, {"workflow": None}, {"workflow": []}, {"workflow": {"kind": "ConfigMap"}}, []):
            status, problem = await served.ask("POST", "/workflows/default", body)
            assert (status, problem["code"]) == (400, 3)
        assert (await served.ask("GET", "/workflows/default"))[1]["items"] == []


async def test_lint_starts_nothing(opened):
    async with opened() as served:
        status, made = await served.ask("POST", "/workflows/default/lint", {"workflow": workflow()})
        assert (status, made["metadata"]["name"]) == (200, "hello")
        status, _ = await served.ask("POST", "/workflows/default/lint", {"workflow": workflow(entrypoint="mian")})
        assert status == 400
        status, _ = await served.ask("POST", "/workflows/default", {"workflow": workflow(), "createOptions": {"dryRun": ["All"]}})
        assert status == 200
        assert (await served.ask("GET", "/workflows/default"))[1]["items"] == []


async def test_yaml_may_bring_its_templates_along(opened):
    text = (
        TEMPLATES.split("---", maxsplit=1)[0]
        + """
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: hello}
spec: {workflowTemplateRef: {name: greet}}
"""
    )
    async with opened() as served:
        status, made = await served.sent("/workflows/default", text)
        assert (status, made["metadata"]["name"]) == (200, "hello")
        await served.until("/workflows/default/hello", "Succeeded")
        status, problem = await served.sent("/workflows/default", text.replace("entrypoint: main", "entrypoint: [main"))
        assert status == 400
        assert problem["message"].startswith("-:7:12: error: yaml: did not find expected")
        status, problem = await served.sent("/workflows/default", TEMPLATES)
        assert problem["message"] == "one Workflow is created at a time; the body holds 0"


async def test_what_is_got_of_a_workflow_from_a_template_can_be_sent_again_under_another_name(opened):
    made_of = {"metadata": {"name": "hello"}, "spec": {"workflowTemplateRef": {"name": "greet"}}}
    async with opened() as served:
        await served.define(TEMPLATES)
        await served.ask("POST", "/workflows/default", {"workflow": made_of})
        got = await served.until("/workflows/default/hello", "Succeeded")
        assert got["spec"] == made_of["spec"]
        assert got["status"]["storedWorkflowTemplateSpec"]["entrypoint"] == "main"
        got["metadata"]["name"] = "again"
        status, made = await served.ask("POST", "/workflows/default", {"workflow": got})
        assert status == 200, made
        await served.until("/workflows/default/again", "Succeeded")


async def test_the_list_is_chosen_by_labels_fields_and_pages(opened):
    async with opened() as served:
        for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
            body = workflow(name)
            body["metadata"]["labels"] = {"colour": colour}
            await served.ask("POST", "/workflows/default", {"workflow": body})
        await served.ask("POST", "/workflows/other", {"workflow": waiting("d")})

        async def names(path="/workflows/", **query):
            status, found = await served.ask("GET", path, **query)
            assert status == 200, found
            assert found["metadata"].pop("resourceVersion")
            return [item["metadata"]["name"] for item in found["items"]], found["metadata"]

        assert (await names())[0] == ["d", "c", "b", "a"]
        assert (await names("/workflows/-"))[0] == ["d", "c", "b", "a"]
        assert (await names("/workflows/default"))[0] == ["c", "b", "a"]
        assert (await names(**{"listOptions.labelSelector": "colour=red"}))[0] == ["c", "a"]
        assert (await names(**{"listOptions.labelSelector": "colour notin (red),!absent"}))[0] == ["d", "b"]
        assert (await names(**{"listOptions.labelSelector": "workflows.argoproj.io/phase=Running"}))[0] == ["d"]
        assert (await names(**{"listOptions.fieldSelector": "metadata.name=b"}))[0] == ["b"]
        assert (await names(**{"listOptions.fieldSelector": "status.phase!=Succeeded"}))[0] == ["d"]
        assert await names(**{"listOptions.limit": "2"}) == (["d", "c"], {"continue": "2", "remainingItemCount": 2})
        assert await names(**{"listOptions.limit": "2", "listOptions.continue": "2"}) == (["b", "a"], {})
        assert (await names(nameFilter="Prefix", **{"listOptions.fieldSelector": "metadata.name=c"}))[0] == ["c"]
        for query in (
            {"listOptions.labelSelector": "a in b"},
            {"listOptions.fieldSelector": "spec.colour=red"},
            {"listOptions.fieldSelector": "metadata.name"},
            {"listOptions.limit": "-1"},
            {"listOptions.continue": "zwei"},
            {"createdAfter": "yesterday"},
            {"nameFilter": "Like"},
        ):
            assert (await served.ask("GET", "/workflows/default", **query))[0] == 400, query


async def test_fields_prune_the_answer(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        await served.until("/workflows/default/hello", "Succeeded")
        _, found = await served.ask("GET", "/workflows/default", fields="items.metadata.name,items.status.phase")
        assert found == {"items": [{"metadata": {"name": "hello"}, "status": {"phase": "Succeeded"}}]}
        _, found = await served.ask("GET", "/workflows/default/hello", fields="-status.nodes,spec")
        assert "nodes" not in found["status"]
        assert found["status"]["progress"] == "1/1"
        assert "spec" not in found


async def test_a_submit_starts_what_is_in_force(opened):
    async with opened() as served:
        await served.define(TEMPLATES)
        options = {"parameters": ["who=me=us"], "labels": "a=b,c=d", "generateName": "made-", "entryPoint": "main"}
        body = {"resourceKind": "WorkflowTemplate", "resourceName": "greet", "submitOptions": options}
        status, made = await served.ask("POST", "/workflows/default/submit", body)
        assert status == 200, made
        assert made["metadata"]["name"].startswith("made-")
        assert made["metadata"]["labels"]["a"] == "b"
        assert made["metadata"]["labels"]["workflows.argoproj.io/workflow-template"] == "greet"
        ended = await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        [node] = ended["status"]["nodes"].values()
        assert node["inputs"]["parameters"] == [{"name": "who", "value": "me=us"}]
        for kind, name in (("clusterworkflowtemplate", "everywhere"), ("cronwf", "nightly")):
            status, made = await served.ask("POST", "/workflows/default/submit", {"resourceKind": kind, "resourceName": name})
            assert status == 200, made
            assert made["metadata"]["name"].startswith(f"{name}-")
        assert datetime.fromisoformat(made["metadata"]["annotations"]["workflows.argoproj.io/scheduled-time"])
        [owner] = made["metadata"]["ownerReferences"]
        _, cron = await served.ask("GET", "/cron-workflows/default/nightly")
        assert (owner["kind"], owner["name"], owner["uid"]) == ("CronWorkflow", "nightly", cron["metadata"]["uid"])
        assert owner["uid"]
        assert made["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "nightly"
        absent = {"resourceKind": "WorkflowTemplate", "resourceName": "absent"}
        answer = await served.ask("POST", "/workflows/default/submit", absent)
        assert answer == (404, {"code": 5, "message": 'workflowtemplates.argoproj.io "absent" not found'})
        wrong = {**body, "submitOptions": {"parameters": ["who"]}}
        status, problem = await served.ask("POST", "/workflows/default/submit", wrong)
        assert (status, problem["message"]) == (400, "expected parameter of the form: NAME=VALUE. Received: who")


async def test_a_resubmit_is_a_new_workflow(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        await served.until("/workflows/default/hello", "Succeeded")
        status, made = await served.ask("PUT", "/workflows/default/hello/resubmit", {"memoized": False})
        assert status == 200, made
        assert made["metadata"]["name"].startswith("hello-")
        assert made["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"] == "hello"
        await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        assert (await served.ask("PUT", "/workflows/default/hello/resubmit", {"memoized": True}))[0] == 409


async def test_suspend_and_resume(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting()})
        status, found = await served.ask("PUT", "/workflows/default/hello/suspend", {"namespace": "default", "name": "hello"})
        assert (status, found["spec"]["suspend"]) == (200, True)
        status, problem = await served.ask("PUT", "/workflows/default/hello/resume", {"nodeFieldSelector": "displayName=absent"})
        message = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: displayName=absent"
        assert (status, problem) == (409, {"code": 9, "message": message})
        status, problem = await served.ask("PUT", "/workflows/default/hello/resume", {"nodeFieldSelector": "colour=red"})
        assert status == 400
        status, found = await served.ask("PUT", "/workflows/default/hello/resume")
        assert status == 200
        await served.until("/workflows/default/hello", "Succeeded")
        answer = await served.ask("PUT", "/workflows/default/hello/suspend")
        assert answer == (409, {"code": 9, "message": "cannot suspend completed workflows"})


async def test_one_node_is_resumed_by_any_of_its_fields(opened):
    async with opened() as served:
        for index, selector in enumerate(("displayName=wait", "templateName=wait", "phase=Running,name!=x", "name=NAME[0].wait")):
            name = f"w{index}"
            await served.ask("POST", "/workflows/default", {"workflow": waiting(name)})
            body = {"nodeFieldSelector": selector.replace("NAME", name)}
            status, found = await served.ask("PUT", f"/workflows/default/{name}/resume", body)
            assert status == 200, found
            await served.until(f"/workflows/default/{name}", "Succeeded")


async def test_stop_terminate_and_delete(opened):
    async with opened(Script({"main": Play(seconds=60)})) as served:
        for name in "abc":
            await served.ask("POST", "/workflows/default", {"workflow": workflow(name)})
        assert (await served.ask("PUT", "/workflows/default/a/stop", {"message": "enough"}))[0] == 200
        await served.until("/workflows/default/a", "Failed")
        assert (await served.ask("PUT", "/workflows/default/b/terminate"))[0] == 200
        await served.until("/workflows/default/b", "Failed")
        status, problem = await served.ask("PUT", "/workflows/default/b/terminate")
        assert (status, problem["message"]) == (409, 'cannot shutdown a completed workflow: workflow: "b", namespace: "default"')
        for name in "abc":
            assert await served.ask("DELETE", f"/workflows/default/{name}") == (200, {})
        with anyio.fail_after(5):
            while served.house.runs():
                await anyio.sleep(0.01)
        assert len((await served.ask("GET", "/workflows/default"))[1]["items"]) == 3, "the archive has them"
        answer = await served.ask("DELETE", "/workflows/default/a")
        assert answer == (404, {"code": 5, "message": 'workflows.argoproj.io "a" not found'})


async def test_retry_goes_on_from_what_failed(opened):
    async with opened(Script({"main": [Play(exit_code=1), Play()]})) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        await served.until("/workflows/default/hello", "Failed")
        assert (await served.ask("PUT", "/workflows/default/hello/retry", {"restartSuccessful": True}))[0] == 400
        status, _ = await served.ask("PUT", "/workflows/default/hello/retry", {"parameters": ["a=b"]})
        assert status == 200
        await served.until("/workflows/default/hello", "Succeeded")


async def test_node_set_gives_outputs(opened):
    body = waiting()
    body["spec"]["templates"][1]["outputs"] = {"parameters": [{"name": "said", "valueFrom": {"supplied": {}}}]}
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": body})
        path = "/workflows/default/hello/set"
        assert (await served.ask("PUT", path, {"message": "x"}))[0] == 400
        wrong = {"nodeFieldSelector": "displayName=wait", "outputParameters": "[1]"}
        assert (await served.ask("PUT", path, wrong))[0] == 400
        good = {"nodeFieldSelector": "displayName=wait", "outputParameters": '{"said": 7}', "phase": "Succeeded", "message": "by hand"}
        assert (await served.ask("PUT", path, good))[0] == 200
        ended = await served.until("/workflows/default/hello", "Succeeded")
        [node] = [node for node in ended["status"]["nodes"].values() if node["displayName"] == "wait"]
        assert node["message"] == "by hand"
        assert node["outputs"]["parameters"][0]["value"] == "7"


async def test_work_that_is_refused_is_so_with_its_reason(opened):
    async with opened() as served:
        served.house.refuses = lambda: "the disk is full"
        answer = await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        assert answer == (503, {"code": 14, "message": "the disk is full"})


async def test_who_asked_is_recorded(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": waiting()})
        await served.ask("PUT", "/workflows/default/hello/resume")
        recorded = await served.engine.journal.events(served.house.find("default", "hello"))
        assert [logged.event.who for logged in recorded if isinstance(logged.event, Asked)] == [getpass.getuser()]
