"""`--status` and `--node-field-selector` mean the nodes that Argo's mean, and say what they do not know."""

import pytest

from tiphys.cli import choosing
from tiphys.cli.errors import BadInput
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.templates import Inputs

NODE = NodeStatus(
    id="wf-1",
    name="wf[0].build",
    display_name="build",
    type=NodeType.POD,
    template_name="make",
    phase=Phase.FAILED,
    inputs=Inputs(parameters=(Parameter(name="a.b", value="1"),)),
)


@pytest.mark.parametrize(
    ("statuses", "selector", "shown"),
    [
        ("Failed, Error", "", True),
        ("Succeeded", "", False),
        ("", "displayName=build,templateName==make", True),
        ("", "displayName!=build", False),
        ("Failed", "name=wf[0].build,id=wf-1,phase=Failed", True),
        ("", "inputs.parameters.a.b.value=1,templateRef.name=", True),
    ],
)
def test_nodes_are_chosen(statuses, selector, shown):
    keep = choosing.rows(statuses, selector)
    assert keep is not None
    assert keep(NODE) is shown


def test_nothing_asked_for_is_everything():
    assert choosing.rows("", "") is None


@pytest.mark.parametrize(("statuses", "selector"), [("Gone", ""), ("", "displayName"), ("", "colour=red")])
def test_what_is_not_known_is_said(statuses, selector):
    with pytest.raises(BadInput):
        [keep(NODE) for keep in (choosing.rows(statuses, selector),) if keep is not None]
