"""The rules about whole documents: names, entry points, arguments, references, schedules."""

import pytest

from tests.manifests.linting import errors, found, places, warnings
from tiphys.spec import selectors

LEAF = "templates: [{name: main, container: {image: a, command: [b]}}]"
CRON = f"""\
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {{name: nightly}}
spec:
  workflowSpec: {{entrypoint: main, {LEAF}}}
  %s
"""
LIBRARY = """\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: library}
spec:
  entrypoint: greet
  arguments: {parameters: [{name: who, value: you}, {name: tone}]}
  workflowMetadata: {labels: {team: blue}}
  templates:
    - name: greet
      inputs: {parameters: [{name: who}]}
      outputs: {parameters: [{name: said, valueFrom: {path: /said}}]}
      container: {image: a, args: ["{{inputs.parameters.who}} {{workflow.labels.team}}"]}
    - name: outer
      steps: [[{name: a, template: greet, arguments: {parameters: [{name: who, value: x}]}}]]
---
"""
CLUSTER = LIBRARY.replace("kind: WorkflowTemplate", "kind: ClusterWorkflowTemplate").replace("name: library", "name: everybody")
WORKFLOW = LIBRARY + "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: t-}\nspec:\n  "


def test_a_right_workflow_has_no_problems():
    assert found(f"entrypoint: main\n{LEAF}") == []


ONE = [
    (f"{LEAF}", ["spec.entrypoint is required"]),
    (f"entrypoint: mian\n{LEAF}", ["template name 'mian' undefined"]),
    (
        "entrypoint: a_b\ntemplates: [{name: a_b, suspend: {}}]",
        [
            (
                "spec.templates[0].name: 'a_b' is invalid: name must consist of alpha-numeric characters or '-', and must start with an "
                "alpha-numeric character (e.g. My-name1-2, 123-NAME)"
            )
        ],
    ),
    ("entrypoint: a\ntemplates: [{name: a, suspend: {}}, {suspend: {}}]", ["spec.templates[1].name is required"]),
    ("entrypoint: a\ntemplates: [{name: a, suspend: {}}, {name: a, suspend: {}}]", ["spec.templates[1].name 'a' is not unique"]),
    (f"entrypoint: main\nonExit: bye\n{LEAF}", ["template name 'bye' undefined"]),
    (f"entrypoint: main\nhooks: {{running: {{template: main}}}}\n{LEAF}", ["hooks.running Expression required"]),
    (f"entrypoint: main\nhooks: {{exit: {{template: main}}}}\n{LEAF}", []),
    (f"entrypoint: main\npodGC: {{strategy: Sometimes}}\n{LEAF}", ["podGC.strategy unknown strategy 'Sometimes'"]),
    (
        f"entrypoint: main\npodGC: {{labelSelector: {{matchExpressions: [{{key: a, operator: Foo}}]}}}}\n{LEAF}",
        ['podGC.labelSelector invalid: "Foo" is not a valid label selector operator'],
    ),
    (
        f"entrypoint: main\npodGC: {{labelSelector: {{matchLabels: {{my label: a}}}}}}\n{LEAF}",
        [f'podGC.labelSelector invalid: key: Invalid value: "my label": a label\'s name is {selectors.NAME_RULE}'],
    ),
    (
        f"entrypoint: main\npodGC: {{labelSelector: {{matchExpressions: [{{key: a, operator: In, values: [b c, d]}}]}}}}\n{LEAF}",
        [f'podGC.labelSelector invalid: values[0][a]: Invalid value: "b c": a label\'s value is {selectors.VALUE_RULE}'],
    ),
    (
        f"entrypoint: main\npodGC: {{labelSelector: {{matchExpressions: [{{key: a, operator: In}}]}}}}\n{LEAF}",
        ["podGC.labelSelector invalid: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"],
    ),
    (
        f"entrypoint: main\npodResources: {{limits: {{cpu: 1, memory: 1Gi, hugepages-2Mi: 1Gi, disk: 1}}}}\n{LEAF}",
        ['spec.podResources: "disk" is not a valid pod-level resource'],
    ),
    (
        f"entrypoint: main\nworkflowMetadata: {{labelsFrom: {{a: {{expression: '1 +'}}}}}}\n{LEAF}",
        ["workflowMetadata.labelsFrom.a.expression: unexpected token EOF"],
    ),
]


@pytest.mark.parametrize(("spec", "messages"), ONE)
def test_what_is_wrong_with_a_spec(spec, messages):
    assert errors(spec) == messages


ARGUMENTS = [
    ("parameters: [{name: a, value: x, enum: []}]", ["spec.arguments.a.enum should contain at least one value"]),
    ("parameters: [{name: a, value: x, enum: [y]}]", ["spec.arguments.a.value should be present in spec.arguments.a.enum list"]),
    ("parameters: [{name: a, value: 1, enum: [1, 2]}]", []),
    ("parameters: [{name: a, valueFrom: {path: /x}}]", ["spec.arguments.a.valueFrom only allows: default, configMapKeyRef and supplied"]),
    ("parameters: [{name: a, valueFrom: {configMapKeyRef: {name: m, key: k}}}]", []),
    ("parameters: [{name: a, value: x}, {name: a, value: y}]", ["spec.arguments.parameters[1].name 'a' is not unique"]),
    (
        "parameters: [{name: 'a b', value: x}]",
        [
            (
                "spec.arguments.parameters[0].name: 'a b' is invalid: Parameter/Artifact name must consist of alpha-numeric characters, "
                "'_' or '-' e.g. my_param_1, MY-PARAM-1"
            )
        ],
    ),
    ("artifacts: [{name: a}]", ["spec.arguments.a.from, artifact location, or key is required"]),
    ("artifacts: [{name: a, s3: {bucket: b}}]", ["spec.arguments.a.from, artifact location, or key is required"]),
    ("artifacts: [{name: a, s3: {key: b}}]", []),
    ("artifacts: [{name: a, raw: {data: ''}}]", []),
    (
        "artifacts: [{name: a, from: '{{x}}', fromExpression: y}]",
        ["spec.arguments.a shouldn't have both `from` and `fromExpression` in Artifact"],
    ),
]


@pytest.mark.parametrize(("arguments", "messages"), ARGUMENTS)
def test_what_is_wrong_with_arguments(arguments, messages):
    assert errors(f"entrypoint: main\narguments: {{{arguments}}}\n{LEAF}") == messages


def test_a_value_may_be_left_open_until_submission():
    spec = f"entrypoint: main\narguments: {{parameters: [{{name: a}}, {{name: b, enum: [x]}}]}}\n{LEAF}"
    assert errors(spec) == []
    assert errors(spec, submitting=True) == [
        "spec.arguments.a.value or spec.arguments.a.valueFrom is required",
        "spec.arguments.b.value or spec.arguments.b.valueFrom is required",
    ]


ENTRY = "entrypoint: main\n%s\ntemplates: [{name: main, inputs: {parameters: [{name: a%s}]}, suspend: {}}]"


@pytest.mark.parametrize(
    ("arguments", "default", "messages"),
    [
        ("", "", ["templates.main inputs.parameters.a was not supplied"]),
        ("", ", default: x", []),
        ("", ", value: x", []),
        ("", ", valueFrom: {configMapKeyRef: {name: m, key: k}}", []),
        ("arguments: {parameters: [{name: a, value: x}]}", "", []),
        ("arguments: {parameters: [{name: b, value: x}]}", "", ["templates.main inputs.parameters.a was not supplied"]),
    ],
)
def test_the_entrypoint_needs_its_inputs(arguments, default, messages):
    assert errors(ENTRY % (arguments, default)) == messages


def test_an_input_artifact_needs_an_argument_a_place_or_leave_to_be_missing():
    spec = "entrypoint: main\ntemplates: [{name: main, inputs: {artifacts: [%s]}, container: {image: a}}]"
    assert errors(spec % "{name: a, path: /a}") == ["templates.main inputs.artifacts.a was not supplied"]
    assert errors(spec % "{name: a, path: /a, optional: true}") == []
    assert errors(spec % "{name: a, path: /a, s3: {key: k}}") == []


@pytest.mark.parametrize(
    ("kind", "words", "longest"),
    [
        ("Workflow", "workflow", 63),
        ("WorkflowTemplate", "workflow template", 63),
        ("ClusterWorkflowTemplate", "cluster workflow template", 63),
        ("CronWorkflow", "cron workflow", 52),
    ],
)
def test_names_of_documents_are_bounded(kind, words, longest):
    spec = f"entrypoint: main, {LEAF}"
    if kind == "CronWorkflow":
        spec = f"schedules: ['* * * * *'], workflowSpec: {{{spec}}}"
    text = f"apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: %s}}\nspec: {{{spec}}}"
    name = "a" * longest
    assert errors(text % name) == []
    message = f'{words} name "{name}a" must not be more than {longest} characters long (currently {longest + 1})'
    assert places(text % f"{name}a") == {"metadata/name": message}


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate"])
@pytest.mark.parametrize("field", ["name", "generateName", "namespace"])
@pytest.mark.parametrize("name", ["../../etc", "a/b", ".hidden", "-x", "a b", "a\\nb", "ünïcode-", "$(x)"])
def test_names_of_documents_can_be_names_of_folders(kind, field, name):
    text = f'apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{{field}: "{name}"}}\nspec: {{entrypoint: main, {LEAF}}}'
    [(place, message)] = places(text).items()
    assert place == f"metadata/{field}"
    assert message.startswith(f"metadata.{field}: Invalid value: ")


@pytest.mark.parametrize("name", ["a", "a.b-1", "UpperCase", "ends-with-"])
def test_names_that_only_kubernetes_minds_are_taken(name):
    assert errors(f"apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec: {{entrypoint: main, {LEAF}}}") == []


def test_a_workflow_template_may_use_what_its_workflows_will_bring():
    text = LIBRARY.removesuffix("---\n").replace("{{workflow.labels.team}}", "{{workflow.parameters.unknown}}")
    assert errors(text) == []
    assert errors(text.replace("  entrypoint: greet\n", "")) == []


REFERENCES = [
    ("workflowTemplateRef: {name: library}", []),
    ("workflowTemplateRef: {name: libary}", ['workflowtemplates.argoproj.io "libary" not found']),
    ("workflowTemplateRef: {name: library, clusterScope: true}", ['clusterworkflowtemplates.argoproj.io "library" not found']),
    (
        f"workflowTemplateRef: {{name: library}}\n  {LEAF}",
        ["Templates is invalid field in spec if workflow referred WorkflowTemplate reference"],
    ),
    ("workflowTemplateRef: {name: library}\n  entrypoint: nope", ["template name 'nope' undefined"]),
    ("workflowTemplateRef: {name: library}\n  arguments: {parameters: [{name: who}]}", []),
]


@pytest.mark.parametrize(("spec", "messages"), REFERENCES)
def test_a_workflow_takes_its_templates_from_a_known_resource(spec, messages):
    assert errors(WORKFLOW + spec) == messages


def test_a_workflow_parameter_without_value_erases_the_templates_own():
    spec = WORKFLOW + "workflowTemplateRef: {name: library}\n  arguments: {parameters: [{name: who}]}"
    assert errors(spec, submitting=True) == [
        "spec.arguments.who.value or spec.arguments.who.valueFrom is required",
        "spec.arguments.tone.value or spec.arguments.tone.valueFrom is required",
    ]


@pytest.mark.parametrize(
    ("ref", "messages"),
    [
        ("{name: library, template: outer}", []),
        ("{name: everybody, template: outer, clusterScope: true}", []),
        ("{name: everybody, template: outer}", ["templates.main.steps[0].a template reference everybody.outer not found"]),
        ("{name: library, template: uoter}", ["templates.main.steps[0].a template reference library.uoter not found"]),
        ("{template: outer}", ["templates.main.steps[0].a resource name is required"]),
        ("{name: library}", ["templates.main.steps[0].a template name is required"]),
        ("{name: '{{item}}', template: outer}", []),
        ("{name: '{{workflow.parameters.lib}}', template: outer}", []),
        ("{name: '{{workflow.parameters.lib}}', template: nope}", ["templates.main.steps[0].a template reference library.nope not found"]),
    ],
)
def test_a_template_ref_is_complete_and_known(ref, messages):
    head = CLUSTER + WORKFLOW + "arguments: {parameters: [{name: lib, value: library}]}\n  entrypoint: main\n  "
    head += "workflowMetadata: {labels: {team: red}}\n  "
    assert errors(f"{head}templates: [{{name: main, steps: [[{{name: a, templateRef: {ref}}}]]}}]") == messages


def test_a_referenced_template_is_judged_in_the_workflow_that_calls_it():
    spec = "entrypoint: main\n  templates: [{name: main, steps: [[{name: a, templateRef: {name: library, template: greet}}]]}]"
    assert places(WORKFLOW + spec) == {
        "spec/templates/0/steps/0/0/templateRef": "templates.main.steps[0].a templates.greet: failed to resolve {{workflow.labels.team}}",
        "spec/templates/0/steps/0/0": "templates.main.steps[0].a templates.greet inputs.parameters.who was not supplied",
    }


SCHEDULES = [
    ("*/5 0-6,12 1 JAN-mar ?", ""),
    ("0 0 * * sun", ""),
    ("@hourly", ""),
    ("@every 1h30m", ""),
    ("TZ=Europe/Berlin 0 5 * * *", ""),
    ("CRON_TZ=Mars/Base 0 5 * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ("", "empty spec string"),
    ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
    ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
    ("60 * * * *", "end of range (60) above maximum (59): 60"),
    ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
    ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ("10-5 * * * *", "beginning of range (10) beyond end of range (5): 10-5"),
    ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    ("1/2/3 * * * *", "too many slashes: 1/2/3"),
    ("*/0 * * * *", "step of range should be a positive number: */0"),
    ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
    ("@fortnightly", "unrecognized descriptor: @fortnightly"),
    ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
]


@pytest.mark.parametrize(("schedule", "fault"), SCHEDULES)
def test_schedules_are_those_of_the_standard_parser(schedule, fault):
    wanted = [f"cron schedule {schedule} is malformed: {fault}"] if fault else []
    assert errors(CRON % f'schedules: ["{schedule}"]', timezones=frozenset({"Europe/Berlin"})) == wanted


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ("schedules: []", ["cron workflow must have at least one schedule"]),
        ("schedules: ['@daily']\n  timezone: Mars/Base", ['invalid timezone "Mars/Base": unknown time zone Mars/Base']),
        ("schedules: ['@daily']\n  concurrencyPolicy: Maybe", ["'Maybe' is not a valid concurrencyPolicy"]),
        ("schedules: ['@daily']\n  startingDeadlineSeconds: -1", ["startingDeadlineSeconds must be positive"]),
        ("schedules: ['@daily']\n  stopStrategy: {expression: 'a ='}", ['stopStrategy.expression: unexpected token Operator("=")']),
    ],
)
def test_what_is_wrong_with_a_cron_workflow(fields, messages):
    assert errors(CRON % fields, timezones=frozenset({"Europe/Berlin"})) == messages


def test_a_zone_is_judged_by_its_shape_where_none_are_known():
    assert errors(CRON % "schedules: ['@daily']\n  timezone: Mars/Base") == []
    assert errors(CRON % "schedules: ['@daily']\n  timezone: not a zone") == ['invalid timezone "not a zone": unknown time zone not a zone']


def test_a_cron_workflow_must_bring_all_values_of_its_workflow():
    text = (CRON % "schedules: ['@daily']").replace("entrypoint: main", "entrypoint: main, arguments: {parameters: [{name: a}]}")
    message = "cannot validate Workflow: spec.arguments.a.value or spec.arguments.a.valueFrom is required"
    assert places(text) == {"spec/workflowSpec/arguments/parameters/0": message}


def test_old_forms_are_accepted_with_a_warning():
    text = CRON % "schedule: '@daily'"
    assert errors(text) == []
    assert warnings(text) == ["schedule is the old form of schedules"]
    lock = "synchronization: {mutex: {name: a}, semaphore: {configMapKeyRef: {name: a, key: b}}}"
    spec = f"entrypoint: main\n{lock}\npodPriority: 3\ntemplates: [{{name: main, suspend: {{}}, {lock}}}]"
    assert errors(spec) == []
    locks = [
        "synchronization.semaphore is the old form of synchronization.semaphores",
        "synchronization.mutex is the old form of synchronization.mutexes",
    ]
    priority = "podPriority is no longer a field of Argo Workflows"
    assert places(spec) == {
        "spec/synchronization/semaphore": locks[0],
        "spec/synchronization/mutex": locks[1],
        "spec/templates/0/synchronization/semaphore": locks[0],
        "spec/templates/0/synchronization/mutex": locks[1],
        "spec/podPriority": priority,
    }


def test_a_wrong_spec_metric_is_a_warning():
    spec = f"entrypoint: main\nmetrics: {{prometheus: [{{name: a.b, help: h, counter: {{value: 1}}}}]}}\n{LEAF}"
    assert errors(spec) == []
    assert warnings(spec) == ["spec metric name 'a.b' is invalid. Metric names must contain alphanumeric characters or '_'"]


def test_a_name_that_is_nearly_right_gets_a_hint():
    [problem] = found("entrypoint: biuld\ntemplates: [{name: build, suspend: {}}]")
    assert (problem.path, problem.hint) == (("spec", "entrypoint"), 'did you mean "build"?')
