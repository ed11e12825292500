"""Databases of earlier releases open, and their runs are whole."""

import shutil
from pathlib import Path

import apsw
import pytest

from tiphys.journal import opening
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.settings import JournalSettings
from tiphys.spec.status import Phase

RELEASED = Path(__file__).parent / "released"


def test_the_oldest_release_is_among_them():
    assert (RELEASED / "0.1.0.db").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in RELEASED.glob("*.db")))
async def test_a_database_of_an_earlier_release_opens_and_loses_nothing(name, tmp_path):
    path = tmp_path / "journal.db"
    shutil.copy(RELEASED / name, path)
    async with SQLiteJournal(path, JournalSettings()) as journal:
        (run,) = (await journal.load()).runs
        log = await journal.events(run.run.uid)
    assert (run.run.name, run.run.phase, run.run.labels) == ("keeper", Phase.RUNNING, {"team": "a"})
    phases = {node.name: node.phase for node in run.nodes}
    assert phases["keeper.a"] is Phase.SUCCEEDED
    assert phases["keeper.b(1:2)"] is Phase.SUCCEEDED
    assert phases["keeper.wait"] is Phase.RUNNING
    assert len(log) > 5
    assert log[0].event.manifest.workflow.metadata.name == "keeper"
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == opening.VERSION
    connection.close()
    async with SQLiteJournal(path, JournalSettings()) as journal:  # and again, now that it is of this release
        assert len((await journal.load()).runs) == 1
