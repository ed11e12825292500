"""After another launcher was killed: how its steps ended is learnt, those that live are followed, the rest is cleared away."""

import contextlib
import functools
import json
import os
import signal
import stat
import time
from typing import Any

from tiphys.launching import ending, hearing, kernel, stopping
from tiphys.launching.attempts import Attempt
from tiphys.launching.folders import delete_tree
from tiphys.launching.journals import scan
from tiphys.launching.launcher import Launcher
from tiphys.launching.marks import taken_over
from tiphys.launching.processes import marked, read_text, send_signal, start_time

UNHEARD = b"[the launcher of steps was killed while this one ran: what was printed after this line may be lost]\n"
Json = dict[str, Any]


def recover(launcher: Launcher) -> None:
    """Go on where a killed launcher stopped: learn how its steps ended, follow or clear away those that live."""
    for group in os.listdir(launcher.options.root):
        unfinished: dict[str, bytes] = {}
        for told, id_, line in scan(f"{launcher.options.root}/{group}/journal"):
            if told in {"begun", "started"}:
                unfinished[id_] = line
                continue
            unfinished.pop(id_, None)
            if told == "ended":
                launcher.journals.past.setdefault(group, set()).add(hash(id_))
            else:
                launcher.journals.unlearn(group, id_)
        for row in map(json.loads, unfinished.values()):
            recover_one(launcher, {"request": {"group": group, "id": row["id"], "key": row.get("key", "")}} | row)
    roots = f"{launcher.options.root}/.roots"
    os.makedirs(roots, mode=0o700, exist_ok=True)
    for place in {f"{roots}/{name}" for name in os.listdir(roots)} - {attempt.borrowed for attempt in launcher.running.values()}:
        delete_tree(place)
    clear_scratch(launcher)


def clear_scratch(launcher: Launcher) -> None:
    """Delete what a killed launcher left there of steps that it was about to start, or had just seen end; logs may still be wanted."""
    keys = {attempt.request["key"] for attempt in launcher.running.values()}
    homes = {attempt.home for attempt in launcher.running.values()}
    for top in (launcher.options.scratch, f"{launcher.options.root}/.states"):
        for name in os.listdir(top) if os.path.isdir(top) else ():
            key, _, kind = name.rpartition(".")
            if key not in keys and kind != "log" and f"{top}/{name}" not in homes:
                delete_tree(f"{top}/{name}")
                with contextlib.suppress(OSError):
                    os.unlink(f"{top}/{name}")


def recover_one(launcher: Launcher, line: Json) -> None:
    """One attempt of which no end was written."""
    attempt = Attempt(line["request"], launcher.options.scratch)
    attempt.adopted, attempt.started_at = True, line["request"].get("at", 0.0)
    attempt.pid, attempt.born, attempt.borrowed = line.get("pid", 0), line.get("born", (0, 0)), line.get("borrowed", "")
    attempt.home = line.get("home", "")
    attempt.marks = taken_over(attempt.log)
    here = line.get("boot", launcher.boot) == launcher.boot
    alive = here and attempt.pid > 0 and attempt.born[0] <= start_time(attempt.pid) <= attempt.born[1]
    launcher.running[attempt.id] = attempt
    attempt.unheard = True  # what it printed after the launcher's last look went with its pipes
    if alive and launcher.options.mode != "run":
        with contextlib.suppress(ProcessLookupError):
            follow(launcher, attempt)
            return
    if here:
        clear(attempt)
    lost = attempt.exit_status() is None or attempt.split
    finish_adopted(launcher, attempt, attempt.exit_status(), "the launcher was killed while it ran" if lost else "")


def follow(launcher: Launcher, attempt: Attempt) -> None:
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
                launcher.loop.watch(reader, functools.partial(hearing.heard, launcher, attempt, reader))
    attempt.unheard = len(attempt.pipes) < len(wanted)  # it has ended meanwhile, or closed what it prints to
    launcher.loop.watch(attempt.pidfd, lambda _events: followed(launcher, attempt))
    if deadline := attempt.request.get("deadline"):
        stopping.expire_at(launcher, attempt.id, deadline)


def followed(launcher: Launcher, attempt: Attempt) -> None:
    """A step that another launcher started has ended; the kernel (since 6.15) or bwrap tells its exit code."""
    hearing.hear_out(launcher, attempt)
    code = kernel.exit_code_of(attempt.pid, attempt.born, attempt.pidfd) if not attempt.isolated else attempt.exit_status()
    launcher.loop.unwatch(attempt.pidfd)
    clear(attempt)
    lost = "exit code" if code is None else "result" if attempt.split and attempt.unheard else ""
    finish_adopted(launcher, attempt, code, f"the launcher was killed while it ran, and its {lost} with it" if lost else "")


def clear(attempt: Attempt) -> None:
    """Kill what is left of a step that is no child of ours."""
    if init := attempt.namespace_init():
        marker = f"TIPHYS_ATTEMPT={attempt.id}".encode()
        if marker in read_text(f"/proc/{init}/environ").encode().split(b"\0"):
            send_signal([init], signal.SIGKILL)
    send_signal(marked(f"TIPHYS_ATTEMPT={attempt.id}".encode()), signal.SIGKILL)


def finish_adopted(launcher: Launcher, attempt: Attempt, code: int | None, interrupted: str) -> None:
    """Write down the end of a step that another launcher started."""
    attempt.code, attempt.ended_at = code, time.time()
    for fd in list(attempt.pipes):
        launcher.loop.unwatch(fd)
    attempt.pipes.clear()
    attempt.log.tail(0)
    interrupted = "" if attempt.stopped else interrupted
    if attempt.unheard and not interrupted:
        attempt.log.write(UNHEARD)
    ending.conclude(launcher, attempt, {}, interrupted=interrupted)
