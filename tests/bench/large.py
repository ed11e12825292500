"""What large workflows cost a node, and how long they hold the loop up: each shape at growing sizes, in a process of its own.

    python -m tests.bench.large SHAPE SIZE

prints seconds of CPU, the nodes, the turns of the event loop over 20 ms that were long by our own computing, and the bytes in the journal,
as JSON. Steps are played, not run, where it is their number that matters; what takes in all their results is a real one.
"""

import functools
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anyio
from msgspec import structs

from tests.bench import subject
from tests.bench.works import Bench
from tests.daemon.running import TOP
from tiphys import app, configuration, manifests
from tiphys.engine.engine import open_engine
from tiphys.engine.operations import Operations
from tiphys.executors.scripted import Play, Script, ScriptedExecutor
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.service import memory
from tiphys.service.turns import Turns, loop_over
from tiphys.settings import JournalSettings, LimitSettings, ProcessSettings, Settings
from tiphys.spec.status import Phase
from tiphys.spec.workflows import Workflow

RESULT = "12345"
STEP = {"name": "one", "plugin": {"played": {}}, "inputs": {"parameters": [{"name": "item", "value": ""}]}}
"""Every shape's step: a script plays it in the place of the plugin executor."""
GIVEN = {"parameters": [{"name": "item", "value": "{{item}}"}]}
ALL = "{{tasks.each.outputs.result}}"
Made = list[dict[str, object]]


def sequence(size: int) -> Made:
    """One withSequence."""
    each = {"name": "each", "template": "one", "arguments": GIVEN, "withSequence": {"count": str(size)}}
    return [subject.workflow("large", [{"name": "main", "steps": [[each]]}, STEP])]


def param(size: int) -> Made:
    """One withParam, its list a parameter of the workflow."""
    each = {"name": "each", "template": "one", "arguments": GIVEN, "withParam": "{{workflow.parameters.list}}"}
    given = {"parameters": [{"name": "list", "value": json.dumps([f"item-{number}" for number in range(size)])}]}
    return [subject.workflow("large", [{"name": "main", "steps": [[each]]}, STEP], arguments=given)]


def dag(size: int) -> Made:
    """Tasks that each wait for the one ten before them."""
    tasks = [
        {
            "name": f"t{number}",
            "template": "one",
            "dependencies": [f"t{number - 10}"] if number >= 10 else [],
            "arguments": {"parameters": [{"name": "item", "value": f"{number}: " + "a sentence that says what this task does, " * 10}]},
        }
        for number in range(size)
    ]
    return [subject.workflow("large", [{"name": "main", "dag": {"tasks": tasks}}, STEP])]


def chain(size: int) -> Made:
    """Tasks one after another, each of which names the first."""
    first = {"parameters": [{"name": "item", "value": "{{tasks.t0.outputs.result}}"}]}
    rest = [{"name": f"t{n}", "template": "one", "dependencies": [f"t{n - 1}"], "arguments": first} for n in range(1, size)]
    return [subject.workflow("large", [{"name": "main", "dag": {"tasks": [{"name": "t0", "template": "one"}, *rest]}}, STEP])]


def groups(size: int) -> Made:
    """Steps one after another, each of which names the first."""
    first = {"parameters": [{"name": "item", "value": "{{steps.s0.outputs.result}}"}]}
    rest = [[{"name": f"s{n}", "template": "one", "arguments": first}] for n in range(1, size)]
    return [subject.workflow("large", [{"name": "main", "steps": [[{"name": "s0", "template": "one"}], *rest]}, STEP])]


def crowd(size: int) -> Made:
    """Workflows of a hundred nodes."""
    each = {"name": "each", "template": "one", "arguments": GIVEN, "withSequence": {"count": "98"}}
    return [subject.workflow(f"large-{number}", [{"name": "main", "steps": [[each]]}, STEP]) for number in range(size // 100)]


def fan(size: int, last: dict[str, object]) -> Made:
    """A loop, and one task that takes in what all its nodes gave."""
    each = {"name": "each", "template": "one", "arguments": GIVEN, "withSequence": {"count": str(size)}}
    whole = {"name": "whole", "template": "whole", "dependencies": ["each"]}
    artifacts = last.pop("given", None)
    whole["arguments"] = artifacts or {"parameters": [{"name": "list", "value": ALL}]}  # type: ignore[assignment]
    return [subject.workflow("large", [{"name": "main", "dag": {"tasks": [each, whole]}}, STEP, {"name": "whole", **last}])]


LISTED = {"parameters": [{"name": "list"}]}


def script(size: int) -> Made:
    """All results as a parameter in a script's source, which counts what it got."""
    source = "test \"$(tr -cd , <<'END' | wc -c\n{{inputs.parameters.list}}\nEND\n)\" -eq " + str(size - 1)
    made = {"inputs": LISTED, "script": {"image": "busybox", "command": ["sh"], "source": source}}
    return fan(size, made)


def raw(size: int) -> Made:
    """All results as a raw artifact, a file of which the step counts the commas."""
    given = {"artifacts": [{"name": "list", "raw": {"data": ALL}}]}
    made = subject.command("whole", "sh", "-c", 'test "$(tr -cd , < /tmp/list | wc -c)" -eq ' + str(size - 1))
    return fan(size, {**made, "inputs": {"artifacts": [{"name": "list", "path": "/tmp/list"}]}, "given": given})


def body(size: int, url: str) -> Made:
    """All results as the body of an HTTP request."""
    return fan(size, {"inputs": LISTED, "http": {"url": url, "method": "POST", "body": "{{inputs.parameters.list}}"}})


SHAPES: dict[str, Callable[[int], Made]] = {
    "sequence": sequence,
    "param": param,
    "dag": dag,
    "chain": chain,
    "groups": groups,
    "crowd": crowd,
    "script": script,
    "raw": raw,
}
BODY = "body"
MOST_GROWTH = 1.3
WRITTEN = frozenset({"dag", "chain", "groups"})
"""Shapes each of whose nodes is written in the file."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a shape cost: CPU seconds, nodes, long turns of the loop, the longest of them, the journal's bytes and the process' peak."""

    cpu: float
    nodes: int
    stalls: int
    longest: float
    journal: int
    peak: int
    seen: int


class Listening(BaseHTTPRequestHandler):
    """Takes in a body and keeps how many commas were in it."""

    seen = 0

    def do_POST(self) -> None:
        """A call of http.server's."""
        Listening.seen = self.rfile.read(int(self.headers["Content-Length"])).count(b",")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is said of it."""


def documents(made: Made) -> list[Workflow]:
    """As they are when they were read."""
    found = [manifests.parse(json.dumps(one).encode(), "large.yaml", LimitSettings()).documents[0].document for one in made]
    return [one for one in found if isinstance(one, Workflow)]


async def carried_out(shape: str, size: int, turns: Turns, state: Path) -> Cost:
    """Run the shape to its end."""
    server = HTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = body(size, f"http://127.0.0.1:{server.server_port}/") if shape == BODY else SHAPES[shape](size)
    workflows = documents(made)
    settings = Settings(process=ProcessSettings(isolation="none", parallelism=4), journal=JournalSettings(synchronous="normal"))
    loaded = structs.replace(configuration.load(None, {}, state), settings=settings)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(SQLiteJournal(state / "journal.db", settings.journal))
        opened = await app.open_executors(stack, loaded, app.find_secrets(loaded, ()), state, "process")
        executors = {**opened.executors, "plugin": ScriptedExecutor(Script(otherwise=Play(result=RESULT)))}
        engine = await stack.enter_async_context(open_engine(journal, executors, {"plugin": 64, **app.room(settings)}))
        verbs = Operations(engine, app.chosen(settings, "process"), "default", opened.folders)
        memory.settle()
        await anyio.sleep(0.1)
        turns.begin_anew()
        began = time.process_time()
        uids = [uid for one in workflows for uid in await verbs.submit([one])]
        while not all(engine.phase(uid).completed for uid in uids):
            await anyio.sleep(0.05)
        cpu = time.process_time() - began
        stalls = turns.stalls
        states = [engine._state.runs[uid] for uid in uids]
        wrong = [one.run.message for one in states if one.run.phase is not Phase.SUCCEEDED]
        assert not wrong, wrong[0]
        nodes = sum(len(one.nodes) for one in states)
        size_ = sum(path.stat().st_size for path in state.glob("journal.db*"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    server.shutdown()
    return Cost(cpu=cpu, nodes=nodes, stalls=stalls.own, longest=stalls.longest_own_seconds, journal=size_, peak=peak, seen=Listening.seen)


def large(bench: Bench) -> None:
    """A row for each shape and size, and one for all long turns of the loop."""
    stalls = bench.row(name="large: stalls", work="over 20 ms of own CPU, in all of these", unit="", of="ours", least=False, target=0)
    count, longest = 0, 0.0
    for shape in (*SHAPES, BODY):
        costs = {size: measured(shape, size) for size in sizes(shape, quick=bench.quick)}
        first, last = min(costs), max(costs)
        for size, cost in costs.items():
            row = bench.row(
                name=f"large: {shape}",
                work=f"{cost.nodes:,} nodes, journal {cost.journal / 1e6:.0f} MB, {cost.peak / 1e6:.0f} MB",
                unit="µs CPU a node",
                least=False,
                target=MOST_GROWTH if size == last else None,
                limited_by=f"{costs[first].nodes:,} nodes" if size == last else "",
            )
            row.add(cost.cpu / cost.nodes * 1e6, costs[first].cpu / costs[first].nodes * 1e6 if size == last else None)
            count, longest = count + cost.stalls, max(longest, cost.longest)
            assert shape != BODY or cost.seen == size - 1, "not all results came"
    stalls.add(count)
    stalls.note = f"longest turn: {longest * 1000:.0f} ms of CPU"


def sizes(shape: str, *, quick: bool) -> tuple[int, ...]:
    """At which sizes a shape is measured: of tasks in a file, ten times fewer."""
    found = (1000, 3000) if quick else (1000, 10_000, 100_000)
    if shape not in WRITTEN:
        return found
    return (300, 1000) if quick else tuple(size // 10 for size in found)


def measured(shape: str, size: int) -> Cost:
    """The cost, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.large", shape, str(size)], capture_output=True, text=True, check=False, cwd=TOP, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """One shape at one size."""
    shape, size = sys.argv[1], int(sys.argv[2])
    turns = Turns()
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as top:
        options = {"loop_factory": functools.partial(loop_over, turns)}
        cost = anyio.run(carried_out, shape, size, turns, Path(top), backend_options=options)
    print(json.dumps(cost.__dict__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
