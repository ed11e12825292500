"""A large value is one object in all nodes that get it, and comes to the same as if it were pasted into each step's text."""

import json
from collections import deque
from datetime import UTC, datetime

import pytest

from tests.scheduler import going
from tiphys import manifests
from tiphys.expressions import tags
from tiphys.expressions.asides import FENCE, LARGE
from tiphys.scheduler import decision, events, orders, resolved
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.state import State
from tiphys.settings import LimitSettings
from tiphys.spec import work

NOW = datetime(2031, 5, 6, tzinfo=UTC)
BIG = "a large value, " * (LARGE // 10)
TAKES = {"parameters": [{"name": "item"}, {"name": "list"}, {"name": "more", "default": "none"}]}


def given(**parameters: str) -> dict[str, object]:
    return {"parameters": [{"name": name, "value": value} for name, value in parameters.items()]}


def played(result: str, value: str, *steps: dict[str, object], dag: bool = False) -> dict[str, object]:
    """What nodes came to whose steps, or tasks, are these, after one (`first`) that gives `result`; `value` is the workflow's own."""
    first: dict[str, object] = {"name": "first", "template": "make"}
    if dag:
        kind: dict[str, object] = {"dag": {"tasks": [first, *({"depends": "first", **step} for step in steps)]}}
    else:
        kind = {"steps": [[first], list(steps)]}
    templates = [
        {"name": "main", **kind},
        {"name": "make", "script": {"image": "any", "command": ["sh"], "source": "x"}},
        {"name": "use", "inputs": TAKES, "container": {"image": "any", "command": ["true"]}},
    ]
    meta, spec = {"name": "w", "namespace": "n"}, {"entrypoint": "main", "arguments": given(list=value), "templates": templates}
    text = json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": meta, "spec": spec})
    parsed = manifests.parse(text.encode(), "w.yaml", LimitSettings())
    manifest = Manifest(uid="u", workflow=parsed.documents[0].document)
    runs, waiting = State(), deque[decision.Launch]()

    def take(event: events.Event) -> None:
        waiting.extend(command for command in going.commands(runs, event) if isinstance(command, decision.Launch))

    take(events.Submitted(at=NOW, uid="u", seed="s", manifest=manifest))
    while waiting:
        launch = waiting.popleft()
        outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result=result)
        take(events.Exited(at=NOW, uid="u", node_id=launch.node_id, attempt=0, outcome=outcome))
    state = runs.runs["u"]
    return {"run": state.run, **{node.name: node for node in state.nodes.values()}}


def lists(found: dict[str, object]) -> list[str]:
    return [found[name].inputs.parameters[1].value for name in found if ".each" in name and found[name].inputs is not None]


LOOP = {"name": "each", "template": "use", "withSequence": {"count": "5"}}
OWN, RESULT, TASKS = "{{workflow.parameters.list}}", "{{steps.first.outputs.result}}", "{{tasks.first.outputs.result}}"


@pytest.mark.parametrize(("of", "dag"), [(OWN, False), (RESULT, False), (OWN, True), (TASKS, True)])
def test_all_nodes_of_a_loop_have_the_same_object(of, dag):
    found = lists(played(json.dumps(BIG), json.dumps(BIG), {**LOOP, "arguments": given(item="{{item}}", list=of)}, dag=dag))
    assert found == [json.dumps(BIG)] * 5
    assert len(set(map(id, found))) == 1


def test_tasks_that_name_the_same_result_have_the_very_result():
    arguments = given(item="1", list=TASKS)
    found = played(BIG, "x", *({"name": f"each{number}", "template": "use", "arguments": arguments} for number in range(5)), dag=True)
    assert {id(one) for one in lists(found)} == {id(found["w.first"].outputs.result)}


ODD = {
    "plain": BIG,
    "quotes and lines": '{"a": "b\\c\t\n"} ü ' * LARGE,
    "a tag": BIG + "{{item}}",
    "half a tag": BIG + "{{ never closed",
    "a tag of the workflow": "{{workflow.name}} " + BIG,
    "ends of tags": "}}" + BIG + '{"a": {"b": 1}}',
    "a refused character": BIG + "\x01",
    "braces at the ends": "}" + BIG + "{",
    "what a mark looks like": BIG + f"{FENCE}0{FENCE}",
    "a mark alone": f"{FENCE}0{FENCE}",
    "half a mark": FENCE,
    "a mark of another": f"{FENCE}1{FENCE}",
}
ARGUMENTS = {
    "alone": given(item="{{item}}", list=RESULT, more=OWN),
    "in the middle": given(item="{{item}}", list=f"before {RESULT} after", more=OWN),
    "quoted": given(item="{{item}}", list=f'"{RESULT}"', more=f"{{{OWN}}}"),
    "twice": given(item="{{item}}", list=RESULT, more=RESULT),
    "beside a tag that is never closed": given(item="{{item}}{{ x", list=RESULT, more=OWN),
    "in an expression": given(item="{{item}}", list="{{=len(steps.first.outputs.result)}}", more=OWN),
    "with a mark beside it": given(item=f"{FENCE}0{FENCE}", list=RESULT, more=OWN),
    "written large": given(item="{{item}}", list=BIG, more=RESULT),
    "written large, with a mark": given(item="{{item}}", list=BIG, more=f"{FENCE}0{FENCE}"),
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_it_comes_to_the_same_as_if_it_were_pasted(value, arguments, monkeypatch):
    looped = {"name": "loop", "template": "use", "arguments": arguments, "withItems": ["a", BIG[:5], f"{FENCE}0{FENCE}", FENCE]}
    once = {"name": "once", "template": "use", "arguments": json.loads(json.dumps(arguments).replace("{{item}}", "1"))}

    def both() -> list[dict[str, object]]:
        return [played(result, own, looped, once) for result, own in ((value, "small"), ("small", value), (value, value[::-1]))]

    found = both()
    monkeypatch.setattr(tags, "LARGE", 1 << 40)
    monkeypatch.setattr(resolved, "LARGE", 1 << 40)
    assert found == both()


LIST = "{{inputs.parameters.list}}"
BODIES = {
    "a source": {"script": {"image": "any", "command": ["sh"], "source": LIST}},
    "part of a source": {"script": {"image": "any", "command": ["sh"], "source": f"cat <<END\n{LIST}\nEND\n"}},
    "arguments": {
        "container": {"image": "any", "command": ["x"], "args": [LIST, f"{FENCE}0{FENCE}", LIST], "env": [{"name": "A", "value": LIST}]}
    },
    "a request": {"http": {"url": "http://x", "method": "POST", "body": LIST, "headers": [{"name": "A", "value": OWN}]}},
    "a plugin's": {"plugin": {"any": {"a": [LIST, {"b": LIST}], LIST: 1}}},
    "a loop": {"steps": [[{"name": "each", "template": "one", "withParam": LIST, "arguments": given(item="{{item}}")}]]},
    "the workflow's own in a loop": {
        "dag": {"tasks": [{"name": "each", "template": "one", "withParam": OWN, "arguments": given(item=OWN)}]}
    },
}


def begun(body: dict[str, object], value: str) -> dict[str, object]:
    """What is ordered first, and what nodes there are, of a workflow whose entrypoint has this body and gets this value."""
    one = {"name": "one", "inputs": {"parameters": [{"name": "item"}]}, "container": {"image": "any", "command": ["true"]}}
    templates = [{"name": "main", "inputs": {"parameters": [{"name": "list"}]}, **body}, one]
    spec = {"entrypoint": "main", "arguments": given(list=value), "templates": templates}
    text = json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w", "namespace": "n"}, "spec": spec})
    parsed = manifests.parse(text.encode(), "w.yaml", LimitSettings())
    runs = State()
    made = going.commands(
        runs, events.Submitted(at=NOW, uid="u", seed="s", manifest=Manifest(uid="u", workflow=parsed.documents[0].document))
    )
    state = runs.runs["u"]
    ordered = [orders.build(state, command.node_id, NOW) for command in made if isinstance(command, decision.Launch)]
    return {"run": state.run, "ordered": ordered, **{node.name: node for node in state.nodes.values()}}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("value", [*ODD.values(), json.dumps([BIG, "b", FENCE]), json.dumps(["a"] * LARGE)])
def test_a_body_comes_to_the_same_as_if_it_were_pasted_there(body, value, monkeypatch):
    found = begun(body, value)
    monkeypatch.setattr(tags, "LARGE", 1 << 40)
    assert found == begun(body, value)


def test_a_large_value_in_a_body_is_the_very_value():
    found = begun(BODIES["a source"], BIG)["ordered"][0]
    assert found.work.source == BIG
