"""Large texts are stored once a run, whatever has them, and come back whole and as one object."""

import random
import signal
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from tiphys.care import verifying
from tiphys.errors import StateRefused
from tiphys.journal import open_journal, opening, references, rows
from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import Entry
from tiphys.scheduler import render
from tiphys.scheduler.decision import Archived, Decision, ManifestPut, NodePut, Refusal, RunPut, RunRemoved
from tiphys.scheduler.events import Asked, Delete, Exited, Retry, Revived, SetNode, Submitted
from tiphys.scheduler.records import Manifest, Node, Remains, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.artifacts import Artifact, Raw
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import Arguments, Inputs, Outputs, Template
from tiphys.spec.work import Outcome, OutcomeKind, Usage
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow, WorkflowSpec

AT = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
NORMAL = JournalSettings(synchronous="normal")
LIST = "[" + '"a sentence of the list", ' * 45_000 + '"ü\u0000"]'
"""More than a megabyte."""


def text(name: str, length: int = references.LARGE) -> str:
    """A large text of its own."""
    return (name * length)[:length]


def given(value: str = LIST) -> Inputs:
    return Inputs(parameters=(Parameter(name="n", value="1"), Parameter(name="list", value=value)))


def manifest(uid: str, value: str = LIST) -> Manifest:
    arguments = Arguments(parameters=(Parameter(name="list", value=value),))
    spec = WorkflowSpec(entrypoint="main", arguments=arguments, templates=(Template(name="main", metadata=None),))
    meta = ObjectMeta(name="wf", namespace="n", uid=uid, creation_timestamp="2031-05-06T07:08:09Z")
    return Manifest(uid=uid, workflow=Workflow(api_version=ARGO_API_VERSION, metadata=meta, spec=spec))


def run_of(uid: str, value: str = LIST, phase: Phase = Phase.RUNNING) -> Run:
    parameters = (Parameter(name="list", value=value),)
    return Run(uid=uid, name="wf", namespace="n", created_at=AT, phase=phase, parameters=parameters)


def node(number: int, phase: Phase = Phase.RUNNING, **more: object) -> Node:
    more = {"inputs": given(), "started_at": AT, "usage": Usage(cpu_seconds=0.25, peak_bytes=1 << 40), **more}
    return Node(id=f"n{number}", name=f"wf.{number}", display_name=f"{number}", type=NodeType.POD, role=Role.TASK, phase=phase, **more)


def submitted(uid: str = "u", value: str = LIST, nodes: int = 0) -> Entry:
    made = manifest(uid, value)
    puts = tuple(NodePut(uid=uid, node=node(number)) for number in range(nodes))
    answer = Decision(uid=uid, changes=(ManifestPut(manifest=made), RunPut(run=run_of(uid, value)), *puts))
    return Entry(event=Submitted(at=AT, uid=uid, seed="s", manifest=made), answer=answer)


def exited(number: int, result: str, uid: str = "u") -> Entry:
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, exit_code=0, result=result, parameters={"p": result})
    done = node(number, Phase.SUCCEEDED, outputs=Outputs(result=result, parameters=(Parameter(name="p", value=result),)), finished_at=AT)
    event = Exited(at=AT, uid=uid, node_id=done.id, attempt=0, outcome=outcome)
    return Entry(event=event, answer=Decision(uid=uid, changes=(NodePut(uid=uid, node=done), RunPut(run=run_of(uid)))))


def deleted(uid: str = "u", remains: Remains | None = None) -> Entry:
    put = () if remains is None else (Archived(workflow=render.of_remains(remains), remains=remains),)
    return Entry(event=Asked(at=AT, uid=uid, wish=Delete()), answer=Decision(uid=uid, changes=(*put, RunRemoved(uid=uid))))


def some_remains(uid: str = "u", nodes: int = 1200) -> Remains:
    made = tuple(node(number, Phase.SUCCEEDED, outputs=Outputs(result=text(f"{number % 3}"))) for number in range(nodes))
    return Remains(manifest=manifest(uid), run=run_of(uid, phase=Phase.FAILED), nodes=made)


def texts_of(path: Path, where: str = "1") -> list[tuple[int, int]]:
    """Run and length of each text."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        return connection.execute(f"SELECT run, length(text) FROM texts WHERE {where} ORDER BY run, number").fetchall()


def changed(path: Path, statement: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(statement).fetchall()


def values(found: tuple[Node, ...]) -> set[int]:
    """Which objects the lists of nodes are."""
    return {id(one.inputs.parameters[1].value) for one in found if one.inputs is not None}


# ------------------------------------------------------------------------------------------------------------ once


async def test_a_megabyte_in_two_hundred_nodes_is_stored_once_and_loaded_as_one_object(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(nodes=200)])
        for number in range(200):
            await journal.record([exited(number, f"{number}")])
    assert len(LIST) > 1_000_000
    assert path.stat().st_size < 1.5 * len(LIST)
    assert texts_of(path) == [(1, len(LIST.encode()))]
    async with open_journal(path, NORMAL) as journal:
        (found,) = (await journal.load()).runs
        log = await journal.events("u")
    assert found.nodes[7] == exited(7, "7").answer.changes[0].node
    assert {one.inputs for one in found.nodes} == {given()}
    assert values(found.nodes) == {id(found.run.parameters[0].value)} == {id(found.manifest.workflow.spec.arguments.parameters[0].value)}
    assert log[0].event == submitted().event
    assert len(log) == 201


async def test_what_is_written_for_one_more_node_is_small(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(nodes=1)])
        wal = path.with_name("journal.db-wal")
        before = wal.stat().st_size
        await journal.record([exited(number, "r") for number in range(100)])
        assert wal.stat().st_size - before < 250_000


def everywhere() -> list[Entry]:
    """Facts and rows with large texts in all kinds of places."""
    raw = Artifact(name="a", path="/a", raw=Raw(data=text("raw")))
    odd = node(3, inline=text('{"a": "\\u0000"}'), message=text("ü"), outputs=Outputs(artifacts=(raw,), exit_code="1"))
    wish = SetNode(nodes=("n1",), message=text("m"), parameters={"p": text("q"), "small": "x"})
    left = some_remains("old", 4)
    return [
        submitted(nodes=2),
        exited(0, text("0")),
        exited(1, text("1", references.LARGE - 1)),
        exited(2, text("2", 3 * references.LARGE)),
        Entry(event=Asked(at=AT, uid="u", wish=wish, who="op"), answer=Refusal(reason=text("no"))),
        Entry(event=Asked(at=AT, uid="u", wish=Retry(parameters={"list": LIST})), answer=Decision(changes=(NodePut(uid="u", node=odd),))),
        Entry(
            event=Revived(at=AT, uid="u", manifest=manifest("u"), run=left.run, nodes=left.nodes, wish=Retry()),
            answer=Decision(uid="u", changes=(RunPut(run=run_of("u", text("ä"))),)),
        ),
        Entry(event=Submitted(at=AT, uid="u", seed="s", manifest=manifest("x"), nodes=left.nodes), answer=Refusal(reason="again")),
    ]


async def test_wherever_a_large_text_is_it_comes_back_as_from_memory(tmp_path):
    path, twin = tmp_path / "journal.db", MemoryJournal()
    async with open_journal(path, NORMAL) as journal:
        for entry in everywhere():
            await journal.record([entry])
            await twin.record([entry])
        assert await journal.events("u") == await twin.events("u")
    async with open_journal(path, NORMAL) as journal:
        assert await journal.load() == await twin.load()
        assert await journal.events("u") == await twin.events("u")
    contents = verifying.examined(path)
    assert contents.wrong == 0, contents.damage
    assert (contents.nodes, contents.events) == (4, len(everywhere()))


@pytest.mark.parametrize("length", [references.LARGE - 1, references.LARGE, 65_535, 65_536])
@pytest.mark.parametrize("of", ["a", "ü", "\u06c0", "\U0001f600"])
def test_a_row_is_shortened_from_one_length_on(length, of):
    record = node(1, inputs=given(of * length))
    kept: dict[bytes, str] = {}

    def keep(large: str) -> bytes:
        kept[b"%d" % len(kept)] = large
        return b"%d" % (len(kept) - 1)

    data = references.shortened(record, rows.encode(record), keep)
    assert list(kept.values()) == ([of * length] if length >= references.LARGE else [])
    assert rows.read(rows.node, rows.checksum(data), data, find=kept.__getitem__) == record


def test_what_only_looks_like_a_large_text_is_stored_all_the_same():
    """The bytes that a large text begins with, in numbers and in letters."""
    record = node(1, inputs=given("\u06bf\u06db" * 1000), message="x" * 20_000, attempt=0xDAFF, usage=Usage(peak_bytes=0xDB000000FF))
    kept: list[str] = []
    data = references.shortened(record, rows.encode(record), lambda large: kept.append(large) or b"0")
    assert kept == ["x" * 20_000]
    assert rows.read(rows.node, rows.checksum(data), data, find=lambda _: kept[0]) == record


# ------------------------------------------------------------------------------------------------------------ with their run


async def test_texts_go_with_their_run_and_no_other(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted("u"), submitted("v"), exited(0, text("r"))])
        await journal.record([deleted("u")])
        assert texts_of(path) == [(2, len(LIST.encode()))]
        await journal.record([submitted("u"), deleted("v"), exited(0, text("r"))])
        assert [run for run, _ in texts_of(path)] == [3, 3]
        (found,) = (await journal.load()).runs
    assert (found.run, found.nodes[0]) == (run_of("u"), exited(0, text("r")).answer.changes[0].node)
    assert verifying.examined(path).wrong == 0


async def test_more_texts_than_are_remembered_are_stored_once_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("tiphys.journal.texts.MOST_HELD", 3 * references.LARGE)
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(value=text("v"))])
        for _ in range(2):
            await journal.record([exited(number, text(f"{number}")) for number in range(9)])
        assert len(texts_of(path)) == 11
        (found,) = (await journal.load()).runs
    assert [one.outputs.result for one in found.nodes] == [text(f"{number}") for number in range(9)]


async def test_a_deleted_run_has_them_once_in_the_archive_and_in_what_is_put_aside(tmp_path):
    path, left = tmp_path / "journal.db", some_remains()
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(nodes=3)])
        await journal.record([deleted(remains=left)])
        assert texts_of(path) == []
        ((picture, aside),) = journal._execute("SELECT length(a.row), length(r.row) FROM archive a, remains r").fetchall()
    assert picture < 1.5 * len(LIST)
    assert aside < 100_000
    async with open_journal(path, NORMAL) as journal:
        assert await journal.archived("u") == render.of_remains(left)
        found = await journal.remains("u")
    assert found == left
    assert values(found.nodes) == {id(found.run.parameters[0].value)}
    assert len({id(one.outputs.result) for one in found.nodes}) == 3
    contents = verifying.examined(path)
    assert (contents.wrong, contents.archived) == (0, 1), contents.damage
    changed(path, "UPDATE archive SET row = CAST(replace(row, 'list', 'lisp') AS BLOB)")
    assert "archive, row 1: its checksum" in verifying.examined(path).damage
    async with open_journal(path, NORMAL) as journal:
        with pytest.raises(StateRefused, match="archive, u: its checksum"):
            await journal.archived("u")


# ------------------------------------------------------------------------------------------------------------ before and after


async def test_rows_of_version_3_have_their_texts_in_themselves_until_they_are_written_again(tmp_path, monkeypatch):
    path, large = tmp_path / "journal.db", references.LARGE
    with monkeypatch.context() as before:
        before.setattr(references, "LARGE", 1 << 40)
        async with open_journal(path, NORMAL) as journal:
            await journal.record([submitted(nodes=3), exited(0, text("r", large))])
    assert texts_of(path) == []
    changed(path, "DROP TABLE texts; PRAGMA user_version = 3")
    contents = verifying.examined(path)
    assert (contents.version, contents.wrong) == (3, 0), contents.damage
    async with open_journal(path, NORMAL) as journal:
        assert journal._connection.pragma("user_version") == opening.VERSION == 4
        (found,) = (await journal.load()).runs
        assert (found.run, found.manifest) == (run_of("u"), manifest("u"))
        assert [one.inputs for one in found.nodes] == [given()] * 3
        assert (await journal.events("u"))[1].event == exited(0, text("r", large)).event
        await journal.record([exited(1, "r")])
        assert len(texts_of(path)) == 1
        (again,) = (await journal.load()).runs
        assert [one.inputs for one in again.nodes] == [given()] * 3
        await journal.record([deleted(remains=Remains(manifest=again.manifest, run=again.run, nodes=again.nodes))])
        assert (await journal.remains("u")).nodes == again.nodes
    assert verifying.examined(path).wrong == 0


DAMAGED = "its text [0-9a-f]{16} is not as it was written"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE texts SET text = CAST(replace(text, 'list', 'lisp') AS BLOB) WHERE length(text) > 1000000", DAMAGED),
        ("UPDATE texts SET text = x''", DAMAGED),
        ("UPDATE texts SET digest = zeroblob(32) WHERE length(text) > 1000000", "its text [0-9a-f]{16} is not there"),
        ("DELETE FROM texts", "its text [0-9a-f]{16} is not there"),
        ("UPDATE texts SET run = 7", "its text [0-9a-f]{16} is not there"),
    ],
)
async def test_a_text_that_is_not_as_it_was_written_is_refused_and_named(tmp_path, damage, said):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(nodes=2), exited(0, text("r"))])
    changed(path, damage)
    contents = verifying.examined(path)
    assert contents.wrong, damage
    assert "texts, row" in contents.damage or "workflows, row 1: its text" in contents.damage
    async with open_journal(path, NORMAL) as journal:
        with pytest.raises(StateRefused, match=f"workflows, row 1: {said}"):
            await journal.load()


async def test_a_damaged_text_of_a_node_or_an_event_names_the_row(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(value="small"), exited(0, text("r"))])
    changed(path, f"UPDATE texts SET text = CAST(text || 'x' AS BLOB) WHERE length(text) = {references.LARGE}")
    async with open_journal(path, NORMAL) as journal:
        with pytest.raises(StateRefused, match=rf"nodes, row {(1 << 32) + 1}: {DAMAGED}"):
            await journal.load()
        with pytest.raises(StateRefused, match=rf"events, row {(1 << 32) + 2}: {DAMAGED}"):
            await journal.events("u")
    assert "texts, row 2 (of run 1): its text" in verifying.examined(path).damage
    changed(path, "DELETE FROM texts; INSERT INTO texts (run, digest, text) VALUES (9, x'00', x'00')")
    found = verifying.examined(path).damage
    assert "texts, run 9: they belong to no workflow" in found
    assert f"events, row {(1 << 32) + 2}: its text" in found


WRITER = """
import asyncio, pathlib, sys
sys.path.insert(0, sys.argv[2])
import test_texts as t
from tiphys.journal import open_journal

async def main():
    settings = t.JournalSettings(synchronous="normal", wal_limit_bytes=600_000)
    async with open_journal(pathlib.Path(sys.argv[1]), settings) as journal:
        known = {row.run.uid for row in (await journal.load()).runs}
        count = 0
        while True:
            uid = f"u{count % 3}"
            await journal.record([t.deleted(uid)] if uid in known else [t.submitted(uid, t.text(uid))])
            known ^= {uid}
            for other in sorted(known):
                await journal.record([t.exited(count % 5, t.text(f"{count % 7}"), other), t.exited(5, t.text(f"{count}"), other)])
            print(count, flush=True)
            count += 1

asyncio.run(main())
"""


async def test_a_killed_writer_leaves_no_reference_without_its_text(tmp_path):
    path = tmp_path / "journal.db"
    dice = random.Random(3)
    for _ in range(6):
        arguments = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline(), "the writer did not start"
            threading.Timer(dice.random() * 0.3, process.send_signal, (signal.SIGKILL,)).start()
            process.stdout.read()
        contents = verifying.examined(path)
        assert contents.wrong == 0, contents.damage
        async with open_journal(path, NORMAL) as journal:
            for found in (await journal.load()).runs:
                log = await journal.events(found.run.uid)
                last = {one.event.node_id: one.event.outcome.result for one in log if isinstance(one.event, Exited)}
                assert {one.id: one.outputs.result for one in found.nodes} == last
                assert structs.replace(log[0].event, at=AT) == submitted(found.run.uid, text(found.run.uid)).event
