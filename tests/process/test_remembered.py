"""That isolation works is tried once in a boot; and again whenever the answer may have become another."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.orders import needs_bwrap, opened, run, shell
from tests.process.test_deaths import end_daemon_launcher
from tiphys.executors.process import IsolationRefused, remembered
from tiphys.spec.work import OutcomeKind

REAL = shutil.which("bwrap")
pytestmark = [needs_bwrap, pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no memory to keep anything in")]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in memory where things are kept until the next boot."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        monkeypatch.setenv("XDG_RUNTIME_DIR", made)
        yield Path(made)


@pytest.fixture
def bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bwrap that writes down when it only tries what /bin/true can."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return installed(folder / "bwrap", tmp_path / "tried")


def installed(place: Path, tried: Path, code: str = "") -> Path:
    """Put that bwrap in place, as an upgrade does: another file of the same name."""
    fresh = place.with_name("fresh")
    fresh.write_text(f'#!/bin/sh\n{code}\nfor last; do :; done\n[ "$last" = /bin/true ] && echo tried >> {tried}\nexec {REAL} "$@"\n')
    fresh.chmod(0o755)
    fresh.replace(place)
    return place


async def tries(tmp_path: Path, **options: str) -> int:
    """How often isolation was tried so far, after one more executor was opened and ran a step."""
    async with opened(tmp_path / "root", "full", **options) as executor:
        assert (await run(executor, shell("true", id=f"wf/n{os.urandom(4).hex()}/0"))).kind is OutcomeKind.SUCCEEDED
    return len((tmp_path / "tried").read_text().splitlines())


async def test_what_worked_is_not_tried_again(tmp_path: Path, memory: Path, bwrap: Path) -> None:
    assert shutil.which("bwrap") == str(bwrap)
    assert await tries(tmp_path) == 1
    assert await tries(tmp_path) == 1
    [kept] = [path for path in memory.iterdir() if path.is_file()]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_another_bwrap_is_tried_even_if_it_has_the_same_size_and_time(tmp_path: Path, memory: Path, bwrap: Path) -> None:
    assert await tries(tmp_path) == 1
    before = bwrap.stat()
    installed(bwrap, tmp_path / "tried")
    os.utime(bwrap, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert bwrap.stat().st_size == before.st_size
    assert await tries(tmp_path) == 2
    installed(bwrap, tmp_path / "tried", "echo it does not work here >&2; exit 1")
    for _ in range(2):
        with pytest.raises(IsolationRefused, match="does not work here"):
            await tries(tmp_path)
    installed(bwrap, tmp_path / "tried")
    assert await tries(tmp_path) == 3
    assert memory.is_dir()


async def test_a_daemon_tries_each_time(tmp_path: Path, memory: Path, bwrap: Path) -> None:
    assert await tries(tmp_path) == 1
    assert await tries(tmp_path, mode="daemon") == 2
    end_daemon_launcher(tmp_path / "root")
    assert memory.is_dir()
    assert bwrap.exists()


def test_the_question_is_another_one_after_a_boot_and_for_other_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = remembered.question(["/bin/true", "a"])
    assert first == remembered.question(["/bin/true", "a"])
    assert first != remembered.question(["/bin/true", "b"])
    assert first != remembered.question(["/bin/sh", "a"])
    booted = tmp_path / "boot_id"
    booted.write_text("another\n")
    kernel = tuple(str(booted) if name.endswith("boot_id") else name for name in remembered.KERNEL)
    monkeypatch.setattr(remembered, "KERNEL", kernel)
    assert first != remembered.question(["/bin/true", "a"])


def test_what_others_may_have_written_is_not_believed(memory: Path) -> None:
    asked = remembered.question(["/bin/true"])
    assert not remembered.works(asked)
    remembered.remember(asked)
    assert remembered.works(asked)
    assert not remembered.works(remembered.question(["/bin/true", "x"]))
    [kept] = memory.iterdir()
    kept.chmod(0o622)
    assert not remembered.works(asked)
    kept.chmod(0o600)
    kept.rename(memory / "elsewhere")
    kept.symlink_to(memory / "elsewhere")
    assert not remembered.works(asked)
    remembered.remember(asked)
    assert remembered.works(asked)
    assert not kept.is_symlink()


def test_where_nothing_can_be_kept_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    asked = remembered.question(["/bin/true"])
    (memory / f"{remembered.NAME}-{os.geteuid()}").mkdir()
    remembered.remember(asked)
    assert not remembered.works(asked)
    monkeypatch.setattr(remembered.places, "memory_directories", list)
    remembered.remember(asked)
    assert not remembered.works(asked)
