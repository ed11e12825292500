"""Which step is to blame."""

from tests.cli.samples import node, workflow
from tiphys.cli import failure
from tiphys.spec.status import NodeStatus


def blamed(*nodes: NodeStatus) -> list[str]:
    return [one.name for one in failure.culprits(workflow(*nodes, phase="Failed"))]


def test_the_leaf_is_blamed_and_not_what_holds_it() -> None:
    assert blamed(
        node("wf", "DAG", "Failed"),
        node("wf.a", "Steps", "Failed", boundary="wf"),
        node("wf.a[0]", "StepGroup", "Failed", boundary="wf.a", children=("wf.a[0].x",)),
        node("wf.a[0].x", phase="Failed", boundary="wf.a"),
        node("wf.b", boundary="wf"),
    ) == ["wf.a[0].x"]


def test_of_a_retried_step_only_the_last_attempt() -> None:
    attempts = [f"wf.a({number})" for number in range(12)]
    assert blamed(
        node("wf", "DAG", "Failed"),
        node("wf.a", "Retry", "Failed", boundary="wf", children=tuple(attempts)),
        *(node(name, phase="Failed", boundary="wf", started=index) for index, name in enumerate(attempts)),
    ) == ["wf.a(11)"]


def test_the_earliest_end_first() -> None:
    assert blamed(
        node("wf", "DAG", "Error"),
        node("wf.late", phase="Error", boundary="wf", started=8),
        node("wf.early", phase="Failed", boundary="wf", started=1),
    ) == ["wf.early", "wf.late"]


def test_a_group_that_failed_by_itself() -> None:
    assert blamed(node("wf", "DAG", "Failed", message="max duration limit exceeded")) == ["wf"]
    assert blamed(node("wf"), node("wf.onExit", "Skipped", "Error", message="no template")) == ["wf.onExit"]


def test_no_nodes_no_blame() -> None:
    assert blamed() == []
