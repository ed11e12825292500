"""The launcher: a tiny process that is the parent of every step, so that the daemon need not be.

It outlives a daemon that dies (`--mode daemon`; `--mode service` is the same with systemd as the one who starts and ends it), or makes
sure that nothing outlives a foreground run (`--mode run`). It starts
steps with posix_spawn, reaps them with wait4, copies what they print into files, kills what they leave behind, enforces their
deadlines, and writes each start and end to a journal, so that whoever asks later gets the true end. It imports nothing but the
standard library, runs as `python -I -S launcher.py`, and never decides what a step is: its client composes every command.

Messages are lines of JSON, each line a list of objects with an `op` (requests) or a `told` (reports).
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import gc
import heapq
import json
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

VERSION = 1
USAGE = """launcher.py --mode run|daemon|service --runtime DIR --scratch DIR --root DIR [--owner PID]
--runtime: the socket and the mount points; --scratch: what running steps print (best on tmpfs); --root: journals and what
attempts leave; --owner: the pid of the foreground run (mode run); --source: this file, where its byte code is run"""
RESULT_BYTES = 256 * 1024
CLEARING_ROUNDS = 500
PACKED_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
STATE_BYTES, MOST_STATE_FILES = 64 * 1024, 4
RECENT_ENDS = 4096
LINE = re.compile(rb'\{"told":"(\w+)","id":("(?:[^"\\]|\\.)*")')
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_SECONDS = 60.0
LISTEN_SECONDS = 0.004  # what a step prints is read at its end; of one that runs longer, as it comes
ORPHANED_GRACE_SECONDS = 2.0
UNHEARD = b"[the launcher of steps was killed while this one ran: what was printed after this line may be lost]\n"
STATUS_FD, ARGUMENTS_FD = 3, 4
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MNT_DETACH, CLONE_NEWNS = 0x20, 0x1000, 0x4000, 1 << 18, 1 << 19, 2, 0x20000
SFD_NONBLOCK_CLOEXEC, SIGSET_BYTES = 0o2004000, 128
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, READ_ONLY_NOSUID_NODEV = 442, -100, 0x8000, 7
MOST_ROOTS = 64
PR_SET_CHILD_SUBREAPER = 36
PUNCH_HOLE_KEEP_SIZE = 3
KEPT = (
    *("id", "key", "group", "isolated", "split", "log_limit", "deadline", "grace"),
    *("tidy", "delete", "trees", "state", "overlay", "progress", "home"),
)
PIDFD_INFO_SIZE, PIDFD_INFO_EXIT = 64, 1 << 3
PIDFD_GET_INFO = (3 << 30) | (PIDFD_INFO_SIZE << 16) | (0xFF << 8) | 11
DEFAULT_SIGNALS = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP]  # those ignored here; the rest are reset
WRITE_LOG = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
Json = dict[str, Any]


def checked(result: int, what: str) -> None:
    """Raise the C library's error."""
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def build(path: str) -> int:
    """Which build of a launcher a file holds."""
    with open(path, "rb") as file:
        return zlib.crc32(file.read())


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


class Capture:
    """A file that keeps the last `limit` bytes written to it: what is over is punched out of its front, offsets stay."""

    __slots__ = ("fd", "limit", "path", "size", "start")

    def __init__(self, path: str, limit: int) -> None:
        self.path, self.limit, self.fd = path, limit, -1
        self.size = self.start = 0

    def write(self, data: bytes) -> None:
        """Append; the file is made by the first write. A full disk loses output, never the step."""
        try:
            if self.fd < 0:
                self.fd = os.open(self.path, WRITE_LOG, 0o600)
                self.size = os.fstat(self.fd).st_size
            view = memoryview(data)
            while view:
                view = view[os.write(self.fd, view) :]
            self.size += len(data)
        except OSError:
            return
        if self.size - self.start > self.limit + self.limit // 4:
            cut = (self.size - self.limit) & ~4095
            if libc.fallocate(self.fd, PUNCH_HOLE_KEEP_SIZE, 0, cut) == 0:
                self.start = cut

    def tail(self, count: int) -> bytes:
        """The last `count` bytes."""
        if self.fd < 0 and not os.path.exists(self.path):
            return b""
        if self.fd < 0:
            self.fd = os.open(self.path, WRITE_LOG, 0o600)
            self.size = os.fstat(self.fd).st_size
        count = min(count, self.size - self.start)
        return os.pread(self.fd, count, self.size - count)

    def cut(self, count: int) -> None:
        """Take `count` bytes off the end."""
        if self.fd >= 0:
            self.size -= count
            os.ftruncate(self.fd, self.size)

    def close(self, *, remove: bool) -> None:
        """Close the file, and delete it where asked."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if remove:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)


class Attempt:
    """A step that runs, or is being cleared away."""

    __slots__ = (
        "adopted", "born", "borrowed", "cgroup", "child", "code", "cpu", "ended_at", "home",
        "id", "isolated", "kill_at", "log", "out", "peak",
        "pid", "pidfd", "pipes", "request", "root", "said", "split", "started_at", "status", "stopped", "unheard",
    )  # fmt: skip

    def __init__(self, request: Json, scratch: str) -> None:
        self.request = request
        self.id: str = request["id"]
        self.said: Json = {}  # what bwrap wrote of the attempt
        self.isolated: bool = request.get("isolated", False)
        self.split: bool = request.get("split", False)
        self.status = f"{scratch}/{request['key']}.status"
        self.log = Capture(f"{scratch}/{request['key']}.log", request.get("log_limit", 1 << 26))
        self.out = Capture(f"{scratch}/{request['key']}.out", RESULT_BYTES + 1) if self.split else None
        self.pid = self.child = 0
        self.born = (0, 0)  # clock ticks since boot between which the process started
        self.pidfd = -1
        self.adopted = self.unheard = False
        self.pipes: dict[int, bool] = {}  # read end -> is it the split stdout
        self.root: Root | None = None
        self.borrowed = self.cgroup = self.home = ""
        self.code: int | None = None
        self.started_at = self.ended_at = 0.0
        self.cpu: float | None = None
        self.peak: int | None = None
        self.stopped = ""  # why it was told to end: stop, deadline, owner
        self.kill_at = 0.0

    def look(self) -> None:
        """Read what bwrap wrote: the pid of the namespace's first process, at the end the exit code."""
        for line in read_text(self.status).splitlines() if self.isolated and "exit-code" not in self.said else ():
            with contextlib.suppress(ValueError):
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


class Root:
    """An overlay in a mount namespace of its own: the private root of one attempt at a time.

    `bound`: host paths shown in it read-only. To mount them here once is cheaper than to let bwrap do it for every step; and bwrap's
    own cost grows with the mounts it sees, so each root has a namespace where there are no others.
    """

    def __init__(self, mountpoint: str, upper: str, work: str, shape: Json) -> None:
        self.mountpoint, self.upper, self.work = mountpoint, upper, work
        self.lower, self.bound = shape["lower"], shape["bound"]
        self.namespace = -1

    def mount(self, home: int) -> None:
        """Make the namespace, mount everything, and go back to the namespace `home`."""
        checked(libc.unshare(CLONE_NEWNS), "unshare")
        try:
            self.mount_here()
            self.namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            checked(libc.setns(home, CLONE_NEWNS), "setns")

    def mount_here(self) -> None:
        """Mount it; `volatile`, for unmounting would otherwise write the whole disk's pending data out."""
        lower = ":".join(map(escape_overlay, self.lower))
        options = f"lowerdir={lower},upperdir={escape_overlay(self.upper)},workdir={escape_overlay(self.work)}"
        options += ",xino=off,redirect_dir=off,metacopy=off,volatile"
        checked(libc.mount(b"overlay", self.mountpoint.encode(), b"overlay", 0, options.encode()), "overlay mount")
        for path in self.bound:
            if os.path.exists(path):
                show(path, self.mountpoint + path)
        libc.umount2(b"/sys", MNT_DETACH)  # its many mounts are needed no more

    def unmount(self) -> None:
        """Let go of it: it goes with its namespace."""
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1

    def refresh(self, home: int) -> bool:
        """Forget what the kernel remembers of the lower side, which may change before the next step (a remount does that)."""
        if libc.setns(self.namespace, CLONE_NEWNS):
            return False
        try:
            return bool(libc.mount(b"none", self.mountpoint.encode(), None, MS_REMOUNT, b"") == 0)
        finally:
            checked(libc.setns(home, CLONE_NEWNS), "setns")

    def is_untouched(self) -> bool:
        """Whether nothing was ever written in it, not even a mode of its top folder."""
        try:
            found = os.stat(self.upper)
            marks = [name for name in os.listxattr(self.upper) if not name.startswith("trusted.overlay.")]
            return not (os.listdir(self.upper) or marks or (found.st_mode & 0o7777, found.st_uid) != (0o755, os.geteuid()))
        except OSError:
            return False


class Launcher:
    """The event loop: clients, pipes, children, timers."""

    def __init__(self, options: SimpleNamespace) -> None:
        self.options = options
        self.running: dict[str, Attempt] = {}
        self.by_pid: dict[int, Attempt] = {}
        self.by_fd: dict[int, Callable[[int], None]] = {}
        self.recent: dict[str, bytes] = {}
        self.past: set[int] = set()
        self.journals: dict[str, int] = {}
        self.lines: dict[str, list[bytes]] = {}
        self.over_with: list[Attempt] = []
        self.unread: dict[Attempt, float] = {}
        self.packs: dict[str, int] = {}
        self.clients: dict[int, Client] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.ticket = 0
        self.mountpoint = f"{options.runtime}/root"
        os.makedirs(self.mountpoint, exist_ok=True)
        self.roots: list[Root] = []
        self.homes: list[str] = []
        self.made = 0
        self.leaving = self.over = False
        self.idle_since = time.monotonic()
        self.boot = read_text("/proc/sys/kernel/random/boot_id").strip()
        self.poll = select.epoll()
        self.home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.children_fd = -1
        with contextlib.suppress(OSError):
            self.children_fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        self.build = build(options.source)
        self.overlay_error = ""
        self.cgroup, self.cgroup_error = delegated_cgroup()

    # -- the loop

    def watch(self, fd: int, react: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Call `react` with the events of `fd`."""
        self.by_fd[fd] = react
        self.poll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget and close `fd`."""
        if self.by_fd.pop(fd, None):
            self.poll.unregister(fd)
        os.close(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after a while."""
        self.ticket += 1
        heapq.heappush(self.timers, (time.monotonic() + max(seconds, 0.0), self.ticket, act))

    def run(self) -> None:
        """Serve until told to leave and nothing is left, or idle without a client."""
        while not (self.leaving and not self.running):
            wait = IDLE_SECONDS if not self.timers else max(self.timers[0][0] - time.monotonic(), 0.0)
            for fd, events in self.poll.poll(min(wait, LISTEN_SECONDS if self.unread else IDLE_SECONDS)):
                if react := self.by_fd.get(fd):
                    react(events)
            if self.unread:
                self.listen()
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()
            for client in list(self.clients.values()):
                client.flush()
            if self.running or self.clients or self.options.mode == "service":
                self.idle_since = time.monotonic()
            elif time.monotonic() - self.idle_since >= IDLE_SECONDS:
                self.leaving = True
        self.settle()
        for home in self.homes:
            discard(home)

    def listen(self) -> None:
        """Read what those steps print that have not ended at once."""
        before = time.monotonic() - LISTEN_SECONDS
        while self.unread:
            attempt = next(iter(self.unread))
            if self.unread[attempt] > before:
                break
            del self.unread[attempt]
            for fd in attempt.pipes:
                self.watch(fd, functools.partial(self.heard, attempt, fd))

    def write_down(self, attempt: Attempt) -> None:
        """Have written down what another launcher needs to go on with an attempt."""
        request = attempt.request
        started = {"told": "started", "id": attempt.id, "pid": attempt.pid, "born": attempt.born, "boot": self.boot}
        started["request"] = skeleton(request)
        if attempt.root and "keep" in request["overlay"]:
            started["borrowed"] = os.path.dirname(attempt.root.upper)
        if attempt.home:
            started["home"] = attempt.home
        self.journal(attempt, started)

    def heard(self, attempt: Attempt, fd: int, _events: int) -> None:
        """A step has printed something."""
        self.copy(attempt, fd, rounds=4)

    def accept(self, listener: socket.socket) -> None:
        """A client came."""
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            client = Client(self, connection)
            self.clients[connection.fileno()] = client
            self.watch(connection.fileno(), client.react)

    def tell(self, report: bytes) -> None:
        """Report to every client (there is one, as a rule)."""
        for client in self.clients.values():
            client.outbox.append(report)

    def owner_gone(self, pidfd: int) -> None:
        """The foreground run ended or was killed: leave nothing behind."""
        self.unwatch(pidfd)
        self.over = True
        self.leave("owner", ORPHANED_GRACE_SECONDS)

    def leave(self, reason: str, grace: float) -> None:
        """Stop every step, and then this process."""
        self.leaving = True
        for attempt in list(self.running.values()):
            self.stop(attempt, grace, reason)

    # -- requests

    def handle(self, client: "Client", request: Json) -> None:
        """Carry out one request."""
        op, id_ = request.get("op"), request.get("id", "")
        if op == "spawn":
            if not (self.running.get(id_) or self.ended(id_)):
                self.spawn(request)
            self.answer(client, id_)
        elif op == "find":
            self.answer(client, id_)
        elif op == "stop":
            if attempt := self.running.get(id_):
                self.stop(attempt, float(request["grace"]), request.get("reason", "stop"))
        elif op == "forget":
            self.forget(id_, request["group"])
        elif op == "forget_run":
            self.forget_run(request["group"])
        elif op == "hello":
            hello = {"version": VERSION, "boot": self.boot, "root": self.options.root, "cgroup_error": self.cgroup_error}
            hello |= {"build": self.build, "running": len(self.running)}
            hello["leaving"] = self.leaving or self.options.owner != request.get("owner", "")
            client.outbox.append(encode({"told": "hello", "tag": request["tag"], **hello}))
        elif op == "prepare":
            error = ""
            try:
                prepare(request["entries"])
            except OSError as problem:
                error = str(problem)
            client.outbox.append(encode({"told": "prepared", "tag": request["tag"], "error": error}))
        elif op == "probe":
            client.outbox.append(encode({"told": "probed", "tag": request["tag"], **self.probe(request)}))
        elif op == "retire":
            self.leave("stop", 0.0)  # its directories stay, for the next
        elif op == "quit":
            self.over = True
            self.leave("stop", float(request.get("grace", 0.0)))

    def forget(self, id_: str, group: str) -> None:
        """Nobody will ask for an ended attempt again; its id may even be used anew."""
        self.settle()
        if id_ in self.running or hash(id_) not in self.past:
            return
        self.recent.pop(id_, None)
        self.past.discard(hash(id_))
        path = f"{self.options.root}/{group}/journal"
        if os.path.exists(path):
            self.write(path, encode({"told": "forgotten", "id": id_}) + b"\n")

    def forget_run(self, group: str) -> None:
        """Nobody will ask for any attempt of a run again, and its folder goes."""
        self.settle()
        for told, id_, _ in scan(f"{self.options.root}/{group}/journal"):
            if told == "ended" and id_ not in self.running:
                self.past.discard(hash(id_))
                self.recent.pop(id_, None)
        for kept, name in ((self.journals, "journal"), (self.packs, "output")):
            fd = kept.pop(f"{self.options.root}/{group}/{name}", -1)
            if fd >= 0:
                os.close(fd)

    def answer(self, client: "Client", id_: str) -> None:
        """Tell a client what is known of an attempt."""
        if id_ in self.running:
            client.outbox.append(f'{{"told":"started","id":{to_json(id_)}}}'.encode())
        else:
            client.outbox.append(self.ended(id_) or encode({"told": "unknown", "id": id_}))

    def ended(self, id_: str) -> bytes | None:
        """The record of an attempt that ended, however long ago."""
        if (record := self.recent.get(id_)) or hash(id_) not in self.past:
            return record
        found = None
        self.settle()
        for group in os.listdir(self.options.root):
            for told, other, line in scan(f"{self.options.root}/{group}/journal"):
                if other == id_ and told in {"ended", "forgotten"}:
                    found = line if told == "ended" else None
        return found

    def probe(self, request: Json) -> Json:
        """What this host allows: the given bwrap command with a PID namespace, overlays, limits."""
        bwrap_error = run_quietly(request["argv"])
        if not self.overlay_error and (place := request.get("overlay")):
            try:
                self.roots.append(self.borrow(place))
            except OSError as error:
                self.overlay_error = str(error)
        return {"bwrap_error": bwrap_error, "overlay_error": self.overlay_error}

    # -- starting

    def begin(self, requests: list[Json]) -> None:
        """Write down which attempts are about to be started, all of a batch at once: later it is known that they may have been."""
        groups: dict[str, list[bytes]] = {}
        for request in requests:
            if request.get("op") == "spawn" and request["id"] not in self.running and hash(request["id"]) not in self.past:
                line = f'{{"told":"begun","id":{to_json(request["id"])},"key":{to_json(request["key"])}}}\n'
                groups.setdefault(request["group"], []).append(line.encode())
        refused = {group: self.write(f"{self.options.root}/{group}/journal", b"".join(lines)) for group, lines in groups.items()}
        for request in requests:
            if why := refused.get(request.get("group", "")):
                request["refused"] = why

    def spawn(self, request: Json) -> None:
        """Start an attempt; one that cannot be started has ended."""
        attempt = Attempt(request, self.options.scratch)
        attempt.started_at = time.time()
        if why := request.get("refused"):
            self.finish(attempt, failure=f"its start cannot be written down: {why}")
            return
        try:
            prepare(request.get("prepare", ()))
            self.start(attempt)
        except (OSError, ValueError) as error:
            code = error.errno if isinstance(error, OSError) else None
            self.finish(attempt, failure=explain_start(error, request), missing=code in {errno.ENOENT, errno.EACCES, errno.ENOEXEC})
            return
        self.running[attempt.id] = self.by_pid[attempt.pid] = attempt
        self.write_down(attempt)
        if deadline := request.get("deadline"):
            self.expire_at(attempt.id, deadline)

    def start(self, attempt: Attempt) -> None:
        """Pipes, root, limits, posix_spawn."""
        request = attempt.request
        argv = list(request["argv"])
        environment = request["env"]
        if "bytes_env" in request:
            environment = environment | {name: text.encode("latin-1") for name, text in request["bytes_env"].items()}
        if home := request.get("home"):
            attempt.home = environment["HOME"] = self.lend_home(home)
        writers = [self.pipe(attempt, is_out=attempt.split)]
        if attempt.split:
            writers.append(self.pipe(attempt, is_out=False))
        actions: list[Any] = [(os.POSIX_SPAWN_DUP2, writers[0], 1), (os.POSIX_SPAWN_DUP2, writers[-1], 2)]
        hidden, cwd = -1, "/"
        try:
            if attempt.isolated:
                front = [request["bwrap"], "--json-status-fd", str(STATUS_FD)]
                if self.options.mode == "run":
                    front.append("--die-with-parent")
                if text := request.get("hidden_arguments"):
                    hidden = os.memfd_create("arguments")
                    os.write(hidden, "\0".join(text).encode(errors="surrogateescape"))
                    os.lseek(hidden, 0, os.SEEK_SET)
                    actions.append((os.POSIX_SPAWN_DUP2, hidden, ARGUMENTS_FD))
                    front += ["--args", str(ARGUMENTS_FD)]
                if overlay := request.get("overlay"):
                    front += ["--bind", self.private_root(attempt, overlay), "/"]
                argv = [*front, *request["view"], "--", *argv]
                exclusive = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                actions.append((os.POSIX_SPAWN_OPEN, STATUS_FD, attempt.status, exclusive, 0o600))
            if limits := request.get("limits"):
                argv = self.limited(attempt, limits, argv)
            if (cwd := request.get("cwd", "/")) != "/":
                os.chdir(cwd)
            if attempt.root:
                checked(libc.setns(attempt.root.namespace, CLONE_NEWNS), "setns")
            before = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
            attempt.pid = os.posix_spawn(
                argv[0], argv, environment, file_actions=actions, setsid=True, setsigmask=[], setsigdef=DEFAULT_SIGNALS
            )
            attempt.born = (before, int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS) + 1)
        finally:
            if attempt.root:
                checked(libc.setns(self.home, CLONE_NEWNS), "setns")
            if cwd != "/":
                os.chdir("/")
            for fd in {*writers, hidden} - {-1}:
                os.close(fd)

    def pipe(self, attempt: Attempt, *, is_out: bool) -> int:
        """A pipe for what a step prints; returns its writing end.

        Where steps may outlive their launcher, that end can also be read: a step then gets no SIGPIPE, and a later launcher goes on
        reading.
        """
        reader, both = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        if self.options.mode != "run":
            writer, both = both, os.open(f"/proc/self/fd/{both}", os.O_RDWR | os.O_CLOEXEC)
            os.close(writer)
        if owner := attempt.request.get("owner"):
            os.fchown(both, owner[0], owner[1])
        attempt.pipes[reader] = is_out
        self.unread[attempt] = time.monotonic()
        return both

    def copy(self, attempt: Attempt, fd: int, *, rounds: int) -> None:
        """Copy what a step printed to its files."""
        while rounds:
            rounds -= 1
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                attempt.pipes.pop(fd, None)
                self.unwatch(fd)
                return
            attempt.log.write(data)
            if attempt.out and attempt.pipes.get(fd):
                attempt.out.write(data)
            if len(data) < READ_BYTES // 16:
                return

    def private_root(self, attempt: Attempt, overlay: Json) -> str:
        """Where an attempt's private root is mounted: over folders of its own, or, if nothing is in them yet, over borrowed ones."""
        if self.overlay_error:
            raise OSError(errno.EPERM, f"overlay: {self.overlay_error}")
        if "upper" in overlay:
            attempt.root = Root(self.mountpoint, overlay["upper"], overlay["work"], overlay)
            attempt.root.mount(self.home)
        else:
            attempt.root = self.borrow(overlay)
        return attempt.root.mountpoint

    def borrow(self, shape: Json) -> "Root":
        """A mounted root in which no step has written; what the host changed below it meanwhile is seen."""
        while self.roots:
            root = self.roots.pop()
            if (root.lower, root.bound) == (shape["lower"], shape["bound"]):
                return root
            self.drop(root)
        self.made += 1
        place = f"{self.options.root}/.roots/{os.getpid()}-{self.made}"
        os.makedirs(f"{place}/upper")
        os.mkdir(f"{place}/work")
        root = Root(self.mountpoint, f"{place}/upper", f"{place}/work", shape)
        root.mount(self.home)
        return root

    def give_back(self, attempt: Attempt, root: "Root") -> None:
        """A borrowed root in which nothing was written serves again; else what was written becomes the attempt's."""
        keep = attempt.request["overlay"].get("keep", "")
        if keep and len(self.roots) < MOST_ROOTS and root.is_untouched() and root.refresh(self.home):
            self.roots.append(root)
            return
        root.unmount()
        if keep:
            keep_upper(os.path.dirname(root.upper), keep)

    def drop(self, root: "Root") -> None:
        """Unmount a borrowed root and delete its folders."""
        root.unmount()
        delete_tree(os.path.dirname(root.upper))

    def limited(self, attempt: Attempt, limits: dict[str, str], argv: list[str]) -> list[str]:
        """`argv` started inside a cgroup of its own with these limits (file name -> text)."""
        if self.cgroup_error:
            raise OSError(errno.EPERM, f"resources.limits need a delegated cgroup: {self.cgroup_error}")
        attempt.cgroup = f"{self.cgroup}/{attempt.request['key']}"
        os.makedirs(attempt.cgroup, exist_ok=True)
        for name, text in limits.items():
            write_text(f"{attempt.cgroup}/{name}", text)
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', f"{attempt.cgroup}/cgroup.procs", *argv]

    # -- stopping

    def expire_at(self, id_: str, deadline: float) -> None:
        """Stop an attempt at its deadline, if it still runs then."""

        def expire() -> None:
            if attempt := self.running.get(id_):
                self.stop(attempt, float(attempt.request.get("grace", 30.0)), "deadline")

        self.later(deadline - time.time(), expire)

    def stop(self, attempt: Attempt, grace: float, reason: str) -> None:
        """SIGTERM now, SIGKILL after the grace; asked again, the shorter grace wins."""
        if attempt.code is not None:
            return
        attempt.stopped = attempt.stopped or reason
        at = time.monotonic() + grace
        if attempt.kill_at and attempt.kill_at <= at:
            return
        first = not attempt.kill_at
        attempt.kill_at = at
        self.later(grace, lambda: self.kill(attempt))
        if first:
            self.terminate(attempt)

    def terminate(self, attempt: Attempt) -> None:
        """SIGTERM to the step's processes, as soon as there are any."""
        if self.running.get(attempt.id) is not attempt or attempt.code is not None:
            return
        if members := attempt.members():
            send_signal(members, signal.SIGTERM)
        else:
            self.later(0.01, lambda: self.terminate(attempt))

    def kill(self, attempt: Attempt) -> None:
        """SIGKILL everything of the step."""
        if self.running.get(attempt.id) is not attempt or time.monotonic() < attempt.kill_at:
            return
        if attempt.isolated and (init := attempt.namespace_init()):
            send_signal([init], signal.SIGKILL)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(attempt.pid, signal.SIGKILL)
            send_signal(attempt.members(), signal.SIGKILL)

    # -- reaping

    def reap(self) -> None:
        """Look at every child that ended; a step's own group dies before its leader's pid is given back."""
        plain: list[Attempt] = []
        strays = False
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if seen is None:
                break
            pid = seen.si_pid
            attempt = self.by_pid.pop(pid, None)
            if attempt and not attempt.isolated:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                plain.append(attempt)
            _, status, usage = os.wait4(pid, 0)
            if attempt:
                self.exited(attempt, pid, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
            else:
                strays = True
        if plain or strays:
            killed = self.sweep()
            for attempt in plain:
                self.finish_when_alone(attempt, CLEARING_ROUNDS, killed=killed)
        self.settle()

    def exited(self, attempt: Attempt, pid: int, status: int, cpu: float, peak: int) -> None:
        """A process that an attempt waits for ended: the step itself (or bwrap), or afterwards its namespace's init."""
        if pid == attempt.child:
            attempt.cpu, attempt.peak = cpu, peak
            self.finish(attempt)
            return
        code = os.waitstatus_to_exitcode(status)
        attempt.code, attempt.ended_at = (code if code >= 0 else 128 - code), time.time()
        if not attempt.isolated:
            attempt.cpu, attempt.peak = cpu, peak
            return  # the rest follows when all that ended with it is known
        attempt.look()
        if attempt.child and is_own_child(attempt.child):
            self.by_pid[attempt.child] = attempt
            send_signal([attempt.child], signal.SIGKILL)
        else:
            self.finish(attempt)

    def finish_when_alone(self, attempt: Attempt, rounds: int, *, killed: bool) -> None:
        """Finish a step without isolation once all that it started is dead (or will not die: a process may hang in the kernel)."""
        try:
            os.killpg(attempt.pid, signal.SIGKILL)
        except ProcessLookupError:
            if not killed:
                rounds = 0
        except PermissionError:
            rounds = 0
        if rounds:
            self.later(0.002, lambda: self.finish_when_alone(attempt, rounds - 1, killed=self.sweep()))
        else:
            self.finish(attempt)

    def sweep(self) -> bool:
        """Kill what ended steps without isolation left behind: it was given to us, its subreaper, when its parent went.

        A step's mark in the environment tells whose it is; what has taken its mark off dies when no such step runs any more. Returns
        whether there was any.
        """
        own = os.pread(self.children_fd, 1 << 16, 0).split() if self.children_fd >= 0 else []
        strays = [pid for pid in map(int, own) if pid not in self.by_pid]
        if not strays:
            return False
        alive = {attempt.id for attempt in self.running.values() if attempt.code is None}
        plain = any(not self.running[id_].isolated for id_ in alive)
        killed = False
        for pid in strays:
            marks = [text[15:] for text in read_text(f"/proc/{pid}/environ").split("\0") if text.startswith("TIPHYS_ATTEMPT=")]
            if marks[0] not in alive if marks else not plain:
                killed = True
                send_signal([pid, *descendants(pid)], signal.SIGKILL)
        return killed

    def finish(self, attempt: Attempt, failure: str = "", *, missing: bool = False) -> None:
        """Collect what is left of an attempt, write its end down, report it."""
        self.unread.pop(attempt, None)
        for fd in list(attempt.pipes):
            self.copy(attempt, fd, rounds=1 << 20)
            if fd in attempt.pipes:
                self.unwatch(fd)
        attempt.pipes.clear()
        interrupted = ""
        if attempt.isolated and not failure and not attempt.stopped and attempt.exit_status() is None:
            failure = self.own_words(attempt, attempt.log)
            if attempt.out:
                self.own_words(attempt, attempt.out)
            missing = failure.startswith("execvp ")
            interrupted = "" if failure else "what isolates it was killed"
        record: Json = {"told": "ended", "id": attempt.id, "code": attempt.code, "failure": failure, "missing": missing}
        record["printed"] = attempt.log.size
        record |= {"stopped": attempt.stopped, "started_at": attempt.started_at, "ended_at": attempt.ended_at or time.time()}
        record |= {"cpu": attempt.cpu, "peak": attempt.peak, "oom": False, "interrupted": interrupted}
        if attempt.cgroup:
            record["oom"] = self.release_cgroup(attempt.cgroup)
        if attempt.out:
            record["result"] = attempt.out.tail(RESULT_BYTES + 1).removesuffix(b"\n")[-RESULT_BYTES:].decode(errors="replace")
            attempt.out.close(remove=True)
        if state := attempt.request.get("state"):
            record["state"] = read_folder(state)
        if said := read_end(attempt.request.get("progress", "")):
            record["state"] = {**record.get("state", {}), "progress": said}
        self.conclude(attempt, record)

    def own_words(self, attempt: Attempt, capture: Capture) -> str:
        """Take bwrap's own last line out of what the step printed: it says why the command was not started."""
        tail = capture.tail(4096)
        begin = tail.rfind(b"\nbwrap: ") + 1 if b"\nbwrap: " in tail else 0 if tail.startswith(b"bwrap: ") else -1
        if begin < 0 or attempt.code != 1:
            return ""
        capture.cut(len(tail) - begin)
        return tail[begin:].decode(errors="replace").strip().removeprefix("bwrap: ")

    def conclude(self, attempt: Attempt, record: Json) -> None:
        """Have the end written down, and forget the attempt."""
        if attempt.log.size and attempt.log.size <= PACKED_BYTES:
            with contextlib.suppress(OSError):
                record["log"] = self.pack(attempt)
        attempt.log.close(remove="log" in record or not attempt.log.size)
        line = encode(record)
        self.lines.setdefault(self.journal_of(attempt), []).append(line)
        self.over_with.append(attempt)
        self.running.pop(attempt.id, None)
        self.recent[attempt.id] = line
        self.past.add(hash(attempt.id))
        if len(self.recent) > RECENT_ENDS:
            del self.recent[next(iter(self.recent))]
        self.tell(line)

    def settle(self) -> None:
        """Write down what has come to be known, in one write for each journal; and only then let go of what ended."""
        lines, self.lines = self.lines, {}
        for path, of in lines.items():
            self.write(path, b"\n".join(of) + b"\n")
        over, self.over_with = self.over_with, []
        for attempt in over:
            self.clean(attempt)

    def clean(self, attempt: Attempt) -> None:
        """Take away what an ended attempt needs no more."""
        request = attempt.request
        if attempt.root:
            self.give_back(attempt, attempt.root)
        elif attempt.borrowed:
            keep_upper(attempt.borrowed, request["overlay"]["keep"])
        for path in [*([attempt.status] if attempt.isolated else []), *request.get("delete", ())]:
            with contextlib.suppress(OSError):
                os.unlink(path)
        for path in request.get("trees", ()):
            delete_tree(path)
        for path in request.get("tidy", ()):
            discard(path)
        if attempt.home:
            self.take_home(attempt)

    def lend_home(self, home: list[Any]) -> str:
        """An empty folder for a step without isolation: one that another has left as it was, or a new one."""
        _, mode, uid, gid = home
        if self.homes:
            lent = self.homes.pop()
            found = os.stat(lent)
            if stat.S_IMODE(found.st_mode) == mode and uid in {-1, found.st_uid} and not os.listdir(lent):
                return lent
            delete_tree(lent)
        self.made += 1
        lent = f"{self.options.scratch}/home.{os.getpid()}.{self.made}"
        prepare([["dir", lent, mode, uid, gid]])
        return lent

    def take_home(self, attempt: Attempt) -> None:
        """An empty home serves again; what a step left in one stays, under the step's own name."""
        try:
            if not os.listdir(attempt.home):
                self.homes.append(attempt.home)
            else:
                os.rename(attempt.home, attempt.request["home"][0])
        except OSError:
            pass

    def pack(self, attempt: Attempt) -> list[int]:
        """Move a small log into its run's own pack; returns offset and length."""
        data = attempt.log.tail(PACKED_BYTES)
        fd = self.open_kept(self.packs, f"{self.options.root}/{attempt.request['group']}/output")
        offset = os.fstat(fd).st_size
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, "the pack is cut short")
        return [offset, len(data)]

    def journal_of(self, attempt: Attempt) -> str:
        """The journal of the attempt's run."""
        return f"{self.options.root}/{attempt.request['group']}/journal"

    def journal(self, attempt: Attempt, record: Json) -> None:
        """Have a record appended to the journal of the attempt's run."""
        self.lines.setdefault(self.journal_of(attempt), []).append(encode(record))

    def write(self, path: str, lines: bytes) -> str:
        """Append to a journal; returns why that failed (a full disk): what runs goes on, and its end is kept in memory."""
        try:
            os.write(self.open_kept(self.journals, path), lines)
        except OSError as error:
            return str(error)
        return ""

    def open_kept(self, kept: dict[str, int], path: str) -> int:
        """A file open for appending, kept open among the last few (and made again where its run was removed)."""
        fd = kept.get(path, -1)
        if fd >= 0 and os.fstat(fd).st_nlink:
            return fd
        if fd >= 0:
            os.close(kept.pop(path))
        if len(kept) >= 64:
            os.close(kept.pop(next(iter(kept))))
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        kept[path] = os.open(path, WRITE_LOG, 0o600)
        return kept[path]

    def release_cgroup(self, path: str) -> bool:
        """Clear and delete a step's cgroup; returns whether its memory limit killed something."""
        out_of_memory = "oom_kill 0" not in (events := read_text(f"{path}/memory.events")) and "oom_kill" in events
        with contextlib.suppress(OSError):
            write_text(f"{path}/cgroup.kill", "1")
        discard(path)
        return out_of_memory

    def tidy_up(self) -> None:
        """Nobody uses this runtime directory any more: only logs that were not fetched stay in memory."""
        if all(not name.endswith(".log") for name in os.listdir(self.options.scratch)):
            delete_tree(self.options.scratch)
            delete_tree(self.options.runtime)

    # -- after another launcher was killed

    def recover(self) -> None:
        """Go on where a killed launcher stopped: learn how its steps ended, follow or clear away those that live."""
        for group in os.listdir(self.options.root):
            unfinished: dict[str, bytes] = {}
            for told, id_, line in scan(f"{self.options.root}/{group}/journal"):
                if told in {"begun", "started"}:
                    unfinished[id_] = line
                    continue
                unfinished.pop(id_, None)
                if told == "ended":
                    self.past.add(hash(id_))
                else:
                    self.past.discard(hash(id_))
            for row in map(json.loads, unfinished.values()):
                self.recover_one({"request": {"group": group, "id": row["id"], "key": row.get("key", "")}} | row)
        roots = f"{self.options.root}/.roots"
        os.makedirs(roots, mode=0o700, exist_ok=True)
        for place in {f"{roots}/{name}" for name in os.listdir(roots)} - {attempt.borrowed for attempt in self.running.values()}:
            delete_tree(place)
        self.clear_scratch()

    def clear_scratch(self) -> None:
        """Delete what a killed launcher left there of steps that it was about to start, or had just seen end; logs may still be wanted."""
        keys = {attempt.request["key"] for attempt in self.running.values()}
        homes = {attempt.home for attempt in self.running.values()}
        for top in (self.options.scratch, f"{self.options.root}/.states"):
            for name in os.listdir(top) if os.path.isdir(top) else ():
                key, _, kind = name.rpartition(".")
                if key not in keys and kind != "log" and f"{top}/{name}" not in homes:
                    delete_tree(f"{top}/{name}")
                    with contextlib.suppress(OSError):
                        os.unlink(f"{top}/{name}")

    def recover_one(self, line: Json) -> None:
        """One attempt of which no end was written."""
        attempt = Attempt(line["request"], self.options.scratch)
        attempt.adopted, attempt.started_at = True, line["request"].get("at", 0.0)
        attempt.pid, attempt.born, attempt.borrowed = line.get("pid", 0), line.get("born", (0, 0)), line.get("borrowed", "")
        attempt.home = line.get("home", "")
        here = line.get("boot", self.boot) == self.boot
        alive = here and attempt.pid > 0 and attempt.born[0] <= start_time(attempt.pid) <= attempt.born[1]
        self.running[attempt.id] = attempt
        attempt.unheard = True  # what it printed after the launcher's last look went with its pipes
        if alive and self.options.mode != "run":
            with contextlib.suppress(ProcessLookupError):
                self.follow(attempt)
                return
        if here:
            self.clear(attempt)
        lost = attempt.exit_status() is None or attempt.split
        self.finish_adopted(attempt, attempt.exit_status(), "the launcher was killed while it ran" if lost else "")

    def follow(self, attempt: Attempt) -> None:
        """Wait for a step that another launcher started, and go on reading what it prints."""
        attempt.pidfd = os.pidfd_open(attempt.pid)
        attempt.namespace_init()
        wanted = {1, 2} if attempt.split else {1}
        for number in wanted:
            with contextlib.suppress(OSError):
                path = f"/proc/{attempt.pid}/fd/{number}"
                if stat.S_ISFIFO(os.stat(path).st_mode):
                    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                    attempt.pipes[reader] = attempt.split and number == 1
                    self.watch(reader, lambda _events, fd=reader: self.copy(attempt, fd, rounds=4))  # type: ignore[misc]
        attempt.unheard = len(attempt.pipes) < len(wanted)  # it has ended meanwhile, or closed what it prints to
        self.watch(attempt.pidfd, lambda _events: self.followed(attempt))
        if deadline := attempt.request.get("deadline"):
            self.expire_at(attempt.id, deadline)

    def followed(self, attempt: Attempt) -> None:
        """A step that another launcher started has ended; the kernel (since 6.15) or bwrap tells its exit code."""
        for fd in list(attempt.pipes):
            self.copy(attempt, fd, rounds=1 << 20)
        code = exit_code_of(attempt.pid, attempt.born, attempt.pidfd) if not attempt.isolated else attempt.exit_status()
        self.unwatch(attempt.pidfd)
        self.clear(attempt)
        lost = "exit code" if code is None else "result" if attempt.split and attempt.unheard else ""
        self.finish_adopted(attempt, code, f"the launcher was killed while it ran, and its {lost} with it" if lost else "")

    def clear(self, attempt: Attempt) -> None:
        """Kill what is left of a step that is no child of ours."""
        if init := attempt.namespace_init():
            marker = f"TIPHYS_ATTEMPT={attempt.id}".encode()
            if marker in read_text(f"/proc/{init}/environ").encode().split(b"\0"):
                send_signal([init], signal.SIGKILL)
        send_signal(marked(f"TIPHYS_ATTEMPT={attempt.id}".encode()), signal.SIGKILL)

    def finish_adopted(self, attempt: Attempt, code: int | None, interrupted: str) -> None:
        """Write down the end of a step that another launcher started."""
        attempt.code, attempt.ended_at = code, time.time()
        for fd in list(attempt.pipes):
            self.unwatch(fd)
        attempt.pipes.clear()
        record: Json = {"told": "ended", "id": attempt.id, "code": code, "failure": "", "missing": False, "stopped": attempt.stopped}
        record |= {"started_at": attempt.started_at, "ended_at": attempt.ended_at, "cpu": None, "peak": None, "oom": False}
        record["interrupted"] = "" if attempt.stopped else interrupted
        if attempt.out:
            record["result"] = attempt.out.tail(RESULT_BYTES + 1).removesuffix(b"\n")[-RESULT_BYTES:].decode(errors="replace")
            attempt.out.close(remove=True)
        attempt.log.tail(0)
        if attempt.unheard and not record["interrupted"]:
            attempt.log.write(UNHEARD)
        record["printed"] = attempt.log.size
        self.conclude(attempt, record)


class Client:
    """One connection."""

    def __init__(self, launcher: Launcher, connection: socket.socket) -> None:
        self.launcher, self.connection = launcher, connection
        self.inbox = b""
        self.outbox: list[bytes] = []
        self.unsent, self.blocked = b"", False
        connection.setblocking(False)

    def react(self, events: int) -> None:
        """Read requests; or go on writing."""
        if events & select.EPOLLOUT:
            self.flush()
        if not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            data = self.connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self.inbox = (self.inbox + data).split(b"\n") if b"\n" in data else [self.inbox + data]
        for line in lines:
            requests = json.loads(line)
            self.launcher.begin(requests)
            for request in requests:
                self.launcher.handle(self, request)
            self.launcher.settle()

    def flush(self) -> None:
        """Write what waits, as much as goes."""
        if self.outbox:
            self.launcher.settle()  # nobody is told what is not written down
            self.unsent += b"[" + b",".join(self.outbox) + b"]\n"
            self.outbox = []
        if not self.unsent or self.connection.fileno() < 0:
            return
        try:
            self.unsent = self.unsent[self.connection.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self.blocked != bool(self.unsent):
            self.blocked = not self.blocked
            self.launcher.poll.modify(self.connection.fileno(), select.EPOLLIN | (select.EPOLLOUT if self.blocked else 0))

    def close(self) -> None:
        """The client is gone; its steps go on."""
        fd = self.connection.fileno()
        if self.launcher.clients.pop(fd, None):
            self.launcher.by_fd.pop(fd, None)
            self.launcher.poll.unregister(fd)
            self.connection.close()


def encode(report: Json) -> bytes:
    """One JSON object."""
    return to_json(report).encode()


def prepare(entries: Iterable[list[Any]]) -> None:
    """Make directories, files and links: [kind, path, ...]; parents exist or come first."""
    for kind, path, *rest in entries:
        if kind == "dir":
            mode, uid, gid = rest
            try:
                os.mkdir(path, mode)
            except FileExistsError:
                continue
            if mode & ~0o755:
                os.chmod(path, mode)
            if uid >= 0:
                os.chown(path, uid, gid)
        elif kind == "tree":
            os.makedirs(path, exist_ok=True)
        elif kind == "mode":
            os.chmod(path, rest[0])
        elif kind == "file":
            mode, text, *owner = rest
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with open(fd, "wb") as file:
                file.write(text.encode(errors="surrogateescape"))
            os.chmod(path, mode)
            if owner:
                os.chown(path, owner[0], owner[1])
        elif kind == "copy":
            copy_file(rest[0], path)
        elif kind == "opaque":
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif kind == "link":
            with contextlib.suppress(FileExistsError):
                os.symlink(rest[0], path)


def read_folder(path: str) -> dict[str, str]:
    """The small plain files of a folder that a step wrote, by name; of a larger one the end."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and len(found) < MOST_STATE_FILES:
                fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                with open(fd, "rb") as file:
                    file.seek(max(0, entry.stat().st_size - STATE_BYTES))
                    found[entry.name] = file.read(STATE_BYTES).decode(errors="replace")
    return found


def read_end(path: str) -> str:
    """The end of a small plain file that a step may have written, which is deleted; "" where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC) if path else -1
    except OSError:
        return ""
    if fd < 0:
        return ""
    with open(fd, "rb") as file, contextlib.suppress(OSError):
        os.unlink(path)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            file.seek(max(0, os.fstat(fd).st_size - STATE_BYTES))
            return file.read(STATE_BYTES).decode(errors="replace")
    return ""


def discard(path: str) -> None:
    """Delete a directory if it is empty, the overlay's own empty folders included."""
    try:
        os.rmdir(path)
    except OSError:
        pass
    else:
        return
    with contextlib.suppress(OSError):
        os.unlink(f"{path}/work/incompat/volatile/dirty")
        for below in ("/work/incompat/volatile", "/work/incompat", "/work"):
            os.rmdir(path + below)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def copy_file(source: str, target: str) -> None:
    """Copy a file with its mode."""
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while os.sendfile(writer.fileno(), reader.fileno(), None, 1 << 24):
            pass
        os.chmod(target, os.fstat(reader.fileno()).st_mode & 0o777)


def delete_tree(path: str) -> None:
    """Delete a folder and all that is in it."""
    with contextlib.suppress(OSError):
        with os.scandir(path) as found:
            entries = list(found)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                delete_tree(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(path)


def keep_upper(borrowed: str, keep: str) -> None:
    """What was written in a borrowed root becomes the attempt's own folder."""
    with contextlib.suppress(OSError):
        os.makedirs(keep, exist_ok=True)
        os.rename(f"{borrowed}/upper", f"{keep}/upper")
    delete_tree(borrowed)


def show(path: str, target: str) -> None:
    """Bind a host path at `target`, read-only with all that is mounted below it; of /sys only itself (the rest are the host's cgroups)."""
    recursive = 0 if path == "/sys" else MS_REC
    checked(libc.mount(os.fsencode(path), os.fsencode(target), None, MS_BIND | recursive, None), f"bind {path}")
    attributes = struct.pack("QQQQ", READ_ONLY_NOSUID_NODEV, 0, MS_PRIVATE, 0)
    result = libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes, len(attributes))
    checked(result, f"mount_setattr {path}")


def escape_overlay(path: str) -> str:
    """A path as mount options of overlays need it."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def explain_start(error: Exception, request: Json) -> str:
    """Why posix_spawn or what comes before it failed."""
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        size = sum(len(key) + len(value) + 2 for key, value in request["env"].items()) + sum(len(text) + 1 for text in request["argv"])
        return f"the arguments and environment together ({size} bytes) are more than the kernel takes: hand large values over as artifacts"
    return str(error)


def skeleton(request: Json) -> Json:
    """What of a request another launcher needs; never its environment or arguments, which may hold secrets."""
    return {name: request[name] for name in KEPT if name in request} | {"at": time.time()}


def scan(path: str) -> Iterable[tuple[str, str, bytes]]:
    """What each line of a journal tells, of which attempt, and the line; a last line cut short by a crash is no line."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file:
            if (found := LINE.match(line)) and line.endswith(b"}\n"):
                yield found[1].decode(), json.loads(found[2]), line[:-1]


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


def write_text(path: str, text: str) -> None:
    """Write a small existing file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def is_own_child(pid: int) -> bool:
    """Whether wait4 may be called for `pid`."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def exit_code_of(pid: int, born: tuple[int, int], pidfd: int) -> int | None:
    """The exit code of a process that has ended and is no child of ours: of its zombie, else what the kernel keeps for its pidfd."""
    buffer = bytearray(struct.pack("Q", PIDFD_INFO_EXIT).ljust(PIDFD_INFO_SIZE, b"\0"))
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    status: int | None = None
    if len(fields) > 49 and fields[0] == "Z" and born[0] <= int(fields[19]) <= born[1]:  # proc(5): state, starttime, exit_code
        status = int(fields[49])
    else:
        with contextlib.suppress(OSError):
            fcntl.ioctl(pidfd, PIDFD_GET_INFO, buffer)
            if struct.unpack_from("Q", buffer)[0] & PIDFD_INFO_EXIT:
                status = struct.unpack_from("i", buffer, 60)[0]
    if status is None:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


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


def own_namespace() -> str:
    """Give this process a mount namespace of its own, which still sees the host's later mounts; returns why it cannot."""
    try:
        checked(libc.unshare(CLONE_NEWNS), "unshare")
        checked(libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "mount")
    except OSError as error:
        return str(error)
    return ""


def told_of_ends() -> int:
    """A descriptor that can be read when a child has ended: no signal handler has to run for each of them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mask = ctypes.create_string_buffer(struct.pack("Q", 1 << (signal.SIGCHLD - 1)), SIGSET_BYTES)
    fd: int = libc.signalfd(-1, mask, SFD_NONBLOCK_CLOEXEC)
    checked(fd < 0, "signalfd")
    return fd


def keep() -> None:
    """In a foreground run, stay behind as the launcher's parent: should it be killed, kill the steps it was the parent of."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not (launcher := os.fork()):  # noqa: TID251 (this is the launcher: small, and without threads)
        return
    while True:
        pid, status = os.wait()
        if pid == launcher:
            break
    while below := descendants(os.getpid()):
        send_signal(below, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.wait()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def tell_systemd(text: str) -> None:
    """sd_notify(3), where a service manager listens; the steps' environment never holds its address."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in {"/", "@"}:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def main() -> int:
    """Become the launcher of a runtime directory, unless there is one."""
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    try:
        options = SimpleNamespace(**{name: words[f"--{name}"] for name in ("runtime", "scratch", "root", "mode")})
    except KeyError as missing:
        print(f"{USAGE}\n{missing.args[0]} is missing", file=sys.stderr)  # noqa: T201 (its only word to a person)
        return 2
    options.source = words.get("--source", __file__)
    options.owner = words.get("--owner", "") if options.mode == "run" else ""
    owner = -1
    if options.mode == "run":
        try:
            owner = os.pidfd_open(int(options.owner))
        except OSError:
            return 1
        keep()
    os.chdir("/")
    os.umask(0o022)
    os.makedirs(options.runtime, mode=0o700, exist_ok=True)
    lock = os.open(f"{options.runtime}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    for path in (options.scratch, options.root):
        os.makedirs(path, mode=0o700, exist_ok=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    ended = told_of_ends()
    namespace_error = own_namespace()
    launcher = Launcher(options)
    launcher.overlay_error = namespace_error
    signal.signal(signal.SIGTERM, lambda *_: launcher.leave("owner", ORPHANED_GRACE_SECONDS))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGCHLD}:
        ignored = number in {signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ}
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    def woken(_events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_reader, 4096)

    def reap(_events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(ended, SIGSET_BYTES)
        launcher.reap()

    launcher.watch(wake_reader, woken)
    launcher.watch(ended, reap)
    if owner >= 0:
        launcher.watch(owner, lambda _events: launcher.owner_gone(owner))
    launcher.recover()
    place = f"{options.runtime}/socket"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        previous = os.umask(0o177)
        listener.bind(place)
        os.umask(previous)
        listener.listen(16)
        listener.setblocking(False)
        launcher.watch(listener.fileno(), lambda _events: launcher.accept(listener))
        tell_systemd("READY=1")
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        launcher.run()
        for root in launcher.roots:
            launcher.drop(root)
        with contextlib.suppress(OSError):
            os.unlink(place)
        if options.mode != "service" and (launcher.over or not launcher.clients):  # a service's directory is its manager's
            launcher.tidy_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
