"""Other processes, as /proc shows them: who is whose child, who has which mark, and a command run to its end."""

import contextlib
import os
import signal
from collections.abc import Iterable

DEFAULT_SIGNALS = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP]  # those ignored here; the rest are reset


def read_text(path: str) -> str:
    """A small file's text; "" where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(65536).decode(errors="replace")
    except OSError:
        return ""


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the pid and the boot id it names one process. 0: no such process."""
    _, _, rest = read_text(f"/proc/{pid}/stat").rpartition(")")
    fields = rest.split()
    return int(fields[19]) if len(fields) > 19 else 0


def children(pid: int) -> list[int]:
    """Direct children of a process, zombies included."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(text) for text in read_text(f"/proc/{pid}/task/{task}/children").split()]
    return found


def descendants(pid: int) -> list[int]:
    """Everything below a process, parents first."""
    found = children(pid)
    for one in found:
        found += children(one)
    return found


def marked(marker: bytes) -> list[int]:
    """Processes whose environment holds `marker` (a whole NAME=value)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if marker in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def send_signal(pids: Iterable[int], number: int) -> None:
    """Signal processes; those gone already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def is_own_child(pid: int) -> bool:
    """Whether wait4 may be called for `pid`."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def run_quietly(argv: list[str]) -> str:
    """Run a command to its end; returns why it failed."""
    said = os.memfd_create("said")
    try:
        actions = [(os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        pid = os.posix_spawn(argv[0], argv, {"PATH": os.defpath}, file_actions=actions, setsigmask=[], setsigdef=DEFAULT_SIGNALS)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return "" if code == 0 else os.pread(said, 4096, 0).decode(errors="replace").strip() or f"exit code {code}"
    except OSError as error:
        return str(error)
    finally:
        os.close(said)
