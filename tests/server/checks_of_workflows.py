"""Checks of workflows, their streams, the archive and artifacts."""

import json
import re
from pathlib import Path

import anyio

from tests.server.checks import of, raw
from tests.server.serving import BASE, waiting, workflow
from tests.server.test_workflows import TEMPLATES
from tiphys.artifacts.store import Artifacts
from tiphys.executors.scripted import Play, Script
from tiphys.secrets import Secrets
from tiphys.settings import ArtifactSettings
from tiphys.spec.artifacts import S3, ArchiveStrategy, Artifact, NoneStrategy

PACKED = Artifact(name="packed", s3=S3(key="a/packed.tgz"))
FOLDER = Artifact(name="folder", s3=S3(key="a/folder"), archive=ArchiveStrategy(none=NoneStrategy()))
GONE = Artifact(name="gone", s3=S3(key="a/gone"))
SCRIPT = Script(
    {
        "work": Play(log="one\ntwo\n", artifacts=(PACKED, FOLDER, GONE)),
        "fails": [Play(exit_code=1), Play()],
        "slow": Play(seconds=60),
    }
)


def steps(name, *names, **spec):
    """A Workflow of one step after the other, each of a template of its own."""
    templates = [{"name": one, "container": {"image": "any", "command": ["true"]}} for one in names]
    main = {"name": "main", "steps": [[{"name": one, "template": one}] for one in names]}
    return workflow(name, templates=[main, *templates], **spec)


async def started(served, body, phase="", namespace="default"):
    status, made = await served.ask("POST", f"/workflows/{namespace}", {"workflow": body})
    assert status == 200, made
    return await served.until(f"/workflows/{namespace}/{made['metadata']['name']}", phase) if phase else made


async def gone(served):
    with anyio.fail_after(5):
        while served.house.runs():
            await anyio.sleep(0.01)


@of(
    "GET /workflows",
    "GET /workflows/",
    "GET /workflows/{namespace}",
    "POST /workflows/{namespace}",
    "POST /workflows/{namespace}/lint",
    "POST /workflows/{namespace}/submit",
    "GET /workflows/{namespace}/{name}",
    "DELETE /workflows/{namespace}/{name}",
)
async def workflows_are_made_found_and_deleted(served):
    await served.define(TEMPLATES)
    assert (await served.ask("POST", "/workflows/default/lint", {"workflow": workflow()}))[0] == 200
    first = await started(served, workflow("first"), "Succeeded")
    assert int(first["metadata"]["resourceVersion"]) > 0
    assert await served.ask("GET", "/workflows/default/first") == (200, first), "nothing changes by itself"
    options = {"generateName": "mine-", "labels": "a=b,c=d", "parameters": ["who=me"], "entryPoint": "other", "priority": 3}
    body = {"resourceKind": "WorkflowTemplate", "resourceName": "greet", "submitOptions": options}
    status, made = await served.ask("POST", "/workflows/default/submit", body)
    assert status == 200, made
    assert made["metadata"]["name"].startswith("mine-")
    assert {"a": "b", "c": "d"}.items() <= made["metadata"]["labels"].items()
    assert (made["spec"]["priority"], made["spec"]["entrypoint"]) == (3, "other")
    for path in ("/workflows", "/workflows/", "/workflows/default"):
        assert len((await served.ask("GET", path))[1]["items"]) == 2
    uid = first["metadata"]["uid"]
    assert await served.ask("DELETE", "/workflows/default/first") == (200, {})
    with anyio.fail_after(5):
        while len(served.house.runs()) > 1:
            await anyio.sleep(0.01)
    for query in ({}, {"uid": uid}):
        assert (await served.ask("GET", "/workflows/default/first", **query))[1]["metadata"]["uid"] == uid, "the archive has it"
    _, found = await served.ask("GET", "/workflows/default", **{"listOptions.labelSelector": "workflows.argoproj.io/phase=Succeeded"})
    kept = [one["metadata"] for one in found["items"] if one["metadata"]["name"] == "first"]
    assert kept[0]["labels"]["workflows.argoproj.io/workflow-archiving-status"] == "Persisted"
    only_live = {"listOptions.labelSelector": "workflows.argoproj.io/workflow-archiving-status!=Persisted"}
    assert len((await served.ask("GET", "/workflows/default", **only_live))[1]["items"]) == 1


@of(
    "PUT /workflows/{namespace}/{name}/suspend",
    "PUT /workflows/{namespace}/{name}/resume",
    "PUT /workflows/{namespace}/{name}/stop",
    "PUT /workflows/{namespace}/{name}/terminate",
    "PUT /workflows/{namespace}/{name}/set",
    "GET /workflows/{namespace}/{name}/explain",
    "GET /workflows/{namespace}/{name}/event-log",
    "GET /workflows/{namespace}/{name}/nodes",
)
async def workflows_are_steered_and_who_asked_is_recorded(served):
    for name in "abcd":
        await started(served, waiting(name), "Running")
    _, found = await served.ask("PUT", "/workflows/default/a/suspend", {"name": "a", "namespace": "default"})
    assert found["spec"]["suspend"] is True
    _, found = await served.ask("PUT", "/workflows/default/a/resume", {})
    assert "suspend" not in found["spec"]
    await served.until("/workflows/default/a", "Succeeded")
    assert (await served.ask("PUT", "/workflows/default/b/stop", {"nodeFieldSelector": "displayName=wait", "message": "no"}))[0] == 200
    ended = await served.until("/workflows/default/b", "Failed")
    assert "no" in [node.get("message") for node in ended["status"]["nodes"].values()]
    assert (await served.ask("PUT", "/workflows/default/c/terminate", {}))[0] == 200
    assert (await served.until("/workflows/default/c", "Failed"))["status"]["message"] == "Stopped with strategy 'Terminate'"
    wish = {"nodeFieldSelector": "displayName=wait", "phase": "Succeeded", "message": "done by hand"}
    assert (await served.ask("PUT", "/workflows/default/d/set", wish))[0] == 200
    await served.until("/workflows/default/d", "Succeeded")
    assert (await served.ask("GET", "/workflows/default/d/explain"))[0] == 200
    _, page = await served.ask("GET", "/workflows/default/d/nodes", **{"listOptions.limit": "2"})
    assert (page["items"][0]["id"], page["metadata"]["continue"]) == ("d", "2")
    told, _ = await raw(served, "/api/v1/workflows/default/d/event-log")
    logged = await served.engine.journal.events((await served.ask("GET", "/workflows/default/d"))[1]["metadata"]["uid"])
    assert any(getattr(one.event, "who", "") for one in logged)
    assert told


@of("PUT /workflows/{namespace}/{name}/retry", "PUT /workflows/{namespace}/{name}/resubmit")
async def workflows_are_run_again(served):
    uid = (await started(served, steps("a", "work", "fails"), "Failed"))["metadata"]["uid"]
    status, problem = await served.ask("PUT", "/workflows/default/a/retry", {"restartSuccessful": True})
    assert (status, problem["code"]) == (400, 3)
    assert (await served.ask("PUT", "/workflows/default/a/retry", {}))[0] == 200
    ended = await served.until("/workflows/default/a", "Succeeded")
    assert ended["metadata"]["uid"] == uid
    assert (await served.ask("PUT", "/workflows/default/a/retry", {}))[0] == 409
    before = {node["displayName"]: node["startedAt"] for node in ended["status"]["nodes"].values()}
    logged = len(await served.engine.journal.events(uid))
    wish = {"restartSuccessful": True, "nodeFieldSelector": "displayName=work"}
    assert (await served.ask("PUT", "/workflows/default/a/retry", {**wish, "nodeFieldSelector": "displayName=absent"}))[0] == 409
    assert (await served.ask("PUT", "/workflows/default/a/retry", wish))[0] == 200
    ended = await served.until("/workflows/default/a", "Succeeded")
    assert {node["displayName"] for node in ended["status"]["nodes"].values()} == set(before)
    launched = [one for one in await served.engine.journal.events(uid) if any("Launch" in word for word in one.summary.commands)]
    assert len(launched) == 5, "work and fails once more each"
    assert logged
    status, made = await served.ask("PUT", "/workflows/default/a/resubmit", {"parameters": ["x=y"]})
    assert (status, made["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"]) == (200, "a")


@of("GET /workflows/{namespace}/{name}/log", "GET /workflows/{namespace}/{name}/{pod}/log")
async def logs_are_streamed(served):
    ended = await started(served, steps("a", "work", "main2"), "Succeeded")
    [pod] = [node["id"] for node in ended["status"]["nodes"].values() if node["displayName"] == "work"]

    async def lines(path="/api/v1/workflows/default/a/log", **query):
        text, _ = await raw(served, path, **query)
        return [json.loads(line)["result"]["content"] for line in text.splitlines()]

    assert await lines() == ["one", "two"]
    assert await lines(f"/api/v1/workflows/default/a/{pod}/log") == ["one", "two"]
    assert await lines(podName="work", **{"logOptions.tailLines": "1"}) == ["two"]
    assert await lines(grep="^o") == ["one"]
    assert await lines(**{"logOptions.follow": "true"}) == ["one", "two"]
    assert await lines(**{"logOptions.limitBytes": "3"}) == ["one"]
    assert await lines(**{"logOptions.container": "main"}) == ["one", "two"]
    assert await lines(**{"logOptions.previous": "true"}) == []
    for since in ({"sinceSeconds": "500"}, {"sinceTime": "2026-01-01T00:00:00Z"}, {"sinceTime.seconds": "1", "sinceTime.nanos": "5"}):
        assert await lines(**{f"logOptions.{name}": value for name, value in since.items()}) == ["one", "two"]
    for since in ({"sinceTime": "2999-01-01T00:00:00Z"}, {"sinceTime.seconds": "9999999999"}):
        assert await lines(**{f"logOptions.{name}": value for name, value in since.items()}) == []
        assert await lines(**{f"logOptions.{name}": value for name, value in since.items()}, **{"logOptions.follow": "true"}) == []
    for follow in ("true", "false"):
        stamped = await lines(**{"logOptions.timestamps": "true", "logOptions.follow": follow})
        assert [line.split()[1] for line in stamped] == ["one", "two"]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line.split()[0]) for line in stamped)
    for wrong in (
        {"sinceSeconds": "-5"},
        {"sinceTime": "soon"},
        {"sinceTime.seconds": "x"},
        {"sinceSeconds": "5", "sinceTime.seconds": "5"},
    ):
        status, problem = await served.ask(
            "GET", "/workflows/default/a/log", **{f"logOptions.{name}": value for name, value in wrong.items()}
        )
        assert (status, problem["code"]) == (400, 3)
        assert next(iter(wrong)) in problem["message"]
    await raw(served, "/api/v1/workflows/default/a/log", podName="absent", status=404)


@of(
    "GET /workflow-events",
    "GET /workflow-events/",
    "GET /workflow-events/{namespace}",
    "GET /stream/events",
    "GET /stream/events/",
    "GET /stream/events/{namespace}",
)
async def changes_are_streamed(served):
    _, found = await served.ask("GET", "/workflows/default")
    version = found["metadata"]["resourceVersion"]
    old = await started(served, workflow("old"), "Succeeded")
    later = (await served.ask("GET", "/workflows/default"))[1]["metadata"]["resourceVersion"]

    async def first(path, **query):
        async with served.session.get(f"{BASE}{path}", params=query) as answer:
            with anyio.fail_after(5):
                event = json.loads(await answer.content.readline())["result"]
            return event["type"], event["object"]["metadata"]["name"]

    for path in ("/workflow-events", "/workflow-events/", "/workflow-events/default"):
        assert await first(path) == ("ADDED", "old")
    since = "listOptions.resourceVersion"
    assert await first("/workflow-events/default", **{since: version}) == ("ADDED", "old")
    await started(served, waiting("new"), "Running")
    assert await first("/workflow-events/default", **{since: later}) == ("ADDED", "new"), "old was in the list and did not change"
    assert old
    for number, path in enumerate(("/stream/events", "/stream/events/", "/stream/events/default")):
        name = f"e{number}"
        query = {"listOptions.fieldSelector": f"involvedObject.kind=Workflow,involvedObject.name={name}"}
        async with served.session.get(f"{BASE}{path}", params=query) as answer:
            await started(served, waiting(name), "Running")
            reasons = []
            with anyio.fail_after(5):
                while "WorkflowRunning" not in reasons:
                    reasons.append(json.loads(await answer.content.readline())["result"]["reason"])
                await served.ask("PUT", f"/workflows/default/{name}/resume", {})
                while "WorkflowSucceeded" not in reasons:
                    reasons.append(json.loads(await answer.content.readline())["result"]["reason"])
            assert "WorkflowNodeSucceeded" in reasons
    await raw(served, "/api/v1/stream/events/default", status=400, **{"listOptions.fieldSelector": "spec.x=1"})


@of(
    "GET /archived-workflows",
    "GET /archived-workflows/",
    "GET /archived-workflows/{uid}",
    "DELETE /archived-workflows/{uid}",
    "PUT /archived-workflows/{uid}/retry",
    "PUT /archived-workflows/{uid}/resubmit",
    "GET /archived-workflows-label-keys",
    "GET /archived-workflows-label-values",
)
async def the_archive_is_found_run_again_and_forgotten(served):
    body = steps("a", "work", "fails")
    body["metadata"]["labels"] = {"colour": "red"}
    uid = (await started(served, body, "Failed"))["metadata"]["uid"]
    assert (await served.ask("PUT", f"/archived-workflows/{uid}/retry", {}))[0] == 200, "it is still there"
    await served.until("/workflows/default/a", "Succeeded")
    await served.ask("DELETE", "/workflows/default/a")
    await gone(served)
    assert (await served.ask("GET", "/archived-workflows-label-values", **{"listOptions.labelSelector": "colour"}))[1] == {"items": ["red"]}
    assert "colour" in (await served.ask("GET", "/archived-workflows-label-keys"))[1]["items"]
    for path in ("/archived-workflows", "/archived-workflows/"):
        assert [one["metadata"]["uid"] for one in (await served.ask("GET", path))[1]["items"]] == [uid]
    for selector, count in (("spec.startedAt>2020-01-01T00:00:00Z", 1), ("spec.startedAt<2020-01-01T00:00:00Z", 0)):
        _, found = await served.ask("GET", "/archived-workflows", **{"listOptions.fieldSelector": selector})
        assert len(found["items"]) == count
    assert (await served.ask("GET", f"/archived-workflows/{uid}"))[1]["status"]["phase"] == "Succeeded"
    status, problem = await served.ask("PUT", f"/archived-workflows/{uid}/retry", {})
    assert (status, problem["message"].partition(",")[0]) == (409, "To retry a succeeded workflow")
    again = {"restartSuccessful": True, "nodeFieldSelector": "phase=Succeeded"}
    status, made = await served.ask("PUT", f"/archived-workflows/{uid}/retry", again)
    assert (status, made["metadata"]["name"], made["metadata"]["labels"]["colour"]) == (200, "a", "red"), made
    assert made["metadata"]["uid"] != uid
    status, problem = await served.ask("PUT", f"/archived-workflows/{uid}/retry", again)
    assert (status, problem["code"]) == (409, 6), "there is one of its name"
    await served.until("/workflows/default/a", "Succeeded")
    status, made = await served.ask("PUT", f"/archived-workflows/{uid}/resubmit", {})
    assert status == 200, made
    assert made["metadata"]["labels"]["colour"] == "red"
    assert made["metadata"]["labels"]["workflows.argoproj.io/resubmitted-from-workflow"] == "a"
    await served.until(f"/workflows/default/{made['metadata']['name']}", "Failed")
    assert await served.ask("DELETE", f"/archived-workflows/{uid}") == (200, {})
    assert (await served.ask("DELETE", f"/archived-workflows/{uid}"))[0] == 404


@of(
    "GET //artifacts/{namespace}/{name}/{node}/{artifact}",
    "GET //artifacts-by-uid/{uid}/{node}/{artifact}",
    "GET //input-artifacts/{namespace}/{name}/{node}/{artifact}",
    "GET //input-artifacts-by-uid/{uid}/{node}/{artifact}",
    "GET //artifact-files/{namespace}/{id_kind}/{name}/{node}/{direction}/{artifact}",
    "GET //artifact-files/{namespace}/{id_kind}/{name}/{node}/{direction}/{artifact}/{path:.*}",
)
async def artifacts_are_handed_out_and_nothing_else_is(served):
    home = Path(served.path).parent
    await anyio.to_thread.run_sync(_written, home)
    async with Artifacts(ArtifactSettings(), home / "kept", Secrets()) as store:
        await store.save(PACKED, home / "file.txt", "default")
        await store.save(FOLDER, home / "folder", "default")
        served.house.artifacts = store
        body = steps("a", "work", "takes")
        body["spec"]["templates"][1]["outputs"] = {
            "artifacts": [{"name": name, "path": f"/{name}"} for name in ("packed", "folder", "gone")]
        }
        body["spec"]["templates"][2]["inputs"] = {"artifacts": [{"name": "taken", "path": "/taken"}]}
        body["spec"]["templates"][0]["steps"][1][0]["arguments"] = {
            "artifacts": [{"name": "taken", "from": "{{steps.work.outputs.artifacts.packed}}"}]
        }
        ended = await started(served, body, "Succeeded")
        ids = {node["displayName"]: node["id"] for node in ended["status"]["nodes"].values()}
        uid, work, takes = ended["metadata"]["uid"], ids["work"], ids["takes"]
        packed, answer = await raw(served, f"/artifacts/default/a/{work}/packed")
        assert packed == (home / "kept/a/packed.tgz").read_bytes()
        assert answer.content_type == "application/gzip"
        assert "packed.tgz" in answer.headers["Content-Disposition"]
        assert (await raw(served, f"/artifacts-by-uid/{uid}/{work}/packed"))[0] == packed
        assert (await raw(served, f"/input-artifacts/default/a/{takes}/taken"))[0] == packed
        assert (await raw(served, f"/input-artifacts-by-uid/{uid}/{takes}/taken"))[0] == packed
        tree, answer = await raw(served, f"/artifacts/default/a/{work}/folder")
        assert answer.content_type == "application/gzip"
        assert tree[:2] == b"\x1f\x8b"
        files = f"/artifact-files/default/workflows/a/{work}/outputs/folder"
        page, answer = await raw(served, files)
        assert answer.content_type == "text/html"
        assert b"x.html" in page
        assert b"sub/" in page
        found, answer = await raw(served, f"{files}/sub/y.txt")
        assert (found, answer.content_type) == (b"y", "text/plain")
        _, answer = await raw(served, f"{files}/x.html")
        assert answer.headers["Content-Disposition"].startswith("attachment"), "no script of a step runs in a page of ours"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        for path in ("%2e%2e/packed.tgz", "sub/%2e%2e/%2e%2e/packed.tgz", "..%2fpacked.tgz", "%5c..%5cx", "a%00b"):
            async with served.session.get(_as_it_is(f"{files}/{path}")) as answer:
                assert answer.status in {400, 404}, path
        for path in ("gone", "absent"):
            await raw(served, f"/artifacts/default/a/{work}/{path}", status=404)
        await raw(served, "/artifacts/default/a/absent/packed", status=404)
        await raw(served, f"/artifact-files/default/elsewhere/a/{work}/outputs/folder", status=404)
        await raw(served, f"{files}/link", status=404)
        await served.ask("DELETE", "/workflows/default/a")
        await gone(served)
        assert (await raw(served, f"/artifacts-by-uid/{uid}/{work}/packed"))[0] == packed, "the archive knows where it is"
        archived = f"/artifact-files/default/archived-workflows/{uid}/{work}/outputs/folder/sub/y.txt"
        assert (await raw(served, archived))[0] == b"y"


def _written(home: Path) -> None:
    (home / "file.txt").write_text("text")
    (home / "folder/sub").mkdir(parents=True)
    (home / "folder/x.html").write_text("<script>")
    (home / "folder/sub/y.txt").write_text("y")


def _as_it_is(path: str):
    from yarl import URL

    return URL(f"{BASE.removesuffix('/api/v1')}{path}", encoded=True)
