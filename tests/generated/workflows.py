"""Workflows drawn by chance: nested steps and dags, loops, conditions, hooks, retries, locks, suspends, limits and deadlines."""

import random
from typing import Any

import msgspec

from tests.generated import busy
from tiphys.spec.workflows import Workflow

ITEMS: list[Any] = [1, "a", {"k": "v"}]
RETRIES: list[dict[str, Any]] = [
    {"limit": 2},
    {"limit": 1, "retryPolicy": "Always", "backoff": {"duration": "2", "factor": 2}},
    {"limit": 3, "expression": "asInt(lastRetry.exitCode) > 1"},
    {"limit": "1", "retryPolicy": "OnError"},
    {"limit": 4, "retryPolicy": "Always", "backoff": {"duration": "1", "factor": 2, "maxDuration": "6"}},
]
INPUTS = {"parameters": [{"name": "x", "default": "d"}]}
LEAVES = ["leaf", "retried", "giving", "pause"]
DAEMONS = ["server", "flaky"]


def workflow(chance: random.Random, *, hard: bool = False) -> Workflow:
    """One workflow, a busy one if it is to be `hard`; the same chance gives the same one."""
    names = [f"t{index}" for index in range(chance.randint(2, 5))]
    templates = [_inner(chance, index, names) for index in range(len(names))]
    templates += _leaves(chance)
    spec: dict[str, Any] = {"entrypoint": "t0", "templates": templates}
    if chance.random() < 0.3:
        spec["parallelism"] = chance.randint(1, 3)
    if chance.random() < 0.4:
        spec["onExit"] = chance.choice(["leaf", names[-1]])
    if chance.random() < 0.15:
        spec["activeDeadlineSeconds"] = chance.randint(1, 10)
    if chance.random() < 0.1:
        spec["synchronization"] = {"mutexes": [{"name": "whole"}]}
    if hard:
        busy.complicate(chance, spec)
    document = {"kind": "Workflow", "apiVersion": "argoproj.io/v1alpha1", "metadata": {"name": "wf", "namespace": "default"}, "spec": spec}
    return msgspec.convert(document, Workflow)


def _leaves(chance: random.Random) -> list[dict[str, Any]]:
    container = {"image": "any", "command": ["work"], "args": ["{{inputs.parameters.x}}"]}
    output = {"name": "said", "globalName": "said", "valueFrom": {"path": "/said", "default": "nothing"}}
    leaf: dict[str, Any] = {"name": "leaf", "inputs": INPUTS, "container": container}
    if chance.random() < 0.3:
        leaf["synchronization"] = {"mutexes": [{"name": "leaf"}]}
    if chance.random() < 0.2:
        leaf["timeout"] = "3s"
    return [
        leaf,
        {"name": "retried", "inputs": INPUTS, "retryStrategy": chance.choice(RETRIES), "container": {**container, "args": ["{{retries}}"]}},
        {"name": "giving", "inputs": INPUTS, "container": container, "outputs": {"parameters": [output]}},
        {"name": "server", "inputs": INPUTS, "daemon": True, "container": container},
        {"name": "flaky", "inputs": INPUTS, "daemon": True, "retryStrategy": chance.choice(RETRIES), "container": container},
        {"name": "pause", "inputs": INPUTS, "suspend": {"duration": str(chance.randint(1, 5))}},
    ]


def _inner(chance: random.Random, index: int, names: list[str]) -> dict[str, Any]:
    template: dict[str, Any] = {"name": names[index], "inputs": INPUTS}
    callees = LEAVES * 2 + names[index + 1 :] + (DAEMONS if chance.random() < 0.3 else [])
    if chance.random() < 0.5:
        template["steps"] = [_group(chance, number, callees) for number in range(chance.randint(1, 3))]
    else:
        template["dag"] = {"tasks": _tasks(chance, callees)}
    if chance.random() < 0.2:
        template["parallelism"] = chance.randint(1, 2)
    if chance.random() < 0.1:
        template["failFast"] = True
    if chance.random() < 0.15:
        template["retryStrategy"] = {"limit": chance.randint(0, 2), "retryPolicy": "Always"}
    if chance.random() < 0.1:
        template["synchronization"] = {"mutexes": [{"name": f"m{index}"}]}
    return template


def _group(chance: random.Random, number: int, callees: list[str]) -> list[dict[str, Any]]:
    steps = [_call(chance, f"s{number}{place}", "steps", callees) for place in range(chance.randint(1, 3))]
    if chance.random() < 0.2:
        steps[0]["continueOn"] = {"failed": True, "error": True}
    return steps


def _tasks(chance: random.Random, callees: list[str]) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = []
    with_depends = chance.random() < 0.5
    for place in range(chance.randint(1, 5)):
        task = _call(chance, f"k{place}", "tasks", callees)
        before = [f"k{other}" for other in range(place) if chance.random() < 0.4]
        if before and with_depends:
            results = [name + chance.choice(["", ".Succeeded", ".Failed", ".Skipped", ".Daemoned"]) for name in before]
            task["depends"] = chance.choice([" && ", " || "]).join(results)
        elif before:
            task["dependencies"] = before
        if not with_depends and chance.random() < 0.2:
            task["continueOn"] = {"failed": True}
        tasks.append(task)
    return tasks


def _call(chance: random.Random, name: str, kind: str, callees: list[str]) -> dict[str, Any]:
    call: dict[str, Any] = {"name": name, "template": chance.choice(callees)}
    value = "{{item}}"
    loop = chance.random()
    if loop < 0.15:
        call["withItems"] = ITEMS[: chance.randint(1, 3)]
    elif loop < 0.25:
        call["withSequence"] = {"count": str(chance.randint(0, 3))}
    elif loop < 0.32:
        call["withParam"] = chance.choice(["[]", '["p","q"]'])
    else:
        value = "v"
    call["arguments"] = {"parameters": [{"name": "x", "value": value}]}
    if chance.random() < 0.15:
        call["when"] = chance.choice(["true", "false", "1 == 1", "a == b"])
    if chance.random() < 0.15:
        call["hooks"] = {"exit": {"template": "leaf", "arguments": {"parameters": [{"name": "x", "value": "bye"}]}}}
    elif chance.random() < 0.1:
        call["hooks"] = {"running": {"template": "leaf", "expression": f"{kind}['{name}'].status == 'Running'"}}
    return call
