"""The rules about steps and tasks: names, order, what each may mention, and what it must pass."""

import pytest

from tests.manifests.linting import errors, found, places, warnings

LEAVES = """\
  - {name: leaf, container: {image: a}, outputs: {parameters: [{name: o, valueFrom: {path: /o}}], artifacts: [{name: f, path: /f}]}}
  - {name: need, inputs: {parameters: [{name: p}]}, container: {image: a, args: ["{{inputs.parameters.p}}"]}}
  - {name: take, inputs: {artifacts: [{name: f, path: /f}]}, container: {image: a}}
  - {name: wait, suspend: {}}
  - {name: idle, daemon: true, container: {image: a}}
"""


def steps(*groups: str, more: str = "") -> str:
    """A workflow of steps; each group is a list in YAML's flow form."""
    lines = "\n".join(f"      - {group}" for group in groups)
    return f"entrypoint: main\ntemplates:\n  - name: main\n    steps:\n{lines}\n{more}\n{LEAVES}"


def dag(*tasks: str, more: str = "") -> str:
    """A workflow of tasks, each a map in YAML's flow form."""
    lines = "\n".join(f"        - {task}" for task in tasks)
    return f"entrypoint: main\ntemplates:\n  - name: main\n    dag:\n{more}      tasks:\n{lines}\n{LEAVES}"


def passing(tag: str) -> str:
    return f"template: need, arguments: {{parameters: [{{name: p, value: '{{{{{tag}}}}}'}}]}}"


STEPS = [
    (["[{template: leaf}]"], ["templates.main.steps[0].name is required"]),
    (["[{name: a, template: leaf}]", "[{name: a, template: leaf}]"], ["templates.main.steps[1].name 'a' is not unique"]),
    (
        ["[{name: a_b, template: leaf}]"],
        [
            (
                "templates.main.steps[0].name 'a_b' is invalid: name must consist of alpha-numeric characters or '-', and must start "
                "with an alpha-numeric character (e.g. My-name1-2, 123-NAME)"
            )
        ],
    ),
    ([f"[{{name: {'a' * 128}, template: leaf}}]"], []),
    (
        [f"[{{name: {'a' * 129}, template: leaf}}]"],
        [f"templates.main.steps[0].name '{'a' * 129}' is invalid: must be no more than 128 characters"],
    ),
    (["[{name: 'a-{{workflow.name}}', template: leaf}]"], []),
    (["[{name: a}]"], ["templates.main.steps[0].a failed to get a template"]),
    (["[{name: a, template: lea}]"], ["templates.main.steps[0].a template name 'lea' undefined"]),
    (["[{name: a, template: '{{item}}', withItems: [leaf]}]"], []),
    (["[{name: a, template: need}]"], ["templates.main.steps[0].a templates.need inputs.parameters.p was not supplied"]),
    (
        ["[{name: a, template: need, arguments: {parameters: [{name: p}]}}]"],
        ["templates.main.steps[0].a.arguments.p.value or templates.main.steps[0].a.arguments.p.valueFrom is required"],
    ),
    (["[{name: a, template: take}]"], ["templates.main.steps[0].a templates.take inputs.artifacts.f was not supplied"]),
    (["[{name: a, template: leaf, arguments: {parameters: [{name: extra, value: x}]}}]"], []),
    (
        ["[{name: a, template: leaf, withItems: [1], withParam: '[]'}]"],
        ["templates.main.steps[0].a only one of withItems, withParam, withSequence can be specified"],
    ),
    (
        ["[{name: a, template: leaf, withSequence: {count: 1, end: 2}}]"],
        ["templates.main.steps[0].a only one of count or end can be defined in withSequence"],
    ),
    (["[{name: a, template: leaf, withItems: [null]}]"], []),
    (["[{name: a, template: leaf, hooks: {running: {template: leaf}}}]"], ["templates.main.steps[0].a.running Expression required"]),
    (
        ["[{name: a, template: leaf, hooks: {running: {template: leaf, expression: 'a b'}}}]"],
        ['templates.main.steps[0].a.running expression: unexpected token Identifier("b")'],
    ),
    (
        ["[{name: a, template: leaf, templateRef: {name: x, template: y}}]"],
        ["templates.main.steps[0].a template name cannot be specified with templateRef"],
    ),
]


@pytest.mark.parametrize(("groups", "messages"), STEPS)
def test_what_is_wrong_with_steps(groups, messages):
    assert errors(steps(*groups)) == messages


STEP_TAGS = [
    ("steps.a.outputs.parameters.o", True),
    ("steps.a.outputs.artifacts.f", True),
    ("steps.a.outputs.result", True),
    ("steps.a.status", True),
    ("steps.a.id", True),
    ("steps.a.exitCode", True),
    ("steps.a.ip", False),
    ("steps.idle.ip", True),
    ("steps.wait.outputs.result", False),
    ("steps.a.outputs.parameters.x", False),
    ("steps.a.outputs.parameters", False),
    ("steps.loop.outputs.parameters", True),
    ("steps.sibling.outputs.parameters.o", True),  # an earlier step of the same group: lint accepts it, as Argo's does
    ("steps.self.status", True),
    ("steps.self.outputs.result", False),
    ("steps.later.outputs.result", False),
    ("steps.nobody.id", False),
    ("item", True),
    ("item.x", False),
]


@pytest.mark.parametrize(("tag", "known"), STEP_TAGS)
def test_which_tags_a_step_may_use(tag, known):
    spec = steps(
        "[{name: a, template: leaf}, {name: loop, template: leaf, withItems: [1]}]",
        "[{name: wait, template: wait}, {name: idle, template: idle}]",
        f"[{{name: sibling, template: leaf}}, {{name: self, {passing(tag)}}}]",
        "[{name: later, template: leaf}]",
    )
    assert errors(spec) == ([] if known else [f"templates.main.steps failed to resolve {{{{{tag}}}}}"])


def test_loops_make_their_items_known():
    maps = "[{name: a, %s, withItems: [{one: 1}, {two: 2}]}]"
    assert errors(steps(maps % passing("item.two"))) == []
    assert errors(steps(maps % passing("item.six"))) == ["templates.main.steps failed to resolve {{item.six}}"]
    assert errors(steps("[{{name: a, {}, withItems: [[1, 2]]}}]".format(passing("item.[1]")))) == []
    assert errors(steps("[{{name: a, {}, withParam: '{{{{workflow.name}}}}'}}]".format(passing("item.any.thing")))) == []


def test_exit_hooks_see_the_outputs_of_their_step_and_other_hooks_do_not():
    hook = "{name: a, template: leaf, hooks: {%s: {template: need, expression: 'true', arguments: {parameters: [{name: p, value: '%s'}]}}}}"
    tag = "{{steps.a.outputs.parameters.o}}"
    assert errors(steps(f"[{hook % ('exit', tag)}]")) == []
    assert errors(steps(f"[{hook % ('running', tag)}]")) == [f"templates.main.steps failed to resolve {tag}"]


def test_what_an_unknown_template_would_give_is_not_reported_as_well():
    spec = steps("[{name: a, template: nope}]", f"[{{name: b, {passing('steps.a.outputs.parameters.o')}}}]")
    assert errors(spec) == ["templates.main.steps[0].a template name 'nope' undefined"]


def test_outputs_of_steps_may_use_every_step():
    outputs = "    outputs: {parameters: [{name: x, valueFrom: {parameter: '{{steps.%s.outputs.parameters.o}}'}}]}"
    assert errors(steps("[{name: a, template: leaf}]", more=outputs % "a")) == []
    assert places(steps("[{name: a, template: leaf}]", more=outputs % "b")) == {
        "spec/templates/0/outputs/parameters/0/valueFrom/parameter": (
            "templates.main.outputs failed to resolve {{steps.b.outputs.parameters.o}}"
        )
    }


def test_an_inline_template_is_judged_like_any_other_and_sees_what_its_place_sees():
    first = "[{name: a, template: leaf}]"
    inline = "[{name: b, inline: {inputs: {parameters: [{name: i, value: x}]}, container: {image: '%s', args: ['%s']}}}]"
    assert errors(steps(first, inline % ("x", "{{steps.a.outputs.result}} {{inputs.parameters.i}} {{pod.name}}"))) == []
    assert errors(steps(first, inline % ("", "x"))) == ["templates.main.steps[1].b templates..container.image may not be empty"]
    assert places(steps(first, inline % ("x", "{{inputs.parameters.j}}"))) == {
        "spec/templates/0/steps/1/0/inline/container/args/0": (
            "templates.main.steps[1].b templates.: failed to resolve {{inputs.parameters.j}}"
        )
    }


def test_templates_may_call_each_other_in_circles():
    assert (
        errors(
            "entrypoint: a\ntemplates:\n  - {name: a, steps: [[{name: x, template: b}]]}\n  - {name: b, steps: [[{name: y, template: a}]]}"
        )
        == []
    )


DAGS = [
    ([], ["templates.main must have at least one task"]),
    (["{template: leaf}"], ["templates.main.tasks[0].name is required"]),
    (["{name: a, template: leaf}", "{name: a, template: leaf}"], ["templates.main.tasks[1].name 'a' is not unique"]),
    (["{name: a, template: lea}"], ["templates.main.tasks.a template name 'lea' undefined"]),
    (["{name: a, template: need}"], ["templates.main.tasks.a templates.need inputs.parameters.p was not supplied"]),
    (["{name: a, template: leaf, dependencies: [z]}"], ["templates.main.tasks.a dependency 'z' not defined"]),
    (["{name: a, template: leaf, depends: z.Failed}"], ["templates.main.tasks.a dependency 'z' not defined"]),
    (
        ["{name: a, template: leaf}", "{name: b, template: leaf, depends: a.Foo}"],
        ["templates.main.tasks.b task result 'Foo' for task 'a' is invalid"],
    ),
    (["{name: a, template: leaf}", "{name: b, template: leaf, depends: a and a}"], ["templates.main.tasks.b dependency 'and' not defined"]),
    (
        ["{name: a, template: leaf}", "{name: b, template: leaf, depends: a.AllFailed}"],
        [
            (
                "templates.main.tasks.b dependency 'a' uses an items-based condition such as .AnySucceeded or .AllFailed but does not "
                "contain any items"
            )
        ],
    ),
    (["{name: a, template: leaf, withSequence: {count: 2}}", "{name: b, template: leaf, depends: a.AnySucceeded}"], []),
    (
        ["{name: 1a, template: leaf}", "{name: b, template: leaf, depends: 1a}"],
        ["templates.main.tasks.1a name cannot begin with a digit when using either 'depends' or 'dependencies'"],
    ),
    (["{name: 1a, template: leaf}"], []),
    (
        ["{name: a, template: leaf}", "{name: b, template: leaf, depends: a}", "{name: c, template: leaf, dependencies: [a]}"],
        ["templates.main cannot use both 'depends' and 'dependencies' in the same DAG template"],
    ),
    (
        ["{name: a, template: leaf, continueOn: {failed: true}}", "{name: b, template: leaf, depends: a}"],
        ["templates.main cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"],
    ),
    (
        ["{name: a, template: leaf, depends: c}", "{name: b, template: leaf, depends: a}", "{name: c, template: leaf, depends: b}"],
        ["templates.main.tasks dependency cycle detected: a->c->b->a"],
    ),
    (["{name: a, template: leaf, depends: a}"], ["templates.main.tasks dependency cycle detected: a->a"]),
    (
        ["{name: a, template: leaf}", f"{{name: b, {passing('tasks.a.outputs.parameters.o')}}}"],
        ["templates.main.tasks.b missing dependency 'a' for parameter 'p'"],
    ),
    (
        [
            "{name: a, template: leaf}",
            "{name: b, template: take, arguments: {artifacts: [{name: f, from: '{{tasks.a.outputs.artifacts.f}}'}]}}",
        ],
        ["templates.main.tasks.b missing dependency 'a' for artifact 'f'"],
    ),
    (
        [
            "{name: a, template: leaf}",
            "{name: b, template: leaf, depends: a}",
            f"{{name: c, depends: b, {passing('tasks.a.outputs.parameters.o')}}}",
        ],
        [],
    ),
    (
        [
            "{name: 't-{{workflow.name}}', template: leaf}",
            "{name: b, template: leaf, depends: 't-{{workflow.name}}.Failed {{workflow.uid}}'}",
            "{name: c, template: leaf, depends: 't-{{workflow.name}} && t-{{workflow.name}}.Foo'}",
            f"{{name: d, depends: 't-{{{{workflow.name}}}}', {passing('tasks.t-{{workflow.name}}.status')}}}",
        ],
        ["templates.main.tasks.c task result 'Foo' for task 't-{{workflow.name}}' is invalid"],
    ),
    (
        ["{name: a, template: leaf, withItems: [1], withParam: '[]'}"],
        ["templates.main.tasks.a only one of withItems, withParam, withSequence can be specified"],
    ),
    (
        ["{name: a, template: need, arguments: {parameters: [{name: p}]}}"],
        ["templates.main.tasks.a.arguments.p.value or templates.main.tasks.a.arguments.p.valueFrom is required"],
    ),
]


@pytest.mark.parametrize(("tasks", "messages"), DAGS)
def test_what_is_wrong_with_a_dag(tasks, messages):
    spec = dag(*tasks) if tasks else "entrypoint: main\ntemplates: [{name: main, dag: {tasks: []}}]"
    assert errors(spec) == messages


def test_each_of_many_tasks_alike_is_found_wrong_and_one_beside_right_ones_too():
    right = "template: need, arguments: {parameters: [{name: p, value: x}]}"
    other = "template: need, arguments: {parameters: [{name: q, value: x}]}"
    empty = "template: need, arguments: {parameters: [{name: p}]}"
    kinds = (right, other, right, other, empty, "template: need", "template: leaf", "template: leaf", "template: need")
    lines = [f"{{name: t{number}, {kind}}}" for number, kind in enumerate(kinds)]
    missing = "templates.need inputs.parameters.p was not supplied"
    assert errors(dag(*lines)) == [
        f"templates.main.tasks.t1 {missing}",
        f"templates.main.tasks.t3 {missing}",
        "templates.main.tasks.t4.arguments.p.value or templates.main.tasks.t4.arguments.p.valueFrom is required",
        f"templates.main.tasks.t5 {missing}",
        f"templates.main.tasks.t8 {missing}",
    ]


def test_a_depends_that_does_not_parse():
    [problem] = found(dag("{name: a, template: leaf}", "{name: b, template: leaf, depends: '(a.Succeeded && a.Failed'}"))
    assert problem.path == ("spec", "templates", 0, "dag", "tasks", 1, "depends")
    assert problem.message.startswith("templates.main.tasks.b ")


@pytest.mark.parametrize(
    ("target", "messages"),
    [
        ("a", []),
        ("a b", []),
        ("a c", ["templates.main.targets: target 'c' is not defined"]),
        ("'{{workflow.name}}'", []),
        ("'{{workflow.parameters.x}}'", ["templates.main.targets failed to resolve {{workflow.parameters.x}}"]),
    ],
)
def test_targets_are_tasks(target, messages):
    assert errors(dag("{name: a, template: leaf}", "{name: b, template: leaf}", more=f"      target: {target}\n")) == messages


TASK_TAGS = [
    ("tasks.a.outputs.parameters.o", True),
    ("tasks.a.status", True),
    ("tasks.far.status", True),
    ("tasks.a.outputs.parameters.x", False),
    ("tasks.other.status", False),
    ("tasks.self.status", False),
    ("tasks.nobody.id", False),
]


@pytest.mark.parametrize(("tag", "known"), TASK_TAGS)
def test_which_tags_a_task_may_use(tag, known):
    spec = dag(
        f"{{name: self, depends: a, {passing(tag)}}}",
        "{name: a, template: leaf, depends: far}",
        "{name: far, template: leaf}",
        "{name: other, template: leaf}",
    )
    messages = [message for message in errors(spec) if "missing dependency" not in message]
    assert messages == ([] if known else [f"templates.main.tasks.self failed to resolve {{{{{tag}}}}}"])


def test_a_when_that_can_never_be_evaluated_is_a_warning():
    spec = steps("[{name: a, template: leaf, when: 'a b'}, {name: b, template: leaf, when: '{{workflow.name}} b'}]")
    assert errors(spec) == []
    [message] = warnings(spec)
    assert message.startswith("templates.main.steps[0].a Failed to parse 'when' expression 'a b'") or "'a b'" in message


def test_hooks_of_tasks_are_warned_of_where_argo_finds_them_at_run_time():
    spec = dag("{name: a, template: leaf, hooks: {running: {template: leaf}}, onExit: nope}")
    assert errors(spec) == []
    assert warnings(spec) == ["templates.main.tasks.a.running Expression required", "template name 'nope' undefined"]


def test_every_problem_of_a_document_is_found_at_its_place():
    spec = dag(
        "{name: a, template: nope}",
        "{name: b, template: need, depends: zz}",
        f"{{name: c, {passing('inputs.parameters.q')}}}",
    )
    assert places(spec) == {
        "spec/templates/0/dag/tasks/0/template": "templates.main.tasks.a template name 'nope' undefined",
        "spec/templates/0/dag/tasks/1/depends": "templates.main.tasks.b dependency 'zz' not defined",
        "spec/templates/0/dag/tasks/1": "templates.main.tasks.b templates.need inputs.parameters.p was not supplied",
        "spec/templates/0/dag/tasks/2/arguments/parameters/0/value": ("templates.main.tasks.c failed to resolve {{inputs.parameters.q}}"),
    }
