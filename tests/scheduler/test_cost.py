"""An event costs what it touches, never the size of the workflow.

Counted in bytecodes, so that a busy machine changes nothing; what runs inside the interpreter's own C code, such as copying
a list, is not seen here but by `tests/bench/bench_fan_out.py`, which measures time.
"""

import statistics
import sys
from collections import deque
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Self

import pytest

from tests.scheduler import going
from tiphys import manifests
from tiphys.scheduler import decision, events, orders, records, state
from tiphys.settings import LimitSettings
from tiphys.spec import work

UID = "u"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROWTH = 1.2
HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: fan, namespace: default}\nspec:\n  entrypoint: main\n"
LEAF = """
    - name: leaf
      inputs: {parameters: [{name: x}]}
      container: {image: any, command: [work], args: ["{{inputs.parameters.x}}"]}
"""
CALL = 'template: leaf, arguments: {parameters: [{name: x, value: "{{item}}"}]}, withSequence: {count: "ITEMS"}'
LAST = "{name: last, depends: each, template: leaf, arguments: {parameters: [{name: x, value: y}]}}"
DAG = f"      dag: {{tasks: [{{name: each, {CALL}}}, {LAST}]}}"
HOOKED = DAG.replace("template: leaf,", "hooks: {exit: {template: bye}}, template: leaf,", 1)
STEPS = f"      steps: [[{{name: each, {CALL}}}]]"
SHAPES = {
    "dag": f"  templates:\n    - name: main\n{DAG}{LEAF}",
    "steps": f"  templates:\n    - name: main\n{STEPS}{LEAF}",
    "exit handlers": f"  templates:\n    - name: main\n{HOOKED}{LEAF}    - {{name: bye, container: {{image: any, command: [work]}}}}",
    "few at once": f"  parallelism: 10\n  templates:\n    - name: main\n{DAG}{LEAF}",
    "few of a template at once": f"  templates:\n    - name: main\n      parallelism: 10\n{DAG}{LEAF}",
    "retried": f"  templates:\n    - name: main\n{STEPS}{LEAF}      retryStrategy: {{limit: 3}}",
    "under a deadline": f"  activeDeadlineSeconds: 1000\n  templates:\n    - name: main\n      failFast: true\n{DAG}{LEAF}",
}


class Counted:
    """How many bytecodes of Python ran."""

    def __init__(self) -> None:
        self.bytecodes = 0

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self.bytecodes += event == "opcode"
        return self._trace


def cost(shape: str, items: int) -> float:
    """The median bytecodes that deciding and applying an `Exited` takes, near the end of a loop over `items`."""
    parsed = manifests.parse((HEAD + SHAPES[shape].replace("ITEMS", str(items))).encode(), "fan.yaml", LimitSettings())
    assert not parsed.diagnostics
    manifest = records.Manifest(uid=UID, workflow=parsed.documents[0].document)
    runs = state.State()
    waiting: deque[decision.Launch] = deque()

    def take(event: events.Event) -> None:
        waiting.extend(command for command in going.commands(runs, event) if isinstance(command, decision.Launch))

    take(events.Submitted(at=NOW, uid=UID, seed="0", manifest=manifest))
    costs: list[int] = []
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1")
    ended = 0
    while waiting:
        launch = waiting.popleft()
        ended += 1
        event = events.Exited(at=NOW, uid=UID, node_id=launch.node_id, attempt=launch.attempt, outcome=outcome)
        if not items - 70 < ended < items - 20:
            take(event)
            continue
        with Counted() as counted:
            orders.build(runs.runs[UID], launch.node_id, NOW)
            take(event)
        costs.append(counted.bytecodes)
    assert runs.runs[UID].run.phase == "Succeeded"
    return statistics.median(costs)


@pytest.mark.parametrize(("shape", "items"), [("dag", 2000), *((shape, 500) for shape in SHAPES)])
def test_an_end_costs_the_same_in_a_workflow_ten_times_as_large(shape: str, items: int) -> None:
    few, many = cost(shape, items), cost(shape, 10 * items)
    assert many < GROWTH * few, f"{few} bytecodes with {items} items, {many} with {10 * items}"
