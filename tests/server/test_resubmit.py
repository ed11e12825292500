"""A memoized resubmit: what succeeded is not done again, what failed is, and what it gave is there."""

import pytest

from tests.server.serving import served, workflow
from tiphys.executors.scripted import Play, Script
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.settings import JournalSettings

GIVES = {
    "name": "gives",
    "container": {"image": "any", "command": ["true"]},
    "outputs": {"parameters": [{"name": "p", "valueFrom": {"path": "/p"}}]},
}
TAKES = {
    "name": "takes",
    "inputs": {"parameters": [{"name": "p"}]},
    "container": {"image": "any", "command": ["echo", "{{inputs.parameters.p}}"]},
}
STEPS = {
    "name": "main",
    "steps": [
        [{"name": "a", "template": "gives"}],
        [{"name": "each", "template": "gives", "withItems": [1, 2]}],
        [{"name": "b", "template": "takes", "arguments": {"parameters": [{"name": "p", "value": "{{steps.a.outputs.parameters.p}}"}]}}],
    ],
}
DAG = {
    "name": "main",
    "dag": {
        "tasks": [
            {"name": "a", "template": "gives"},
            {"name": "each", "template": "gives", "withItems": [1, 2], "depends": "a.Succeeded"},
            {
                "name": "b",
                "template": "takes",
                "depends": "a.Succeeded && each.Succeeded",
                "arguments": {"parameters": [{"name": "p", "value": "{{tasks.a.outputs.parameters.p}}"}]},
            },
        ]
    },
}


def outcome(launched):
    """`takes` fails the first time that any run comes to it."""

    def play(order):
        launched.append((order.workflow.name, order.node_name))
        return Play(exit_code=1) if len([1 for _, node in launched if node.endswith(("].b", ".b"))]) == 1 else Play()

    return play


@pytest.mark.parametrize("main", [STEPS, DAG], ids=["steps", "dag"])
async def test_what_succeeded_is_kept(opened, main):
    launched = []

    def gives(order):
        launched.append((order.workflow.name, order.node_name))
        return Play(parameters={"p": "given"})

    async with opened(Script({"gives": gives, "takes": outcome(launched)})) as served:
        body = workflow("first", templates=[main, GIVES, TAKES])
        await served.ask("POST", "/workflows/default", {"workflow": body})
        old = await served.until("/workflows/default/first", "Failed")
        assert len(launched) == 4
        status, made = await served.ask("PUT", "/workflows/default/first/resubmit", {"memoized": True})
        assert status == 200, made
        name = made["metadata"]["name"]
        assert made["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"] == "first"
        ended = await served.until(f"/workflows/default/{name}", "Succeeded")
        again = [node for run, node in launched[4:] if run == name]
        assert len(again) == 1
        assert again[0].endswith(".b")
        nodes = {node["displayName"]: node for node in ended["status"]["nodes"].values()}
        before = {node["displayName"]: node for node in old["status"]["nodes"].values()}
        assert set(before) - {"first"} == set(nodes) - {name}
        kept = nodes["a"]
        assert (kept["type"], kept["phase"]) == ("Skipped", "Skipped")
        assert kept["message"] == f"original pod: {before['a']['id']}"
        assert kept["outputs"] == before["a"]["outputs"]
        assert kept["name"] == before["a"]["name"].replace("first", name)
        assert nodes["b"]["inputs"]["parameters"] == [{"name": "p", "value": "given"}]
        assert all(child in ended["status"]["nodes"] for node in ended["status"]["nodes"].values() for child in node.get("children", ()))
        status, problem = await served.ask("PUT", f"/workflows/default/{name}/resubmit", {"memoized": True})
        assert (status, problem["message"]) == (409, "workflow must be Failed/Error to resubmit in memoized mode")


async def test_arguments_of_a_retry_are_the_workflows_own_from_then_on(opened):
    launched = []

    def play(order):
        launched.append(order.work)
        return Play(exit_code=0 if "good" in str(order.work) else 1)

    says = {
        "name": "main",
        "container": {"image": "any", "command": ["echo", "{{workflow.parameters.word}}", "{{workflow.parameters.and}}"]},
    }
    own = {"parameters": [{"name": "and", "value": "more"}, {"name": "word", "value": "bad"}]}
    async with opened(Script({"main": play})) as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow("first", templates=[says], arguments=own)})
        await served.until("/workflows/default/first", "Failed")
        status, problem = await served.ask("PUT", "/workflows/default/first/retry", {"parameters": ["word=good"]})
        assert status == 200, problem
        ended = await served.until("/workflows/default/first", "Succeeded")
        given = [{"name": "word", "value": "good"}, {"name": "and", "value": "more"}]
        assert ended["spec"]["arguments"]["parameters"] == given
        status, made = await served.ask("PUT", "/workflows/default/first/resubmit", {})
        assert status == 200, made
        assert made["spec"]["arguments"]["parameters"] == given
        await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        assert len(launched) == 3


GREET = """
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: greet}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: you}]}
  templates:
    - {name: main, inputs: {parameters: [{name: who}]}, container: {image: any, command: [echo, before, "{{inputs.parameters.who}}"]}}
"""


@pytest.mark.parametrize("deleted", [False, True], ids=["there", "archived"])
async def test_what_was_made_from_a_template_is_made_from_it_again_as_it_is_by_now(opened, deleted):
    said = []

    def play(order):
        said.append(str(order.work))
        return Play()

    async with opened(Script({"main": play})) as served:
        await served.define(GREET)
        body = {"resourceKind": "WorkflowTemplate", "resourceName": "greet", "submitOptions": {"name": "first", "parameters": ["who=me"]}}
        status, made = await served.ask("POST", "/workflows/default/submit", body)
        assert status == 200, made
        await served.until("/workflows/default/first", "Succeeded")
        await served.define(GREET.replace("before", "after"))
        path = "/workflows/default/first/resubmit"
        if deleted:
            assert (await served.ask("DELETE", "/workflows/default/first"))[0] == 200
            path = f"/archived-workflows/{made['metadata']['uid']}/resubmit"
        status, made = await served.ask("PUT", path, {})
        assert status == 200, made
        ended = await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        assert ended["spec"]["workflowTemplateRef"] == {"name": "greet"}
        assert "before" in said[0]
        assert "after" in said[1]
        assert "me" in said[1]


RETRIED = {
    "name": "main",
    "steps": [[{"name": "a", "template": "tried"}], [{"name": "set", "template": "pod"}], [{"name": "b", "template": "takes"}]],
}


async def test_what_is_kept_is_recorded_and_still_there_after_a_restart(tmp_path):
    tried = {**GIVES, "name": "tried", "retryStrategy": {"limit": 2}}
    takes = {"name": "takes", "container": {"image": "any", "command": ["true"]}}
    pod = {"name": "pod", "containerSet": {"containers": [{"name": "main", "image": "any", "command": ["true"]}]}}
    runs = []

    def takes_play(order):
        runs.append(order.workflow.name)
        return Play(exit_code=1) if len(runs) == 1 else Play(seconds=60)

    def tried_play(order):
        return Play(exit_code=1) if order.node_name.endswith("(0)") else Play(parameters={"p": "given"})

    script = Script({"tried": tried_play, "takes": takes_play})
    async with (
        SQLiteJournal(tmp_path / "journal.db", JournalSettings()) as journal,
        served(tmp_path / "a.sock", script, journal=journal) as one,
    ):
        body = workflow("first", templates=[RETRIED, tried, takes, pod])
        await one.ask("POST", "/workflows/default", {"workflow": body})
        await one.until("/workflows/default/first", "Failed")
        status, made = await one.ask("PUT", "/workflows/default/first/resubmit", {"memoized": True, "parameters": ["x=y"]})
        assert status == 200, made
        path = f"/workflows/default/{made['metadata']['name']}"
        await one.until(path, "Running")
        _, before = await one.ask("GET", path)
    async with (
        SQLiteJournal(tmp_path / "journal.db", JournalSettings()) as journal,
        served(tmp_path / "b.sock", Script({"takes": Play(seconds=60)}), journal=journal) as two,
    ):
        _, after = await two.ask("GET", path)
        shown = {node["displayName"]: node["phase"] for node in after["status"]["nodes"].values()}
        assert shown["a"] == "Succeeded", shown
        assert shown["a(0)"] == "Failed"
        assert (shown["a(1)"], shown["set"]) == ("Skipped", "Skipped")
        assert shown["b"] in {"Pending", "Running"}
        assert set(after["status"]["nodes"]) == set(before["status"]["nodes"])
