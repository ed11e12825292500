"""What was deleted is found in the archive, under its uid and its name."""

import anyio

from tests.server.serving import workflow


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
