"""What an event costs the scheduler alone, and that this does not grow with the workflow.

One DAG with a loop of N items and a task after it; every attempt is said to have started and exited. Printed: the expansion
apart, microseconds for each step of a node's life, the median `Exited` of the last thousand against that of the second thousand,
and memory. The garbage collector's view of what is loaded is frozen before the clock starts.

    python tests/bench/bench_fan_out.py [ITEMS]
"""

import gc
import resource
import statistics
import sys
import time
from datetime import UTC, datetime

from tests.scheduler import going
from tiphys import manifests
from tiphys.scheduler import decision, events, orders, records, state
from tiphys.settings import LimitSettings
from tiphys.spec import work

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: fan, namespace: default}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - name: each
            template: echo
            arguments: {parameters: [{name: text, value: "{{item}}"}]}
            withSequence: {count: "ITEMS"}
          - name: all
            dependencies: [each]
            template: echo
            arguments: {parameters: [{name: text, value: "{{tasks.each.outputs.result}}"}]}
    - name: echo
      inputs: {parameters: [{name: text}]}
      container: {image: alpine, command: [echo], args: ["{{inputs.parameters.text}}"]}
"""
UID = "fan"


def submission(items: int) -> events.Submitted:
    """The workflow, as the engine would hand it in."""
    parsed = manifests.parse(MANIFEST.replace("ITEMS", str(items)).encode(), "fan.yaml", LimitSettings())
    workflow = parsed.documents[0].document
    return events.Submitted(at=datetime.now(UTC), uid=UID, seed="0", manifest=records.Manifest(uid=UID, workflow=workflow))


def take(runs: state.State, event: events.Event) -> tuple[list[decision.Command], float]:
    """Decide and apply one event; what is commanded, and the seconds it took."""
    began = time.perf_counter()
    made = going.commands(runs, event)
    return made, time.perf_counter() - began


def measure(items: int) -> None:
    """Run the whole fan-out and print the figures."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs = state.State()
    made, seconds = take(runs, submission(items))
    print(f"{items:,} items: expansion {seconds:.2f} s, {seconds / items * 1e6:.1f} us a node")
    launches = [command for command in made if isinstance(command, decision.Launch)]
    gc.collect()
    gc.freeze()
    handle = work.Handle(executor="bench", text="x")
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1")
    ordering, starting, exiting = [], [], []
    for launch in launches:
        now = datetime.now(UTC)
        began = time.perf_counter()
        orders.build(runs.runs[UID], launch.node_id, now)
        ordering.append(time.perf_counter() - began)
        starting.append(take(runs, events.Started(at=now, uid=UID, node_id=launch.node_id, attempt=launch.attempt, handle=handle))[1])
        exiting.append(take(runs, events.Exited(at=now, uid=UID, node_id=launch.node_id, attempt=launch.attempt, outcome=outcome))[1])
    last = runs.runs[UID].ids["fan.all"]
    take(runs, events.Exited(at=datetime.now(UTC), uid=UID, node_id=last, attempt=0, outcome=outcome))
    parts = [statistics.median(part) * 1e6 for part in (ordering, starting, exiting)]
    print("each node: order {:.1f} us, started {:.1f} us, exited {:.1f} us (medians)".format(*parts))
    early, late = statistics.median(exiting[1000:2000]), statistics.median(exiting[-1001:-1])
    print(f"exited, last 1,000 against second 1,000: {late * 1e6:.1f} / {early * 1e6:.1f} us = {late / early:.2f}")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{runs.runs[UID].run.phase}; peak memory {(after - before) / items:.2f} kB a node")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
