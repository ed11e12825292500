"""Files into documents, or into every mistake they hold, each at its place and in Argo's words."""

import json

import pytest

from tiphys import manifests, settings
from tiphys.spec import workflows
from tiphys.spec.work import Severity

LIMITS = settings.LimitSettings()
HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: one\nspec:\n"


def parse(text, file="wf.yaml", limits=LIMITS):
    return manifests.parse(text if isinstance(text, bytes) else text.encode(), file, limits)


def workflow(text):
    parsed = parse(text)
    assert parsed.diagnostics == ()
    (located,) = parsed.documents
    assert isinstance(located.document, workflows.Workflow)
    return located.document


def said(parsed):
    return [(item.line, item.column, item.message) for item in parsed.diagnostics]


def errors(parsed):
    return [(item.line, item.column, item.message) for item in parsed.diagnostics if item.severity is Severity.ERROR]


def parameter(value):
    parsed = parse(HEAD + f"  arguments:\n    parameters:\n    - {{name: a, value: {value}}}\n")
    assert not errors(parsed)
    return parsed.documents[0].document.spec.arguments.parameters[0].value


def test_a_workflow_is_read_with_all_its_parts():
    document = workflow(
        HEAD
        + "  entrypoint: main\n"
        + "  templates:\n"
        + "  - name: main\n"
        + "    steps:\n"
        + "    - - name: a\n"
        + "        template: echo\n"
        + "        withItems: [1, yes, {b: 2.0}, null]\n"
        + "  - name: echo\n"
        + "    activeDeadlineSeconds: 30\n"
        + "    container: {image: 'alpine:3.20', command: [echo]}\n"
    )
    assert document.metadata.name == "one"
    main, echo = document.spec.templates
    assert main.steps is not None
    assert main.steps[0][0].with_items == (1, True, {"b": 2}, None)
    assert echo.active_deadline_seconds == 30
    assert echo.container is not None
    assert echo.container.command == ("echo",)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.0", "1"),
        ("yes", "true"),
        ("0644", "420"),
        ("1e3", "1000"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("'1.0'", "1.0"),
        ('"yes"', "yes"),
        ("!!str 0644", "0644"),
        ("null", None),
        ("~", None),
        ("''", ""),
    ],
)
def test_parameter_values_may_be_any_scalar_and_become_text_as_in_argo(written, value):
    assert parameter(written) == value


def test_a_number_that_loses_digits_is_warned_about():
    parsed = parse(HEAD + "  arguments: {parameters: [{name: a, value: 12345678901234567890}]}\n")
    (warning,) = parsed.diagnostics
    assert warning.severity is Severity.WARNING
    assert warning.message == "the number is read as 12345678901234567000"
    assert '"12345678901234567890"' in warning.hint


def test_explicit_nulls_are_as_if_absent():
    text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {creationTimestamp: null, name: one}\n"
    document = workflow(text + "spec: {templates: null, entrypoint: ~, arguments: }\nstatus:\n")
    assert document.spec == workflows.WorkflowSpec()


def test_a_status_that_was_copied_along_is_left_out_with_a_notice():
    parsed = parse(HEAD + "  entrypoint: main\nstatus:\n  phase: Running\n  nonsense: 1\n")
    assert [(item.severity, item.line) for item in parsed.diagnostics] == [(Severity.NOTICE, 7)]
    assert parsed.documents[0].document.status is None


def test_json_is_read_too():
    value = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {"entrypoint": "main", "parallelism": 3}}
    assert workflow(json.dumps(value, indent="\t")).spec.parallelism == 3


@pytest.mark.parametrize(
    "encode",
    [lambda text: b"\xef\xbb\xbf" + text.encode(), lambda text: text.encode("utf-16"), lambda text: text.replace("\n", "\r\n").encode()],
)
def test_byte_order_marks_and_line_ends_of_other_systems_are_read(encode):
    assert workflow(encode(HEAD + "  entrypoint: main\n")).spec.entrypoint == "main"


def test_every_mistake_of_a_file_is_found_at_once_in_argos_words():
    parsed = parse(
        HEAD
        + "  entrypont: main\n"
        + "  parallelism: '3'\n"
        + "  suspend: 1\n"
        + "  templates:\n"
        + "  - name: [a]\n"
        + "    contaner: {}\n"
        + "    steps:\n"
        + "    - name: b\n"
        + "    - - name: c\n"
        + "        tempate: d\n"
        + "        arguments: []\n"
        + "      - e\n"
        + "    dag:\n"
        + "      tasks: {}\n"
        + "---\n"
        + "kind: ConfigMap\n"
        + "data: 3\n"
    )
    field = "json: cannot unmarshal {} into Go struct field {} of type {}"
    assert said(parsed) == [
        (6, 3, 'strict decoding error: unknown field "spec.entrypont"'),
        (7, 3, field.format("string", "WorkflowSpec.spec.parallelism", "int64")),
        (8, 3, field.format("number", "WorkflowSpec.spec.suspend", "bool")),
        (10, 5, field.format("array", "Template.spec.templates.name", "string")),
        (11, 5, 'strict decoding error: unknown field "spec.templates[0].contaner"'),
        (13, 7, "json: cannot unmarshal object into Go value of type []map[string]interface {}"),
        (15, 9, 'json: unknown field "tempate"'),
        (16, 9, field.format("array", "WorkflowStep.arguments", "v1alpha1.Arguments")),
        (17, 9, "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (19, 7, field.format("object", "DAGTemplate.spec.templates.dag.tasks", "[]v1alpha1.DAGTask")),
        (21, 1, "apiVersion is required"),
        (22, 1, field.format("number", "ConfigMap.data", "map[string]")),
    ]
    assert parsed.documents == ()


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("  entrypont: a", 'did you mean "entrypoint"?'),
        ("  on_exit: a", 'did you mean "onExit"?'),
        ("  image: a", ""),
        ("  on: a", "YAML reads an unquoted yes, no, on, off, y or n as a boolean"),
        ("  templates: [{image: a}]", '"image" is a field of container, script'),
        ("  priority: '1'", "write it without quotes"),
        ("  priority: '{{x}}'", "a template tag cannot stand in this field: it takes a literal value only"),
        ("  arguments: {parameters: [{name: a, value: {b: 1}}]}", "write it as JSON text in quotes: '{\"b\":1}'"),
        ("  templates: {name: a}", "a list is expected here: begin each item with `- `"),
        ("  arguments: a", "a map is expected here: write `key: value` lines below it"),
    ],
)
def test_a_mistake_comes_with_what_to_do(line, hint):
    (diagnostic,) = parse(HEAD + line + "\n").diagnostics
    assert diagnostic.severity is Severity.ERROR
    assert diagnostic.hint == hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata: {label: {a: b}}\n", 'unknown field "metadata.label" is ignored'),
        ("metadata: {name: 3}\n", 'the number is read as the text "3"'),
        ("spec: {Entrypoint: main}\n", 'the field "Entrypoint" is read as "entrypoint"'),
        ("spec: {entrypoint: !Ref main}\n", "the tag !Ref means nothing here and is ignored"),
    ],
)
def test_what_argos_controller_lets_pass_is_read_with_a_warning(text, message):
    parsed = parse("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n" + text)
    assert len(parsed.documents) == 1
    assert [(item.severity, item.message) for item in parsed.diagnostics] == [(Severity.WARNING, message)]


def test_a_field_in_another_case_has_its_value():
    parsed = parse(HEAD + "  Entrypoint: main\n  PARALLELISM: 2\n")
    assert parsed.documents[0].document.spec.entrypoint == "main"
    assert parsed.documents[0].document.spec.parallelism == 2


def test_a_field_in_two_cases_is_an_error():
    assert errors(parse(HEAD + "  Entrypoint: main\n  entrypoint: main\n")) == [
        (6, 3, 'strict decoding error: unknown field "spec.Entrypoint"')
    ]


def test_duplicate_keys_are_refused_each_at_its_place():
    parsed = parse(HEAD + "  entrypoint: a\n  entrypoint: b\n  'entrypoint': c\n")
    assert said(parsed) == [(7, 3, 'key "entrypoint" already set in map'), (8, 3, 'key "entrypoint" already set in map')]
    assert parsed.documents == ()


def test_merge_keys_fill_in_what_a_map_does_not_say_itself():
    parsed = parse(
        HEAD
        + "  templates:\n"
        + "  - &first {name: a, parallelism: 1, timeout: 1s}\n"
        + "  - {parallelism: 2, <<: *first}\n"
        + "  - {<<: [{name: b}, *first], parallelism: 3}\n"
    )
    assert [(item.name, item.parallelism, item.timeout) for item in parsed.documents[0].document.spec.templates] == [
        ("a", 1, "1s"),
        ("a", 2, "1s"),
        ("b", 3, "1s"),
    ]


def test_an_alias_is_a_copy():
    parsed = parse(
        HEAD
        + "  nodeSelector: &all {a: '1'}\n"
        + "  arguments: {parameters: [{name: x, value: &v 1}]}\n"
        + "  podMetadata: {labels: *all}\n"
        + "  priority: *v\n"
    )
    spec = parsed.documents[0].document.spec
    assert spec.pod_metadata.labels == {"a": "1"}
    assert (spec.priority, spec.arguments.parameters[0].value) == (1, "1")


def test_documents_without_kind_are_ignored_with_a_warning_and_empty_ones_without():
    parsed = parse("---\n---\nnote: hello\n---\n" + HEAD + "  entrypoint: main\n---\n")
    assert len(parsed.documents) == 1
    assert [(item.severity, item.line, item.message) for item in parsed.diagnostics] == [
        (Severity.WARNING, 3, "the document has no kind and is ignored")
    ]


@pytest.mark.parametrize(
    ("kind", "version"), [("Deployment", "apps/v1"), ("Role", "rbac.authorization.k8s.io/v1"), ("Sensor", "argoproj.io/v1alpha1")]
)
def test_foreign_kinds_are_ignored_with_a_warning(kind, version):
    parsed = parse(f"apiVersion: {version}\nkind: {kind}\nspec: {{a: 1}}\n")
    assert [(item.severity, item.message) for item in parsed.diagnostics] == [
        (Severity.WARNING, f"{kind} ({version}) is not run here: the document is ignored")
    ]


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workfow\n", 'unknown kind "Workfow"'),
        ("apiVersion: v1\nkind: workflow\n", 'unknown kind "workflow"'),
        ("apiVersion: v1\nkind: Workflow\n", 'unknown apiVersion "v1" of Workflow'),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Secret\n", 'unknown apiVersion "argoproj.io/v1alpha1" of Secret'),
        ("kind: Workflow\n", "apiVersion is required"),
        ("apiVersion: 1\nkind: Workflow\n", "apiVersion must be text"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: 1\n", "kind must be text"),
        ("apiVersion: argoproj.io/v1alpha1\nspec: {}\n", "kind is required"),
    ],
)
def test_a_document_that_is_plainly_meant_for_us_is_never_ignored(head, message):
    assert [message for *_, message in errors(parse(head))] == [message]


def test_a_list_is_its_items_with_their_own_places():
    parsed = parse(
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: a}}\n"
        "- apiVersion: argoproj.io/v1alpha1\n  kind: WorkflowTemplate\n  spec:\n    entry: b\n"
        "- 3\n"
        "- {kind: List, items: []}\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: 1}}\n"
    )
    assert said(parsed) == [
        (8, 5, 'strict decoding error: unknown field "spec.entry"'),
        (9, 3, "an item of a List must be a map"),
        (10, 3, "a List may not hold a List"),
    ]
    first, last = parsed.documents
    assert first.document.metadata.name == "a"
    assert last.document.data == {"k": "1"}
    assert last.marks.at(("metadata", "name")) == (11, 48)


def test_after_a_broken_document_reading_goes_on_at_the_next():
    parsed = parse("a: [\n---\n" + HEAD + "  entrypoint: a\n---\nb: @\n---\n" + HEAD + "  x: 1\n---\n" + HEAD + "  entrypoint: c\n")
    assert [located.document.spec.entrypoint for located in parsed.documents] == ["a", "c"]
    assert [(line, column) for line, column, _ in said(parsed)] == [(2, 1), (10, 4), (17, 3)]


def test_positions_after_a_broken_document_are_the_files():
    parsed = parse("a: [\n---\n" + HEAD + "  entrypoint: a\n")
    assert parsed.documents[0].marks.at(("spec", "entrypoint")) == (8, 3)


@pytest.mark.parametrize(
    ("limits", "text", "message"),
    [
        (settings.LimitSettings(file_bytes=10), HEAD, f"the file has {len(HEAD)} bytes; the limit is 10"),
        (settings.LimitSettings(nesting=3), "a: [[[1]]]", "nested deeper than 3 levels"),
        (settings.LimitSettings(nesting=3), "a: &a [[1]]\nb: [*a]", "nested deeper than 3 levels"),
        (settings.LimitSettings(aliases=3), "a: &a [1, 2]\nb: [*a, *a]", "aliases expand to more than 3 values"),
        (settings.LimitSettings(nodes=10), "[1, 2, 3, 4, 5]", "the file holds more than 10 values"),
    ],
)
def test_each_bound_has_its_error(limits, text, message):
    assert [message for *_, message in errors(parse(text, limits=limits))] == [message]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (settings.LimitSettings(nesting=4), "a: [[[1]]]"),
        (settings.LimitSettings(nesting=4), "a: &a [[1]]\nb: [*a]"),
        (settings.LimitSettings(aliases=6), "a: &a [1, 2]\nb: [*a, *a]"),
        (settings.LimitSettings(nodes=11), "[1, 2, 3, 4, 5]"),
    ],
)
def test_what_is_within_the_bounds_passes(limits, text):
    assert not any("setting limits" in item.hint for item in parse(text, limits=limits).diagnostics)


def test_brackets_in_quotes_comments_and_block_texts_are_no_nesting():
    brackets = "[" * 50_000
    document = workflow(HEAD + f"  # {brackets}\n  entrypoint: '{brackets}'\n  onExit: |\n    {brackets}\n")
    assert document.spec.entrypoint == brackets
    assert document.spec.on_exit == brackets + "\n"


def test_there_are_never_more_than_a_hundred_findings_and_an_error_is_among_them():
    many = "".join(f"  label{number}: x\n" for number in range(300))
    parsed = parse("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n" + many + "spec: {x: 1}\n")
    assert len(parsed.diagnostics) <= 102
    assert errors(parsed) == [(304, 8, 'strict decoding error: unknown field "spec.x"')]
    assert parsed.documents == ()


def test_a_diagnostic_is_rendered_with_its_line_a_caret_and_the_hint():
    (diagnostic,) = parse(HEAD + "  entrypont: main\n", "dir/wf.yaml").diagnostics
    assert manifests.render(diagnostic) == (
        'dir/wf.yaml:6:3: error: strict decoding error: unknown field "spec.entrypont"\n'
        "    6 |   entrypont: main\n"
        "      |   ^\n"
        '  hint: did you mean "entrypoint"?'
    )


def test_carets_stand_right_in_long_lines_and_after_tabs_and_wide_text():
    text = HEAD + "  arguments: {parameters: [{name: '" + "ä" * 500 + "',\t\tvalue: {}}]}\n"
    (diagnostic,) = parse(text).diagnostics
    _, line, caret, *_ = manifests.render(diagnostic).split("\n")
    assert line[caret.index("^") :].startswith("value: {}")
    assert len(line) < 200


def test_without_libyaml_the_pure_parser_reads_the_same(monkeypatch):
    text = (
        HEAD
        + "  entrypoint: !!str 0644\n"
        + "  arguments: {parameters: [{name: a, value: &v 1.0}, {name: b, value: *v}]}\n"
        + "  suspend: yes\n"
        + "  <<: {priority: 3}\n"
        + "  x: 1\n"
        + "---\n"
        + HEAD
        + "  onExit: |\n    text\n"
    )
    fast = parse(text)
    monkeypatch.setattr("yaml.__with_libyaml__", False)
    slow = parse(text)
    assert slow.diagnostics == fast.diagnostics
    assert [located.document for located in slow.documents] == [located.document for located in fast.documents]
    assert said(parse("[" * 5000)) == [(1, 101, "nested deeper than 100 levels")]
