"""Copies are one moment's state and whole or not there; they go back in place whatever is there, and never under a daemon."""

import errno
import os
import resource
import shutil
import stat
import time

import apsw
import pytest

from tests.care import states
from tiphys.care import backup, places, restoring, verifying
from tiphys.care.backup import NotCopied
from tiphys.errors import StateRefused
from tiphys.journal import opening


def test_a_copy_made_while_a_writer_records_is_one_moments_state(tmp_path):
    state = tmp_path / "state"
    with states.writing(state, runs=30) as process:
        for number in range(5):
            contents = backup.backup(state, tmp_path / f"{number}.db")
            assert (len(contents.uids), contents.nodes, contents.wrong) == (30, 120, 0)
        assert process.poll() is None
    seen = []
    for number in range(5):
        runs = states.loaded(tmp_path / f"{number}.db")
        assert len(runs) == 30
        messages = {node.message for run in runs for node in run.nodes}
        assert len(messages) == 1  # each batch gave all nodes of all runs the same
        seen.append(int(messages.pop()))
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_writer_is_not_kept_waiting_by_a_copy(tmp_path, monkeypatch):
    """It records on even while the copy takes a pause after each page, and the copy does not begin anew."""
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    monkeypatch.setattr(backup, "PAUSE_SECONDS", 0.02)
    state = tmp_path / "state"
    with states.writing(state, runs=30):
        pages = (state / "journal.db").stat().st_size // 4096 + 200
        began = time.monotonic()
        backup.backup(state, tmp_path / "copy.db")
        assert time.monotonic() - began < pages * 0.1
        at_copy = int(next(iter(states.loaded(tmp_path / "copy.db"))).nodes[0].message)
        time.sleep(0.2)
    after = int(states.loaded(state / "journal.db")[0].nodes[0].message)
    assert after > at_copy


def test_a_copy_is_its_owners_alone_and_one_file(tmp_path):
    path = states.filled(tmp_path / "state")
    before = states.listing(path.parent)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "copy.db"
    previous = os.umask(0)
    try:
        backup.backup(path.parent, target)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [one.name for one in target.parent.iterdir()] == ["copy.db"]
    assert states.listing(path.parent) == before
    assert states.loaded(target) == states.loaded(path)


def test_what_only_the_wal_holds_is_in_the_copy(tmp_path):
    with states.writing(tmp_path, runs=5) as process:
        process.kill()
        process.wait()
    assert backup.backup(tmp_path, tmp_path / "copy.db").nodes == 20


def test_a_file_that_is_there_is_replaced_only_when_forced(tmp_path):
    path = states.filled(tmp_path / "state")
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(NotCopied, match="--force"):
        backup.backup(path.parent, target)
    assert target.read_text() == "precious"
    backup.backup(path.parent, target, force=True)
    assert len(states.loaded(target)) == 3


@pytest.mark.parametrize("name", ["journal.db", "journal.db.lock"])
def test_the_daemons_own_files_are_never_the_target(name, tmp_path):
    path = states.filled(tmp_path / "state")
    before = states.listing(path.parent)
    with pytest.raises(NotCopied, match="daemon's own file"):
        backup.backup(path.parent, path.with_name(name), force=True)
    (tmp_path / "link").symlink_to(path.with_name(name))
    with pytest.raises(NotCopied, match="daemon's own file"):
        backup.backup(path.parent, tmp_path / "link", force=True)
    assert states.listing(path.parent) == before


def test_what_cannot_be_copied_says_why_and_leaves_nothing(tmp_path):
    with pytest.raises(NotCopied, match="there is no journal to copy"):
        backup.backup(tmp_path, tmp_path / "copy.db")
    path = states.filled(tmp_path / "state")
    with pytest.raises(NotCopied, match="no such directory"):
        backup.backup(path.parent, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(NotCopied, match="is a directory"):
        backup.backup(path.parent, tmp_path)
    states.changed(path, "UPDATE nodes SET sum = 1 WHERE id = 'run1-2'")
    with pytest.raises(StateRefused, match=r"its checksum does not match.*no copy was made.*tiphysd restore"):
        backup.backup(path.parent, tmp_path / "copy.db")
    states.changed(path, f"PRAGMA user_version = {opening.VERSION + 1}")
    with pytest.raises(StateRefused, match="or newer") as caught:
        backup.backup(path.parent, tmp_path / "copy.db")
    assert "partial" not in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


# ------------------------------------------------------------------------------------------------------------ restore


def kept(state):
    return sorted(one.name for one in state.iterdir() if ".before-restore-" in one.name)


def test_a_copy_goes_back_and_what_was_there_is_kept_with_its_wal(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state)
    backup.backup(state, copy)
    expected = states.loaded(copy)
    with states.writing(state, runs=5) as process:
        process.kill()
        process.wait()
    assert places.beside(path, "-wal").stat().st_size
    made = restoring.restore(copy, state)
    assert made.kept is not None
    assert kept(state) == [made.kept.name]
    assert not places.beside(path, "-wal").exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert states.loaded(path) == expected
    assert {run.run.uid for run in states.loaded(made.kept)} == {"run0", "run1", "run2", "run3", "run4"}
    assert copy.exists()


@pytest.mark.parametrize("name", sorted(path.name for path in states.RELEASED.glob("*.db")))
def test_a_journal_of_an_earlier_release_goes_back_and_opens(name, tmp_path):
    made = restoring.restore(states.RELEASED / name, tmp_path / "state")
    assert made.kept is None
    assert [run.run.name for run in states.loaded(tmp_path / "state" / "journal.db")] == ["keeper"]


@pytest.mark.parametrize("damage", ["rubbish", "flipped", "empty"])
def test_a_copy_goes_over_a_damaged_journal_which_is_kept_as_it_is(damage, tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state)
    backup.backup(state, copy)
    data = bytearray(path.read_bytes())
    data[5000:5100] = b"\xff" * 100
    path.write_bytes({"rubbish": b"rubbish" * 2000, "flipped": bytes(data), "empty": b""}[damage])
    before = path.read_bytes()
    made = restoring.restore(copy, state)
    assert made.kept is not None
    assert made.kept.read_bytes() == before
    assert states.loaded(path) == states.loaded(copy)
    assert verifying.examined(path).wrong == 0


def test_a_wal_that_cannot_be_merged_stays_with_its_database_and_never_meets_the_copy(tmp_path, monkeypatch):
    """Somebody looks at the journal with a tool of their own meanwhile."""
    monkeypatch.setattr(opening, "BUSY_MILLISECONDS", 50)
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state)
    backup.backup(state, copy)
    with states.writing(state, runs=5) as process:
        process.kill()
        process.wait()
    looking = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    looking.execute("BEGIN; SELECT count(*) FROM nodes").fetchall()
    made = restoring.restore(copy, state)
    looking.close()
    assert made.kept is not None
    assert places.beside(made.kept, "-wal").stat().st_size
    assert not places.beside(path, "-wal").exists()
    assert len(states.loaded(path)) == 3
    assert len(states.loaded(made.kept)) == 5


def test_a_wal_without_a_database_is_not_taken_for_the_copys(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state)
    backup.backup(state, copy)
    with states.writing(state, runs=5) as process:
        process.kill()
        process.wait()
    path.unlink()
    assert restoring.restore(copy, state).kept is None
    assert len(states.loaded(path)) == 3


def test_nothing_is_put_back_while_a_daemon_has_the_state(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    states.filled(state)
    backup.backup(state, copy)
    with states.writing(state) as process:
        with pytest.raises(StateRefused, match=f"in use by process {process.pid}"):
            restoring.restore(copy, state)
        assert process.poll() is None
    assert kept(state) == []
    restoring.restore(copy, state)
    assert len(states.loaded(state / "journal.db")) == 3


def test_a_bad_copy_changes_nothing(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state)
    before = states.listing(state)
    for spoil, said in (
        ("UPDATE nodes SET sum = 1 WHERE id = 'run1-2'", "the copy is damaged"),
        ("PRAGMA application_id = 7", "database of another program"),
        (f"PRAGMA user_version = {opening.VERSION + 1}", "or newer"),
    ):
        shutil.copy(path, copy)
        states.changed(copy, spoil)
        with pytest.raises(StateRefused, match=said):
            restoring.restore(copy, state)
        assert states.listing(state) | {"journal.db.lock": b""} == before | {"journal.db.lock": b""}
    copy.write_bytes(b"")
    with pytest.raises(StateRefused, match="there is no journal in it"):
        restoring.restore(copy, state)
    copy.write_bytes(b"rubbish" * 1000)
    with pytest.raises(StateRefused, match="damaged"):
        restoring.restore(copy, state)
    with pytest.raises(NotCopied, match="daemon's own journal"):
        restoring.restore(path, state)
    with pytest.raises(NotCopied, match="no such file"):
        restoring.restore(tmp_path / "nowhere", state)
    assert states.listing(state) | {"journal.db.lock": b""} == before | {"journal.db.lock": b""}


def test_two_restores_in_one_second_keep_both_journals(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    states.filled(state)
    backup.backup(state, copy)
    names = {restoring.restore(copy, state).kept for _ in range(3)}
    assert len(names) == 3
    assert len(kept(state)) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_puts_back_belongs_to_the_daemons_user(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(tmp_path / "other")
    backup.backup(path.parent, copy)
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)
    restoring.restore(copy, state)
    assert {one.name: one.stat().st_uid for one in state.iterdir()} == {"journal.db": 65534, "journal.db.lock": 65534}


# ------------------------------------------------------------------------------------------------------------ disks that fail


def test_a_disk_that_is_full_leaves_no_half_copy_and_the_journal_as_it_was(tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state, runs=20)
    backup.backup(state, copy)
    before = path.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, usual[1]))
    try:
        with pytest.raises(NotCopied):
            backup.backup(state, tmp_path / "second.db")
        with pytest.raises(NotCopied):
            restoring.restore(copy, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "state"]
    assert path.read_bytes() == before
    assert sorted(one.name for one in state.iterdir()) == ["journal.db", "journal.db.lock"]


@pytest.mark.parametrize("failing", ["link", "replace", "rename", "fsync", "unlink"])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_restore_that_fails_half_way_leaves_one_of_the_two_journals(failing, calls, tmp_path, monkeypatch):
    """And the other one is still somewhere."""
    state, copy = tmp_path / "state", tmp_path / "copy.db"
    path = states.filled(state, runs=2)
    backup.backup(state, copy)
    with states.writing(state, runs=5) as process:
        process.kill()
        process.wait()
    left = calls
    usual = getattr(os, failing)

    def fails(*arguments, **named):
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return usual(*arguments, **named)

    with monkeypatch.context() as broken:
        broken.setattr(os, failing, fails)
        try:
            restoring.restore(copy, state)
        except NotCopied as error:
            assert "Input/output error" in str(error)  # noqa: PT017 - it may also go well
    runs = len(states.loaded(path))
    assert runs in {2, 5}
    if runs == 2:
        assert [len(states.loaded(state / name)) for name in kept(state) if name.endswith("Z")] == [5]
    assert not [one.name for one in state.iterdir() if one.name.startswith(".")] or failing == "unlink"
