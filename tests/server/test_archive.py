"""What was deleted is found in the archive, under its uid and its name."""

import anyio

from tests.server.serving import workflow
from tests.server.test_resubmit import GIVES, STEPS, TAKES
from tiphys.executors.scripted import Play, Script
from tiphys.journal.memory import MemoryJournal


async def deleted(served, *names):
    """Workflows that have ended and were deleted; their uids."""
    uids = []
    for name in names:
        body = workflow(name)
        body["metadata"]["labels"] = {"letter": name}
        await served.ask("POST", "/workflows/default", {"workflow": body})
        uids.append((await served.until(f"/workflows/default/{name}", "Succeeded"))["metadata"]["uid"])
        await served.ask("DELETE", f"/workflows/default/{name}")
    with anyio.fail_after(5):
        while served.house.runs():
            await anyio.sleep(0.01)
    return uids


async def test_what_was_deleted_is_in_the_archive(opened):
    async with opened() as served:
        a, b = await deleted(served, "a", "b")
        _, found = await served.ask("GET", "/archived-workflows")
        assert [item["metadata"]["name"] for item in found["items"]] == ["b", "a"]
        assert found["items"][0]["status"]["phase"] == "Succeeded"
        for path in (f"/archived-workflows/{a}", "/archived-workflows/a", "/workflows/default/a", "/workflows/-/a"):
            status, one = await served.ask("GET", path)
            assert (status, one["metadata"]["uid"]) == (200, a)
            assert one["status"]["nodes"]["a"]["phase"] == "Succeeded"
        assert (await served.ask("GET", "/workflows/default/x", uid=b))[1]["metadata"]["name"] == "b"
        assert (await served.ask("GET", "/workflows/other/a"))[0] == 404
        assert (await served.ask("PUT", "/workflows/default/a/stop"))[0] == 404


async def test_a_list_pages_through_live_workflows_and_the_archive(opened):
    async with opened() as served:
        await deleted(served, "a", "b", "c")
        body = workflow("d")
        await served.ask("POST", "/workflows/default", {"workflow": body})
        await served.until("/workflows/default/d", "Succeeded")
        _, whole = await served.ask("GET", "/workflows/default")
        names = [item["metadata"]["name"] for item in whole["items"]]
        assert sorted(names) == ["a", "b", "c", "d"]
        found, metadata = [], {"continue": "0"}
        while "continue" in metadata:
            asked = {"listOptions.limit": "3", "listOptions.continue": metadata["continue"]}
            _, page = await served.ask("GET", "/workflows/default", **asked)
            metadata = page["metadata"]
            found.append(([item["metadata"]["name"] for item in page["items"]], metadata.get("remainingItemCount")))
        assert found == [(names[:3], 1), (names[3:], None)]


async def test_the_archive_is_chosen_and_shortened(opened):
    async with opened() as served:
        await deleted(served, "a", "b", "c")

        async def names(**query):
            status, found = await served.ask("GET", "/archived-workflows", **query)
            assert status == 200, found
            return [item["metadata"]["name"] for item in found["items"]], found["metadata"].get("continue")

        assert await names(**{"listOptions.labelSelector": "letter in (a,c)"}) == (["c", "a"], None)
        assert await names(**{"listOptions.fieldSelector": "metadata.name!=b"}) == (["c", "a"], None)
        assert await names(**{"listOptions.limit": "2"}) == (["c", "b"], "2")
        assert await names(**{"listOptions.limit": "2", "listOptions.continue": "2"}) == (["a"], None)
        assert await names(namePrefix="a", namespace="default") == (["a"], None)
        assert await names(namespace="other") == ([], None)
        assert (await served.ask("GET", "/archived-workflows", **{"listOptions.fieldSelector": "spec.x=1"}))[0] == 400
        assert "letter" in (await served.ask("GET", "/archived-workflows-label-keys"))[1]["items"]
        _, found = await served.ask("GET", "/archived-workflows-label-values", **{"listOptions.labelSelector": "letter"})
        assert found == {"items": ["a", "b", "c"]}
        assert (await served.ask("GET", "/archived-workflows-label-values"))[0] == 400
        assert await served.ask("DELETE", "/archived-workflows/b") == (200, {})
        assert await names() == (["c", "a"], None)
        assert (await served.ask("DELETE", "/archived-workflows/b"))[0] == 404


def scripted():
    """Steps of which `takes` fails the first time, and what was launched."""
    launched: list[tuple[str, str]] = []

    def play(order):
        launched.append((order.workflow.uid, order.node_name.rpartition(".")[2]))
        failed = order.node_name.endswith(".b") and len([1 for _, name in launched if name == "b"]) == 1
        return Play(exit_code=1) if failed else Play(parameters={"p": "given"})

    return Script({"gives": play, "takes": play}), launched


async def failed_and_deleted(served, name="first"):
    """The uid of a workflow of which `b` failed, which was deleted."""
    await served.ask("POST", "/workflows/default", {"workflow": workflow(name, templates=[STEPS, GIVES, TAKES])})
    uid = (await served.until(f"/workflows/default/{name}", "Failed"))["metadata"]["uid"]
    await served.ask("DELETE", f"/workflows/default/{name}")
    with anyio.fail_after(5):
        while served.house.row(uid) is not None:
            await anyio.sleep(0.01)
    return uid


async def test_what_is_only_in_the_archive_is_retried_with_what_succeeded_in_it(opened):
    script, launched = scripted()
    async with opened(script) as served:
        uid = await failed_and_deleted(served)
        before = len(launched)
        status, made = await served.ask("PUT", "/archived-workflows/first/retry", {"namespace": "default", "name": "first"})
        assert (status, made["metadata"]["name"], made["metadata"]["uid"] == uid) == (200, "first", False), made
        ended = await served.until("/workflows/default/first", "Succeeded")
        assert [name for _, name in launched[before:]] == ["b"]
        assert {run for run, _ in launched[before:]} == {made["metadata"]["uid"]}
        nodes = {node["displayName"]: node for node in ended["status"]["nodes"].values()}
        assert (nodes["a"]["type"], nodes["a"]["phase"], nodes["a"]["outputs"]["parameters"][0]["value"]) == ("Pod", "Succeeded", "given")
        assert nodes["b"]["inputs"]["parameters"][0]["value"] == "given"
        assert (await served.ask("GET", f"/archived-workflows/{uid}"))[1]["status"]["phase"] == "Failed", "the record stays"
        log = await served.house.log_of(made["metadata"]["uid"])
        assert (log[0].event, log[0].who != "") == ("Revived", True)
        assert f"out of the archive, where it has the uid {uid}: retry" in log[0].text


async def test_two_who_retry_it_at_once_make_one_workflow(opened):
    script, launched = scripted()
    async with opened(script) as served:
        uid = await failed_and_deleted(served)
        answers = []

        async def ask():
            answers.append((await served.ask("PUT", f"/archived-workflows/{uid}/retry", {}))[0])

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert sorted(answers) == [200, 409, 409, 409, 409]
        await served.until("/workflows/default/first", "Succeeded")
        assert len(served.house.runs()) == 1
        assert len([1 for _, name in launched if name == "b"]) == 2


async def test_a_name_that_another_has_is_not_taken_from_it(opened):
    script, _ = scripted()
    async with opened(script) as served:
        uid = await failed_and_deleted(served)
        await served.ask("POST", "/workflows/default", {"workflow": workflow("first")})
        status, problem = await served.ask("PUT", f"/archived-workflows/{uid}/retry", {})
        assert (status, problem) == (409, {"code": 6, "message": "Workflow already exists on cluster, use argo retry first instead"})


async def test_what_is_only_in_the_archive_is_resubmitted_with_what_succeeded_in_it(opened):
    script, launched = scripted()
    async with opened(script) as served:
        uid = await failed_and_deleted(served)
        before = len(launched)
        status, made = await served.ask("PUT", f"/archived-workflows/{uid}/resubmit", {"memoized": True})
        assert status == 200, made
        await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        assert [name for _, name in launched[before:]] == ["b"]


async def test_where_the_rows_are_gone_it_is_said_and_a_resubmit_does_it_all_again(opened):
    script, launched = scripted()
    journal = MemoryJournal()
    async with opened(script, journal=journal) as served:
        uid = await failed_and_deleted(served)
        journal._remains.clear()  # as those of a record that an earlier release wrote
        for body, verb in (({}, "retry"), ({"memoized": True}, "resubmit")):
            status, problem = await served.ask("PUT", f"/archived-workflows/{uid}/{verb}", body)
            assert status == 409
            assert "no longer its rows" in problem["message"]
        before = len(launched)
        status, made = await served.ask("PUT", f"/archived-workflows/{uid}/resubmit", {})
        assert status == 200, made
        await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        assert [name for _, name in launched[before:]] == ["a", "each(0:1)", "each(1:2)", "b"]
