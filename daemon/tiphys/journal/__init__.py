"""The checkpoint: rows and the event log in one transaction a batch, on disk (`sqlite`) or in memory (`memory`, its twin)."""

from pathlib import Path

from tiphys.journal.sqlite import SQLiteJournal
from tiphys.settings import JournalSettings


def open_journal(path: Path, settings: JournalSettings, *, synchronous: str = "") -> SQLiteJournal:
    """The journal in the file `path`, to be entered with `async with`; `synchronous` (full, normal) goes before the settings'."""
    return SQLiteJournal(path, settings, synchronous=synchronous)
