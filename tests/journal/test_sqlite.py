"""The journal on disk: what it refuses and how it says so, that it survives being killed, and that its WAL stays bounded."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import msgspec
import pytest

from tiphys.errors import StateRefused
from tiphys.journal import open_journal, opening, rows
from tiphys.journal.protocol import Entry, RecordFailed
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler.decision import Archived, Change, Decision, ItemPut, ManifestPut, NodePut, RunPut
from tiphys.scheduler.events import Defined, Exited, Submitted
from tiphys.scheduler.items import Tick
from tiphys.scheduler.records import Manifest, Node, Remains, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.status import NodeType, Phase, WorkflowStatus
from tiphys.spec.work import Outcome, OutcomeKind
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow

AT = datetime(2031, 5, 6, tzinfo=UTC)
NORMAL = JournalSettings(synchronous="normal")


def submitted(uid: str = "u") -> Entry:
    manifest = Manifest(uid=uid, workflow=Workflow(api_version=ARGO_API_VERSION))
    run = Run(uid=uid, name="wf", namespace="default", created_at=AT)
    event = Submitted(at=AT, uid=uid, seed="s", manifest=manifest)
    return Entry(event=event, answer=Decision(uid=uid, changes=(ManifestPut(manifest=manifest), RunPut(run=run))))


def a_node(node_id: str, message: str = "") -> Node:
    return Node(
        id=node_id,
        name=node_id,
        display_name=node_id,
        type=NodeType.POD,
        role=Role.TASK,
        phase=Phase.FAILED,
        message=message,
        started_at=AT,
    )


def exited(node_id: str, message: str = "", uid: str = "u") -> Entry:
    node = a_node(node_id, message)
    event = Exited(at=AT, uid=uid, node_id=node_id, attempt=0, outcome=Outcome(kind=OutcomeKind.FAILED, message=message))
    return Entry(event=event, answer=Decision(uid=uid, changes=(NodePut(uid=uid, node=node),)))


def told(change: Change) -> Entry:
    return Entry(event=Defined(at=AT, source="f"), answer=Decision(changes=(change,)))


def an_item(number: int) -> Tick:
    return Tick(namespace="n", name="cron", scheduled_at=AT + timedelta(minutes=number), at=AT, skipped=f"because of {number}")


def an_archived(number: int) -> Workflow:
    meta = ObjectMeta(name=f"wf-{number}", namespace="n", uid=f"old-{number}", labels={"number": str(number)})
    return Workflow(api_version=ARGO_API_VERSION, metadata=meta, status=WorkflowStatus(phase=Phase.FAILED, message="why"))


async def refusal(path: Path) -> str:
    """Why the journal in `path` is refused."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StateRefused) as caught:
        async with open_journal(path, NORMAL) as journal:
            await journal.load()
    assert before is None or path.read_bytes() == before
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------ what is refused


async def test_a_second_process_is_refused_by_the_firsts_id(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted()])
        said = await refusal(path)
        assert f"in use by process {os.getpid()}" in said
        assert "use another state directory" in said
    async with open_journal(path, NORMAL) as journal:
        assert len((await journal.load()).runs) == 1


async def test_the_lock_goes_with_a_killed_process(tmp_path):
    script = (
        "import asyncio, pathlib, sys\n"
        "from tiphys.journal import open_journal\n"
        "from tiphys.settings import JournalSettings\n"
        "async def main():\n"
        "    async with open_journal(pathlib.Path(sys.argv[1]), JournalSettings()):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "journal.db"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        assert f"in use by process {process.pid}" in await refusal(path)
        process.kill()
    async with open_journal(path, NORMAL) as journal:
        assert (await journal.load()).runs == ()


async def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "journal.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE workflows (x)")
    other.commit()
    other.close()
    assert "this is the database of another program" in await refusal(path)
    assert not (tmp_path / "journal.db-wal").exists()


async def test_a_newer_journal_is_refused_with_the_version_that_wrote_it(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL):
        pass
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", opening.VERSION + 1)
        connection.execute("UPDATE meta SET value = '99.1' WHERE key = 'written_by'")
    connection.close()
    said = await refusal(path)
    assert f"version {opening.VERSION + 1}" in said
    assert "Use Tiphys 99.1 or newer" in said


@pytest.mark.parametrize("content", [b"not a database at all\n" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_a_file_that_is_no_database_is_refused_with_a_repair(tmp_path, content):
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    said = await refusal(path)
    assert "damaged" in said
    assert f"mv {path} {path}.damaged" in said


async def test_a_folder_that_is_not_there_and_a_folder_in_its_place_are_refused(tmp_path):
    assert "cannot be" in await refusal(tmp_path / "nowhere" / "journal.db")
    (tmp_path / "journal.db").mkdir()
    assert "cannot be opened" in await refusal(tmp_path / "journal.db")


async def test_an_empty_file_is_a_new_journal(tmp_path):
    """As a crash between making the file and filling it leaves."""
    path = tmp_path / "journal.db"
    path.touch()
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted()])
        assert len((await journal.load()).runs) == 1


async def test_a_journal_is_its_owners_alone(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted()])
        for file in (path, path.with_name("journal.db-wal"), path.with_name("journal.db.lock")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def filled(path: Path) -> None:
    async def fill() -> None:
        async with open_journal(path, NORMAL) as journal:
            for uid in ("u", "v"):
                await journal.record([submitted(uid)])
                for start in range(0, 200, 20):
                    await journal.record([exited(f"node-{start + number}", f"said {start + number}", uid) for number in range(20)])
            await journal.record([told(ItemPut(item=an_item(number))) for number in range(100)])
            await journal.record([told(Archived(workflow=an_archived(number))) for number in range(100)])

    asyncio.run(fill())


async def everything(path: Path) -> list[object]:
    async with open_journal(path, NORMAL) as journal:
        found: list[object] = [await journal.load(), await journal.events("u"), await journal.events("v"), await journal.archive(list)]
        # a damaged index may find nothing; what it finds is what was written
        return found + [await journal.archived(f"old-{number}") or an_archived(number) for number in range(100)]


def test_a_damaged_journal_is_refused_and_never_read_wrong(tmp_path):
    """Bytes are flipped all over the file: either it is refused with a repair, or everything reads as it was written."""
    whole = tmp_path / "whole.db"
    filled(whole)
    size = whole.stat().st_size
    expected = asyncio.run(everything(whole))
    dice = random.Random(7)
    refused = 0
    for number in range(150):
        path = tmp_path / f"{number}.db"
        shutil.copy(whole, path)
        with path.open("r+b") as file:
            place = dice.randrange(100 if number % 10 == 0 else size)
            file.seek(place)
            old = file.read(1)[0]
            file.seek(place)
            file.write(bytes([old ^ (1 << dice.randrange(8))]))
        try:
            assert asyncio.run(everything(path)) == expected
        except StateRefused:
            refused += 1
        path.unlink()
    assert refused > 50


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE items SET row = x'00' WHERE key = (SELECT min(key) FROM items)", "items (Tick n/cron/2031-05-06T00:00:00+00:00)"),
        ("UPDATE items SET sum = sum + 1", "its checksum does not match"),
        ("UPDATE items SET key = key || 'x' WHERE key = (SELECT min(key) FROM items)", "holds another item"),
        ("UPDATE items SET kind = 'Cron' WHERE key = (SELECT min(key) FROM items)", "holds another item"),
        ("UPDATE items SET kind = 'Unheard'", "holds another item"),
    ],
)
async def test_damaged_items_are_refused(tmp_path, damage, said):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([told(ItemPut(item=an_item(number))) for number in range(3)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    async with open_journal(path, NORMAL) as journal:
        with pytest.raises(StateRefused, match="the journal is damaged") as refused:
            await journal.load()
    assert said in str(refused.value)


@pytest.mark.parametrize("damage", ["phase = 'Succeeded'", "labels = '{'", "archived_at = 0.5", "finished_at = 'x'", "line = 0"])
async def test_a_damaged_list_of_the_archive_is_refused(tmp_path, damage):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([told(Archived(workflow=an_archived(1)))])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE archive SET {damage}")
    async with open_journal(path, NORMAL) as journal:
        with pytest.raises(StateRefused, match="old-1: its checksum does not match"):
            await journal.archive(list)


async def test_tidying_makes_the_file_smaller_where_much_of_it_is_free(tmp_path):
    path = tmp_path / "journal.db"
    big = an_archived(0)
    big = msgspec.structs.replace(big, status=msgspec.structs.replace(big.status, message="x" * 1_000_000))
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(), exited("n", "kept")])
        for number in range(12):
            meta = msgspec.structs.replace(big.metadata, uid=f"old-{number}")
            await journal.record([told(Archived(workflow=msgspec.structs.replace(big, metadata=meta)))])
        pages = journal._connection.pragma("page_count")
        await journal.tidy(time.time() + 1, 1.0)
        assert journal._connection.pragma("page_count") == pages, "too little of it is free"
        await journal.tidy(0.0, 0.5)
        assert journal._connection.pragma("page_count") < pages / 10
        await journal.record([exited("m")])
        assert [node.message for node in (await journal.load()).runs[0].nodes] == ["kept", ""]
    assert path.stat().st_size < 1_000_000


async def test_a_cut_off_journal_is_refused(tmp_path):
    path = tmp_path / "journal.db"
    await asyncio.to_thread(filled, path)
    os.truncate(path, path.stat().st_size // 2)
    assert "damaged" in await refusal(path)


# ------------------------------------------------------------------------------------------------------------ writing


async def test_a_batch_that_cannot_be_written_leaves_nothing_and_ends_the_recording(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted()])
        pages = journal._connection.pragma("page_count")
        journal._connection.pragma("max_page_count", pages + 3)
        with pytest.raises(RecordFailed, match="full"):
            await journal.record([exited(f"n{number}", "x" * 1000) for number in range(100)])
        with pytest.raises(RecordFailed, match="failed before"):
            await journal.record([exited("n")])
    async with open_journal(path, NORMAL) as journal:
        (run,) = (await journal.load()).runs
        assert run.nodes == ()
        assert len(await journal.events("u")) == 1


async def test_a_workflow_is_stored_once_and_not_again_in_its_event(tmp_path):
    path = tmp_path / "journal.db"
    entry = submitted()
    async with open_journal(path, NORMAL) as journal:
        await journal.record([entry])
        assert (await journal.events("u"))[0].event == entry.event
        ((event,),) = journal._execute("SELECT event FROM events").fetchall()
    assert rows.is_lean(rows.event.decode(event))


async def test_rows_of_a_release_with_more_fields_of_ours_still_open(tmp_path):
    """A field that was added later has its default in old rows."""
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(), exited("n", "said")])
        ((number, row),) = journal._execute("SELECT number, row FROM nodes").fetchall()
        fields = msgspec.msgpack.decode(row)
        del fields["message"]
        fields["of_a_later_release"] = 1
        data = msgspec.msgpack.encode(fields)
        journal._execute("UPDATE nodes SET row = ?, sum = ? WHERE number = ?", (data, rows.checksum(data), number))
        (run,) = (await journal.load()).runs
        assert run.nodes[0].message == ""


# ------------------------------------------------------------------------------------------------------------ being killed

WRITER = """
import asyncio, pathlib, sys
sys.path.insert(0, sys.argv[2])
import test_sqlite
from tiphys.journal import open_journal

async def main():
    settings = test_sqlite.JournalSettings(synchronous=sys.argv[3], wal_limit_bytes=300_000)
    async with open_journal(pathlib.Path(sys.argv[1]), settings) as journal:
        known = {row.run.uid for row in (await journal.load()).runs}
        if "u" not in known:
            await journal.record([test_sqlite.submitted()])
        batch = len(await journal.events("u")) // 7
        while True:
            await journal.record([test_sqlite.exited(f"n{batch % 50}-{number}", f"batch {batch}") for number in range(7)])
            print(batch, flush=True)
            batch += 1

asyncio.run(main())
"""


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_a_killed_writer_leaves_whole_batches_in_order(tmp_path, synchronous):
    """kill -9 at random moments: all that was acknowledged is there, nothing is there in part, and it goes on from there."""
    path = tmp_path / "journal.db"
    dice = random.Random(11)
    acknowledged = -1
    for _ in range(6):
        arguments = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent), synchronous]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            first = process.stdout.readline()
            assert first, "the writer did not start"
            threading.Timer(dice.random() * 0.3, process.send_signal, (signal.SIGKILL,)).start()
            lines = [first, *process.stdout]
        acknowledged = max(acknowledged, *(int(line) for line in lines if line.endswith("\n")))

        async with open_journal(path, NORMAL) as journal:
            (run,) = (await journal.load()).runs
            log = (await journal.events("u"))[1:]
        messages = [logged.event.outcome.message for logged in log]
        assert len(messages) % 7 == 0, "a batch is there in part"
        count = len(messages) // 7
        assert messages == [f"batch {number}" for number in range(count) for _ in range(7)]
        assert acknowledged < count <= acknowledged + 2
        last = {logged.event.node_id: logged.event.outcome.message for logged in log}
        assert {node.id: node.message for node in run.nodes} == last


# ------------------------------------------------------------------------------------------------------------ the WAL


async def written(journal: SQLiteJournal, path: Path, batches: int) -> int:
    """Record so many batches of some 60 kB; the longest WAL that was seen."""
    wal, longest = path.with_name(f"{path.name}-wal"), 0
    for batch in range(batches):
        await journal.record([exited(f"n{batch % 4}-{number}", "x" * 500) for number in range(50)])
        longest = max(longest, wal.stat().st_size)
    return longest


async def test_the_wal_stays_bounded_under_a_reader_that_never_rests(tmp_path):
    path = tmp_path / "journal.db"
    limit = 2_000_000
    stop = threading.Event()

    def read(offset: float) -> None:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        while not stop.is_set():
            cursor = connection.execute("SELECT row FROM nodes")
            cursor.fetchone()
            time.sleep(0.01 + offset)
            cursor.close()
        connection.close()

    async with open_journal(path, JournalSettings(synchronous="normal", wal_limit_bytes=limit)) as journal:
        await journal.record([submitted(), exited("n")])
        readers = [threading.Thread(target=read, args=(offset / 500,)) for offset in range(3)]
        for reader in readers:
            reader.start()
        try:
            longest = await written(journal, path, 200)
        finally:
            stop.set()
            for reader in readers:
                reader.join()
    assert limit / 8 < longest < 2 * limit


async def test_a_reader_that_will_not_end_does_not_stop_the_recording(tmp_path, monkeypatch):
    monkeypatch.setattr("tiphys.journal.checkpoints.ROOM_SECONDS", 0.05)
    path = tmp_path / "journal.db"
    async with open_journal(path, JournalSettings(synchronous="normal", wal_limit_bytes=500_000)) as journal:
        await journal.record([submitted(), exited("n")])
        reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        cursor = reader.execute("SELECT row FROM nodes")
        cursor.fetchone()
        held = await written(journal, path, 40)
        assert held > 1_000_000
        cursor.close()
        reader.close()
        before = path.with_name("journal.db-wal").stat().st_size
        await written(journal, path, 40)
        assert path.with_name("journal.db-wal").stat().st_size <= before + 500_000
        (run,) = (await journal.load()).runs
        assert len(run.nodes) == 201


async def test_a_quiet_journal_is_checkpointed(tmp_path, monkeypatch):
    monkeypatch.setattr("tiphys.journal.checkpoints.QUIET_SECONDS", 0.05)
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(), *(exited(f"n{number}", "x" * 500) for number in range(100))])
        began = time.monotonic()
        while path.stat().st_size < 50_000:
            assert time.monotonic() - began < 10, "no checkpoint came"
            await asyncio.sleep(0.02)


async def test_closing_leaves_one_file_with_everything_in_it(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([submitted(), exited("n")])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal.db", "journal.db.lock"]
    assert len((await everything(path))[1]) == 2


# ------------------------------------------------------------------------------------------------- the rows of archived runs


def some_remains(number: int, nodes: int = 20) -> Remains:
    uid = f"old-{number}"
    chance = random.Random(number)
    made = tuple(a_node(f"n{one}", chance.randbytes(100).hex()) for one in range(nodes))
    manifest = Manifest(uid=uid, workflow=an_archived(number))
    return Remains(manifest=manifest, run=Run(uid=uid, name="wf", namespace="n", created_at=AT), nodes=made)


def deleted(number: int, nodes: int = 20) -> Entry:
    return told(Archived(workflow=an_archived(number), remains=some_remains(number, nodes)))


async def test_the_rows_of_archived_runs_take_no_more_room_than_they_may(tmp_path):
    path = tmp_path / "journal.db"
    settings = JournalSettings(synchronous="normal", remains_bytes=10_000)
    async with open_journal(path, settings) as journal:
        for number in range(20):
            await journal.record([deleted(number)])
            kept = [one for one in range(number + 1) if await journal.remains(f"old-{one}")]
            assert kept == list(range(number + 1))[-len(kept) :], "the newest"
        assert 2 <= len(kept) < 8
        await journal.record([deleted(20, nodes=200)])
        assert await journal.remains("old-20") is None, "it is more than all that is kept"
        assert len(await journal.archive(list)) == 21
    async with open_journal(path, settings) as journal:
        await journal.record([deleted(21), deleted(22)])
        assert [one for one in range(23) if await journal.remains(f"old-{one}")] == [21, 22]
    async with open_journal(path, JournalSettings(synchronous="normal", remains_bytes=0)) as journal:
        await journal.record([deleted(23)])
        assert await journal.remains("old-23") is None
        await journal.tidy(0.0, 1.0)
        assert not [one for one in range(24) if await journal.remains(f"old-{one}")]


@pytest.mark.parametrize("damage", ["row = zeroblob(length(row))", "sum = 1", "uid = 'old-2'", "row = substr(row, 1, 20)"])
async def test_damaged_rows_of_an_archived_run_are_refused(tmp_path, damage):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([deleted(1)])
        connection = apsw.Connection(str(path))
        connection.execute(f"UPDATE remains SET {damage}")
        connection.close()
        with pytest.raises(StateRefused, match="remains, old-"):
            await journal.remains("old-2" if "uid" in damage else "old-1")


async def test_a_database_of_version_2_has_an_archive_of_which_no_rows_are_left(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, NORMAL) as journal:
        await journal.record([deleted(1)])
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE remains; DROP TABLE texts").fetchall()
    connection.pragma("user_version", 2)
    connection.close()
    async with open_journal(path, NORMAL) as journal:
        assert [one.uid for one in await journal.archive(list)] == ["old-1"]
        assert await journal.remains("old-1") is None
        await journal.record([deleted(2)])
        assert await journal.remains("old-2") == some_remains(2)
