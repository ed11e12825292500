"""Where an attempt's things are: its name in the file system, and the directories on disk and in memory."""

import functools
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiphys.errors import TiphysError

UNSAFE = re.compile(r"[^-._a-zA-Z0-9]")
PLAIN = re.compile(r"[-_a-zA-Z0-9][-._a-zA-Z0-9]{,159}")
LONGEST_NAME = 160
LONGEST_SOCKET = 100  # sockaddr_un takes 108


class PlaceRefused(TiphysError):
    """A directory for running steps belongs to somebody else."""


@dataclass(frozen=True)
class Place:
    """An attempt's name: the folder of its run, and its own name there."""

    group: str
    key: str


def safe(text: str) -> str:
    """A file name for any text; different texts get different names."""
    if PLAIN.fullmatch(text):
        return text
    name = UNSAFE.sub("_", text)
    return f"{name.lstrip('.')[:LONGEST_NAME]}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@functools.lru_cache(maxsize=1024)
def place(order_id: str) -> Place:
    """The place of `<workflow uid>/<node id>/<attempt>`."""
    group, slash, rest = order_id.partition("/")
    node, _, attempt = rest.rpartition("/")
    name = f"{node}.{attempt}" if attempt.isdigit() and "/" not in node else rest
    return Place(safe(group), safe(name)) if slash else Place("_", safe(group))


@dataclass(frozen=True, kw_only=True)
class Directories:
    """`root`: journals and what attempts leave. `runtime`: the socket and mount points. `scratch`: what running steps print."""

    root: Path
    runtime: Path

    @property
    def scratch(self) -> Path:
        """In memory where the host has a tmpfs for us."""
        return self.runtime / "scratch"

    @property
    def states(self) -> Path:
        """Where isolated steps say how far they are, while they run."""
        return self.root / ".states"

    @property
    def socket(self) -> Path:
        """The launcher's."""
        return self.runtime / "socket"

    def group(self, order_id: str) -> Path:
        """The folder of an attempt's run."""
        return self.root / place(order_id).group

    def folder(self, order_id: str) -> Path:
        """The attempt's folder: its private root. It is there only if the attempt needs one."""
        where = place(order_id)
        return self.root / where.group / where.key

    def live_log(self, order_id: str) -> Path:
        """What the attempt printed, while it runs; its key is its own among all runs."""
        return self.scratch / f"{scratch_key(order_id)}.log"

    def kept_homes(self, group: str) -> Iterator[Path]:
        """What the steps of a run left in their homes, without isolation."""
        return self.scratch.glob(f"{group}.*.home")

    def kept_home(self, order_id: str) -> Path:
        """What an attempt left in its home, without isolation."""
        return self.scratch / f"{scratch_key(order_id)}.home"

    def kept_log(self, order_id: str) -> Path:
        """A log too large for the run's pack, after the end."""
        where = place(order_id)
        return self.root / where.group / f"{where.key}.log"


@functools.lru_cache(maxsize=1024)
def scratch_key(order_id: str) -> str:
    """The attempt's name among the attempts of all runs."""
    where = place(order_id)
    return safe(f"{where.group}.{where.key}")


def directories(root: Path, runtime: Path | None) -> Directories:
    """Make the directories, private to this user. PlaceRefused: somebody else was there first."""
    root = root.absolute()
    if runtime is None:
        name = f"tiphys-{os.geteuid()}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
        runtime = next((base / name for base in memory_directories()), root / ".runtime")
    if len(os.fsencode(runtime)) > LONGEST_SOCKET - len("/socket"):
        runtime = Path("/tmp", f"tiphys-{os.geteuid()}-{hashlib.sha256(os.fsencode(runtime)).hexdigest()[:12]}")  # noqa: S108 (checked below)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    runtime.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    found = runtime.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o066:
        raise PlaceRefused(f"{runtime} is not a directory of our own that nobody else can look into; remove it")
    made = Directories(root=root, runtime=runtime)
    made.scratch.mkdir(mode=0o700, exist_ok=True)
    made.states.mkdir(mode=0o700, exist_ok=True)
    return made


def memory_directories() -> list[Path]:
    """Writable tmpfs directories, the best first."""
    wanted = [os.environ.get("XDG_RUNTIME_DIR", ""), "/run", "/dev/shm"]  # noqa: S108 (a private folder is made in it)
    kinds = {}
    with Path("/proc/self/mounts").open(encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, where, kind, *_ = line.split()
            kinds[where] = kind
    found = []
    for text in wanted:
        if text and os.access(text, os.W_OK):
            mount = os.path.realpath(text)
            while mount not in kinds:
                mount = str(Path(mount).parent)
            if kinds[mount] == "tmpfs":
                found.append(Path(text))
    return found
