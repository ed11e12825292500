"""A step that runs, and what another launcher would need to go on with it."""

import contextlib
import errno
import json
from typing import Any

from tiphys.launching.captures import Capture
from tiphys.launching.journals import quote
from tiphys.launching.marks import Marks
from tiphys.launching.processes import descendants, read_text
from tiphys.launching.roots import Root

RESULT_BYTES = 256 * 1024
NO_JSON = contextlib.suppress(ValueError)
Json = dict[str, Any]


class Attempt:
    """A step that runs, or is being cleared away."""

    __slots__ = (
        "adopted", "began", "born", "borrowed", "cgroup", "child", "code", "cpu", "ended_at", "forgotten", "home",
        "id", "is_bare", "isolated", "kill_at", "log", "marks", "name", "out", "peak",
        "pid", "pidfd", "pipes", "request", "root", "said", "split", "started_at", "status", "stopped", "unheard",
    )  # fmt: skip

    def __init__(self, request: Json, scratch: str) -> None:
        self.request = request
        self.id: str = request["id"]
        self.name = quote(self.id)  # as JSON
        self.said: Json = {}  # what bwrap wrote of the attempt
        self.isolated: bool = request.get("isolated", False)
        self.split: bool = request.get("split", False)
        place = f"{scratch}/{request['key']}"
        self.status = f"{place}.status" if self.isolated else ""
        self.log = Capture(f"{place}.log", request.get("log_limit", 1 << 26))
        self.out = Capture(f"{place}.out", RESULT_BYTES + 1) if self.split else None
        self.marks: Marks | None = None
        self.pid = self.child = 0
        self.born = (0, 0)  # clock ticks since boot between which the process started
        self.pidfd = -1
        self.adopted = self.unheard = self.is_bare = False  # bare: it was seen to leave nothing in its state folder
        self.forgotten = False  # its run was deleted meanwhile
        self.pipes: dict[int, bool] = {}  # read end -> is it the split stdout
        self.root: Root | None = None
        self.borrowed = self.cgroup = self.home = ""
        self.code: int | None = None
        self.started_at = self.ended_at = 0.0
        self.began = ""  # when it started, as text
        self.cpu: float | None = None
        self.peak: int | None = None
        self.stopped = ""  # why it was told to end: stop, deadline, owner
        self.kill_at = 0.0

    @property
    def lets_go(self) -> bool:
        """Whether an isolated step left nothing in its state folder, and no process: its namespace's first one was reaped."""
        return self.isolated and self.is_bare and self.cpu is not None

    def look(self) -> None:
        """Read what bwrap wrote: the pid of the namespace's first process, at the end the exit code."""
        for line in read_text(self.status).splitlines() if self.isolated and "exit-code" not in self.said else ():
            with NO_JSON:
                self.said |= json.loads(line)
        self.child = int(self.said.get("child-pid", 0))

    def namespace_init(self) -> int:
        """The pid of the first process of the attempt's PID namespace; 0 where it is not known yet."""
        if not self.child:
            self.look()
        return self.child

    def exit_status(self) -> int | None:
        """The exit code bwrap wrote; None: the command was not started, or has not ended."""
        self.look()
        return self.said.get("exit-code")

    def members(self) -> list[int]:
        """The step's own processes, without those that isolate it."""
        if self.isolated:
            return descendants(self.namespace_init()) if self.namespace_init() else []
        return [self.pid, *descendants(self.pid)]


def explain_start(error: Exception, request: Json) -> str:
    """Why posix_spawn or what comes before it failed."""
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        size = sum(len(key) + len(value) + 2 for key, value in request["env"].items()) + sum(len(text) + 1 for text in request["argv"])
        return f"the arguments and environment together ({size} bytes) are more than the kernel takes: hand large values over as artifacts"
    return str(error)
