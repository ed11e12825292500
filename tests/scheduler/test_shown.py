"""What status shows beside the nodes' phases: progress, estimates, and templates that come from elsewhere."""

from datetime import timedelta

from msgspec import structs

from tests.scheduler import story
from tiphys.scheduler import decide, decision, events, render
from tiphys.scheduler.state import State
from tiphys.spec import work

SPEC = """
workflowTemplateRef: {name: shared}
===
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: shared, namespace: default}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: a, templateRef: {name: other, template: leaf}}
    - - {name: b, template: leaf}
  - name: leaf
    container: {image: x, command: [b]}
===
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: other, namespace: default}
spec:
  templates:
  - name: leaf
    container: {image: x, command: [a]}
"""


def take(state: State, event: events.Event) -> None:
    made = decide.decide(state, event)
    assert isinstance(made, decision.Decision), made
    state.apply(made)


def played(state: State, uid: str, seconds: int, *, label: str = "workflow-template") -> None:
    """One run of two steps that each take so long."""
    manifest = story.manifest(SPEC)
    meta = structs.replace(manifest.workflow.metadata, name=uid, labels={f"workflows.argoproj.io/{label}": "shared"})
    spec = structs.replace(manifest.templates[0].spec, workflow_template_ref=manifest.workflow.spec.workflow_template_ref)
    workflow = structs.replace(manifest.workflow, metadata=meta, spec=spec)
    manifest = structs.replace(manifest, uid=uid, workflow=workflow)
    at = story.BEGAN
    take(state, events.Submitted(at=at, uid=uid, seed="s", manifest=manifest))
    for name in (f"{uid}[0].a", f"{uid}[1].b"):
        node_id = state.runs[uid].ids[name]
        handle = work.Handle(executor="x", text=node_id)
        take(state, events.Started(at=at, uid=uid, node_id=node_id, attempt=0, handle=handle))
        at += timedelta(seconds=seconds)
        outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0)
        take(state, events.Exited(at=at, uid=uid, node_id=node_id, attempt=0, outcome=outcome))


def test_a_run_and_its_nodes_are_estimated_by_the_last_of_the_same_origin() -> None:
    state = State()
    played(state, "first", 5)
    played(state, "second", 7)
    played(state, "third", 1)
    played(state, "other", 1, label="cron-workflow")
    shown = {uid: render.workflow_status(state.runs[uid]) for uid in state.runs}
    assert [shown[uid].estimated_duration for uid in ("first", "second", "third", "other")] == [0, 10, 14, 0]
    assert {node.display_name: node.estimated_duration for node in shown["second"].nodes.values()}["a"] == 5


def test_templates_from_elsewhere_are_shown_as_they_were() -> None:
    state = State()
    played(state, "wf", 1)
    status = render.workflow_status(state.runs["wf"])
    assert list(status.stored_templates) == ["namespaced/other/leaf"]
    assert status.stored_templates["namespaced/other/leaf"].container.command == ("a",)
    assert status.stored_workflow_template_spec.entrypoint == "main"


def test_progress_counts_what_programs_say_of_themselves() -> None:
    told = story.Story("entrypoint: main\ntemplates:\n- {name: main, container: {image: x, command: [a]}}\n")
    for fact in ("submitted", "started wf", "reported wf progress=30/100"):
        told.tell(fact)
    assert render.workflow_status(told.run).progress == "30/100"
    told.tell("exited wf")
    status = render.workflow_status(told.run)
    assert (status.progress, status.nodes["wf"].progress) == ("100/100", "100/100")
