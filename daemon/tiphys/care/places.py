"""Where a daemon keeps what, below its state directory; and which process holds that."""

import os
from contextlib import suppress
from pathlib import Path

JOURNAL = "journal.db"
ATTEMPTS = "attempts"
ARTIFACTS = "artifacts"
DROP = "drop"
LOCKS = Path("/proc/locks")


def journal(state: Path) -> Path:
    """The database."""
    return state / JOURNAL


def beside(path: Path, suffix: str) -> Path:
    """The file that SQLite, or we, keep beside a database: `-wal`, `-shm`, `.lock`."""
    return path.with_name(path.name + suffix)


def holder(path: Path, locks: Path = LOCKS) -> int | None:
    """The process that has the journal in use; None: nobody has.

    It is read from the kernel's list of locks. To try the lock itself would refuse a daemon that starts in that moment.
    """
    lock = beside(path, ".lock")
    try:
        found = lock.stat()
        lines = locks.read_text(encoding="ascii").splitlines()
        noted = lock.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for line in lines:
        fields = line.split()
        if len(fields) < 6 or fields[1] != "FLOCK" or fields[5].rpartition(":")[2] != str(found.st_ino):
            continue
        if fields[5].rpartition(":")[0] == device or fields[4] == noted:  # some file systems have another number there
            with suppress(ValueError):
                return int(fields[4])
    return None
