"""The launcher's clients and what they ask.

Messages are lines of JSON, each line a list of objects with an `op` (requests) or a `told` (reports).
"""

import contextlib
import json
import os
import select
import socket
import time
from typing import Any

from tiphys.launching import ending, hearing, starting, stopping
from tiphys.launching.folders import delete_tree, prepare
from tiphys.launching.forms import Form
from tiphys.launching.journals import encode, to_json
from tiphys.launching.launcher import Launcher
from tiphys.launching.loop import IDLE_SECONDS
from tiphys.launching.processes import run_quietly

VERSION = 1
FORMS = 2
"""What forms are understood: 1 those of steps without isolation, 2 those of isolated steps too."""

LISTS = 1
"""What runs can be asked for: the ids of all attempts."""

BUFFER = memoryview(bytearray(1 << 18))
ORPHANED_GRACE_SECONDS = 2.0
DECODE = json.JSONDecoder().raw_decode
Json = dict[str, Any]


def run(launcher: Launcher) -> None:
    """Serve until told to leave and nothing is left, or idle without a client."""
    while not (launcher.leaving and not launcher.running):
        launcher.loop.react(hearing.LISTEN_SECONDS if launcher.fresh else IDLE_SECONDS)
        if launcher.fresh:
            hearing.listen(launcher)
        launcher.loop.expire()
        for client in list(launcher.clients.values()):
            client.flush()
        if launcher.running or launcher.clients or launcher.options.mode == "service":
            launcher.idle_since = time.monotonic()
        elif time.monotonic() - launcher.idle_since >= IDLE_SECONDS:
            launcher.leaving = True
    ending.settle(launcher)
    launcher.homes.discard()
    launcher.states.discard()


def tidy_up(launcher: Launcher) -> None:
    """Nobody uses this runtime directory any more: only logs that were not fetched stay in memory."""
    if all(not name.endswith(".log") for name in os.listdir(launcher.options.scratch)):
        delete_tree(launcher.options.scratch)
        delete_tree(launcher.options.runtime)


def accept(launcher: Launcher, listener: socket.socket) -> None:
    """A client came."""
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        client = Client(launcher, connection)
        launcher.clients[connection.fileno()] = client
        launcher.loop.watch(connection.fileno(), client.react)


def owner_gone(launcher: Launcher, pidfd: int) -> None:
    """The foreground run ended or was killed: leave nothing behind."""
    launcher.loop.unwatch(pidfd)
    launcher.over = True
    stopping.leave(launcher, "owner", ORPHANED_GRACE_SECONDS)


class Client:
    """One connection."""

    def __init__(self, launcher: Launcher, connection: socket.socket) -> None:
        self.launcher, self.connection = launcher, connection
        self.inbox = b""
        self.outbox: list[bytes] = []
        self.unsent, self.blocked = b"", False
        self.forms: dict[int, Form] = {}
        connection.setblocking(False)

    def react(self, events: int) -> None:
        """Read requests; or go on writing."""
        if events & select.EPOLLOUT:
            self.flush()
        if not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            count = self.connection.recv_into(BUFFER)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            return
        data = bytes(BUFFER[:count])
        *lines, self.inbox = (self.inbox + data).split(b"\n") if b"\n" in data else [self.inbox + data]
        for line in lines:
            requests, _ = DECODE(line.decode())
            starting.begin(self.launcher, requests, self.forms)
            self.carry_out(requests)
            ending.settle(self.launcher)

    def carry_out(self, requests: list[Json]) -> None:
        """Carry out requests in their order; attempts that are to start one after another are started together."""
        together: dict[str, Json] = {}
        for request in requests:
            if request.get("op") == "spawn" and request["id"] not in together and is_new(self.launcher, request):
                together[request["id"]] = request
                continue
            if together and request.get("op") != "form":
                starting.spawn(self.launcher, list(together.values()))
                together = {}
            handle(self.launcher, self, request)
        starting.spawn(self.launcher, list(together.values()))  # that they run is told a moment later, unless they are over by then

    def flush(self) -> None:
        """Write what waits, as much as goes."""
        if self.outbox:
            ending.settle(self.launcher)  # nobody is told what is not written down
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
            events = select.EPOLLIN | (select.EPOLLOUT if self.blocked else 0)
            self.launcher.loop.poll.modify(self.connection.fileno(), events)

    def close(self) -> None:
        """The client is gone; its steps go on."""
        fd = self.connection.fileno()
        if self.launcher.clients.pop(fd, None):
            self.launcher.loop.by_fd.pop(fd, None)
            self.launcher.loop.poll.unregister(fd)
            self.connection.close()


def handle(launcher: Launcher, client: Client, request: Json) -> None:
    """Carry out one request."""
    op, id_ = request.get("op"), request.get("id", "")
    if op in {"spawn", "find"}:
        answer(launcher, client, id_)
    elif op == "stop":
        if attempt := launcher.running.get(id_):
            stopping.stop(launcher, attempt, float(request["grace"]), request.get("reason", "stop"))
    elif op == "forget":
        if id_ not in launcher.running:
            launcher.journals.forget(id_, request["group"])
    elif op == "forget_run":
        stopping.forget_run(launcher, request["group"])
    elif op in ANSWERS:
        client.outbox.append(encode({"tag": request["tag"], **ANSWERS[op](launcher, request)}))
    elif op == "retire":
        stopping.leave(launcher, "stop", 0.0)  # its directories stay, for the next
    elif op == "quit":
        launcher.over = True
        stopping.leave(launcher, "stop", float(request.get("grace", 0.0)))


def is_new(launcher: Launcher, request: Json) -> bool:
    """Whether an attempt is to be started: it was not before, and a form that it names is known."""
    form = request.get("form", request)
    if form is None:
        return False
    id_, group = request["id"], form.fields["group"] if isinstance(form, Form) else request["group"]
    journals = launcher.journals
    return id_ not in launcher.running and (not journals.has_ended(group, id_) or journals.ended(id_, group) is None)


def answer(launcher: Launcher, client: Client, id_: str) -> None:
    """Tell a client what is known of an attempt."""
    if id_ in launcher.running:
        client.outbox.append(f'{{"told":"started","id":{to_json(id_)}}}'.encode())
    else:
        client.outbox.append(launcher.journals.ended(id_) or encode({"told": "unknown", "id": id_}))


def hello(launcher: Launcher, request: Json) -> Json:
    """Who this is."""
    said = {"told": "hello", "version": VERSION, "boot": launcher.boot, "root": launcher.options.root, "build": launcher.build}
    said |= {"cgroup_error": launcher.limits.error, "running": len(launcher.running), "forms": FORMS, "lists": LISTS}
    return said | {"leaving": launcher.leaving or launcher.options.owner != request.get("owner", "")}


def make(_launcher: Launcher, request: Json) -> Json:
    """Make directories and files."""
    try:
        prepare(request["entries"])
    except OSError as problem:
        return {"told": "prepared", "error": str(problem)}
    return {"told": "prepared", "error": ""}


def probe(launcher: Launcher, request: Json) -> Json:
    """What this host allows: the given bwrap command with a PID namespace, overlays, limits."""
    bwrap_error = run_quietly(request["argv"])
    roots = launcher.roots
    if not roots.error and (place := request.get("overlay")):
        try:
            roots.free.append(roots.borrow(place))
        except OSError as error:
            roots.error = str(error)
    return {"told": "probed", "bwrap_error": bwrap_error, "overlay_error": roots.error}


def running(launcher: Launcher, _request: Json) -> Json:
    """Which attempts run."""
    return {"told": "running", "ids": list(launcher.running)}


ANSWERS = {"hello": hello, "prepare": make, "probe": probe, "running": running}
