"""Moving the WAL into the database: by a thread of its own, while commits go on.

SQLite's automatic checkpoints make one commit in a thousand wait for the disk. And a checkpoint while somebody reads cannot
begin the WAL anew, so a busy reader makes it grow without end; for that there is a bound, at which the writer makes room.
"""

import threading
from pathlib import Path

import apsw

from tiphys.journal import opening

QUIET_SECONDS = 1.0  # nothing was recorded for so long: a good moment
ROOM_SECONDS = 2.0  # how long the writer waits for readers when the bound is reached
SOFT_SHARE = 8  # a checkpoint is due at this share of the bound


class Checkpoints:
    """A thread that checkpoints when it is quiet, or when the WAL has grown. `pages` is the WAL's length after each commit."""

    def __init__(self, path: Path, limit_bytes: int, page_bytes: int) -> None:
        self._path = path
        self._limit = max(64, limit_bytes // page_bytes)
        self._soft = max(8, self._limit // SOFT_SHARE)
        self._due = self._soft
        self._bound = self._limit
        self._pages = 0
        self._commits = 0
        self._closing = False
        self._dirty = threading.Event()
        self._full = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="journal-checkpoints", daemon=True)
        self.failure: apsw.Error | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after the checkpoint that may be going on."""
        self._closing = True
        self._dirty.set()
        self._full.set()
        self._thread.join()

    def committed(self, pages: int) -> None:
        """Note a commit, after which the WAL has `pages`."""
        if pages < self._pages:  # it was begun anew
            self._due = self._soft
        self._pages = pages
        self._commits += 1
        if not self._dirty.is_set():
            self._dirty.set()
        if pages >= self._due and not self._full.is_set():
            self._full.set()

    @property
    def overdue(self) -> bool:
        """Whether the WAL has reached its bound, since readers kept it from being begun anew."""
        return self._pages >= self._bound

    def make_room(self, connection: apsw.Connection) -> None:
        """Checkpoint by the writer itself, waiting for readers: new ones no longer need the WAL, so they cannot starve it.

        A reader that outlasts the wait moves the bound on; recording goes on, since losing work would be worse than a long file.
        """
        connection.set_busy_timeout(int(ROOM_SECONDS * 1000))
        try:
            with self._turn:  # of two checkpoints at once SQLite calls one busy
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            self._bound = self._pages + self._limit // 4
        else:
            self._pages, self._bound = 0, self._limit
        finally:
            connection.set_busy_timeout(opening.BUSY_MILLISECONDS)

    def _run(self) -> None:
        try:
            connection = opening.connect(self._path)
            try:
                connection.pragma("schema_version")  # a connection that has read nothing does not know of the WAL, and would do nothing
                while self._wait():
                    self._full.clear()
                    self._due = self._pages + self._soft
                    with self._turn:
                        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            finally:
                connection.close()
        except apsw.Error as error:
            self.failure = error

    def _wait(self) -> bool:
        """Until a checkpoint is due (True), or the end."""
        self._dirty.wait()
        self._dirty.clear()
        seen = -1
        while seen != self._commits and not self._closing:
            seen = self._commits
            if self._full.wait(QUIET_SECONDS):
                break
        return not self._closing
