"""The plan of a workflow: what starts first, what is known of the rest, and what it waits for."""

from msgspec import structs

from tests.scheduler import story
from tiphys.scheduler import planning
from tiphys.scheduler.planning import Planned

WORK = """
- name: work
  inputs: {parameters: [{name: m, default: none}]}
  container: {image: x, command: [say, "{{inputs.parameters.m}}"]}
"""


def planned(spec: str) -> Planned:
    manifest = story.manifest(spec)
    return planning.plan(structs.replace(manifest, uid="u"), story.BEGAN)


def test_what_has_nothing_to_wait_for_is_shown_as_it_would_be_launched() -> None:
    plan = planned(
        """
entrypoint: main
arguments: {parameters: [{name: p, value: there}]}
templates:
- name: main
  dag:
    tasks:
    - {name: a, template: work, arguments: {parameters: [{name: m, value: "hello {{workflow.parameters.p}}"}]}}
    - {name: b, template: work, depends: a, arguments: {parameters: [{name: m, value: "{{tasks.a.outputs.result}} of {{workflow.name}}"}]}}
    - {name: c, template: work, depends: "b.Failed || a", when: "{{workflow.parameters.p}} == here"}
    - {name: d, template: work, depends: a, withSequence: {count: "{{tasks.a.outputs.result}}"}}
"""
        + WORK
    )
    (first,) = plan.first
    assert (first.name, first.type, first.template, first.phase) == ("wf.a", "Pod", "work", "Pending")
    assert (first.runs, first.inputs) == (('say "hello there"',), {"m": "hello there"})
    later = {one.name: one for one in plan.later}
    assert set(later) == {"wf.b", "wf.c", "wf.d"}
    (argument,) = later["wf.b"].arguments.values()
    assert argument.value == "{{tasks.a.outputs.result}} of wf"
    assert argument.open == {"tasks.a.outputs.result": "the end of a"}
    assert (later["wf.c"].after, later["wf.c"].decided) == ("b, a", "will be skipped")
    assert later["wf.d"].items is None


def test_loops_are_counted_where_their_items_are_known() -> None:
    plan = planned(
        """
entrypoint: main
onExit: work
hooks: {warn: {template: work, expression: "workflow.status == 'Failed'"}}
templates:
- name: main
  steps:
  - - {name: a, template: work}
  - - {name: b, template: work, withItems: [1, 2, 3], hooks: {exit: {template: work}}}
    - {name: c, template: work, withParam: "{{steps.a.outputs.result}}"}
"""
        + WORK
    )
    later = {one.name: one for one in plan.later}
    assert (later["wf[1].b"].items, later["wf[1].b"].hooks, later["wf[1].b"].after) == (3, ("onExit",), "a")
    assert later["wf[1].c"].items is None
    assert later["wf[1].c"].loop.open == {"steps.a.outputs.result": "the end of a"}
    assert (plan.exit_handler, plan.hooks) == ("work", ("warn: when workflow.status == 'Failed'",))


def test_what_holds_a_start_back_is_named() -> None:
    plan = planned(
        """
entrypoint: main
parallelism: 2
templates:
- name: main
  steps:
  - - {name: a, template: locked, withItems: [1, 2]}
    - {name: s, template: wait}
    - {name: c, template: work}
    - {name: d, template: work}
- {name: wait, suspend: {}}
- name: locked
  synchronization: {mutexes: [{name: one}]}
  container: {image: x, command: [work]}
"""
        + WORK
    )
    waits = {first.name: first.waits for first in plan.first if first.waits}
    assert waits == {
        "wf[0].a(1:2)": "lock default/Mutex/one",
        "wf[0].s": "somebody who resumes it",
        "wf[0].d": "parallelism leaves no room",
    }


def test_a_suspended_workflow_and_one_that_cannot_begin_say_so() -> None:
    suspended = planned("entrypoint: main\nsuspend: true\ntemplates:\n- {name: main, container: {image: x, command: [a]}}\n")
    assert suspended.outcome == "suspended from the start: it waits to be resumed"
    (first,) = suspended.first
    assert first.waits == "the workflow is suspended"
    broken = planned(
        "entrypoint: main\nserviceAccountName: x\ntemplates:\n- {name: main, container: {image: x, command: [a]}}\n"
        "arguments: {parameters: [{name: p}]}\n"
    )
    assert broken.outcome.startswith("Failed: failed to set global parameters")


def test_planning_leaves_nothing_behind_and_is_the_same_again() -> None:
    spec = "entrypoint: main\ntemplates:\n- {name: main, container: {image: x, command: [a]}}\n"
    assert planned(spec) == planned(spec)


def test_what_others_show_is_open_until_they_have_ended() -> None:
    plan = planned(
        """
entrypoint: main
templates:
- name: main
  dag:
    tasks:
    - {name: s, template: steps}
    - {name: t, template: work}
    - {name: u, template: work, depends: t, when: "{{tasks.t.status}} == Failed"}
- name: steps
  steps:
  - - {name: a, template: work, withItems: [1]}
    - {name: b, template: work, when: "1 == 2"}
  - - {name: c, template: work, arguments: {parameters: [{name: m, value: "{{steps.a.status}} {{steps.b.status}}"}]}}
"""
        + WORK
    )
    later = {one.name: one for one in plan.later}
    assert later["wf.u"].decided == ""
    (argument,) = later["wf.s[1].c"].arguments.values()
    assert (argument.value, argument.open) == ("{{steps.a.status}} Skipped", {"steps.a.status": "the end of a"})
