"""The query parameter `fields`: what it keeps, and what it does not."""

import pytest

from tests.server.serving import workflow
from tiphys.server import fields

VALUE = {
    "metadata": {"name": "a", "uid": "1"},
    "status": {"phase": "Running", "nodes": {"a": {"id": "a", "phase": "Running"}}},
    "list": [{"x": 1, "y": 2}],
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("metadata.name", {"metadata": {"name": "a"}}),
        ("metadata.name,status.phase", {"metadata": {"name": "a"}, "status": {"phase": "Running"}}),
        ("metadata", {"metadata": VALUE["metadata"]}),
        ("list.x", {"list": [{"x": 1}]}),
        ("absent", {}),
        ("-status,list", {"metadata": VALUE["metadata"]}),
        ("-status.nodes,-list,-metadata.uid", {"metadata": {"name": "a"}, "status": {"phase": "Running"}}),
    ],
)
def test_what_is_kept(wanted, expected):
    assert fields.pruned(VALUE, wanted) == expected


def test_a_path_is_kept_with_what_is_above_and_below_it():
    assert fields.keeps("", "status.nodes")
    assert fields.keeps("status", "status.nodes")
    assert fields.keeps("status.nodes.a.phase", "status.nodes")
    assert not fields.keeps("status.phase", "status.nodes")
    assert not fields.keeps("-status", "status.nodes")
    assert fields.keeps("-status.nodes.a", "status.nodes")


def test_fields_of_a_list_are_also_those_of_its_items():
    assert fields.below("metadata,items.metadata.name,items.spec", "items") == "metadata.name,spec"
    assert fields.below("items", "items") == ""
    assert fields.below("-items.status.nodes,metadata", "items") == "-status.nodes"
    assert fields.below("-metadata", "items") == ""


async def test_nodes_are_pruned_one_by_one(opened):
    async with opened() as served:
        await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        await served.until("/workflows/default/hello", "Succeeded")
        _, found = await served.ask("GET", "/workflows/default/hello", fields="status.nodes.hello.phase,status.phase")
        assert found == {"status": {"phase": "Succeeded", "nodes": {"hello": {"phase": "Succeeded"}}}}
        _, found = await served.ask("GET", "/workflows/default/hello", fields="-status.nodes.hello.id,spec")
        assert "id" not in found["status"]["nodes"]["hello"]
        assert found["status"]["nodes"]["hello"]["name"] == "hello"
        _, found = await served.ask("GET", "/workflows/default", fields="-items.status.nodes,items.spec")
        assert "nodes" not in found["items"][0]["status"]
        assert "spec" not in found["items"][0]
