"""Makes a drawn workflow a busy one: several locks on one template, at several levels and among several workflows, together with
everything else that holds a step back or ends it: timeouts, memos, limits, daemons, sets of containers, requests, large loops.

Whoever holds a lock asks for locks of deeper levels only, so that no workflow can wait for itself.
"""

import random
from typing import Any

import msgspec

from tests.scheduler.hall import config_map
from tiphys.spec.workflows import ConfigMap, Workflow

BOUNDS = "bounds"
LEVELS = ("whole", "t0", "t1", "t2", "t3", "t4", "leaf", "hook")
INPUTS = {"parameters": [{"name": "x", "default": "d"}]}
CONTAINER = {"image": "any", "command": ["work"], "args": ["{{inputs.parameters.x}}"]}
SET = [{"name": "a", "image": "any", "command": ["a"]}, {"name": "main", "image": "any", "command": ["b"], "dependencies": ["a"]}]


def bounds(chance: random.Random, most: int = 3) -> ConfigMap:
    """The limits of all semaphores."""
    return config_map(BOUNDS, **{f"{level}-{name}": str(chance.randint(1, most)) for level in LEVELS for name in "xy"})


def complicate(chance: random.Random, spec: dict[str, Any]) -> None:
    """Make the workflow of a specification, which is one of `workflows`, a busy one."""
    templates = spec["templates"]
    templates += [
        {"name": "set", "inputs": INPUTS, "containerSet": {"containers": SET}},
        {"name": "request", "inputs": INPUTS, "http": {"url": "http://any/{{inputs.parameters.x}}"}},
        {"name": "once", "inputs": INPUTS, "container": CONTAINER, "memoize": _memoize(chance)},
        {"name": "hook", "inputs": INPUTS, "container": CONTAINER},
    ]
    if chance.random() < 0.2:
        spec["synchronization"] = locks(chance, "whole")
    if chance.random() < 0.3:
        spec["hooks"] = {"exit": {"template": "hook"}}
    if spec.get("onExit") and chance.random() < 0.5:
        spec["onExit"] = "hook"
    for template in templates:
        _one(chance, template)


def without_locks(workflow: Workflow) -> Workflow:
    """The workflow with no lock in it, so that nothing in it depends on who comes first."""
    return msgspec.convert(_stripped(msgspec.to_builtins(workflow)), Workflow)


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(inner) for key, inner in value.items() if key != "synchronization"}
    return [_stripped(inner) for inner in value] if isinstance(value, list | tuple) else value


def locks(chance: random.Random, level: str) -> dict[str, Any]:
    """Some locks of a level, one to four of them."""
    names = chance.sample(["mx", "my", "mz", "x", "y"], chance.choice([1, 1, 2, 2, 3, 4]))
    keys = [{"configMapKeyRef": {"name": BOUNDS, "key": f"{level}-{name}"}, "namespace": "default"} for name in names if len(name) == 1]
    return {"mutexes": [{"name": f"{level}-{name}", "namespace": "default"} for name in names if len(name) > 1], "semaphores": keys}


def _memoize(chance: random.Random) -> dict[str, Any]:
    return {"key": chance.choice(["one", "k-{{inputs.parameters.x}}"]), "maxAge": "20s", "cache": {"configMap": {"name": "memos"}}}


def _one(chance: random.Random, template: dict[str, Any]) -> None:
    name = template["name"]
    inner = "steps" in template or "dag" in template
    if chance.random() < (0.2 if inner else 0.5):
        template["synchronization"] = locks(chance, name if inner or name == "hook" else "leaf")
    if inner:
        if chance.random() < 0.2:
            template["parallelism"] = chance.randint(1, 3)
        if chance.random() < 0.2:
            template["failFast"] = True
        calls = [call for group in template.get("steps", ()) for call in group] + template.get("dag", {"tasks": []})["tasks"]
        for call in calls:
            _call(chance, "tasks" if "dag" in template else "steps", call)
    elif "suspend" not in template and name != "hook":
        if chance.random() < 0.2:
            template["timeout"] = f"{chance.randint(2, 9)}s"
        if chance.random() < 0.2:
            template["retryStrategy"] = {"limit": chance.randint(0, 2), "retryPolicy": "Always", **_backoff(chance)}
        if chance.random() < 0.15 and "memoize" not in template:
            template["memoize"] = _memoize(chance)


def _backoff(chance: random.Random) -> dict[str, Any]:
    return {"backoff": {"duration": str(chance.randint(1, 3))}} if chance.random() < 0.5 else {}


def _call(chance: random.Random, kind: str, call: dict[str, Any]) -> None:
    if chance.random() < 0.3:
        call["template"] = chance.choice(["set", "request", "once", "leaf", "retried", "server"])
    if "withSequence" in call:
        call["withSequence"] = {"count": str(chance.randint(1, 9))}
        call["arguments"] = {"parameters": [{"name": "x", "value": "{{item}}"}]}
    if "hooks" in call:
        for hook in call["hooks"].values():
            hook["template"] = "hook"
    elif chance.random() < 0.1:
        state = chance.choice(["Pending", "Running", "Succeeded", "Failed"])
        call["hooks"] = {"seen": {"template": "hook", "expression": f"{kind}['{call['name']}'].status == '{state}'"}}
