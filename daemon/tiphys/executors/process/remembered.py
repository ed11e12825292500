"""That bubblewrap works here is kept in memory until the next boot, so that not every foreground run has to try it first.

Only that it works is kept, never that it does not, and only for exactly what was tried: the program file as it was (an upgrade is tried
anew), by this user, in these namespaces, with these rights and settings of the kernel.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tiphys.executors.process import places

NAME = "tiphys-isolation"
KERNEL = (
    "sys/kernel/random/boot_id",
    "sys/user/max_user_namespaces",
    "sys/kernel/unprivileged_userns_clone",
    "sys/kernel/apparmor_restrict_unprivileged_userns",
    "self/attr/current",
)
"""What the kernel says of itself and of us, below /proc; not every kernel has all of it."""
RIGHTS = ("Uid:", "Gid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:")
NAMESPACES = ("user", "mnt", "pid")


def question(argv: Sequence[str]) -> str:
    """Whether `argv` works here and now, as a text that is another one when anything is different that the answer depends on."""
    return hashlib.sha256("\0".join([*argv, *_circumstances(argv[0])]).encode("utf-8", "surrogateescape")).hexdigest()


def _circumstances(program: str) -> Iterator[str]:
    found = Path(program).stat()
    yield f"{os.path.realpath(program)} {found.st_dev} {found.st_ino} {found.st_mode}"
    yield f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    for name in KERNEL:
        with suppress(OSError):
            yield f"{name} {Path('/proc', name).read_text(encoding='utf-8', errors='replace')}"
    yield from (line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith(RIGHTS))
    yield from (str(Path("/proc/self/ns", name).readlink()) for name in NAMESPACES)


def works(asked: str) -> bool:
    """Whether it is known that what was asked works."""
    for folder in places.memory_directories()[:1]:
        with suppress(OSError):
            descriptor = os.open(folder / f"{NAME}-{os.geteuid()}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
                found = os.fstat(descriptor)
                ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
                return ours and file.read(len(asked) + 1) == asked
    return False


def remember(asked: str) -> None:
    """What was asked works. Where that cannot be kept, the next one tries it again."""
    for folder in places.memory_directories()[:1]:
        fresh = folder / f"{NAME}-{os.geteuid()}.{os.getpid()}"
        with suppress(OSError):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(asked)
            fresh.replace(folder / f"{NAME}-{os.geteuid()}")
