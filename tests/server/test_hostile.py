"""Whatever is sent in, the answer is JSON with a status below 500 (or 503), and the daemon goes on."""

import json
import random
import re

import anyio
import pytest

from tests.server.serving import BASE, JSON, YAML, waiting, workflow
from tests.server.test_workflows import TEMPLATES
from tiphys.server import routes

CALLS = 400
VALUES = [
    None,
    "",
    0,
    -1,
    1.5,
    10**30,
    True,
    [],
    {},
    "a=b",
    "x" * 300,
    ["a"],
    [[]],
    [None],
    {"": ""},
    "\0",
    "😀",
    "{{x}}",
    "=",
    "{",
    "../..",
    "-",
]
WORDS = ["displayName=wait", "a!=b,c", '{"a":1}', "[1]", "Failed", "WorkflowTemplate", "greet", "nightly", "w1", "a,b=c,=d"]
KEYS = ["workflow", "nodeFieldSelector", "message", "phase", "outputParameters", "parameters", "memoized", "restartSuccessful"]
KEYS += [
    "template",
    "cronWorkflow",
    "binding",
    "limit",
    "key",
    "cmName",
    "type",
    "resourceKind",
    "resourceName",
    "submitOptions",
    "serverDryRun",
    "createOptions",
    "labels",
    "generateName",
    "priority",
    "name",
]
QUERIES = ["fields", "listOptions.labelSelector", "listOptions.fieldSelector", "listOptions.limit", "listOptions.continue", "nameFilter"]
QUERIES += ["createdAfter", "podName", "grep", "logOptions.tailLines", "uid", "force", "dryRun", "namePattern"]
ANSWERS = ["", "-", "-status.nodes", "items.metadata.name", "0", "-1", "9" * 30, "true", "2020-01-01T00:00:00Z", "a in (b)", "a=b,c!=d"]
ANSWERS += ["metadata.name=w1", "status.phase!=", "(", "a..b", "-a,b,-c", "é", "\0"]


class Hand:
    """Draws what is sent."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.routes = [route for route in routes.table() if "workflow-events" not in route.path and "/stream/" not in route.path]

    def broken(self, value):
        """The value with something in it replaced."""
        if isinstance(value, dict) and value and self.chance.random() < 0.8:
            key = self.chance.choice([*value, "kind", "metadata", "spec", "extra"])
            return {**value, key: self.broken(value.get(key))}
        if isinstance(value, list) and value and self.chance.random() < 0.8:
            index = self.chance.randrange(len(value))
            return [*value[:index], self.broken(value[index]), *value[index + 1 :]]
        return self.chance.choice(VALUES)

    def body(self) -> bytes:
        """A body, often with a broken Workflow, sometimes cut off."""
        made = {key: self.chance.choice(VALUES + WORDS) for key in self.chance.sample(KEYS, 4)}
        if self.chance.random() < 0.6:
            name = f"w{self.chance.randrange(4)}"
            made["workflow"] = self.broken(self.broken(self.chance.choice([waiting, workflow])(name)))
        if self.chance.random() < 0.3:
            made["submitOptions"] = {key: self.chance.choice(VALUES + WORDS) for key in self.chance.sample(KEYS, 4)}
        text = json.dumps(made).encode()
        return text if self.chance.random() < 0.9 else text[: self.chance.randrange(len(text))]

    def call(self):
        """A method, a path, a query, a body, headers."""
        route = self.chance.choice(self.routes)
        names = {
            "namespace": ["default", "-", "a%2fb"],
            "name": ["w0", "w1", "w2", "nightly", "%00"],
            "pod": ["wait", "w1"],
            "uid": ["w1", "-"],
        }
        path = re.sub(r"{(\w+)[^}]*}", lambda found: self.chance.choice(names.get(found[1], ["w1", "main", "..", "%2e%2e%2f"])), route.path)
        query = {key: self.chance.choice(ANSWERS) for key in self.chance.sample(QUERIES, self.chance.choice([0, 0, 1, 2]))}
        body = self.body() if route.method in {"POST", "PUT"} else None
        return route.method, path, query, body, self.chance.choice([JSON, JSON, YAML])


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_brings_the_server_down(opened, seed):
    hand = Hand(seed)
    async with opened() as served:
        await served.define(TEMPLATES)
        for index in range(CALLS):
            if index % 50 == 0:
                await served.ask("POST", "/workflows/default", {"workflow": waiting(f"w{index // 50 % 4}")})
            method, path, query, body, headers = hand.call()
            url = BASE.removesuffix("/api/v1") + path
            with anyio.fail_after(10):
                async with served.session.request(method, url, params=query, data=body, headers=headers) as answer:
                    text = await answer.text()
                    assert answer.status < 500 or answer.status == 503, (method, path, query, body, text)
                    assert answer.status == 200 or isinstance(json.loads(text)["message"], str)
        assert (await served.ask("GET", "/version"))[0] == 200
