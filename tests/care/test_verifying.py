"""A journal is judged rightly, whoever writes it meanwhile, and nothing is left behind."""

import random
import shutil
import sqlite3

import apsw
import pytest

from tests.care import states
from tiphys.care import checking, owner, places, verifying
from tiphys.care.finding import Severity
from tiphys.errors import StateRefused
from tiphys.journal import opening, sqlite


def judged(state):
    found, contents = checking.journal(state, owner.of_state(state))
    return found, contents


@pytest.mark.parametrize("name", sorted(path.name for path in states.RELEASED.glob("*.db")))
def test_every_released_journal_is_well(name, tmp_path):
    shutil.copy(states.RELEASED / name, tmp_path / "journal.db")
    (tmp_path / "journal.db").chmod(0o600)
    (found,), contents = judged(tmp_path)
    assert found.severity is Severity.OK, found
    assert "1 workflow, " in found.what
    assert contents.newest is not None


def test_a_whole_journal_is_well_and_a_look_leaves_no_trace(tmp_path):
    path = states.filled(tmp_path / "state")
    before = states.listing(path.parent)
    (found,), contents = judged(path.parent)
    assert found.severity is Severity.OK, found
    assert (contents.uids, contents.nodes, contents.events, contents.items, contents.archived) == ({"run0", "run1", "run2"}, 12, 7, 3, 1)
    assert contents.newest > states.AT  # the archive's own time
    assert "no daemon has it in use" in found.what
    assert states.listing(path.parent) == before


def test_a_folder_whose_name_means_something_in_a_url_is_read(tmp_path):
    path = states.filled(tmp_path / "what? 100%#1")
    assert verifying.examined(path).nodes == 12


def test_what_only_the_wal_holds_is_judged_too(tmp_path):
    with states.writing(tmp_path, runs=5) as process:
        process.kill()
        process.wait()
    assert places.beside(tmp_path / "journal.db", "-wal").stat().st_size
    contents = verifying.examined(tmp_path / "journal.db")
    assert (contents.wrong, len(contents.uids), contents.nodes) == (0, 5, 20)


def test_a_journal_that_is_being_written_is_never_called_damaged(tmp_path):
    with states.writing(tmp_path) as process:
        for _ in range(10):
            (found,), contents = judged(tmp_path)
            assert found.severity is Severity.OK, found
            assert f"in use by process {process.pid}, read while it works" in found.what
            assert contents.nodes == 80
        assert process.poll() is None
    assert places.holder(tmp_path / "journal.db") is None


def test_flipped_bytes_that_a_daemon_would_refuse_are_all_found(tmp_path):
    whole = states.filled(tmp_path / "whole", runs=40)
    expected, data = states.loaded(whole), whole.read_bytes()
    chance = random.Random(5)
    refused = 0
    for number in range(60):
        state = tmp_path / str(number)
        state.mkdir(mode=0o700)
        path = state / "journal.db"
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        path.chmod(0o600)
        (found, *more), _ = judged(state)
        assert not more
        try:
            assert states.loaded(path) == expected
        except StateRefused:
            refused += 1
            assert found.refused, (number, found)
            assert found.cure
    assert refused > 10


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE nodes SET row = CAST(substr(row, 1, 20) || x'41' || substr(row, 22) AS BLOB) WHERE id = 'run1-2'", "nodes, row 8589934"),
        ("UPDATE events SET summary = x'90' WHERE number = 4294967297", "events, row 4294967297: its checksum"),
        ("UPDATE workflows SET uid = 'other' WHERE uid = 'run1'", "it holds the workflow run1, not other"),
        ("UPDATE archive SET sum = 1", "archive, row 1: its checksum"),
        ("UPDATE remains SET row = zeroblob(size)", "remains, row 1: its checksum"),
        ("UPDATE remains SET size = 5", "bytes, not 5"),
        ("DELETE FROM archive", "remains, run0: the archive does not have it"),
        ("UPDATE items SET key = 'other' WHERE key = 'claim-run0'", "it holds Claim claim-run0"),
        ("UPDATE nodes SET id = 'other' WHERE id = 'run1-2'", "it holds the node run1-2 of run 2, not other"),
        ("DELETE FROM workflows WHERE uid = 'run1'", "events, run 2: they belong to no workflow"),
        ("DELETE FROM definitions WHERE run = 2", "its definitions are not there"),
        ("DELETE FROM nodes WHERE id = 'run1-0'", "run1-1 belongs to run1-0, which is not there"),
        ("DROP TABLE nodes", "no such table: nodes"),
    ],
)
def test_rows_that_are_not_as_written_or_do_not_belong_together_are_named(statement, said, tmp_path):
    path = states.filled(tmp_path / "state")
    states.changed(path, statement)
    (found,), contents = judged(path.parent)
    assert found.refused
    assert said in contents.damage, contents
    assert f"mv {path} {path}.damaged" in found.cure
    assert "tiphysd restore FILE" in found.cure


def test_of_many_problems_the_first_are_shown_and_the_rest_counted(tmp_path):
    path = states.filled(tmp_path / "state")
    states.changed(path, "UPDATE nodes SET sum = 1")
    contents = verifying.examined(path)
    assert (len(contents.problems), contents.wrong) == (5, 12)
    assert contents.damage.endswith("and 7 more")


def test_another_programs_database_is_named(tmp_path):
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute("CREATE TABLE workflows (x)")
    other.commit()
    other.close()
    (tmp_path / "journal.db").chmod(0o600)
    (found,), _ = judged(tmp_path)
    assert found.refused
    assert "this is the database of another program" in found.what
    assert "Name a state directory" in found.cure


def test_a_newer_journal_names_the_release_that_wrote_it(tmp_path):
    path = states.filled(tmp_path / "state")
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", opening.VERSION + 1)
    connection.execute("UPDATE meta SET value = '99.1' WHERE key = 'written_by'")
    connection.close()
    (found,), _ = judged(path.parent)
    assert found.refused
    assert f"the journal has version {opening.VERSION + 1}" in found.what
    assert "Use Tiphys 99.1 or newer" in found.cure


@pytest.mark.parametrize("content", [b"not a database at all\n" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_damaged(content, tmp_path):
    (tmp_path / "journal.db").write_bytes(content)
    (tmp_path / "journal.db").chmod(0o600)
    (found,), _ = judged(tmp_path)
    assert found.refused
    assert "damaged" in found.what
    assert found.cure


def test_no_journal_and_an_empty_one_are_well(tmp_path):
    (found,), _ = judged(tmp_path)
    assert (found.severity, "none yet" in found.what) == (Severity.OK, True)
    (tmp_path / "journal.db").touch(0o600)
    (found,), _ = judged(tmp_path)
    assert (found.severity, "nothing yet" in found.what) == (Severity.OK, True)


def test_a_journal_that_others_may_read_is_a_warning(tmp_path):
    path = states.filled(tmp_path / "state")
    path.chmod(0o644)
    (found, well), _ = judged(path.parent)
    assert (found.severity, found.cure) == (Severity.WARNING, f"`chmod 600 {path}`")
    assert well.severity is Severity.OK


def test_a_large_journal_gets_the_quick_check_and_every_checksum(tmp_path, monkeypatch):
    path = states.filled(tmp_path / "state")
    monkeypatch.setattr(verifying, "QUICK_BYTES", 1000)
    assert "quick_check" in judged(path.parent)[0][0].what
    states.changed(path, "UPDATE nodes SET sum = 1 WHERE id = 'run1-2'")
    assert verifying.examined(path).wrong == 1


def test_pages_of_events_are_read_to_the_last(tmp_path, monkeypatch):
    path = states.filled(tmp_path / "state")
    monkeypatch.setattr(verifying, "PAGE", 2)
    assert verifying.examined(path).events == 7


def test_the_number_of_a_run_is_where_the_journal_puts_it():
    assert verifying.RUN_SHIFT == sqlite.RUN_SHIFT
