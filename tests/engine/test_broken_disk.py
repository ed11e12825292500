"""The disk under the database fails while work goes on: the engine stops before it acts, and nothing it acknowledged is lost."""

from contextlib import contextmanager

import anyio
import apsw
import pytest

from tests.engine.test_engine import CHAIN, ended, manifest
from tiphys.engine.engine import open_engine
from tiphys.errors import StateRefused
from tiphys.executors.scripted import ScriptedExecutor
from tiphys.journal.protocol import RecordFailed
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.settings import JournalSettings
from tiphys.spec.status import Phase


class Disk(apsw.VFS):
    """A disk that gives an input/output error once it has written so many pages of the log."""

    def __init__(self) -> None:
        self.left = 1 << 30
        super().__init__("failing", "unix")

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name, flags) -> None:
        self.disk = disk
        self.counts = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # noqa: N802
        if self.counts:
            self.disk.left -= 1
            if self.disk.left < 0:
                raise apsw.IOError("disk I/O error")
        return super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802
        if self.counts and self.disk.left < 0:
            raise apsw.IOError("disk I/O error")
        return super().xSync(flags)


@contextmanager
def failing(after: int):
    disk = Disk()
    disk.left = after
    apsw.set_default_vfs("failing")
    try:
        yield
    finally:
        apsw.set_default_vfs("unix")
        disk.unregister()


@pytest.mark.parametrize("after", [2, 14, 26, 28, 31, 36, 42])
async def test_an_input_output_error_ends_the_engine_and_the_next_goes_on(tmp_path, after):
    executor = ScriptedExecutor()
    path = tmp_path / "journal.db"
    acknowledged = failed = False
    with failing(after):
        try:
            async with SQLiteJournal(path, JournalSettings()) as journal, open_engine(journal, {"scripted": executor}, {}) as engine:
                await engine.submit(manifest(CHAIN))
                acknowledged = True
                await ended(engine)
        except* RecordFailed as errors:
            failed = True
            assert "disk I/O error" in str(errors.exceptions[0])  # noqa: PT017 - a group
        except* (apsw.Error, StateRefused):
            failed = True
    assert failed
    launched = list(executor.launched)
    async with SQLiteJournal(path, JournalSettings()) as journal, open_engine(journal, {"scripted": executor}, {}) as engine:
        if not engine.uids():
            assert not acknowledged
            await engine.submit(manifest(CHAIN))
        with anyio.fail_after(10):
            assert await ended(engine) is Phase.SUCCEEDED
    assert len(executor.launched) == 3
    assert executor.launched[: len(launched)] == launched
