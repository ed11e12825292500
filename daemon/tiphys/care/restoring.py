"""Puts a copy of the journal back in place. The copy is verified before anything is touched, and what was there is kept beside it."""

import os
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from tiphys.care import backup, owner, places, verifying
from tiphys.care.backup import NotCopied
from tiphys.care.verifying import Contents
from tiphys.errors import StateRefused
from tiphys.journal import opening

WHAT_FOLLOWS = """What happened after the copy was made is unknown to it. When the daemon starts:
- attempts that the launcher still knows are adopted: one that runs goes on, of one that ended the end is learnt;
- attempts that the copy says are running and nobody knows any more become interrupted errors, under the retry policy of their step;
- steps that ended after the copy was made and that the launcher does not know any more are run again;
- workflows that were submitted since are gone, and the daemon deletes what their attempts left; steps of theirs that still run go on
  to their end, unheard. Files of theirs in the drop folder's accepted/ can be dropped again;
- notifications that were delivered since may be delivered again, and cron ticks since then count as missed."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What is in place now, and where that is which was there before (None: nothing was)."""

    contents: Contents
    made_at: datetime | None
    kept: Path | None


def restore(source: Path, state: Path) -> Restored:
    """Put the copy `source` in the place of the journal of `state`.

    Raises StateRefused (a daemon has the state in use; the copy is damaged, foreign or newer) and NotCopied. Until the copy is verified
    and on the state's own disk nothing is changed; from one journal to the other it is one rename.
    """
    target = places.journal(state)
    if not source.is_file():
        raise NotCopied(f"{source}: there is no such file")
    if verifying.is_empty(source):
        raise StateRefused(f"{source}: there is no journal in it. Nothing was changed; use another copy.")
    if target.exists() and source.samefile(target):
        raise NotCopied(f"{source} is the daemon's own journal; name a copy")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with opening.locked(target):
            _give(places.beside(target, ".lock"), state)
            return _restore(source, target)
    except OSError as error:
        raise NotCopied(f"{target}: the copy cannot be put in place ({error.strerror})") from error


def _restore(source: Path, target: Path) -> Restored:
    partial = target.with_name(f".{target.name}.{os.getpid()}.restoring")
    try:
        contents = backup.copy(source, partial)
        if contents.wrong:
            raise StateRefused(f"{source}: the copy is damaged ({contents.damage}). Nothing was changed; use another copy.")
        _give(partial, target.parent)
        kept = _keep(target)
        partial.replace(target)
        places.beside(target, "-shm").unlink(missing_ok=True)
        backup.sync_folder(target.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return Restored(contents=contents, made_at=contents.newest, kept=kept)


def _keep(target: Path) -> Path | None:
    """Give the present database a second name, so that it is still there when the first is the copy's."""
    wal = places.beside(target, "-wal")
    if not target.exists():
        wal.unlink(missing_ok=True)  # without its database it means nothing, and it would be taken for the copy's
        return None
    _merge(target)
    kept = _free(target)
    try:
        os.link(target, kept)
    except OSError:  # a file system without links: for a moment there is none
        target.rename(kept)
    if wal.exists():  # it could not be merged: it stays with its database, and must never be taken for the copy's
        wal.rename(places.beside(kept, "-wal"))
    backup.sync_folder(target.parent)
    return kept


def _merge(target: Path) -> None:
    """Write what the WAL holds into the database, if that is well enough."""
    with suppress(apsw.Error), closing(opening.connect(target)) as connection:
        connection.pragma("schema_version")  # a connection that has read nothing does not know of the WAL, and would do nothing
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _free(target: Path) -> Path:
    """A name for what was there that nothing has yet."""
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{target.name}.before-restore-{at}{end}" for end in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(path for path in map(target.with_name, names) if not os.path.lexists(path))


def _give(path: Path, state: Path) -> None:
    """What root makes in another user's state is that user's."""
    whose = owner.of_state(state)
    if os.geteuid() == 0 and whose.other:
        os.chown(path, whose.uid, whose.gid)
