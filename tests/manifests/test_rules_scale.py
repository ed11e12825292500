"""Large and hostile documents: lint costs what they hold, and none makes it fall over."""

import json
import random
import time

import msgspec
import pytest

from tiphys.manifests import rules
from tiphys.manifests.rules import graph
from tiphys.manifests.rules.problems import MAX_PROBLEMS
from tiphys.spec import workflows

LEAF = {"name": "leaf", "inputs": {"parameters": [{"name": "a", "default": "x"}]}, "container": {"image": "x"}}


def checked(templates, seconds=5.0):
    document = {
        "kind": "Workflow",
        "apiVersion": "argoproj.io/v1alpha1",
        "spec": {"entrypoint": templates[0]["name"], "templates": templates},
    }
    workflow = msgspec.convert(document, type=workflows.Workflow)
    start = time.process_time()
    problems = rules.check(workflow, rules.Definitions())
    assert time.process_time() - start < seconds
    return problems


def passing(tag):
    return {"parameters": [{"name": "a", "value": "{{" + tag + "}}"}]}


def test_a_dag_of_ten_thousand_tasks_that_mention_far_ancestors():
    tasks = [{"name": f"t{index}", "template": "leaf"} for index in range(10_000)]
    for index in range(1, 10_000):
        tasks[index] |= {"depends": f"t{index - 1}", "arguments": passing(f"tasks.t{index // 2}.status")}
    assert checked([{"name": "main", "dag": {"tasks": tasks}}, LEAF]) == []


def test_a_dag_of_ten_thousand_mistakes():
    tasks = [
        {"name": f"t{index}", "template": f"nope{index}", "dependencies": [f"z{index}"], "arguments": passing(f"tasks.q{index}.id")}
        for index in range(10_000)
    ]
    assert len(checked([{"name": "main", "dag": {"tasks": tasks}}, LEAF])) == MAX_PROBLEMS


def test_a_circle_of_ten_thousand_tasks():
    tasks = [{"name": f"t{index}", "template": "leaf", "dependencies": [f"t{(index + 1) % 10_000}"]} for index in range(10_000)]
    [problem] = checked([{"name": "main", "dag": {"tasks": tasks}}, LEAF])
    assert problem.message.startswith("templates.main.tasks dependency cycle detected: t0->t1->")


@pytest.mark.parametrize("tag", ["steps.nobody.id", "workflow.name"])
def test_templates_that_call_each_other_ten_thousand_deep(tag):
    chain = [
        {"name": f"m{index}", "steps": [[{"name": "s", "template": f"m{index + 1}", "arguments": passing(tag)}]]} for index in range(10_000)
    ]
    problems = checked([*chain, {**LEAF, "name": "m10000"}])
    assert len(problems) == (0 if tag == "workflow.name" else MAX_PROBLEMS)
    assert max([0, *(len(problem.message) for problem in problems)]) < 5_000


def test_half_a_million_braces():
    assert checked([{"name": "main", "container": {"image": "x", "args": ["{{" * 250_000]}}]) == []
    assert checked([{"name": "{{" * 250_000 + "}}", "suspend": {}}]) != []


def test_a_manifest_of_brackets_inside_a_manifest():
    problems = checked([{"name": "main", "resource": {"action": "create", "manifest": "[" * 100_000}}])
    assert [problem.message for problem in problems] == ["templates.main.resource.manifest must be a valid yaml"]


def test_order_puts_what_is_needed_first_and_circles_last():
    assert graph.order({"c": ["b"], "b": ["a"], "a": [], "x": ["y"], "y": ["x"]}) == ["a", "b", "c", "x", "y"]


def test_ancestors_are_those_needed_through_others():
    needs = {f"t{index}": [f"t{index - 1}"] if index else [] for index in range(3_000)}
    wanted = {(f"t{index}", f"t{other}") for index in range(0, 3_000, 7) for other in (0, index // 2, index, 2_999)}
    expected = {(name, other) for name, other in wanted if int(other[1:]) < int(name[1:])}
    assert graph.ancestors(needs, wanted) == expected


def test_no_cycle_is_found_where_paths_only_meet():
    assert graph.cycle({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}) == []


RICH = {
    "entrypoint": "main",
    "onExit": "leaf",
    "arguments": {
        "parameters": [{"name": "p", "value": "{{workflow.name}}", "enum": ["a"]}],
        "artifacts": [{"name": "f", "raw": {"data": "x"}}],
    },
    "podGC": {"strategy": "OnPodSuccess", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
    "podResources": {"limits": {"cpu": 1}},
    "hooks": {"running": {"template": "leaf", "expression": "workflow.status == 'Running'"}},
    "templates": [
        {
            "name": "main",
            "dag": {"target": "b", "tasks": [{"name": "a", "template": "leaf"}, {"name": "b", "inline": LEAF, "depends": "a.Failed"}]},
        },
        {"name": "rows", "steps": [[{"name": "s", "template": "leaf", "withItems": [1, {"k": [2]}], "arguments": passing("item.k")}]]},
        {**LEAF, "metrics": {"prometheus": [{"name": "m", "help": "h", "counter": {"value": "1"}}]}},
        {"name": "set", "containerSet": {"containers": [{"name": "main", "image": "x", "dependencies": []}]}},
        {"name": "make", "resource": {"action": "create", "manifest": "a: {{=1}}"}},
    ],
}
ODD = [
    "",
    "{{",
    "}}",
    "{{=",
    "a.b",
    "{{tasks.a.status}}",
    "{{item.x}}",
    "{{inputs.parameters.{{item}}}}",
    "a && ",
    '"',
    "\\",
    None,
    [],
    {},
    0,
    -1,
]


def positions(value):
    """Every container and key below `value`."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [pair for key, item in items for pair in [(value, key), *positions(item)]]


@pytest.mark.parametrize("seed", range(10))
def test_no_document_that_can_be_read_makes_a_rule_fall_over(seed):
    chance = random.Random(seed)
    checked_at_all = 0
    for _ in range(200):
        spec = json.loads(json.dumps(RICH))
        for _ in range(chance.randint(1, 3)):
            owner, key = chance.choice(positions(spec))
            if chance.random() < 0.3:
                del owner[key]
            else:
                owner[key] = chance.choice([*ODD, json.loads(json.dumps(chance.choice(positions(spec))[0]))])
        try:
            workflow = msgspec.convert({"kind": "Workflow", "apiVersion": "argoproj.io/v1alpha1", "spec": spec}, type=workflows.Workflow)
        except msgspec.ValidationError:
            continue
        checked_at_all += 1
        for problem in rules.check(workflow, rules.Definitions(), submitting=True):
            assert problem.message
            assert problem.path
    assert checked_at_all > 20
