"""Calls drawn from the OpenAPI document that is served, sent to a server whose Unix socket is known: blocks, for a thread.

A name in a path is, every other time, one that is there, so that calls come further than to "not found". What streams is read for a
moment and then cut off, as by one who hangs up.
"""

import http.client
import json
import random
import socket
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.server.checks_of_definitions import binding, cron, template
from tests.server.serving import waiting, workflow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

PATIENCE_SECONDS = 20.0
"""An answer that takes longer to begin is a hang."""

STREAMED_SECONDS = 0.05
NAMES = {
    "namespace": ["default", "-"],
    "name": ["hello", "waits", "greet", "everywhere", "nightly", "t"],
    "uid": ["hello"],
    "pod": ["hello", "wait"],
    "node": ["hello", "waits"],
    "artifact": ["out"],
    "key": ["k"],
    "id_kind": ["workflows", "archived-workflows"],
    "direction": ["inputs", "outputs"],
    "path": ["a", "../a", "a/../../b"],
}
QUERY = {
    "fields": ["metadata.name", "-status.nodes", "items.metadata.name"],
    "listOptions.labelSelector": ["a=b", "a in (b,c)", "!a"],
    "listOptions.fieldSelector": ["metadata.name=hello", "status.phase!=Running"],
    "type": ["DATABASE", "CONFIGMAP"],
    "cmName": ["limits"],
    "grep": ["a.*", "("],
    "logOptions.follow": ["true"],
    "follow": ["true"],
}


@dataclass(kw_only=True)
class Tally:
    """What came of the calls."""

    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    wrong: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many there were."""
        return sum(self.statuses.values())


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def document(path: Path) -> dict:
    """The OpenAPI document that is served."""
    connection = Connection(path)
    try:
        connection.request("GET", "/api/v1/openapi.json")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def calls(path: Path, count: int, start: int, until: float = float("inf")) -> Tally:
    """Make at least so many calls, in rounds over all operations, or as many as there is time for (`until`, monotonic)."""
    tally = Tally()
    schema = schemathesis.openapi.from_dict(document(path))
    operations = [found.ok() for found in schema.get_all_operations()]
    chance = random.Random(start)
    number = start
    while tally.calls < count and time.monotonic() < until:
        for operation in operations:
            if time.monotonic() < until:
                _some(path, operation, number, chance, tally)
        number += 1
    return tally


def good(path: str, chance: random.Random) -> dict:
    """A body that will do, so that calls come further than to what is wrong with them."""
    name = chance.choice(["hello", "t", f"w{chance.randrange(50)}"])
    match path.split("/")[3]:
        case "workflows" if path.endswith("/submit"):
            return {"resourceKind": "WorkflowTemplate", "resourceName": "greet", "submitOptions": {"parameters": ["who=x"]}}
        case "workflows" if "{name}" not in path:
            return {"workflow": chance.choice([workflow, waiting])(name)}
        case "workflow-templates":
            return {"template": template(name)}
        case "cluster-workflow-templates":
            return {"template": template(name, "ClusterWorkflowTemplate")}
        case "cron-workflows" if path.count("/") < 6:
            return {"cronWorkflow": cron(name)}
        case "workflow-event-bindings":
            return {"binding": binding(name)}
        case "sync":
            return {"key": "k", "limit": chance.randrange(1, 9), "type": chance.choice(["DATABASE", "CONFIGMAP"]), "cmName": "limits"}
        case "events":
            return {"who": "them"}
    return {"nodeFieldSelector": chance.choice(["", "displayName=wait"]), "restartSuccessful": chance.random() < 0.5, "memoized": True}


def _some(path: Path, operation, number: int, chance: random.Random, tally: Tally) -> None:
    strategy = operation.as_strategy()

    @seed(number)
    @settings(max_examples=10, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def one(case) -> None:
        for name, values in NAMES.items():
            if name in (case.path_parameters or {}) and chance.random() < 0.5:
                case.path_parameters[name] = chance.choice(values)
        for name, values in QUERY.items():
            if name in (case.query or {}) and chance.random() < 0.5:
                case.query[name] = chance.choice(values)
        if case.method in {"POST", "PUT"} and case.body is not None and chance.random() < 0.3:
            case.body = good(operation.path, chance)
        _send(path, operation, case, tally)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()


def _send(path: Path, operation, case, tally: Tally) -> None:
    given_ = case.as_transport_kwargs(base_url="http://localhost")
    wanted = {"method", "url", "headers", "params", "data", "json", "cookies"}
    try:
        made = requests.Request(**{key: value for key, value in given_.items() if key in wanted}).prepare()
    except (requests.RequestException, UnicodeError, ValueError):
        return  # nothing that HTTP can carry
    streams = "text/event-stream" in operation.definition.raw["responses"]["200"]["content"]
    connection = Connection(path)
    began = time.monotonic()
    try:
        connection.request(made.method, made.path_url, body=made.body, headers=dict(made.headers))
        answer = connection.getresponse()
        took = time.monotonic() - began
        text = b"" if streams and answer.status == 200 else answer.read()
        if streams and answer.status == 200:
            _listen(connection, answer)
    except (OSError, http.client.HTTPException) as error:
        tally.wrong.append(f"{made.method} {made.path_url}: {error!r}")
        return
    finally:
        connection.close()
    tally.statuses[answer.status] += 1
    tally.operations[operation.label] += 1
    tally.slowest = max(tally.slowest, (took, f"{made.method} {made.path_url}"))
    if answer.status >= 500:
        tally.wrong.append(f"{made.method} {made.path_url} {made.body!r}: {answer.status} {text[:300]!r}")
    elif answer.status >= 400 and "message" not in json.loads(text):
        tally.wrong.append(f"{made.method} {made.path_url}: {text[:300]!r}")


def _listen(connection: Connection, answer: http.client.HTTPResponse) -> None:
    connection.sock and connection.sock.settimeout(STREAMED_SECONDS)
    try:
        while answer.read1(65536):
            pass
    except (TimeoutError, OSError):
        pass  # it goes on; we do not
