"""The rules about one template: its kind, inputs, outputs, containers, and the tags it may use."""

import pytest

from tests.manifests.linting import errors, places, warnings

SPEC = """\
entrypoint: main
arguments: {parameters: [{name: p, value: v}]}
templates:
  - name: main
%s
  - {name: leaf, container: {image: a}}
"""


def main(body: str) -> str:
    """A workflow whose template `main` has this body."""
    return SPEC % "\n".join(f"    {line}" for line in body.splitlines())


CHOICE = "choose one of: container, containerSet, steps, script, resource, dag, suspend, template, template ref"

BODIES = [
    ("daemon: true", [f"templates.main template type unspecified. {CHOICE}"]),
    ("suspend: {}\ncontainer: {image: a}", [f"templates.main multiple template types specified. {CHOICE}"]),
    ("steps: []", []),
    ("http: {url: x}", []),
    ("plugin: {hello: {}}", []),
    # deadlines and limits
    ("steps: []\nactiveDeadlineSeconds: 3", ["templates.main.activeDeadlineSeconds is only valid for leaf templates"]),
    ("suspend: {}\nactiveDeadlineSeconds: -1", ["templates.main.activeDeadlineSeconds must be a positive integer > 0 or an argo variable"]),
    ("suspend: {}\nactiveDeadlineSeconds: x", ["templates.main.activeDeadlineSeconds must be a positive integer > 0 or an argo variable"]),
    ("suspend: {}\nactiveDeadlineSeconds: '{{workflow.parameters.p}}'", []),
    ("suspend: {}\nactiveDeadlineSeconds: '30'", []),
    (f"suspend: {{}}\nactiveDeadlineSeconds: '{'9' * 5000}'", []),
    ("suspend: {}\nparallelism: 2", ["templates.main.parallelism is only valid for steps and dag templates"]),
    ("steps: []\nparallelism: 2", []),
    ("steps: []\ntimeout: 5s", ["Steps template doesn't support timeout field"]),
    ("dag: {tasks: [{name: a, template: leaf}]}\npendingTimeout: 5s", ["DAG template doesn't support pendingTimeout field"]),
    ("suspend: {}\ntimeout: '5'", ["main has invalid duration format in timeout"]),
    ("suspend: {}\ntimeout: 5s\npendingTimeout: '5'", []),
    ("suspend: {}\nretryStrategy: {retryPolicy: Sometimes}", ["Sometimes is not a valid RetryPolicy"]),
    ("suspend: {}\nretryStrategy: {expression: 'asInt('}", ["templates.main.retryStrategy.expression: unexpected token EOF"]),
    ("suspend: {}\nretryStrategy: {expression: 'asInt(lastRetry.exitCode) > {{workflow.parameters.p}}'}", []),
    # inputs
    (
        "suspend: {}\ninputs: {parameters: [{name: a, value: x}, {name: a, value: x}]}",
        ["templates.main.inputs.parameters[1].name 'a' is not unique"],
    ),
    (
        "container: {image: a}\ninputs: {artifacts: [{name: a, raw: {data: x}}]}",
        ["error in templates.main.inputs.artifacts.a: Artifact 'a' did not specify a path"],
    ),
    (
        "container: {image: a}\ninputs: {artifacts: [{name: a, path: /safe/../../etc, raw: {data: x}}]}",
        [
            (
                "error in templates.main.inputs.artifacts.a: Artifact 'a' attempted to use a path containing '..'. "
                "Directory traversal is not permitted"
            )
        ],
    ),
    ("container: {image: a}\ninputs: {artifacts: [{name: a, path: /safe/b/../b/c, raw: {data: x}}]}", []),
    (
        "steps: []\ninputs: {artifacts: [{name: a, path: /a, raw: {data: x}}]}",
        ["templates.main.inputs.artifacts.a.path only valid in container/script templates"],
    ),
    (
        "steps: []\ninputs: {artifacts: [{name: a, from: x, raw: {data: x}}]}",
        ["templates.main.inputs.artifacts.a.from not valid in inputs"],
    ),
    (
        "container: {image: a}\ninputs: {artifacts: [{name: a, path: /a, git: {}}]}",
        ["templates.main.inputs.artifacts.a.git.repo is required"],
    ),
    (
        "container: {image: a}\ninputs: {artifacts: [{name: a, path: /a, hdfs: {addresses: [h], path: rel, hdfsUser: u}}]}",
        ["templates.main.inputs.artifacts.a.hdfs.path must be a absolute file path"],
    ),
    (
        "container: {image: a}\narchiveLocation: {hdfs: {addresses: [h], path: /p}}",
        [
            (
                "either templates.main.archiveLocation.hdfs.hdfsUser, templates.main.archiveLocation.hdfs.krbCCacheSecret or "
                "templates.main.archiveLocation.hdfs.krbKeytabSecret is required"
            )
        ],
    ),
    # containers
    ("container: {command: [a]}", ["templates.main.container.image may not be empty"]),
    ("script: {source: x}", ["templates.main.script.image may not be empty"]),
    (
        "container: {image: a, volumeMounts: [{name: x, mountPath: /a}, {name: y, mountPath: /a}]}",
        ["templates.main.container.volumeMounts[1].mountPath '/a' already mounted in container.volumeMounts.x"],
    ),
    (
        "container: {image: a, volumeMounts: [{name: x, mountPath: /a}]}\ninputs: {artifacts: [{name: b, path: /a, raw: {data: x}}]}",
        ["templates.main.inputs.artifacts[0].path '/a' already mounted in container.volumeMounts.x"],
    ),
    ("container: {image: a}\ninitContainers: [{image: b}]", ["initContainers must all have container name"]),
    (
        "container: {image: a}\nsidecars: [{name: wait, image: b}]",
        ['templates.main.sidecars[0].name: "wait" is a reserved Argo container name'],
    ),
    ("container: {image: a}\npodResources: {requests: {gpu: 1}}", ['templates.main.podResources: "gpu" is not a valid pod-level resource']),
    ("container: {image: a}\npodResources: {limits: [1], requests: 3}", []),
    ("steps: []\npodResources: {requests: {cpu: 1}}", ["templates.main.podResources is not supported for Steps templates"]),
    ("containerSet: {containers: []}", ["templates.main.containerSet.containers must have at least one container"]),
    ("containerSet: {containers: [{image: a}]}", ["templates.main.containerSet.containers[0].name is required"]),
    (
        "containerSet: {containers: [{name: a, image: a}, {name: a, image: a}]}",
        ["templates.main.containerSet.containers[1].name 'a' is not unique"],
    ),
    (
        "containerSet: {containers: [{name: a, image: a, dependencies: [b]}]}",
        ["templates.main.containerSet.containers.a dependency 'b' not defined"],
    ),
    (
        "containerSet: {containers: [{name: a, image: a, dependencies: [b]}, {name: b, image: a, dependencies: [a]}]}",
        ["templates.main.containerSet.containers dependency cycle detected: a->b->a"],
    ),
    (
        "containerSet: {containers: [{name: a, image: a}], volumeMounts: [{name: x, mountPath: /a}, {name: y, mountPath: /a}]}",
        ["templates.main.containerSet.volumeMounts[1].mountPath '/a' already mounted in volumeMounts.x"],
    ),
    (
        "containerSet: {containers: [{name: a, image: a}]}\noutputs: {parameters: [{name: o, valueFrom: {path: /o}}]}",
        ['templates.main.containerSet.containers must have a container named "main" for input or output'],
    ),
    (
        "containerSet: {containers: [{name: artifact-plugin-x, image: a}]}",
        ['templates.main.containerSet.containers[0].name: "artifact-plugin-x" is a reserved Argo container name'],
    ),
    # resources
    (
        "resource: {action: mend, manifest: 'a: b'}",
        ["templates.main.resource.action must be one of: get, create, apply, delete, replace, patch"],
    ),
    ("resource: {action: create}", ["either templates.main.resource.manifest or templates.main.resource.manifestFrom must be specified"]),
    ("resource: {action: get}", []),
    (
        (
            "resource: {action: create, manifest: 'a: b', manifestFrom: {artifact: {name: m}}}\n"
            "inputs: {artifacts: [{name: m, path: /m, raw: {data: x}}]}"
        ),
        ["shouldn't have both `manifest` and `manifestFrom` specified in `Manifest` for resource template"],
    ),
    ("resource: {action: create, manifestFrom: {artifact: {name: m}}}", ["artifact m in `manifestFrom` refer to a non-exist artifact"]),
    ("resource: {action: create, manifest: 'a: b: c'}", ["templates.main.resource.manifest must be a valid yaml"]),
    ("resource: {action: create, manifest: 'a: {{=toJson(1)}}'}", []),
    # outputs
    (
        "container: {image: a}\noutputs: {parameters: [{name: o}]}",
        ["templates.main.outputs.parameters.o does not have valueFrom or value specified"],
    ),
    (
        "container: {image: a}\noutputs: {parameters: [{name: o, value: x, valueFrom: {path: /o}}]}",
        ["templates.main.outputs.parameters.o has both valueFrom and value specified, choose one"],
    ),
    (
        "container: {image: a}\noutputs: {parameters: [{name: o, valueFrom: {expression: x}}]}",
        ["templates.main.outputs.parameters.o.path must be specified for Container templates"],
    ),
    (
        "script: {image: a}\noutputs: {parameters: [{name: o, valueFrom: {default: x}}]}",
        ["valueFrom type unspecified. choose one of: path, jqFilter, jsonPath, parameter, raw, expression"],
    ),
    (
        "container: {image: a}\noutputs: {parameters: [{name: o, valueFrom: {path: /x, jqFilter: .x}}]}",
        ["multiple valueFrom types specified. choose one of: path, jqFilter, jsonPath, parameter, raw"],
    ),
    (
        "resource: {action: get}\noutputs: {parameters: [{name: o, valueFrom: {path: /x}}]}",
        ["templates.main.outputs.parameters.o .jqFilter or jsonPath must be specified for Resource templates"],
    ),
    (
        "steps: []\noutputs: {parameters: [{name: o, valueFrom: {path: /x}}]}",
        ["templates.main.outputs.parameters.o.parameter or expression must be specified for Steps templates"],
    ),
    (
        "steps: []\noutputs: {parameters: [{name: o, valueFrom: {parameter: x, expression: x}}]}",
        [
            "templates.main.outputs.parameters.o shouldn't have both `from` and `expression` specified in `ValueFrom` for Steps templates",
        ],
    ),
    (
        "steps: []\noutputs: {parameters: [{name: o, valueFrom: {expression: 'a ??'}}]}",
        ["templates.main.outputs.parameters.o.valueFrom.expression: unexpected token EOF"],
    ),
    ("suspend: {}\noutputs: {parameters: [{name: o, valueFrom: {supplied: {}}}]}", []),
    (
        "container: {image: a}\noutputs: {parameters: [{name: o, globalName: 'a b', valueFrom: {path: /o}}]}",
        [
            (
                "templates.main.outputs.parameters.o.globalName: Parameter/Artifact name must consist of alpha-numeric characters, "
                "'_' or '-' e.g. my_param_1, MY-PARAM-1"
            )
        ],
    ),
    ("container: {image: a}\noutputs: {artifacts: [{name: o, globalName: 'a-{{workflow.parameters.p}}', path: /o}]}", []),
    (
        "container: {image: a}\noutputs: {artifacts: [{name: o}]}",
        ["error in templates.main.outputs.artifacts.o: Artifact 'o' did not specify a path"],
    ),
    (
        "steps: []\noutputs: {artifacts: [{name: o, path: /o}]}",
        ["templates.main.outputs.artifacts.o.path only valid in container/script templates"],
    ),
    (
        "steps: []\noutputs: {artifacts: [{name: o, fromExpression: 'a ? b'}]}",
        ["templates.main.outputs.artifacts.o.fromExpression: unexpected token EOF"],
    ),
    # metrics
    (
        "suspend: {}\nmetrics: {prometheus: [{name: a-b, help: h, counter: {value: 1}}]}",
        ["templates.main metric name 'a-b' is invalid. Metric names must contain alphanumeric characters or '_'"],
    ),
    (
        "suspend: {}\nmetrics: {prometheus: [{name: a, counter: {value: 1}}]}",
        ["templates.main metric 'a' must contain a help string under 'help: ' field"],
    ),
    (
        "suspend: {}\nmetrics: {prometheus: [{name: a, help: h, labels: [{key: x-y, value: z}], counter: {value: 1}}]}",
        ["metric label 'x-y' is invalid: keys may only contain alphanumeric characters or '_'"],
    ),
    ("suspend: {}\nmetrics: {prometheus: [{name: a, help: h, gauge: {}}]}", ["templates.main metric 'a' error: missing gauge.value"]),
    (
        "suspend: {}\nmetrics: {prometheus: [{name: a, help: h, gauge: {realtime: true, value: '{{resourcesDuration.cpu}}'}}]}",
        ["templates.main metric 'a' error: 'resourcesDuration.*' metrics cannot be used in real-time"],
    ),
    # expressions
    ("http: {url: x, successCondition: 'response.'}", ["templates.main.http.successCondition: unexpected end of expression"]),
    (
        "data: {source: {artifactPaths: {name: a, s3: {key: k}}}, transformation: [{expression: 'filter('}]}",
        ["templates.main.data.transformation[0].expression: unexpected token EOF"],
    ),
]


@pytest.mark.parametrize(("body", "messages"), BODIES)
def test_what_is_wrong_with_a_template(body, messages):
    assert errors(main(body)) == messages


def test_an_image_may_come_from_the_defaults():
    spec = "entrypoint: main\ntemplateDefaults: {%s: {image: x}}\ntemplates: [{name: main, %s: {command: [a]}}]"
    assert errors(spec % ("container", "container")) == []
    assert errors(spec % ("script", "script")) == []
    assert errors(spec % ("script", "container")) == ["templates.main.container.image may not be empty"]


def unresolved(tag: str) -> list[str]:
    return [f"templates.main: failed to resolve {{{{{tag}}}}}"]


TAGS = [
    ("workflow.name", True),
    ("workflow.parameters.p", True),
    (" workflow.parameters ", True),
    ("workflow.parameters.q", False),
    ("workflow.priority", False),
    ("workflow.creationTimestamp.Y", True),
    ("workflow.scheduledTime", True),
    ("workflow.duration", True),
    ("workflow.status", True),
    ("workflow.failures", False),
    ("workflow.outputs.parameters.g", False),
    ("workflow.labels.a", False),
    ("workflow.labels.json", True),
    ("inputs.parameters.i", True),
    ("inputs.parameters", True),
    ("inputs.parameters.j", False),
    ("inputs.artifacts.f.path", True),
    ("outputs.parameters.o.path", True),
    ("outputs.anything", True),
    ("pod.name", True),
    ("pod.ip", False),
    ("node.name", True),
    ("steps.name", True),
    ("tasks.name", True),
    ("steps.a.outputs.result", False),
    ("tasks.a.outputs.result", False),
    ("item", True),
    ("item.x", False),
    ("retries", True),
    ("my.own.template", True),
]


@pytest.mark.parametrize(("tag", "known"), TAGS)
def test_which_tags_a_leaf_may_use(tag, known):
    inputs = "inputs: {parameters: [{name: i, value: x}], artifacts: [{name: f, path: /f, raw: {data: x}}]}"
    assert errors(main(f"{inputs}\ncontainer: {{image: a, args: ['say {{{{{tag}}}}}']}}")) == ([] if known else unresolved(tag))


def test_a_template_without_a_pod_has_no_pod_name():
    assert errors(main("http: {url: '{{pod.name}}'}")) == unresolved("pod.name")


def test_an_unresolved_tag_is_found_where_it_is_written():
    body = "container:\n  image: a\n  env: [{name: x, value: 'a {{inputs.parameters.y}}'}]"
    assert places(main(body)) == {"spec/templates/0/container/env/0/value": unresolved("inputs.parameters.y")[0]}


def test_a_tag_that_never_ends_is_said_so():
    assert errors(main("container: {image: a, args: ['{{inputs.parameters.x }', b]}")) == [
        "templates.main: failed to resolve {{inputs.parameters.x }"
    ]


def test_an_expression_tag_must_parse_and_is_not_judged_further():
    assert errors(main("container: {image: a, args: ['{{=inputs.nobody + 1}}']}")) == []
    assert errors(main("container: {image: a, args: ['{{=1 +}}']}")) == ["templates.main: failed to parse {{=1 +}}: unexpected token EOF"]
    assert errors(main("container: {image: a, args: ['{{=\"a\" + }}']}")) == [
        'templates.main: failed to parse {{="a" + }}: unexpected token EOF'
    ]


def test_exported_outputs_are_known_once_their_template_has_been_called():
    producer = "{name: give, container: {image: a}, outputs: {parameters: [{name: o, globalName: g, valueFrom: {path: /o}}]}}"
    taker = "{name: take, container: {image: a, args: ['{{workflow.outputs.parameters.g}}']}}"
    spec = "entrypoint: main\ntemplates: [{name: main, steps: [[{name: a, template: %s}], [{name: b, template: %s}]]}, %s, %s]"
    assert errors(spec % ("give", "take", producer, taker)) == []
    assert errors(spec % ("take", "give", producer, taker)) == [
        "templates.main.steps[0].a templates.take: failed to resolve {{workflow.outputs.parameters.g}}"
    ]


def test_a_global_name_made_of_parameters_is_put_together():
    spec = (
        "entrypoint: main\nonExit: bye\narguments: {parameters: [{name: p, value: car}]}\ntemplates:\n"
        "  - {name: main, container: {image: a}, outputs: {artifacts: [{name: o, globalName: 'my-{{workflow.parameters.p}}', path: /o}]}}\n"
        "  - {name: bye, container: {image: a, args: ['{{workflow.outputs.artifacts.my-%s}}']}}"
    )
    assert errors(spec % "car") == []
    assert errors(spec % "bus") == ["templates.bye: failed to resolve {{workflow.outputs.artifacts.my-bus}}"]


def test_only_exit_handlers_know_the_failures():
    exit_handler = "{name: bye, container: {image: a, args: ['{{workflow.failures}}']}}"
    spec = f"entrypoint: main\n%stemplates:\n  - {{name: main, suspend: {{}}}}\n  - {exit_handler}"
    assert errors(spec % "onExit: bye\n") == []
    assert errors(spec % "hooks: {exit: {template: bye}}\n") == []
    assert errors(spec % "") == ["templates.bye templates.bye: failed to resolve {{workflow.failures}}"]


def test_templates_nobody_calls_are_judged_too_and_the_first_error_is_the_one_met_first():
    spec = (
        "entrypoint: main\ntemplates:\n  - {name: alone, script: {source: x}}\n  - {name: main, steps: [[{name: a, template: called}]]}\n"
        "  - {name: called, container: {}}"
    )
    assert errors(spec) == [
        "templates.main.steps[0].a templates.called.container.image may not be empty",
        "templates.alone templates.alone.script.image may not be empty",
    ]


def test_a_hook_that_runs_nothing_known_is_a_warning():
    spec = "entrypoint: main\nhooks: {exit: {template: by}}\ntemplates: [{name: main, suspend: {}}, {name: bye, suspend: {}}]"
    assert errors(spec) == []
    assert warnings(spec) == ["template name 'by' undefined"]
