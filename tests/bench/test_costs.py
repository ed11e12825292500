"""What a step costs, in counts that are the same on every machine however busy: a change that makes steps dearer fails here.

A bound is some fifth above what was measured when it was written; who makes something cheaper may lower it.
"""

import gc
import json
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from tests.bench import subject, works
from tests.process.orders import needs_bwrap, needs_root
from tests.scheduler import going
from tiphys import app, configuration, manifests
from tiphys.engine.engine import open_engine
from tiphys.engine.operations import Operations
from tiphys.executors.process import connection
from tiphys.executors.scripted import ScriptedExecutor
from tiphys.journal import rows
from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import Entry
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler import decision, events
from tiphys.scheduler.decide import decide
from tiphys.scheduler.items import Rules
from tiphys.scheduler.records import Manifest, Settled
from tiphys.scheduler.state import State
from tiphys.settings import HTTPSettings, JournalSettings, LimitSettings, ProcessSettings, Settings
from tiphys.spec import work
from tiphys.spec.status import Phase
from tiphys.spec.workflows import Workflow

NOW = datetime(2031, 5, 6, tzinfo=UTC)
UID = "u"


def loop(count: int) -> Workflow:
    """A workflow of `count` steps that do not wait for each other."""
    found = manifests.parse(json.dumps(subject.loop(count, "true")).encode(), "loop.yaml", LimitSettings()).documents[0].document
    assert isinstance(found, Workflow)
    return found


def requests(count: int, url: str) -> Workflow:
    """A workflow of `count` GETs."""
    one = {"name": "one", "http": {"url": url, "method": "GET"}}
    main = {"name": "main", "steps": [[{"name": "each", "template": "one", "withSequence": {"count": str(count)}}]]}
    text = json.dumps(subject.workflow("requests", [main, one])).encode()
    found = manifests.parse(text, "requests.yaml", LimitSettings()).documents[0].document
    assert isinstance(found, Workflow)
    return found


def submitted(count: int) -> tuple[State, list[decision.Launch]]:
    """A state that holds such a workflow, and what is to be launched."""
    runs = State()
    manifest = Manifest(uid=UID, workflow=loop(count), chosen=Settled())
    made = going.commands(runs, events.Submitted(at=NOW, uid=UID, seed="s", manifest=manifest))
    return runs, [command for command in made if isinstance(command, decision.Launch)]


def calls(work_: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's."""
    count = 0

    def seen(_frame: object, event: str, _of: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work_()
    finally:
        sys.setprofile(before)
    return count


def end(runs: State, launches: list[decision.Launch]) -> list[decision.Decision]:
    """Let attempts begin and end at once."""
    handle = work.Handle(executor="process", text="h", host="b")
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0)
    found = []
    for launch in launches:
        ended = events.Exited(at=NOW, uid=UID, node_id=launch.node_id, attempt=0, outcome=outcome, handle=handle, launched_at=NOW)
        made = decide(runs, ended)
        assert isinstance(made, decision.Decision)
        runs.apply(made)
        found.append(made)
    return found


def test_deciding_an_end_calls_no_more_functions_than_it_did() -> None:
    runs, launches = submitted(300)
    end(runs, launches[:100])
    assert calls(lambda: end(runs, launches[100:200])) / 100 < 118


def test_an_end_costs_the_same_in_a_workflow_of_any_size() -> None:
    found = []
    for count in (200, 2000):
        runs, launches = submitted(count)
        end(runs, launches[:50])
        found.append(calls(lambda runs=runs, launches=launches: end(runs, launches[50:150])))  # type: ignore[misc]
    assert found[1] <= found[0] * 1.02


def test_expanding_a_loop_calls_no_more_functions_for_each_node_than_it_did() -> None:
    submitted(10)
    assert (calls(lambda: submitted(1100)) - calls(lambda: submitted(100))) / 1000 < 152


def test_an_end_changes_one_row() -> None:
    runs, launches = submitted(20)
    changes = [change for made in end(runs, launches[:10]) for change in made.changes]
    assert len(changes) == 10
    assert all(isinstance(change, decision.NodePut) for change in changes)


def test_a_node_is_held_in_so_much_memory() -> None:
    submitted(10)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        held = submitted(2000)[0]
        gc.collect()
        assert (tracemalloc.get_traced_memory()[0] - before) / 2000 < 950
        assert held.runs
    finally:
        tracemalloc.stop()


def test_what_is_read_from_the_journal_is_held_in_no_more_than_what_was_made() -> None:
    runs, launches = submitted(2000)
    end(runs, launches[:1000])
    made = runs.runs[UID]
    stored = [rows.encode(node) for node in made.nodes.values()]
    sharing = rows.Sharing()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        read = State()
        read.load(made.manifest, made.run, [sharing.share(rows.node.decode(row)) for row in stored])
        assert (tracemalloc.get_traced_memory()[0] - before) / 2000 < 1000
        assert read.runs[UID].nodes == made.nodes
    finally:
        tracemalloc.stop()


class Counting(MemoryJournal):
    """A journal that counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []

    async def record(self, entries: object) -> None:
        self.entries += entries  # type: ignore[operator]
        await super().record(entries)  # type: ignore[arg-type]


async def test_a_step_that_is_over_at_once_is_one_fact() -> None:
    journal = Counting()
    async with open_engine(journal, {"scripted": ScriptedExecutor()}, {"scripted": 4}) as engine:
        await engine.submit(Manifest(uid=UID, workflow=loop(50), chosen=Settled(executor="scripted")))
        with anyio.fail_after(20):
            async for _ in engine.changes(UID):
                pass
    exits = [entry for entry in journal.entries if isinstance(entry.event, events.Exited)]
    assert len(exits) == 50
    assert len(journal.entries) <= 50 + 1 + 10  # the submission; and a busy machine may make some steps take longer


async def calls_of_daemon(folder: Path, made_of: Callable[[int], Workflow], *, isolation: str = "none", **http: int) -> float:
    """How many functions a daemon calls for each step of a loop, Python's and C's."""
    settings = Settings(
        process=ProcessSettings(isolation=isolation, parallelism=4),
        http=HTTPSettings(**http),
        journal=JournalSettings(synchronous="normal"),
    )
    loaded = structs.replace(configuration.load(None, {}, folder), settings=settings)
    async with AsyncExitStack() as stack:
        made = await app.open_executors(stack, loaded, app.find_secrets(loaded, ()), folder, "process")
        engine = await stack.enter_async_context(open_engine(MemoryJournal(), made.executors, app.room(settings), rules=Rules()))
        verbs = Operations(engine, app.chosen(settings, "process"), "default", made.folders)

        async def run(count: int) -> None:
            (uid,) = await verbs.submit([made_of(count)])
            with anyio.fail_after(60):
                while not engine.phase(uid).completed:
                    await anyio.sleep(0.01)
            assert engine.phase(uid) is Phase.SUCCEEDED

        async def counted(count: int) -> int:
            seen = 0

            def see(_frame: object, event: str, _of: object) -> None:
                nonlocal seen
                seen += event in {"call", "c_call"}

            sys.setprofile(see)
            try:
                await run(count)
            finally:
                sys.setprofile(None)
            return seen

        await run(10)
        return (await counted(120) - await counted(20)) / 100


@pytest.mark.parametrize(("isolation", "bound"), [("none", 505), pytest.param("full", 760, marks=[needs_bwrap, needs_root])])
async def test_a_step_calls_no_more_functions_of_the_daemon_than_it_did(tmp_path: Path, isolation: str, bound: int) -> None:
    found = await calls_of_daemon(tmp_path, loop, isolation=isolation)
    assert found < bound, found


@pytest.mark.parametrize("bound", [535])
async def test_an_http_step_calls_no_more_functions_of_the_daemon_than_it_did(tmp_path: Path, bound: int) -> None:
    with works.http_server() as url:
        found = await calls_of_daemon(tmp_path, lambda count: requests(count, url), parallelism=4)
    assert found < bound, found


COUNTED_LAUNCHER = """
import sys
here, told = sys.argv[1:3]
del sys.argv[1:3]
alone = type(sys)("tiphys")
alone.__path__ = [here]
sys.modules["tiphys"] = alone
from tiphys.launching import program, serving
count = 0
def seen(_frame, event, _of):
    global count
    count += event in {"call", "c_call"}
serve = serving.run
def counted(launcher):
    sys.setprofile(seen)
    try:
        serve(launcher)
    finally:
        sys.setprofile(None)
        with open(told, "w") as file:
            file.write(str(count))
serving.run = counted
sys.exit(program.main(dict(zip(sys.argv[1::2], sys.argv[2::2])), here))
"""


def calls_of_launcher(tmp_path: Path, count: int) -> int:
    """How many functions the launcher calls for a loop of so many steps, told as a daemon tells it."""
    place = tmp_path / str(count)
    form = {"group": "run", "split": False, "log_limit": 1 << 26, "grace": 30.0, "cwd": "/", "home": [448, -1, -1], "progress": True}
    form |= {"env": {"PATH": "/usr/bin:/bin", "ARGO_WORKFLOW_NAME": "x"}, "argv": ["/bin/true"], "prepare": []}
    asked = [
        {"op": "spawn", "id": f"run/n-{number}/0", "key": f"run.n-{number}.0", "env": {"ARGO_NODE_ID": f"n-{number}"}, "form": 0}
        for number in range(count)
    ]
    argv = [sys.executable, "-I", "-S", "-c", COUNTED_LAUNCHER, str(connection.LAUNCHER.parent), str(tmp_path / f"{count}.calls")]
    argv += ["--mode", "daemon", "--runtime", str(place), "--scratch", str(place / "scratch"), "--root", str(place / "root")]
    with subprocess.Popen(argv) as launcher, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        while not (place / "socket").exists():
            time.sleep(0.01)
        client.connect(str(place / "socket"))
        client.sendall(json.dumps([{"op": "form", "form": 0, "fields": form}, *asked]).encode() + b"\n")
        said = b""
        while said.count(b'"ended"') < count:
            said += client.recv(1 << 20)
        launcher.terminate()
    return int((tmp_path / f"{count}.calls").read_text())


@pytest.mark.parametrize("bound", [154])
def test_a_step_calls_no_more_functions_of_the_launcher_than_it_did(tmp_path: Path, bound: int) -> None:
    found = (calls_of_launcher(tmp_path, 240) - calls_of_launcher(tmp_path, 40)) / 200
    assert found < bound, found


def fan(count: int, value: str) -> Workflow:
    """Steps that all have the same value as an input."""
    given = {"parameters": [{"name": "item", "value": "{{item}}"}, {"name": "list", "value": "{{workflow.parameters.list}}"}]}
    each = {"name": "each", "template": "one", "arguments": given, "withSequence": {"count": str(count)}}
    one = subject.command("one", "true", inputs=["item", "list"])
    made = subject.workflow("fan", [{"name": "main", "steps": [[each]]}, one], arguments={"parameters": [{"name": "list", "value": value}]})
    found = manifests.parse(json.dumps(made).encode(), "fan.yaml", LimitSettings()).documents[0].document
    assert isinstance(found, Workflow)
    return found


async def test_a_megabyte_that_two_hundred_nodes_have_is_a_megabyte_in_the_journal(tmp_path: Path) -> None:
    value = "x" * 1_000_000
    path, settings = tmp_path / "journal.db", JournalSettings(synchronous="normal")
    async with SQLiteJournal(path, settings) as journal:
        before = written()
        async with open_engine(journal, {"scripted": ScriptedExecutor()}, {"scripted": 16}) as engine:
            await engine.submit(Manifest(uid=UID, workflow=fan(200, value), chosen=Settled(executor="scripted")))
            with anyio.fail_after(60):
                async for _ in engine.changes(UID):
                    pass
            assert engine.phase(UID) is Phase.SUCCEEDED
        assert written() - before < 5_000_000, "of which two are the value, in the WAL and in the database"
    assert path.stat().st_size < 2_000_000
    async with SQLiteJournal(path, settings) as journal:
        (found,) = (await journal.load()).runs
    held = [parameter.value for node in found.nodes if node.inputs is not None for parameter in node.inputs.parameters]
    assert held.count(value) == 200
    assert len({id(one) for one in held if one == value}) == 1


def written() -> int:
    """How many bytes this process has written."""
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


async def test_recording_an_ordinary_end_calls_no_more_functions_than_it_did(tmp_path: Path) -> None:
    runs, launches = submitted(300)
    manifest = runs.runs[UID].manifest
    begun = decision.Decision(uid=UID, changes=(decision.ManifestPut(manifest=manifest), decision.RunPut(run=runs.runs[UID].run)))
    handle = work.Handle(executor="process", text="h", host="b")
    outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0)
    facts = [events.Exited(at=NOW, uid=UID, node_id=one.node_id, attempt=0, outcome=outcome, handle=handle) for one in launches]
    entries = [Entry(event=fact, answer=made) for fact, made in zip(facts, end(runs, launches), strict=True)]
    async with SQLiteJournal(tmp_path / "journal.db", JournalSettings(synchronous="normal")) as journal:
        await journal.record([Entry(event=events.Submitted(at=NOW, uid=UID, seed="s", manifest=manifest), answer=begun), *entries[:100]])
        assert calls(lambda: journal._record(entries[100:])) / 200 < 30
