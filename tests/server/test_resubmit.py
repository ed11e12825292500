"""A memoized resubmit: what succeeded is not done again, what failed is, and what it gave is there."""

import pytest

from tests.server.serving import workflow
from tiphys.executors.scripted import Play, Script

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
