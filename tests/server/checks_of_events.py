"""Checks of events that start workflows, of limits, and of what the daemon says of itself."""

import getpass

from tests.server.checks import of, raw
from tests.server.checks_of_definitions import binding
from tests.server.serving import BASE, waiting
from tests.server.test_workflows import TEMPLATES


@of("POST /events/{namespace}/{discriminator}", "POST /events/{namespace}", "POST /events/{namespace}/")
async def events_start_what_their_bindings_say(served):
    await served.define(TEMPLATES)
    await served.ask("POST", "/workflow-event-bindings/default", {"binding": binding()})
    assert await served.ask("POST", "/events/default/hello", {"who": "them"}) == (200, {})
    [item] = (await served.ask("GET", "/workflows/default"))[1]["items"]
    labels = item["metadata"]["labels"]
    assert item["metadata"]["name"].startswith("greet-")
    assert labels["workflows.argoproj.io/workflow-event-binding"] == "b"
    assert labels["workflows.argoproj.io/workflow-template"] == "greet"
    assert labels["workflows.argoproj.io/creator"] == getpass.getuser()
    assert labels["from"] == "hello"
    assert item["spec"]["arguments"]["parameters"] == [{"name": "who", "value": "them"}]
    assert await served.ask("POST", "/events/default", {"who": "them"}) == (200, {})
    assert await served.ask("POST", "/events/default/", {"who": "them"}) == (200, {})
    assert await served.ask("POST", "/events/other/hello", {"who": "them"}) == (200, {})
    assert len((await served.ask("GET", "/workflows/default"))[1]["items"]) == 1, "another discriminator is not meant"
    status, problem = await served.ask("POST", "/events/default/hello", [])
    assert (status, problem["code"]) == (400, 3)
    assert '"b"' in problem["message"]
    by_header = binding("by-header")
    by_header["spec"]["event"]["selector"] = 'metadata["x-github-event"] == ["push"]'
    by_header["spec"]["submit"]["arguments"]["parameters"][0]["valueFrom"]["event"] = "payload"
    await served.ask("POST", "/workflow-event-bindings/default", {"binding": by_header})
    async with served.session.post(f"{BASE}/events/default/x", json={"a": [1]}, headers={"X-GitHub-Event": "push"}) as answer:
        assert answer.status == 200, await answer.text()
    [item, _] = (await served.ask("GET", "/workflows/default"))[1]["items"]
    assert item["spec"]["arguments"]["parameters"][0]["value"] == '{"a":[1]}'


@of(
    "POST /sync/{namespace}",
    "GET /sync/{namespace}/{key}",
    "PUT /sync/{namespace}/{key}",
    "DELETE /sync/{namespace}/{key}",
)
async def limits_let_in_as_many_as_they_say(served):
    for given, kind in (({"type": "CONFIGMAP", "cmName": "limits"}, "configMapKeyRef"), ({"type": "DATABASE"}, "database")):
        query = {key: value for key, value in given.items() if isinstance(value, str)}
        assert (await served.ask("GET", "/sync/default/k", **query))[0] == 404
        status, made = await served.ask("POST", "/sync/default", {"key": "k", "limit": 1, **given})
        assert (status, made["limit"], made["key"], made["namespace"]) == (200, 1, "k", "default")
        status, problem = await served.ask("POST", "/sync/default", {"key": "k", "limit": 1, **given})
        assert (status, problem["code"]) == (409, 6)
        reference = {"name": "limits", "key": "k"} if kind == "configMapKeyRef" else {"key": "k"}
        for number in "12":
            body = waiting(f"{kind.lower()}-{number}")
            body["spec"]["synchronization"] = {"semaphores": [{kind: reference}]}
            await served.ask("POST", "/workflows/default", {"workflow": body})
        second = f"/workflows/default/{kind.lower()}-2"
        await served.until(second, "Pending")
        assert (await served.ask("PUT", "/sync/default/k", {"limit": 0, **given}))[0] == 400
        assert (await served.ask("PUT", "/sync/default/absent", {"limit": 2, **given}))[0] == 404
        status, made = await served.ask("PUT", "/sync/default/k", {"limit": 2, **given})
        assert (status, made["limit"]) == (200, 2)
        await served.until(second, "Running")
        assert (await served.ask("GET", "/sync/default/k", **query))[1]["limit"] == 2
        assert await served.ask("DELETE", "/sync/default/k", **query) == (200, {})
        assert (await served.ask("DELETE", "/sync/default/k", **query))[0] == 404
    assert (await served.ask("POST", "/sync/default", {"key": "k", "limit": 1}))[0] == 400, "which ConfigMap?"
    assert (await served.ask("POST", "/sync/default", {"key": "k", "limit": 1, "type": "FILE"}))[0] == 400


@of(
    "GET //healthz",
    "GET /version",
    "GET /info",
    "GET /userinfo",
    "POST /tracking/event",
    "GET /openapi.json",
    "GET /top",
    "GET /event-sources/{namespace}",
    "GET /sensors/{namespace}",
)
async def the_daemon_says_what_it_is(served):
    assert (await raw(served, "/healthz"))[0] == b"ok"
    assert (await served.ask("GET", "/version"))[1]["version"] == "1.2.3"
    assert (await served.ask("GET", "/info"))[1]["links"] == []
    assert (await served.ask("GET", "/userinfo"))[1]["name"] == getpass.getuser()
    assert await served.ask("POST", "/tracking/event", {"name": "click"}) == (200, {})
    assert (await served.ask("GET", "/top", limit="3"))[1]["machine"]["processors"] > 0
    for kind in ("event-sources", "sensors"):
        assert (await served.ask("GET", f"/{kind}/default"))[1]["items"] == []
    _, found = await served.ask("GET", "/openapi.json")
    assert found["openapi"].startswith("3.")
    assert found["paths"]["/api/v1/workflows/{namespace}"]["post"]["requestBody"]
    assert "Workflow" in found["components"]["schemas"]
