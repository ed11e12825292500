"""Opening the database: whose it is, whether it is whole, which version it has; and that nobody else has it open.

What is wrong is refused with a repair by name. Nothing is ever mended by guessing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

import tiphys
from tiphys.errors import StateRefused
from tiphys.journal import queries

APPLICATION_ID = 0x54695068  # "TiPh"
VERSION = 4
MIGRATIONS: dict[int, str] = {1: "to_2", 2: "to_3", 3: "to_4"}
"""From version (the key) to the next: the name of a script in this package."""
BUSY_MILLISECONDS = 5000
SYNCHRONOUS = {"": "FULL", "full": "FULL", "normal": "NORMAL"}


def refused(path: Path, what: str, repair: str) -> StateRefused:
    """The refusal of a database, with what to do about it."""
    return StateRefused(f"{path}: {what}. {repair}")


def damaged(path: Path, what: object) -> StateRefused:
    """The refusal of a database that is not whole."""
    beside = path.with_name(f"{path.name}.damaged")
    repair = (
        "Nothing was started and nothing was changed. "
        f"Restore a copy of {path.name} (with its -wal file, if there is one), "
        f"or save what can be saved with `sqlite3 {path} .recover | sqlite3 {path}.recovered`, "
        f"or begin with no workflows: `mv {path} {beside}; rm -f {path}-wal {path}-shm`."
    )
    return refused(path, f"the journal is damaged ({what})", repair)


def _unwritable(path: Path, error: OSError) -> StateRefused:
    return refused(path, f"the journal cannot be made ({error.strerror})", "See that its folder is there and may be written.")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the state for this process alone; the lock goes with the process, however it ends. Raises StateRefused."""
    place = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            repair = f"Wait for it or stop it (`kill {owner}`), or use another state directory."
            raise refused(path, f"the journal is in use by process {owner}", repair) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def opened(path: Path, synchronous: str) -> apsw.Connection:
    """The database, `synchronous` FULL or NORMAL, made or brought to this version if need be. Raises StateRefused."""
    new = _made(path)
    try:
        connection = connect(path)
        try:
            _ready(connection, path, synchronous)
        except BaseException:
            connection.close()
            raise
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise damaged(path, error) from error
    except apsw.Error as error:
        first = _first(error)
        repair = "See that it is a file this user may read and write, on a disk with room."
        raise refused(path, f"the journal cannot be opened ({first})", repair) from error
    if new:
        _sync_folder(path.parent)
    return connection


def _first(error: BaseException) -> BaseException:
    """What went wrong first: a statement that failed, not that it could not be taken back."""
    while isinstance(error.__context__, apsw.Error):
        error = error.__context__
    return error


def connect(path: Path) -> apsw.Connection:
    """One more connection to a database that is there."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection


def _ready(connection: apsw.Connection, path: Path, synchronous: str) -> None:
    empty = connection.pragma("schema_version") == 0
    owner, version = connection.pragma("application_id"), connection.pragma("user_version")
    if not empty:
        if owner != APPLICATION_ID:
            raise refused(path, "this is the database of another program", "Name a state directory of Tiphys' own.")
        if version > VERSION:
            writer = connection.execute(queries.named()["meta"], ("written_by",)).get
            repair = f"Use Tiphys {writer} or newer, or restore the copy from before the upgrade."
            raise refused(path, f"the journal has version {version}, and this program ({tiphys.__version__}) knows up to {VERSION}", repair)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", synchronous)
    connection.pragma("wal_autocheckpoint", 0)
    scripts = [*(["schema"] if empty else []), *(MIGRATIONS[step] for step in range(1 if empty else version, VERSION))]
    with connection:
        for script in scripts:
            connection.execute(queries.script(script)).fetchall()
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", VERSION)
        connection.execute(queries.named()["put_meta"], ("written_by", tiphys.__version__))


def _made(path: Path) -> bool:
    """See that the file is there, readable by its owner only; whether it had to be made."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _sync_folder(folder: Path) -> None:
    """Make the file's name itself durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
