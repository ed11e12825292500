"""A copy of the journal while a daemon writes it: one moment's state, verified, and there whole or not at all.

The copy is read in one read transaction, so a busy writer cannot make it begin again and again; writers are never kept waiting. What
attempts left (their folders, logs, artifacts) is not part of it.
"""

import os
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw

from tiphys.care import places, verifying
from tiphys.care.verifying import Contents
from tiphys.errors import StateRefused, TiphysError

STEP_PAGES = 256
PAUSE_SECONDS = 0.0005
"""Between steps, so that a copy takes the disk from nobody for long."""
NOT_PART = "Folders and logs of attempts, artifacts, the drop folder and settings are not part of it."


class NotCopied(TiphysError):
    """The copy could not be made."""


def backup(state: Path, target: Path, *, force: bool = False) -> Contents:
    """Copy the journal of `state` to the file `target`; what the copy holds.

    Raises NotCopied (there is no journal, or `target` is in the way or cannot be written) and StateRefused (the journal is not whole, not
    ours, newer than we are). `force`: replace the file that is there.
    """
    source = places.journal(state)
    if not source.is_file():
        raise NotCopied(f"{source}: there is no journal to copy; name the daemon's state directory with --state, or its settings file")
    if verifying.is_empty(source):
        raise NotCopied(f"{source}: there is nothing in the journal to copy")
    _see_target(source, target, force=force)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        contents = copy(source, partial)
        if contents.wrong:
            raise StateRefused(f"{source}: the journal is damaged ({contents.damage}); no copy was made. Cure: {verifying.cure(source)}")
        _place(partial, target, force=force)
    except OSError as error:
        raise NotCopied(f"{target}: the copy cannot be made ({error.strerror})") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return contents


def copy(source: Path, partial: Path) -> Contents:
    """Copy a database, with what its WAL holds, to the new file `partial`, readable by us alone; the judgement of the copy.

    Raises OSError, NotCopied, StateRefused. The copy is on disk when this returns.
    """
    verifying.undisturbed(source, lambda still: _copy_file(source, partial, still=still))
    try:
        with closing(verifying.connect(partial, still=True)) as judging:
            return verifying.examine(judging, partial)
    except StateRefused as refusal:
        raise StateRefused(str(refusal).replace(str(partial), str(source))) from refusal


def _copy_file(source: Path, partial: Path, *, still: bool) -> None:
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(verifying.connect(source, still=still)) as reading:
        try:
            _copy_pages(reading, partial)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise StateRefused(f"{source}: the journal is damaged ({error}). Cure: {verifying.cure(source)}") from error
        except apsw.Error as error:
            raise NotCopied(f"{source}: cannot be copied ({error})") from error
    descriptor = os.open(partial, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_pages(reading: apsw.Connection, partial: Path) -> None:
    with closing(apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE)) as writing:
        writing.pragma("journal_mode", "off")  # should it fail, the file goes
        writing.pragma("synchronous", "off")  # it is synced once, at the end
        reading.execute("BEGIN")
        reading.pragma("schema_version")  # from here on it is one moment's state
        with writing.backup("main", reading, "main") as made:
            while not made.done:
                made.step(STEP_PAGES)
                time.sleep(PAUSE_SECONDS)
        reading.execute("ROLLBACK")


def _see_target(source: Path, target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise NotCopied(f"{target} is a directory; name a file in it")
    if not target.exists():
        if not target.parent.is_dir():
            raise NotCopied(f"{target.parent}: there is no such directory")
        return
    if any(one.exists() and target.samefile(one) for one in (source, *(places.beside(source, end) for end in ("-wal", "-shm", ".lock")))):
        raise NotCopied(f"{target} is the daemon's own file; name another")
    if not force:
        raise NotCopied(f"{target} is there already; name another file, or replace it with --force")


def _place(partial: Path, target: Path, *, force: bool) -> None:
    """Give the copy its name, at once and durably."""
    if force:
        partial.replace(target)
    else:
        try:
            os.link(partial, target)  # unlike a rename it never replaces a file that came meanwhile
        except FileExistsError:
            raise NotCopied(f"{target} is there already; name another file, or replace it with --force") from None
        except OSError:  # a file system without links
            partial.rename(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
