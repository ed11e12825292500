"""The tree is drawn as Argo draws it."""

import random
from datetime import UTC, datetime

import msgspec

from tests.cli.samples import node, workflow
from tiphys.cli import tree
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.templates import Outputs, TemplateRef

NOW = datetime(2026, 1, 2, 15, 6, 5, tzinfo=UTC)


def steps_column(*nodes: NodeStatus, utf8: bool = True) -> list[str]:
    """Only the STEP column, without its head."""
    drawn = tree.rows("wf", workflow(*nodes).status.nodes)
    return [tree.cells("wf", row, NOW, form="", utf8=utf8)[0] for row in drawn]


STEPS = (
    node("wf", "Steps", children=("wf[0]",), template="main"),
    node("wf[0]", "StepGroup", boundary="wf", children=("wf[0].a",)),
    node("wf[0].a", boundary="wf", children=("wf[1]",)),
    node("wf[1]", "StepGroup", boundary="wf", children=("wf[1].b(0:x)", "wf[1].b(1:y)", "wf[1].b(2:z)"), started=4),
    node("wf[1].b(0:x)", boundary="wf", children=("wf[2]",), started=5),
    node("wf[1].b(1:y)", boundary="wf", children=("wf[2]",), started=5),
    node("wf[1].b(2:z)", boundary="wf", children=("wf[2]",), started=5),
    node("wf[2]", "StepGroup", boundary="wf", children=("wf[2].c", "wf[2].d"), started=9),
    node("wf[2].c", boundary="wf", started=10),
    node("wf[2].d", "Skipped", "Skipped", boundary="wf", started=10, message="when 'no == yes' evaluated false"),
)


def test_step_groups_are_fused_with_their_members() -> None:
    assert steps_column(*STEPS) == [
        " ✔ wf",
        " ├───✔ a",
        " ├─┬─✔ b(0:x)",
        " │ ├─✔ b(1:y)",
        " │ └─✔ b(2:z)",
        " └─┬─✔ c",
        "   └─○ d",
    ]


def test_the_last_group_of_one_member() -> None:
    assert steps_column(*STEPS[:3]) == [" ✔ wf", " └───✔ a"]


def test_the_order_of_the_map_does_not_matter() -> None:
    wanted = steps_column(*STEPS)
    for seed in range(20):
        shuffled = list(STEPS)
        random.Random(seed).shuffle(shuffled)
        assert steps_column(*shuffled) == wanted


def test_words_and_plain_lines_without_utf8() -> None:
    assert steps_column(*STEPS, utf8=False)[2:5] == [" +-+-Succeeded b(0:x)", " | +-Succeeded b(1:y)", " | `-Succeeded b(2:z)"]


def test_columns_are_aligned_and_only_pods_have_a_name_and_a_duration() -> None:
    status = workflow(*STEPS).status
    text = [line.text for line in tree.lines("wf", tree.rows("wf", status.nodes), NOW)]
    assert text[0].split() == ["STEP", "TEMPLATE", "PODNAME", "DURATION", "MESSAGE"]
    assert text[1] == " ✔ wf          main"
    pod = text[2].index("wf-work-")
    assert text[0].index("PODNAME") == pod
    assert text[2].split()[-1] == "4s"
    assert text[-1].endswith("when 'no == yes' evaluated false")
    assert text[-1].index("when") == text[0].index("MESSAGE")


def test_dag_tasks_are_flat_sorted_by_start_then_loop_index() -> None:
    nodes = [node("wf", "DAG", children=("wf.late", "wf.loop"))]
    nodes += [node("wf.late", boundary="wf", started=9), node("wf.early", boundary="wf", started=1)]
    nodes += [node("wf.loop", "TaskGroup", boundary="wf", children=("wf.loop(0:a)",), started=2)]
    nodes += [node(f"wf.loop({index}:a)", boundary="wf", started=3) for index in (10, 9, 2, 1, 0)]
    nodes += [node("wf.waits", phase="Pending", boundary="wf", started=None)]
    assert steps_column(*nodes) == [
        " ✔ wf",
        " ├─✔ early",
        " ├─✔ loop(0:a)",
        " ├─✔ loop(1:a)",
        " ├─✔ loop(2:a)",
        " ├─✔ loop(9:a)",
        " ├─✔ loop(10:a)",
        " ├─✔ late",
        " └─◷ waits",
    ]


def test_nested_boundaries() -> None:
    nodes = (
        node("wf", "DAG", children=("wf.one",)),
        node("wf.one", "DAG", boundary="wf", children=("wf.one.x",)),
        node("wf.one.x", boundary="wf.one", started=1),
        node("wf.one.y", boundary="wf.one", started=2),
        node("wf.two", "Steps", boundary="wf", children=("wf.two[0]",), started=3),
        node("wf.two[0]", "StepGroup", boundary="wf.two", children=("wf.two[0].z",), started=3),
        node("wf.two[0].z", boundary="wf.two", started=3),
    )
    assert steps_column(*nodes) == [" ✔ wf", " ├─✔ one", " │ ├─✔ x", " │ └─✔ y", " └─✔ two", "   └───✔ z"]


def test_a_retry_with_one_attempt_gives_way_to_it() -> None:
    nodes = (
        node("wf", "Steps", children=("wf[0]",)),
        node("wf[0]", "StepGroup", boundary="wf", children=("wf[0].a", "wf[0].b")),
        node("wf[0].a", "Retry", boundary="wf", children=("wf[0].a(0)",)),
        node("wf[0].a(0)", boundary="wf"),
        node("wf[0].b", boundary="wf", started=1),
    )
    assert steps_column(*nodes) == [" ✔ wf", " └─┬─✔ a(0)", "   └─✔ b"]


def test_a_retry_with_several_attempts_shows_them() -> None:
    nodes = (
        node("wf", "DAG"),
        node("wf.a", "Retry", boundary="wf", children=("wf.a(0)", "wf.a(1)", "wf.a.hooks.x")),
        node("wf.a(0)", phase="Failed", boundary="wf", message="Error (exit code 1)"),
        node("wf.a(1)", boundary="wf", started=5),
        node("wf.a.hooks.x", boundary="wf", started=6, hooked=True),
    )
    assert steps_column(*nodes) == [" ✔ wf", " ├─✔ a", " │ ├─✖ a(0)", " │ └─✔ a(1)", " └─✔ a.hooks.x"]


def test_a_hook_does_not_count_as_an_attempt() -> None:
    nodes = (
        node("wf", "DAG"),
        node("wf.a", "Retry", boundary="wf", children=("wf.a(0)", "wf.a.onExit")),
        node("wf.a(0)", boundary="wf"),
        node("wf.a.onExit", boundary="wf", started=6, hooked=True),
    )
    assert steps_column(*nodes) == [" ✔ wf", " ├─✔ a(0)", " └─✔ a.onExit"]


def test_omitted_groups_and_containers_are_not_drawn() -> None:
    nodes = (
        node("wf", "DAG"),
        node("wf.set", boundary="wf", children=("wf.set.main",)),
        node("wf.set.main", "Container", boundary="wf.set"),
        node("wf.gone", "Skipped", "Omitted", boundary="wf", started=3),
    )
    assert steps_column(*nodes) == [" ✔ wf", " └─✔ set"]


def test_an_empty_group_leads_to_the_next_one_side_by_side() -> None:
    nodes = (
        node("wf", "Steps", children=("wf[0]",)),
        node("wf[0]", "StepGroup", boundary="wf", children=("wf[1]",)),
        node("wf[1]", "StepGroup", boundary="wf", children=("wf[1].a",), started=1),
        node("wf[1].a", boundary="wf", started=1),
    )
    assert steps_column(*nodes) == [" ✔ wf", " └───✔ a"]


def test_the_exit_handlers_tree_follows_an_empty_line() -> None:
    nodes = (node("wf"), node("wf.onExit", "Steps", children=("wf.onExit[0]",), started=9))
    nodes += (node("wf.onExit[0]", "StepGroup", boundary="wf.onExit", children=("wf.onExit[0].bye",), started=9),)
    nodes += (node("wf.onExit[0].bye", boundary="wf.onExit", started=9),)
    assert steps_column(*nodes) == [" ✔ wf", "", " ✔ wf.onExit", " └───✔ bye"]


def test_nothing_is_drawn_without_a_root() -> None:
    assert steps_column(node("wf.onExit")) == []


def test_icons() -> None:
    nodes = [node("wf", "DAG", "Running", took=None)]
    for index, phase in enumerate(("Pending", "Running", "Succeeded", "Skipped", "Failed", "Error")):
        nodes.append(node(f"wf.{phase}", phase=phase, boundary="wf", started=index))
    nodes.append(node("wf.wait", "Suspend", "Running", boundary="wf", started=8))
    nodes.append(node("wf.waited", "Suspend", "Succeeded", boundary="wf", started=9))
    assert [line[3:4] for line in steps_column(*nodes)[1:]] == list("◷●✔○✖⚠ǁ✔")
    assert steps_column(*nodes, utf8=False)[-2] == " +-Suspend wait"


def test_wide_and_short_rows() -> None:
    one = node(
        "wf",
        template="",
        template_ref=TemplateRef(name="lib", template="greet"),
        resources_duration={"memory": 63, "cpu": 4},
        message="two\nlines",
    )
    drawn = tree.rows("wf", workflow(one).status.nodes)
    assert tree.cells("wf", drawn[0], NOW, form="wide", utf8=True) == [
        " ✔ wf",
        "lib/greet",
        "wf",
        "4s",
        "",
        "two lines",
        "4s*(1 cpu),1m3s*(100Mi memory)",
        "wf",
    ]
    assert tree.cells("wf", drawn[0], NOW, form="short", utf8=True)[-1] == "wf"


def test_each_line_says_what_is_coloured() -> None:
    drawn = tree.rows("wf", workflow(*STEPS).status.nodes)
    lines = tree.lines("wf", drawn, NOW)
    assert (lines[0].sign, lines[0].colour) == ("", "")
    assert (lines[1].sign, lines[1].colour) == ("✔", "green")
    assert (lines[-1].sign, lines[-1].colour) == ("○", "default")
    assert len(tree.lines("wf", drawn, NOW, head=False)) == len(drawn) == len(lines) - 1


def test_five_thousand_levels_do_not_overflow_the_stack() -> None:
    nodes = [node("wf", "DAG")]
    for depth in range(5000):
        above = nodes[-1].id
        nodes.append(NodeStatus(id=str(depth), name="x", display_name="x", type=NodeType.DAG, phase=Phase.RUNNING, boundary_id=above))
    assert len(tree.rows("wf", {one.id: one for one in nodes})) == 5001


def test_outputs_do_not_disturb() -> None:
    one = node("wf", outputs=Outputs(parameters=(Parameter(name="p", value="v"),)))
    assert steps_column(one) == [" ✔ wf"]


def test_edges_are_not_needed() -> None:
    """A node that has just changed comes without the graph's edges."""
    bare = [msgspec.structs.replace(one, children=()) for one in STEPS]
    assert steps_column(*bare) == steps_column(*STEPS)


def test_what_does_not_fit_is_counted_and_what_matters_stays() -> None:
    nodes = [node("wf", "DAG", "Running", took=None)]
    nodes += [node(f"wf.ok{index:03}", boundary="wf", started=index) for index in range(50)]
    nodes += [
        node("wf.bad", phase="Failed", boundary="wf", started=51),
        node("wf.busy", phase="Running", boundary="wf", started=52, took=None),
    ]
    drawn = tree.rows("wf", workflow(*nodes).status.nodes)
    lines = tree.fitted(drawn, "wf", NOW, 10, utf8=True)
    assert len(lines) <= 10
    text = "\n".join(line.text for line in lines)
    assert "● wf" in text
    assert "✖ bad" in text
    assert "● busy" in text
    assert lines[-1].text == " and 46 Succeeded"
    assert len(tree.fitted(drawn, "wf", NOW, 100, utf8=True)) == len(drawn) + 1
