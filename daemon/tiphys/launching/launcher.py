"""The launcher's parts, and what it knows of the steps that run: what every other part of it works on."""

import contextlib
import os
import time
from types import SimpleNamespace
from typing import Protocol

from tiphys.launching.attempts import Attempt
from tiphys.launching.homes import Homes
from tiphys.launching.journals import Journals
from tiphys.launching.limits import Limits
from tiphys.launching.loop import Loop
from tiphys.launching.processes import read_text
from tiphys.launching.roots import Roots
from tiphys.launching.spawning import Spawner
from tiphys.launching.states import States


class Client(Protocol):
    """Who is told what becomes of steps."""

    outbox: list[bytes]

    def flush(self) -> None:
        """Write what waits, as much as goes."""


class Launcher:
    """The parts of one launcher, and the steps that run.

    `fresh`: those that began a moment ago, with the time; `pipes`: empty ones to which nobody can write, by their reading ends.
    """

    def __init__(self, options: SimpleNamespace, build: int) -> None:
        self.options = options
        self.build = build
        self.boot = read_text("/proc/sys/kernel/random/boot_id").strip()
        self.loop = Loop()
        self.journals = Journals(options.root)
        self.homes = Homes(options.scratch)
        self.states = States()
        self.roots = Roots(options.runtime, options.root)
        self.limits = Limits()
        self.spawner = Spawner()
        self.running: dict[str, Attempt] = {}
        self.by_pid: dict[int, Attempt] = {}
        self.fresh: dict[Attempt, float] = {}
        self.pipes: list[int] = []
        self.over_with: list[Attempt] = []
        self.clients: dict[int, Client] = {}
        self.leaving = self.over = False
        self.idle_since = time.monotonic()
        self.descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # to open one anew by its number
        self.children_fd = -1
        with contextlib.suppress(OSError):
            self.children_fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)

    def tell(self, report: bytes) -> None:
        """Report to every client (there is one, as a rule)."""
        for client in self.clients.values():
            client.outbox.append(report)
