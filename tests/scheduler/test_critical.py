"""Where the time went: the critical path holds the nodes that made a workflow last, and its parts add up to its whole length."""

import pytest

from tests.scheduler.hall import Hall
from tests.scheduler.story import UID, Story
from tiphys.scheduler import critical
from tiphys.scheduler.reasons import CriticalPath

DIAMOND = """
entrypoint: main
onExit: bye
templates:
  - name: main
    dag:
      tasks:
        - {name: a, template: leaf}
        - {name: b, template: leaf, depends: a, hooks: {exit: {template: bye}}}
        - {name: c, template: leaf, depends: a}
        - {name: d, template: leaf, depends: b && c}
  - {name: bye, container: {image: any, command: [bye]}}
  - {name: leaf, container: {image: any, command: [work]}}
"""


def played(spec: str, *facts: str) -> tuple[CriticalPath, Story]:
    made = Story(spec)
    for fact in ("submitted", *facts):
        told = made.tell(fact)
        assert not [line for line in told if line.startswith("refused")], (fact, told)
    return critical.path(made.run, made.now), made


def spent(path: CriticalPath) -> list[tuple[str, dict[str, float], float]]:
    return [(link.node, link.waited, link.ran) for link in path.links]


def test_the_slowest_branch_its_hook_and_the_exit_handler() -> None:
    path, _ = played(
        DIAMOND,
        "clock 1s", "started wf.a", "clock 4s", "exited wf.a succeeded 0",
        "started wf.b", "started wf.c", "clock 3s", "exited wf.b succeeded 0", "started wf.b.onExit", "clock 1s", "exited wf.c succeeded 0",
        "clock 2s", "exited wf.b.onExit succeeded 0", "started wf.d", "clock 1s", "exited wf.d succeeded 0",
        "clock 1s", "started wf.onExit", "clock 1s", "exited wf.onExit succeeded 0",
    )  # fmt: skip
    assert spent(path) == [
        ("wf.a", {"slot": 1.0}, 4.0),
        ("wf.b", {}, 3.0),
        ("wf.b.onExit", {}, 3.0),
        ("wf.d", {}, 1.0),
        ("wf.onExit", {"slot": 1.0}, 1.0),
    ]
    assert path.seconds == 14.0
    assert path.totals == {"running": 12.0, "slot": 2.0}
    assert path.overhead == round(2 / 14, 4)
    assert path.work == 16.0
    assert path.by_template == {"leaf": 12.0, "bye": 4.0}


def test_room_locks_backoffs_and_suspends_are_told_apart() -> None:
    spec = """
entrypoint: main
parallelism: 1
templates:
  - name: main
    steps:
      - [{name: a, template: leaf}, {name: b, template: leaf}]
      - [{name: s, template: person}]
      - [{name: r, template: again}]
  - {name: leaf, container: {image: any, command: [work]}}
  - {name: person, suspend: {}}
  - {name: again, retryStrategy: {limit: 1, backoff: {duration: "7"}}, container: {image: any, command: [work]}}
"""
    path, _ = played(
        spec,
        "started wf[0].a", "clock 5s", "exited wf[0].a succeeded 0", "started wf[0].b", "clock 2s", "exited wf[0].b succeeded 0",
        "clock 10s", "asked resume",
        "started wf[2].r(0)", "clock 3s", "exited wf[2].r(0) failed 1", "clock 7s", "started wf[2].r(1)", "clock 1s",
        "exited wf[2].r(1) succeeded 0",
    )  # fmt: skip
    assert spent(path) == [
        ("wf[0].b", {"queue": 5.0}, 2.0),
        ("wf[1].s", {"suspended": 10.0}, 0.0),
        ("wf[2].r(0)", {}, 3.0),
        ("wf[2].r(1)", {"backoff": 7.0}, 1.0),
    ]
    assert path.totals == {"running": 6.0, "queue": 5.0, "suspended": 10.0, "backoff": 7.0}
    assert path.overhead == 0.0


def test_a_lock_of_a_node_and_one_around_retries() -> None:
    spec = """
entrypoint: main
templates:
  - name: main
    steps: [[{name: a, template: one}, {name: b, template: one}]]
  - {name: one, RETRY synchronization: {mutexes: [{name: only}]}, container: {image: any, command: [work]}}
"""
    path, _ = played(
        spec.replace("RETRY ", ""),
        "started wf[0].a", "clock 5s", "exited wf[0].a succeeded 0", "started wf[0].b", "clock 2s", "exited wf[0].b succeeded 0",
    )  # fmt: skip
    assert spent(path) == [("wf[0].b", {"lock": 5.0}, 2.0)]
    path, made = played(
        spec.replace("RETRY", "retryStrategy: {limit: 1},"),
        "started wf[0].a(0)", "clock 5s", "exited wf[0].a(0) succeeded 0", "clock 1s", "started wf[0].b(0)", "clock 2s",
    )  # fmt: skip
    assert spent(path) == [("wf[0].b(0)", {"lock": 5.0, "slot": 1.0}, 2.0)]
    launched = {made.run.ids["wf[0].b(0)"]: made.run.nodes[made.run.ids["wf[0].b(0)"]].started_at}
    assert critical.path(made.run, made.now, launched) == path  # type: ignore[arg-type]


def test_a_place_among_workflows_and_what_did_not_begin() -> None:
    hall = Hall(parallelism=1)
    first, second = hall.submit(), hall.submit()
    hall.clock(seconds=10)
    path = critical.path(hall.state.runs[second], hall.now)
    assert (path.seconds, path.totals, path.links) == (10.0, {"place": 10.0}, ())
    hall.end(first)
    hall.clock(seconds=1)
    path = critical.path(hall.state.runs[second], hall.now)
    assert path.totals == {"place": 10.0, "slot": 1.0}


@pytest.mark.parametrize("depth", [3, 60])
def test_the_parts_add_up_however_deep_it_is(depth: int) -> None:
    steps = "\n".join(
        f"  - {{name: s{n}, steps: [[{{name: p, template: s{n + 1}}}], [{{name: q, template: leaf}}]]}}" for n in range(depth)
    )
    spec = f"entrypoint: s0\ntemplates:\n{steps}\n  - {{name: s{depth}, suspend: {{duration: '1'}}}}\n"
    made = Story(spec + "  - {name: leaf, container: {image: any, command: [work]}}")
    made.tell("submitted")
    made.tell("clock 1s")
    while live := [node.name for node in made.run.nodes.values() if node.type == "Pod" and not node.phase.fulfilled]:
        for fact in ("clock 2s", f"started {live[0]}", "clock 1s", f"exited {live[0]} succeeded 0"):
            made.tell(fact)
    path = critical.path(made.run, made.now)
    assert made.state.runs[UID].run.phase == "Succeeded"
    assert path.totals == {"suspended": 1.0, "running": float(depth), "slot": 2.0 * depth}
    assert path.seconds == 1.0 + 3 * depth
