"""Rules of event bindings: expressions that can never be right, and parameters without one (semantics 2.21)."""

from tiphys.manifests.rules import syntax
from tiphys.manifests.rules.definitions import Definitions
from tiphys.manifests.rules.problems import Problem, Report
from tiphys.spec.templates import Arguments
from tiphys.spec.workflows import EventSubmit, ObjectMeta, WorkflowEventBinding


def binding(document: WorkflowEventBinding, definitions: Definitions) -> list[Problem]:
    """Check a WorkflowEventBinding."""
    report = Report()
    selector = document.spec.event.selector
    if not selector:
        report.error(("spec", "event", "selector"), "an event binding needs a selector", "write `true` to take every event")
    if fault := syntax.bare_fault(selector):
        report.error(("spec", "event", "selector"), f"event selector: {fault}")
    if document.spec.submit is not None:
        _submit(report, document.spec.submit, definitions)
    return report.problems()


def _submit(report: Report, submit: EventSubmit, definitions: Definitions) -> None:
    reference = submit.workflow_template_ref
    place = ("spec", "submit", "workflowTemplateRef", "name")
    if not reference.name:
        report.error(place, "an event binding needs the name of the template that it submits")
    elif reference.name not in (definitions.cluster_workflow_templates if reference.cluster_scope else definitions.workflow_templates):
        kind = "ClusterWorkflowTemplate" if reference.cluster_scope else "WorkflowTemplate"
        report.unseen(place, kind, reference.name, "events are answered with an error until it is there")
    metadata = submit.metadata or ObjectMeta()
    texts = {"name": metadata.name, "generateName": metadata.generate_name}
    for name, text in texts.items():
        if fault := syntax.bare_fault(text):
            report.error(("spec", "submit", "metadata", name), f"{name}: {fault}")
    for field, values in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        for key, text in (values or {}).items():
            if fault := syntax.bare_fault(text):
                report.error(("spec", "submit", "metadata", field, key), f"{key}: {fault}")
    for index, parameter in enumerate((submit.arguments or Arguments()).parameters):
        event = parameter.value_from.event if parameter.value_from is not None else ""
        at = ("spec", "submit", "arguments", "parameters", index)
        if not event:
            report.error(
                at, f"parameter {parameter.name} of an event binding needs valueFrom.event", "a fixed text is written '\"text\"' there"
            )
        elif fault := syntax.bare_fault(event):
            report.error((*at, "valueFrom", "event"), f"parameter {parameter.name}: {fault}")
