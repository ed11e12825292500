"""The launcher's start: its lock, its signals, its socket, and the keeper of a foreground run."""

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
from types import SimpleNamespace

from tiphys.launching import builds, ending, kernel, recovery, serving, stopping
from tiphys.launching.launcher import Launcher
from tiphys.launching.processes import descendants, send_signal

USAGE = """launcher.py --mode run|daemon|service --runtime DIR --scratch DIR --root DIR [--owner PID]
--runtime: the socket and the mount points; --scratch: what running steps print (best on tmpfs); --root: journals and what
attempts leave; --owner: the pid of the foreground run (mode run)"""


def main(words: dict[str, str], here: str) -> int:
    """Become the launcher of a runtime directory, unless there is one. `here`: the folder of `launcher.py`."""
    try:
        options = SimpleNamespace(**{name: words[f"--{name}"] for name in ("runtime", "scratch", "root", "mode")})
    except KeyError as missing:
        print(f"{USAGE}\n{missing.args[0]} is missing", file=sys.stderr)  # noqa: T201 (its only word to a person)
        return 2
    options.owner = words.get("--owner", "") if options.mode == "run" else ""
    owner = -1
    if options.mode == "run":
        try:
            owner = os.pidfd_open(int(options.owner))
        except OSError:
            return 1
        keep()
    if not settle_down(options):
        return 0
    ended = kernel.told_of_ends()
    namespace_error = kernel.own_namespace()
    launcher = Launcher(options, builds.build(here))
    launcher.roots.error = namespace_error
    take_signals(launcher, ended)
    if owner >= 0:
        launcher.loop.watch(owner, lambda _events: serving.owner_gone(launcher, owner))
    recovery.recover(launcher)
    serve(launcher)
    return 0


def keep() -> None:
    """In a foreground run, stay behind as the launcher's parent: should it be killed, kill the steps it was the parent of."""
    kernel.adopt_orphans()
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


def settle_down(options: SimpleNamespace) -> bool:
    """Make the directories and take the lock; whether nobody else holds it."""
    os.chdir("/")
    os.umask(0o022)
    os.makedirs(options.runtime, mode=0o700, exist_ok=True)
    lock = os.open(f"{options.runtime}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    for path in (options.scratch, options.root):
        os.makedirs(path, mode=0o700, exist_ok=True)
    kernel.adopt_orphans()
    return True


def take_signals(launcher: Launcher, ended: int) -> None:
    """SIGTERM ends the steps and the launcher; children that ended are told of by the descriptor `ended`."""
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the loop hears of it, between one thing and the next
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGCHLD}:
        ignored = number in {signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ}
        signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    nothing_there = contextlib.suppress(BlockingIOError)

    def woken(_events: int) -> None:
        with nothing_there:
            if signal.SIGTERM in os.read(wake_reader, 4096):
                stopping.leave(launcher, "owner", serving.ORPHANED_GRACE_SECONDS)

    def reap(_events: int) -> None:
        with nothing_there:
            os.read(ended, kernel.SIGSET_BYTES)
        ending.reap(launcher)

    launcher.loop.watch(wake_reader, woken)
    launcher.loop.watch(ended, reap)


def serve(launcher: Launcher) -> None:
    """Answer at the socket until it is over."""
    options = launcher.options
    place = f"{options.runtime}/socket"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        previous = os.umask(0o177)
        listener.bind(place)
        os.umask(previous)
        listener.listen(16)
        listener.setblocking(False)
        launcher.loop.watch(listener.fileno(), lambda _events: serving.accept(launcher, listener))
        tell_systemd("READY=1")
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        serving.run(launcher)
        launcher.roots.drop_all()
        with contextlib.suppress(OSError):
            os.unlink(place)
        if options.mode != "service" and (launcher.over or not launcher.clients):  # a service's directory is its manager's
            serving.tidy_up(launcher)


def tell_systemd(text: str) -> None:
    """sd_notify(3), where a service manager listens; the steps' environment never holds its address."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in {"/", "@"}:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)
