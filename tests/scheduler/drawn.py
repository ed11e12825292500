"""Workflows drawn by chance, with more of what makes nodes depend on each other than `tests.generated` has: outputs and results that
others use, conditions over them, hooks of all kinds, questions to people, requests, and a retry strategy for everything.
"""

import random
from typing import Any

import msgspec

from tests.generated import workflows
from tiphys.spec.workflows import Workflow

SAID = {"name": "said", "valueFrom": {"path": "/said", "default": "nothing"}}
ASKED = {"name": "said", "valueFrom": {"supplied": {}, "default": "asked"}}
INPUTS = {"parameters": [{"name": "x", "default": "d"}]}
ADDED: list[dict[str, Any]] = [
    {"name": "ask", "inputs": INPUTS, "suspend": {}, "outputs": {"parameters": [ASKED]}},
    {"name": "script", "inputs": INPUTS, "script": {"image": "any", "command": ["sh"], "source": "{{inputs.parameters.x}}"}},
    {"name": "request", "inputs": INPUTS, "http": {"url": "http://any/{{inputs.parameters.x}}"}},
    {"name": "needs", "inputs": {"parameters": [{"name": "x"}, {"name": "absent"}]}, "container": {"image": "any", "command": ["work"]}},
]
VALUES = [
    "v",
    "{{%s.%s.outputs.parameters.said}}",
    "{{%s.%s.outputs.result}}",
    "{{%s.%s.status}}",
    "{{=%s.%s.outputs.parameters.said ?? 'none'}}",
]
CONDITIONS = ["'{{%s.%s.status}}' == Succeeded", "'{{%s.%s.outputs.result}}' != '1'"]
HOOKS = ["Running", "Succeeded", "Failed", "Pending"]


def workflow(seed: int) -> Workflow:
    """One workflow; the same seed gives the same one."""
    chance = random.Random(seed)
    document = msgspec.json.decode(msgspec.json.encode(workflows.workflow(chance, hard=seed % 2 == 1)))
    spec = document["spec"]
    for template in spec["templates"]:
        if "steps" in template:
            _wire(chance, "steps", [call for group in template["steps"] for call in group], template)
        elif "dag" in template:
            _wire(chance, "tasks", template["dag"]["tasks"], template)
    spec["templates"] += ADDED
    if chance.random() < 0.1:
        spec["retryStrategy"] = {"limit": chance.randint(0, 1), "retryPolicy": chance.choice(["Always", "OnFailure", "OnError"])}
    if chance.random() < 0.2:
        spec["hooks"] = {"noted": {"template": "leaf", "expression": f'workflow.status == "{chance.choice(HOOKS)}"'}}
    return msgspec.convert(document, Workflow)


def _wire(chance: random.Random, kind: str, calls: list[dict[str, Any]], template: dict[str, Any]) -> None:
    """Let later calls use what earlier ones give."""
    for index, call in enumerate(calls):
        if chance.random() < 0.2:
            call["template"] = chance.choice(["ask", "script", "request", "script", "needs"])
        before = calls[chance.randrange(index)]["name"] if index else ""
        looped = any(key in call for key in ("withItems", "withParam", "withSequence"))
        if before and not looped and chance.random() < 0.4:
            call["arguments"] = {"parameters": [{"name": "x", "value": _about(chance.choice(VALUES), kind, before)}]}
        if before and chance.random() < 0.15:
            call["when"] = _about(chance.choice(CONDITIONS), kind, before)
        if before and looped and chance.random() < 0.2:
            for key in ("withItems", "withSequence"):
                call.pop(key, None)
            call["withParam"] = _about("{{%s.%s.outputs.result}}", kind, before)
        if chance.random() < 0.15:
            expression = f"{kind}['{call['name']}'].status == '{chance.choice(HOOKS)}'"
            call.setdefault("hooks", {})["seen"] = {"template": chance.choice(["leaf", "retried", "needs"]), "expression": expression}
    if chance.random() < 0.3:
        source: dict[str, Any] = {"parameter": _about("{{%s.%s.outputs.parameters.said}}", kind, calls[-1]["name"])}
        if chance.random() < 0.7:
            source["default"] = "none"
        template["outputs"] = {"parameters": [{"name": "said", "valueFrom": source}]}


def _about(text: str, kind: str, name: str) -> str:
    return text % (kind, name) if "%s" in text else text
