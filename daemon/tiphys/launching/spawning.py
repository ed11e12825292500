"""posix_spawn for several steps at once.

Until a child has called exec its parent's thread stands still, for 0.3 ms and on a busy machine for more: with a second thread two
children begin at the same time. `os.posix_spawn` would hold all of Python meanwhile; the C library's own, called through ctypes, does not.
What needs the launcher to be elsewhere for a moment (another mount namespace, another directory) is for its own thread alone.
"""

import _thread
import contextlib
import ctypes
import errno
import functools
import os
import time
from collections.abc import Sequence
from queue import SimpleQueue

from tiphys.launching import kernel

TICKS = os.sysconf("SC_CLK_TCK")
ATTRIBUTE_BYTES, ACTIONS_BYTES, SIGSET_BYTES = 1024, 256, 128  # as large as any C library's
POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSID = 0x04, 0x08, 0x80
MOST_ACTIONS = 1024

libc = ctypes.CDLL(None)
Actions = ctypes.Array[ctypes.c_char]
Texts = ctypes.Array[ctypes.c_char_p]


class Start:
    """A command to be started, and what came of it. `env`: NAME=value texts; `writers`: what becomes descriptors 1 and 2."""

    __slots__ = ("actions", "argv", "born", "env", "error", "pid", "writers")

    def __init__(self, argv: "Texts", env: "Texts", writers: tuple[int, int], actions: "Actions") -> None:
        self.argv, self.env = argv, env
        self.writers, self.actions = writers, actions
        self.pid, self.error = 0, errno.EAGAIN
        self.born = (0, 0)


def encoded(texts: Sequence[str], encoding: str = "utf-8") -> list[bytes]:
    """Words of a command, or NAME=value texts, as the kernel takes them. ValueError: there is a NUL in one."""
    found = "\0".join(texts).encode(encoding, "surrogateescape").split(b"\0") if texts else []
    if len(found) != len(texts):
        raise ValueError("embedded null byte")
    return found


def env_texts(variables: dict[str, str], encoding: str = "utf-8") -> list[bytes]:
    """Variables as the kernel takes them. ValueError: there is a NUL in one."""
    return encoded([f"{name}={text}" for name, text in variables.items()], encoding)


def arguments(texts: Sequence[bytes]) -> "Texts":
    """Words of a command, or an environment, as posix_spawn takes them."""
    return array_of(len(texts) + 1)(*texts)


@functools.cache
def array_of(length: int) -> type["Texts"]:
    """The type of an array of so many texts, of which the last is none."""
    return ctypes.c_char_p * length


class Spawner:
    """Starts commands, with a second thread where there are several."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[list[Start]] = SimpleQueue()
        self.done: SimpleQueue[bool] = SimpleQueue()
        self.helped = False
        self.actions: dict[tuple[int, int], Actions] = {}
        self.attributes = ctypes.create_string_buffer(ATTRIBUTE_BYTES)
        mask, reset = ctypes.create_string_buffer(SIGSET_BYTES), ctypes.create_string_buffer(SIGSET_BYTES)
        libc.sigemptyset(mask)
        libc.sigfillset(reset)  # of a signal that is not in it the C library asks first what it does, of each, for each child
        libc.posix_spawnattr_init(self.attributes)
        libc.posix_spawnattr_setsigmask(self.attributes, mask)
        libc.posix_spawnattr_setsigdefault(self.attributes, reset)
        flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID
        libc.posix_spawnattr_setflags(self.attributes, ctypes.c_short(flags))

    def run(self, starts: list[Start]) -> None:
        """Start them all; each has its pid or its error afterwards."""
        half = len(starts) // 2 if len(starts) < 2 or self.is_helped() else 0
        if half:
            self.jobs.put(starts[:half])
        self.spawn(starts[half:])
        if half:
            self.done.get()

    def spawn(self, starts: Sequence[Start]) -> None:
        """Start them one after another in this thread."""
        pid = ctypes.c_int()
        for start in starts:
            before = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
            error = libc.posix_spawn(ctypes.byref(pid), start.argv[0], start.actions, self.attributes, start.argv, start.env)
            start.born = (before, int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS) + 1)
            start.pid, start.error = 0 if error else pid.value, error

    def redirections(self, writers: tuple[int, int]) -> Actions:
        """How descriptors 1 and 2 of a command are made; those that they are made of have the same numbers again and again."""
        if found := self.actions.get(writers):
            return found
        made = ctypes.create_string_buffer(ACTIONS_BYTES)
        libc.posix_spawn_file_actions_init(made)
        for becomes, fd in enumerate(writers, 1):
            if error := libc.posix_spawn_file_actions_adddup2(made, fd, becomes):
                raise OSError(error, os.strerror(error))
        self.actions[writers] = made
        return made

    def trim(self) -> None:
        """Forget what was kept ready, should it be too much. Nothing may be about to be started."""
        if len(self.actions) > MOST_ACTIONS:
            for old in self.actions.values():
                libc.posix_spawn_file_actions_destroy(old)
            self.actions.clear()

    def is_helped(self) -> bool:
        """Whether there is a second thread; it is made when it is first of use."""
        if not self.helped:
            ready: SimpleQueue[bool] = SimpleQueue()
            _thread.start_new_thread(self.help, (ready,))
            self.helped = ready.get()
        return self.helped

    def help(self, ready: "SimpleQueue[bool]") -> None:
        """The second thread. It has a working directory of its own: who shares his cannot change his mount namespace."""
        if kernel.libc.unshare(kernel.CLONE_FS):
            ready.put(False)
            return
        ready.put(True)
        while True:
            starts = self.jobs.get()
            with contextlib.suppress(Exception):  # what was not started says so by itself
                self.spawn(starts)
            self.done.put(True)
