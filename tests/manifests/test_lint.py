"""Lint over several files: documents know each other, findings come in the order of the files."""

from tiphys import manifests, settings
from tiphys.manifests import rules
from tiphys.spec import workflows
from tiphys.spec.work import Severity

LIMITS = settings.LimitSettings()

LIBRARY = b"""\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: library}
spec:
  templates:
  - name: echo
    inputs: {parameters: [{name: text}]}
    container: {image: "alpine:3.20", command: [echo, "{{inputs.parameters.text}}"]}
"""

CALLER = b"""\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: caller-}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks:
      - name: a
        templateRef: {name: library, template: echo}
        arguments: {parameters: [{name: text, value: hello}]}
"""


def lint(*files, **options):
    return manifests.lint([(f"{index}.yaml", data) for index, data in enumerate(files)], limits=LIMITS, **options)


def messages(report):
    return [(item.file, item.line, item.column, item.message) for item in report.diagnostics if item.severity is Severity.ERROR]


def test_templates_of_one_file_are_known_in_another_whatever_their_order():
    for files in ((LIBRARY, CALLER), (CALLER, LIBRARY), (CALLER + b"---\n" + LIBRARY,)):
        report = lint(*files)
        assert report.ok, report.diagnostics
        assert report.counts == {"Workflow": 1, "WorkflowTemplate": 1}


def test_without_its_library_a_workflow_has_an_error_at_the_task():
    report = lint(CALLER)
    assert not report.ok
    assert messages(report) == [("0.yaml", 11, 9, "templates.main.tasks.a template reference library.echo not found")]


def test_definitions_may_come_from_elsewhere_and_the_files_own_count_first():
    library = manifests.parse(LIBRARY, "library.yaml", LIMITS).documents[0].document
    assert isinstance(library, workflows.WorkflowTemplate)
    known = rules.Definitions(workflow_templates={"library": library})
    assert lint(CALLER, definitions=known).ok
    other = LIBRARY.replace(b"name: text}", b"name: words}").replace(b"parameters.text", b"parameters.words")
    assert [message for *_, message in messages(lint(CALLER, other, definitions=known))] == [
        "templates.main.tasks.a templates.echo inputs.parameters.words was not supplied"
    ]


def test_findings_come_in_the_order_of_files_and_lines():
    broken = CALLER.replace(b"main\n    dag", b"other\n    dag")
    report = lint(broken, b"kind: Workflow\n", b"a: [", broken)
    assert [(file, line) for file, line, *_ in messages(report)] == [
        ("0.yaml", 5),
        ("0.yaml", 11),
        ("1.yaml", 1),
        ("2.yaml", 1),
        ("3.yaml", 5),
        ("3.yaml", 11),
    ]
    assert all(item.excerpt for item in report.diagnostics)


def test_a_document_with_mistakes_of_shape_is_not_judged_by_the_rules():
    report = lint(CALLER.replace(b"dag:", b"dga:"))
    assert [message for *_, message in messages(report)] == ['strict decoding error: unknown field "spec.templates[0].dga"']
    assert report.documents == ()


def test_at_a_submit_arguments_must_have_values():
    text = CALLER.replace(b"spec:\n", b"spec:\n  arguments: {parameters: [{name: p}]}\n")
    assert lint(LIBRARY, text).ok
    assert [(line, column, message) for _, line, column, message in messages(lint(LIBRARY, text, submitting=True))] == [
        (5, 28, "spec.arguments.p.value or spec.arguments.p.valueFrom is required")
    ]
