"""Each advice where it is right, and none where it is not."""

import pytest

from tiphys import manifests
from tiphys.manifests import advising
from tiphys.settings import LimitSettings
from tiphys.spec.workflows import Workflow

HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wf}\nspec:\n"


def advice(spec: str, *, library: bool = False) -> list[tuple[str, str]]:
    """Message and place of each advice for a spec."""
    text = HEAD + "".join(f"  {line}\n" for line in spec.strip().splitlines())
    parsed = manifests.parse(text.encode(), "wf.yaml", LimitSettings())
    assert not parsed.diagnostics, [diagnostic.message for diagnostic in parsed.diagnostics]
    document = parsed.documents[0].document
    assert isinstance(document, Workflow)
    found = advising.of_spec(document.spec, ("spec",), callable_from_outside=library)
    assert all(finding.hint for finding in found)
    return [(finding.message, ".".join(map(str, finding.path))) for finding in found]


LEAF = "- {name: main, container: {image: x, command: [a]}}"
QUIET = "activeDeadlineSeconds: 60\nentrypoint: main\n"


def test_a_plain_workflow_with_a_deadline_gets_none() -> None:
    assert advice(f"{QUIET}templates:\n{LEAF}") == []


def test_one_line_says_which_steps_have_no_deadline() -> None:
    more = "\n".join(f"- {{name: {name}, container: {{image: x, command: [a]}}}}" for name in "bcd")
    steps = "- {name: main, steps: [[{name: b, template: b}, {name: c, template: c}, {name: d, template: d}, {name: h, template: h}]]}"
    http = "- {name: h, http: {url: http://x, timeoutSeconds: 5}}"
    ((message, place),) = advice(f"entrypoint: main\ntemplates:\n{steps}\n{more}\n{http}")
    assert message.endswith("for ever: b, c, d")
    assert place == "spec"
    ((message, place),) = advice(f"entrypoint: main\ntemplates:\n{LEAF}")
    assert (message.endswith("for ever: main"), place) == (True, "spec.templates.0")


@pytest.mark.parametrize(
    ("template", "count"),
    [
        ("retryStrategy: {limit: 2, retryPolicy: Always}, container: {image: x, command: [a]}", 1),
        ("retryStrategy: {limit: 2, retryPolicy: OnError}, http: {url: http://x, method: POST}", 1),
        ("retryStrategy: {limit: 2, retryPolicy: Always}, http: {url: http://x}", 0),
        ("retryStrategy: {limit: 2, retryPolicy: OnFailure}, container: {image: x, command: [a]}", 0),
        ("retryStrategy: {limit: 2, retryPolicy: Always}, container: {image: x, command: [a, '{{workflow.uid}}']}", 0),
        ("retryStrategy: {retryPolicy: OnFailure}, container: {image: x, command: [a]}", 1),
        ("retryStrategy: {backoff: {duration: 1, maxDuration: 60}}, container: {image: x, command: [a]}", 0),
    ],
)
def test_retries(template: str, count: int) -> None:
    assert len(advice(f"{QUIET}templates:\n- {{name: main, {template}}}")) == count


@pytest.mark.parametrize(
    ("leaf", "hints"),
    [
        ("script: {image: x, command: [bash], source: 'echo {{inputs.parameters.p}}'}", 1),
        ("script: {image: x, command: [/usr/bin/python3.11], source: 'print({{=inputs.parameters.p}})'}", 1),
        ("script: {image: x, command: [cat], source: '{{inputs.parameters.p}}'}", 0),
        ("container: {image: x, command: [sh, -c], args: ['echo {{inputs.parameters.p}}']}", 1),
        ("container: {image: x, command: [sh, -c, 'echo $0', '{{inputs.parameters.p}}']}", 0),
        ("container: {image: x, command: [bash, -euc, 'echo {{workflow.name}}']}", 0),
        ("container: {image: x, command: [echo, '{{inputs.parameters.p}}']}", 0),
    ],
)
def test_values_pasted_into_programs(leaf: str, hints: int) -> None:
    found = advice(f"{QUIET}templates:\n- {{name: main, inputs: {{parameters: [{{name: p, value: v}}]}}, {leaf}}}")
    assert [("is pasted into" in message) for message, _ in found] == [True] * hints


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ("steps: [[{name: a, template: work}], [{name: cleanup, template: work}]]", 1),
        ("steps: [[{name: a, template: work, continueOn: {failed: true}}], [{name: cleanup, template: work}]]", 0),
        ("steps: [[{name: cleanup, template: work}], [{name: a, template: work}]]", 0),
        ("dag: {tasks: [{name: a, template: work}, {name: tear-down, template: work, depends: a}]}", 1),
        ("dag: {tasks: [{name: a, template: work}, {name: tear-down, template: work, depends: a.Succeeded || a.Failed}]}", 0),
        ("dag: {tasks: [{name: a, template: work}, {name: make-release, template: work, depends: a}]}", 0),
    ],
)
def test_cleaning_up_as_the_last_step(steps: str, count: int) -> None:
    spec = f"{QUIET}templates:\n- {{name: main, {steps}}}\n- {{name: work, container: {{image: x, command: [a]}}}}"
    assert len(advice(spec)) == count
    assert advice("onExit: work\n" + spec) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("arguments: {parameters: [{name: db-password, value: hunter2}]}", 1),
        ("arguments: {parameters: [{name: db-password, value: ''}]}", 0),
        ("arguments: {parameters: [{name: password-file, value: /run/secret}]}", 0),
        ("arguments: {parameters: [{name: key, value: AKIAABCDEFGHIJKLMNOP}]}", 1),
        ("arguments: {parameters: [{name: tokens-per-minute, value: '7'}]}", 0),
    ],
)
def test_secrets_in_plain_sight(text: str, count: int) -> None:
    assert len(advice(f"{QUIET}{text}\ntemplates:\n{LEAF}")) == count


def test_a_secret_in_a_variable_of_a_step() -> None:
    env = "[{name: API_TOKEN, value: abc}, {name: TOKEN, value: '{{inputs.parameters.t}}'}]"
    template = f"- {{name: main, container: {{image: x, command: [a], env: {env}}}}}"
    ((message, place),) = advice(f"{QUIET}templates:\n{template}")
    assert "API_TOKEN" in message
    assert place == "spec.templates.0.container.env.0"


def test_templates_that_nothing_calls() -> None:
    other = "- {name: lost, container: {image: x, command: [a]}}"
    assert advice(f"{QUIET}templates:\n{LEAF}\n{other}") == [("nothing calls the template lost", "spec.templates.1")]
    assert advice(f"{QUIET}templates:\n{LEAF}\n{other}", library=True) == []
    assert advice(f"{QUIET}onExit: lost\ntemplates:\n{LEAF}\n{other}") == []
    dynamic = "- {name: main, steps: [[{name: a, template: '{{workflow.parameters.t}}'}]]}"
    assert advice(f"{QUIET}arguments: {{parameters: [{{name: t, value: lost}}]}}\ntemplates:\n{dynamic}\n{other}") == []


@pytest.mark.parametrize(
    ("loop", "count"),
    [
        ("withItems: [1, 2]", 0),
        ("withSequence: {count: 5}", 0),
        ("withSequence: {count: 500}", 1),
        ("withParam: '{{workflow.parameters.l}}'", 1),
    ],
)
def test_wide_loops(loop: str, count: int) -> None:
    main = f"- {{name: main, steps: [[{{name: a, template: work, {loop}}}]]}}\n- {{name: work, container: {{image: x, command: [a]}}}}"
    spec = f"{QUIET}arguments: {{parameters: [{{name: l, value: '[]'}}]}}\ntemplates:\n{main}"
    assert len(advice(spec)) == count
    assert advice("parallelism: 3\n" + spec) == []
