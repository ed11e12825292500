"""What status shows beside the nodes' phases: progress, estimates, and templates that come from elsewhere."""

from datetime import timedelta

from msgspec import structs

from tests.scheduler import story
from tiphys.scheduler import decide, decision, events, render
from tiphys.scheduler.state import State
from tiphys.spec import parameters, status, work

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


def test_a_workflow_from_a_template_is_shown_with_its_own_spec_and_the_merged_one_in_its_status() -> None:
    manifest = story.manifest(SPEC)
    own = manifest.workflow.spec
    spec = structs.replace(manifest.templates[0].spec, workflow_template_ref=own.workflow_template_ref)
    manifest = structs.replace(manifest, workflow=structs.replace(manifest.workflow, spec=spec), submitted=own)
    state = State()
    take(state, events.Submitted(at=story.BEGAN, uid="u", seed="s", manifest=manifest))
    shown = render.workflow(state.runs["u"])
    assert (shown.spec.templates, shown.spec.entrypoint, shown.spec.workflow_template_ref.name) == ((), "", "shared")
    assert [template.name for template in shown.status.stored_workflow_template_spec.templates] == ["main", "leaf"]


def test_progress_counts_what_programs_say_of_themselves() -> None:
    told = story.Story("entrypoint: main\ntemplates:\n- {name: main, container: {image: x, command: [a]}}\n")
    for fact in ("submitted", "started wf", "reported wf progress=30/100"):
        told.tell(fact)
    assert render.workflow_status(told.run).progress == "30/100"
    told.tell("exited wf")
    status = render.workflow_status(told.run)
    assert (status.progress, status.nodes["wf"].progress) == ("100/100", "100/100")


def test_progress_counts_each_container_of_a_set_and_an_executed_node_shows_its_own() -> None:
    containers = "[{name: main, image: x, command: [a]}, {name: b, image: x, command: [a], dependencies: [main]}]"
    (run,) = told(f"entrypoint: main\ntemplates:\n- {{name: main, containerSet: {{containers: {containers}}}}}\n").runs.values()
    status = render.workflow_status(run)
    assert (status.progress, status.nodes["wf"].progress) == ("0/3", "0/1")
    hooked = "[[{name: a, template: work, hooks: {exit: {template: work}}}]]"
    spec = f"entrypoint: main\ntemplates:\n- {{name: main, steps: {hooked}}}\n- {{name: work, container: {{image: x, command: [a]}}}}\n"
    (run,) = told(spec, "ran wf[0].a").runs.values()
    status = render.workflow_status(run)
    assert status.progress == "1/2"
    assert {node.display_name: node.progress for node in status.nodes.values()} == {
        "wf": "1/2",
        "[0]": "1/2",
        "a": "1/1",
        "a.onExit": "0/1",
    }


def test_the_attempts_of_a_hook_are_hooked_and_retried() -> None:
    retried = "retryStrategy: {limit: 1}, container: {image: x, command: [a]}"
    spec = (
        f"entrypoint: main\nonExit: main\nhooks: {{h: {{template: main, expression: 'true'}}}}\ntemplates:\n- {{name: main, {retried}}}\n"
    )
    (run,) = told(spec, "ran wf(0)", "ran wf.hooks.h(0)").runs.values()
    flags = {
        node.name: node.node_flag and (node.node_flag.hooked, node.node_flag.retried) for node in render.workflow_status(run).nodes.values()
    }
    assert flags == {
        "wf": None,
        "wf(0)": (False, True),
        "wf.hooks.h": (True, False),
        "wf.hooks.h(0)": (True, True),
        "wf.onExit": (True, False),
        "wf.onExit(0)": (True, True),
    }


def told(spec: str, *facts: str) -> State:
    """The state after the facts of a story."""
    played = story.Story(spec)
    for fact in ("submitted", *facts):
        played.tell(fact)
    return played.state


RETRIED = """
entrypoint: main
templates:
- name: main
  dag:
    tasks:
    - {name: a, template: flaky, hooks: {exit: {template: leaf}}}
    - {name: b, template: leaf, depends: a.Failed}
- name: flaky
  annotations: {workflows.argoproj.io/display-name: "d-{{workflow.name}}"}
  retryStrategy: {limit: 1}
  container: {image: x, command: [a]}
- name: leaf
  container: {image: x, command: [a]}
"""


def test_a_display_name_is_the_wrappers_and_what_follows_hangs_under_the_hook_that_came_last() -> None:
    state = told(RETRIED, "ran wf.a(0) failed 1", "ran wf.a(1) failed 1", "ran wf.a.onExit")
    nodes = {node.name: node for node in render.workflow_status(state.runs[story.UID]).nodes.values()}
    assert [nodes[name].display_name for name in ("wf.a", "wf.a(0)", "wf.a(1)")] == ["d-wf", "a(0)", "a(1)"]
    assert [nodes[name].children for name in ("wf.a(1)", "wf.a.onExit")] == [(), (nodes["wf.b"].id,)]


REFUSED = """
entrypoint: main
templates:
- name: main
  dag: {tasks: [{name: lock, template: lock}, {name: memo, template: memo}]}
- name: lock
  synchronization: {mutexes: [{name: m}, {name: m}]}
  retryStrategy: {limit: 1}
  container: {image: x, command: [a]}
- name: memo
  memoize: {key: a.b, cache: {configMap: {name: c}}}
  container: {image: x, command: [a]}
"""


def test_a_node_whose_locks_or_memo_are_wrong_was_never_made_so_it_is_of_type_skipped() -> None:
    state = told(REFUSED)
    nodes = {node.name: node for node in render.workflow_status(state.runs[story.UID]).nodes.values()}
    assert {(nodes[name].type, nodes[name].phase) for name in ("wf.lock", "wf.memo")} == {(status.NodeType.SKIPPED, status.Phase.ERROR)}
    assert nodes["wf.memo"].message == "task 'wf.memo' errored: invalid cache key: a.b"


LABELLED = """
entrypoint: main
arguments: {parameters: [{name: p, value: "a<b"}]}
workflowMetadata:
  labels: {static: "of-{{workflow.name}}"}
  annotations: {note: "<{{workflow.name}}>"}
  labelsFrom: {made: {expression: "workflow.labels.static + '-too'"}}
templates:
- name: main
  inputs: {parameters: [{name: i, value: "{{workflow.parameters}} {{workflow.labels.made}} {{workflow.annotations.json}}"}]}
  container: {image: x, command: [a]}
"""


def test_labels_that_the_spec_adds_have_their_tags_replaced_and_json_is_escaped_as_go_does() -> None:
    state = told(LABELLED)
    run = state.runs[story.UID].run
    assert run.labels == {"static": "of-wf", "made": "of-wf-too"}
    [node] = render.workflow_status(state.runs[story.UID]).nodes.values()
    assert node.inputs is not None
    assert node.inputs.parameters[0].value == r'[{"name":"p","value":"a\u003cb"}] of-wf-too {"note":"\u003cwf\u003e"}'


def test_a_label_that_is_no_label_ends_the_run_before_it_begins() -> None:
    run = told(LABELLED.replace("of-{{workflow.name}}", "no label")).runs[story.UID].run
    assert (run.phase, run.message) == (status.Phase.ERROR, 'invalid label value "no label" for label "static"')


EXPORTING = """
entrypoint: main
templates:
- name: main
  steps: [[{name: a, template: leaf, withItems: [1, 2]}]]
- name: leaf
  container: {image: x, command: [a]}
  outputs:
    parameters: [{name: x, valueFrom: {path: /x}, globalName: g}]
    artifacts: [{name: x, path: /x, globalName: ga}]
"""


def test_what_nodes_export_is_a_name_and_a_value_and_keeps_its_place() -> None:
    state = told(EXPORTING, "ran wf[0].a(0:1) x=1 artifact:x", "ran wf[0].a(1:2) x=2 artifact:x")
    outputs = render.workflow_status(state.runs[story.UID]).outputs
    assert outputs is not None
    assert outputs.parameters == (parameters.Parameter(name="g", value="2"),)
    assert [(artifact.name, artifact.path) for artifact in outputs.artifacts] == [("ga", "")]


ASKING = """
entrypoint: main
templates:
- name: main
  steps:
  - - name: a
      template: ask
      arguments: {parameters: [{name: x, value: '{"enum": ["one", "two"]}'}, {name: z, value: '{"enum": ["three"]}'}]}
- name: ask
  inputs: {parameters: [{name: x}, {name: z, default: own}, {name: plain, default: '{"no": "enum"}', enum: [kept]}]}
  suspend: {}
"""


def test_choices_made_at_run_time_are_those_of_the_input() -> None:
    state = told(ASKING)
    node = render.workflow_status(state.runs[story.UID]).nodes[state.runs[story.UID].ids["wf[0].a"]]
    assert node.inputs is not None
    assert [(p.enum, p.default) for p in node.inputs.parameters] == [
        (("one", "two"), "one"),
        (("three",), "own"),
        (("kept",), '{"no": "enum"}'),
    ]
