"""Limits of memory and CPU: each step that has any runs in a cgroup of its own, below the one that was delegated to the launcher."""

import contextlib
import errno
import os

from tiphys.launching.folders import discard, write_text
from tiphys.launching.processes import read_text


class Limits:
    """The delegated cgroup. `error`: why there is none."""

    def __init__(self) -> None:
        self.top, self.error = delegated_cgroup()

    def limited(self, place: str, limits: dict[str, str], argv: list[str]) -> list[str]:
        """`argv` started inside the cgroup `place` with these limits (file name -> text)."""
        os.makedirs(place, exist_ok=True)
        for name, text in limits.items():
            write_text(f"{place}/{name}", text)
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', f"{place}/cgroup.procs", *argv]

    def place(self, key: str) -> str:
        """A step's own cgroup, which is yet to be made."""
        if self.error:
            raise OSError(errno.EPERM, f"resources.limits need a delegated cgroup: {self.error}")
        return f"{self.top}/{key}"


def release(path: str) -> bool:
    """Clear and delete a step's cgroup; returns whether its memory limit killed something."""
    out_of_memory = "oom_kill 0" not in (events := read_text(f"{path}/memory.events")) and "oom_kill" in events
    with contextlib.suppress(OSError):
        write_text(f"{path}/cgroup.kill", "1")
    discard(path)
    return out_of_memory


def delegated_cgroup() -> tuple[str, str]:
    """The cgroup (v2) in which steps get their limits, and why there is none. Only what somebody gave us is touched."""
    line = next((row for row in read_text("/proc/self/cgroup").splitlines() if row.startswith("0::")), "")
    own = "/sys/fs/cgroup" + line[3:].rstrip("/")
    controllers = set(read_text(f"{own}/cgroup.controllers").split())
    if not line or not {"cpu", "memory"} <= controllers:
        return "", "the launcher's cgroup has no cpu and memory controllers"
    try:
        if not {"trusted.delegate", "user.delegate"} & set(os.listxattr(own)):
            return "", "the launcher's cgroup is not delegated to it (systemd: Delegate=yes)"
        os.makedirs(f"{own}/launcher", exist_ok=True)
        for pid in read_text(f"{own}/cgroup.procs").split():  # processes live in the leaves of the tree only
            write_text(f"{own}/launcher/cgroup.procs", pid)
        write_text(f"{own}/cgroup.subtree_control", "+cpu +memory")
    except OSError as error:
        return "", str(error)
    return own, ""
