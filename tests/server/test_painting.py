"""Nodes drawn straight to text: byte for byte what encoding their status gives, whatever rows say and hang on."""

import json
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.generated import workflows
from tests.generated.world import UID, World
from tiphys.scheduler import render
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role
from tiphys.server.painting import Painter
from tiphys.spec import work
from tiphys.spec.artifacts import Artifact
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import MemoizationStatus, NodeType, Phase
from tiphys.spec.templates import Inputs, Outputs, TemplateRef

BEGAN = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
WORDS = some.sampled_from(["", "a", "main", "näme", 'a"b', "a\\b", "tab\there", "\x7f", "\x01", "\u2028", "😀", "</script>&"]) | some.text(
    max_size=5
)
TIMES = some.none() | some.integers(0, 4_000_000).map(lambda micros: BEGAN + timedelta(microseconds=micros))
PARAMETERS = some.lists(some.builds(Parameter, name=WORDS, value=some.none() | WORDS), max_size=2).map(tuple)
ARTIFACTS = some.lists(some.builds(Artifact, name=WORDS), max_size=1).map(tuple)
PUT_OUT = some.builds(
    Outputs, parameters=PARAMETERS, artifacts=ARTIFACTS, result=some.none() | WORDS, exit_code=some.sampled_from([None, "0", "1", ""])
)
RARE = {
    "daemoned": some.booleans(),
    "estimated_seconds": some.integers(0, 9),
    "ip": some.just("10.0.0.1"),
    "memo": some.builds(MemoizationStatus, hit=some.booleans(), key=WORDS),
    "original": some.just("wf-1"),
    "progress": some.just("3/7"),
    "waiting_for": WORDS,
}
COMMON = {
    "id": some.integers(0, 30).map(lambda number: f"wf-{number}"),
    "name": WORDS | some.sampled_from(["wf.onExit", "wf[0].a"]),
    "display_name": WORDS,
    "type": some.sampled_from(NodeType),
    "role": some.sampled_from(Role),
    "phase": some.sampled_from(Phase),
    "owner": some.integers(0, 30).map(lambda number: f"wf-{number}"),
    "boundary": WORDS,
    "message": WORDS,
    "template": WORDS,
    "reference": some.none() | some.builds(TemplateRef, name=WORDS, template=WORDS, cluster_scope=some.booleans()),
    "scope": WORDS,
    "parents": some.lists(some.integers(0, 9).map(lambda number: f"wf-{number}"), max_size=2).map(tuple),
    "inputs": some.none() | some.builds(Inputs, parameters=PARAMETERS, artifacts=ARTIFACTS),
    "outputs": some.none() | PUT_OUT,
    "started_at": TIMES,
    "finished_at": TIMES,
    "handle": some.none() | some.builds(work.Handle, executor=some.just("process"), text=some.just("1"), host=WORDS),
}
NODES = some.one_of(some.builds(Node, **COMMON), *(some.builds(Node, **COMMON, **{name: value}) for name, value in RARE.items()))
BELOW = some.dictionaries(
    some.integers(0, 30).map(lambda number: f"wf-{number}"), some.tuples(some.integers(0, 5), some.integers(0, 5)), max_size=5
)


def as_all_json_is(node, graph, below):
    """The reference: a member of an object by the encoder alone."""
    sums, own = below.get(node.id, (0, 0)), render.own_progress(node)
    done, of = sums[0] + own[0], sums[1] + own[1]
    text = msgspec.json.encode({node.id: render.node_status(node, graph, "wf", f"{done}/{of}" if of else "")})
    return text[1:-1]


@given(some.lists(NODES, max_size=8, unique_by=lambda node: node.id), BELOW, some.randoms())
@settings(max_examples=300)
def test_rows_of_any_kind_are_drawn_as_all_json_is(nodes, below, chance):
    nodes = [one for node in nodes for one in (node, _but_for_one_field(node, chance.choice(nodes), chance))]
    graph, painter = Graph({}), Painter()
    graph.children = {node_id: ["wf-1", 'a"b'][: chance.randint(1, 2)] for node_id in [node.id for node in nodes] if chance.random() < 0.5}
    assert painter.texts(nodes, graph, "wf", below) == [as_all_json_is(node, graph, below) for node in nodes]
    alone = [painter.texts([node], graph, "wf", below)[0] for node in reversed(nodes)]
    assert alone == [as_all_json_is(node, graph, below) for node in reversed(nodes)]


def _but_for_one_field(node, other, chance):
    """The same node with one field of another: what was drawn before must not be taken for it."""
    field = chance.choice([*COMMON])
    values = (
        {"id": f"{node.id}-{chance.random()}"} if field == "id" else {"id": f"{node.id}-{chance.random()}", field: getattr(other, field)}
    )
    return msgspec.structs.replace(node, **values)


def test_a_row_has_no_field_that_drawing_does_not_know():
    """A field that status shows of a row in future has to be drawn, too: whoever adds one looks here, and at the painter."""
    known = {*COMMON, *RARE, "after"}
    unseen = {"task", "depth", "inline", "launched_at", "wake_at", "attempt", "usage", "settled", "in_exit", "execution_error", "transient"}
    unseen |= {"fired", "wanting", "holding", "ending", "retry_after_at"}
    assert set(Node.__struct_fields__) == known | unseen
    full = {field: json.loads(msgspec.json.encode(render.node_status(_with(field), Graph({}), "wf"))) for field in unseen}
    plain = json.loads(msgspec.json.encode(render.node_status(_with(), Graph({}), "wf")))
    assert all(shown == plain for shown in full.values())


def _with(field=""):
    values = {"depth": 1, "attempt": 1, "settled": True, "in_exit": True, "execution_error": True, "transient": True, "usage": work.Usage()}
    values |= dict.fromkeys(("launched_at", "wake_at", "retry_after_at"), BEGAN) | dict.fromkeys(("fired", "wanting", "holding"), ("x",))
    more = {field: values.get(field, "x")} if field else {}
    return Node(id="wf-1", name="wf.a", display_name="a", type=NodeType.POD, role=Role.TASK, phase=Phase.RUNNING, **more)


class Plainly:
    """Children and outbound nodes as semantics 2.1.2 has them, looked for anew each time."""

    def __init__(self, rows):
        self.rows = rows

    def owned(self, node_id):
        return [node for node in self.rows.values() if node.owner == node_id]

    def children(self):
        found = {}
        for node in self.rows.values():
            parents = [*node.parents, *dict.fromkeys(last for upstream in node.after for last in self.outbound(upstream))]
            for parent in parents:
                found.setdefault(parent, []).append(node.id)
        return found

    def outbound(self, node_id):
        return tuple(dict.fromkeys(self._out(self.rows[node_id]))) if node_id in self.rows else ()

    def _out(self, node):
        inner = [child for child in self.owned(node.id) if child.role is not Role.HOOK]
        if node.type is NodeType.POD and inner:
            return [child.id for child in inner if not any(child.id in other.parents for other in inner)]
        match node.type if inner else None:
            case NodeType.RETRY:
                return [self.owned(node.id)[-1].id]
            case NodeType.STEPS:
                return self.outbound(inner[-1].id)
            case NodeType.STEP_GROUP | NodeType.TASK_GROUP:
                return [last for child in inner for last in self.outbound(child.id)]
            case NodeType.DAG:
                followed = {upstream for child in inner for upstream in child.after}
                return [last for child in inner if child.id not in followed for last in self.outbound(child.id)]
        return [node.id]


@pytest.mark.parametrize("part", range(3))
def test_the_graph_of_generated_workflows_is_what_the_rules_say(part):
    types = set()
    for seed in range(part, 90, 3):
        world = World(workflows.workflow(random.Random(seed)), seed, crash=0.05)
        world.play()
        rows = world.state.runs[UID].nodes
        graph, plainly = Graph(rows), Plainly(rows)
        assert graph.children == plainly.children()
        for node in rows.values():
            assert graph.outbound(node.id) == plainly.outbound(node.id)
            types.add(node.type)
        graph.go_on(dict(rows))
        assert all(graph.outbound(node_id) == plainly.outbound(node_id) for node_id in rows)
    assert {NodeType.POD, NodeType.STEPS, NodeType.STEP_GROUP, NodeType.DAG, NodeType.TASK_GROUP, NodeType.RETRY, NodeType.SUSPEND} <= types
