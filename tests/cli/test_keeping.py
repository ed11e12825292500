"""The state of foreground runs."""

import os
from pathlib import Path

import pytest

from tiphys.cli import keeping
from tiphys.errors import StateRefused


def made(runs: Path, name: str, at: float) -> Path:
    path = keeping.fresh(runs, name)
    with keeping.claimed(path):
        pass
    os.utime(path / keeping.LOCK, (at, at))
    os.utime(path, (at, at))
    return path


def test_the_newest_run_is_found_by_name_or_by_prefix(tmp_path: Path) -> None:
    made(tmp_path, "nightly", 100)
    again = made(tmp_path, "nightly", 200)
    made(tmp_path, "nightly-x", 300)
    first = made(tmp_path, "gen-abcde", 400)
    made(tmp_path, "gen-other-abcde", 500)
    assert again.name == "nightly.2"
    assert keeping.latest(tmp_path, "nightly", "") == again
    assert keeping.latest(tmp_path, "", "gen-") == first
    assert keeping.latest(tmp_path, "none", "") is None
    assert keeping.latest(tmp_path / "nowhere", "x", "") is None


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with keeping.claimed(tmp_path / "a"), pytest.raises(StateRefused, match=f"process {os.getpid()}"), keeping.claimed(tmp_path / "a"):
        pass
    with keeping.claimed(tmp_path / "a"):
        pass


def test_old_runs_are_removed_unless_they_are_in_use(tmp_path: Path) -> None:
    old, busy, new = made(tmp_path, "old", 100), made(tmp_path, "busy", 100), made(tmp_path, "new", 950)
    with keeping.claimed(busy):
        os.utime(busy / keeping.LOCK, (100, 100))
        os.utime(busy, (100, 100))
        assert keeping.sweep(tmp_path, 100, now=1000) == [old]
    assert not old.exists()
    assert busy.exists()
    assert new.exists()


def test_a_missing_folder_has_nothing_to_remove(tmp_path: Path) -> None:
    assert keeping.sweep(tmp_path / "none", 1) == []
