"""How a step ends: reaped, alone again, what it left collected, its end written down and reported, and only then tidied away."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Collection
from typing import Any

from tiphys.launching import hearing, limits
from tiphys.launching.attempts import RESULT_BYTES, Attempt
from tiphys.launching.captures import Capture
from tiphys.launching.folders import delete_tree, discard, read_end, read_folder, unlink
from tiphys.launching.journals import quote, to_json
from tiphys.launching.launcher import Launcher
from tiphys.launching.processes import descendants, is_own_child, read_text, send_signal
from tiphys.launching.roots import keep_upper

CLEARING_ROUNDS = 500
PACKED_BYTES = 64 * 1024
Json = dict[str, Any]


def reap(launcher: Launcher) -> None:
    """Look at every child that ended. What a step left behind is ours by then, its subreaper's: if nothing is, its group is empty."""
    by_pid = launcher.by_pid
    plain: list[Attempt] = []
    strays = False
    left: list[int] | None = None
    while True:
        if plain and not by_pid and (left := orphans(launcher)) == []:
            break
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not pid:
            break
        attempt = by_pid.pop(pid, None)
        if attempt is None:
            strays = True
            continue
        if not attempt.isolated:
            plain.append(attempt)
        exited(launcher, attempt, pid, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
    if plain or strays:
        left = left if left == [] else orphans(launcher)
        killed = sweep(launcher, left or ())
        for attempt in plain:
            if left == []:
                finish(launcher, attempt)  # what it had started would have come to us: there is none
            else:
                finish_when_alone(launcher, attempt, CLEARING_ROUNDS, killed=killed)
    settle(launcher)


def exited(launcher: Launcher, attempt: Attempt, pid: int, status: int, cpu: float, peak: int) -> None:
    """A process that an attempt waits for ended: the step itself (or bwrap), or afterwards its namespace's init."""
    if pid == attempt.child:
        attempt.cpu, attempt.peak = cpu, peak
        finish(launcher, attempt)
        return
    code = os.waitstatus_to_exitcode(status)
    attempt.code, attempt.ended_at = (code if code >= 0 else 128 - code), time.time()
    if not attempt.isolated:
        attempt.cpu, attempt.peak = cpu, peak
        return  # the rest follows when all that ended with it is known
    attempt.look()
    if attempt.child and is_own_child(attempt.child):
        launcher.by_pid[attempt.child] = attempt
        send_signal([attempt.child], signal.SIGKILL)
    else:
        finish(launcher, attempt)


def finish_when_alone(launcher: Launcher, attempt: Attempt, rounds: int, *, killed: bool) -> None:
    """Finish a step without isolation once all that it started is dead (or will not die: a process may hang in the kernel)."""
    try:
        os.killpg(attempt.pid, signal.SIGKILL)
    except ProcessLookupError:
        if not killed:
            rounds = 0
    except PermissionError:
        rounds = 0
    if rounds:
        launcher.loop.later(0.002, functools.partial(finish_again, launcher, attempt, rounds - 1))
    else:
        finish(launcher, attempt)


def finish_again(launcher: Launcher, attempt: Attempt, rounds: int) -> None:
    """Look once more whether a step is alone."""
    finish_when_alone(launcher, attempt, rounds, killed=sweep(launcher, orphans(launcher) or ()))


def orphans(launcher: Launcher) -> list[int] | None:
    """What was given to us, its subreaper, when its parent went; None: that cannot be known."""
    if launcher.children_fd < 0:
        return None
    own = os.pread(launcher.children_fd, 1 << 16, 0)
    return [pid for pid in map(int, own.split()) if pid not in launcher.by_pid] if own else []


def sweep(launcher: Launcher, strays: Collection[int]) -> bool:
    """Kill what ended steps without isolation left behind.

    A step's mark in the environment tells whose it is; what has taken its mark off dies when no such step runs any more. Returns
    whether there was any.
    """
    if not strays:
        return False
    alive = {attempt.id for attempt in launcher.running.values() if attempt.code is None}
    plain = any(not launcher.running[id_].isolated for id_ in alive)
    killed = False
    for pid in strays:
        marks = [text[15:] for text in read_text(f"/proc/{pid}/environ").split("\0") if text.startswith("TIPHYS_ATTEMPT=")]
        if marks[0] not in alive if marks else not plain:
            killed = True
            send_signal([pid, *descendants(pid)], signal.SIGKILL)
    return killed


def finish(launcher: Launcher, attempt: Attempt, failure: str = "", *, missing: bool = False) -> None:
    """Collect what is left of an attempt, write its end down, report it."""
    launcher.fresh.pop(attempt, None)
    hearing.hear_out(launcher, attempt)
    interrupted = ""
    if attempt.isolated and not failure and not attempt.stopped and attempt.exit_status() is None:
        failure = own_words(attempt, attempt.log)
        if attempt.out:
            own_words(attempt, attempt.out)
        missing = failure.startswith("execvp ")
        interrupted = "" if failure else "what isolates it was killed"
    oom = bool(attempt.cgroup) and limits.release(attempt.cgroup)
    left: Json = {}
    request = attempt.request
    if "state" in request:
        left["state"], attempt.is_bare = read_folder(request["state"])
    if "progress" in request and os.access(request["progress"], os.F_OK) and (said := read_end(request["progress"])):
        left["state"] = {**left.get("state", {}), "progress": said}
    conclude(launcher, attempt, left, failure=failure, missing=missing, oom=oom, interrupted=interrupted)


def own_words(attempt: Attempt, capture: Capture) -> str:
    """Take bwrap's own last line out of what the step printed: it says why the command was not started."""
    tail = capture.tail(4096)
    begin = tail.rfind(b"\nbwrap: ") + 1 if b"\nbwrap: " in tail else 0 if tail.startswith(b"bwrap: ") else -1
    if begin < 0 or attempt.code != 1:
        return ""
    capture.cut(len(tail) - begin)
    return tail[begin:].decode(errors="replace").strip().removeprefix("bwrap: ")


def conclude(
    launcher: Launcher, attempt: Attempt, left: Json, *, failure: str = "", missing: bool = False, oom: bool = False, interrupted: str = ""
) -> None:
    """Have the end written down and reported, with what the step has left, and forget the attempt."""
    group, printed = attempt.request["group"], attempt.log.size
    if attempt.out:
        left["result"] = attempt.out.tail(RESULT_BYTES + 1).removesuffix(b"\n")[-RESULT_BYTES:].decode(errors="replace")
        attempt.out.close(remove=True)
    if printed and printed <= PACKED_BYTES and not attempt.forgotten:
        with contextlib.suppress(OSError):
            left["log"] = launcher.journals.pack(group, attempt.log.tail(PACKED_BYTES))
    if attempt.marks:
        with contextlib.suppress(OSError):
            if not attempt.forgotten:
                left["marks"] = launcher.journals.pack(group, attempt.marks.packed())
        attempt.marks.close()
    attempt.log.close(remove="log" in left or not printed or attempt.forgotten)
    text = (
        f'{{"told":"ended","id":{attempt.name},"code":{"null" if attempt.code is None else attempt.code}'
        f',"failure":{quote(failure) if failure else NOTHING},"missing":{WORDS[missing]}'
        f',"printed":{printed},"stopped":{quote(attempt.stopped) if attempt.stopped else NOTHING}'
        f',"started_at":{attempt.began or attempt.started_at},"ended_at":{attempt.ended_at or time.time()}'
        f',"cpu":{"null" if attempt.cpu is None else attempt.cpu},"peak":{"null" if attempt.peak is None else attempt.peak}'
        f',"oom":{WORDS[oom]},"interrupted":{quote(interrupted) if interrupted else NOTHING}'
    )
    line = (f"{text},{to_json(left)[1:]}" if left else text + "}").encode()
    launcher.over_with.append(attempt)
    launcher.running.pop(attempt.id, None)
    if not attempt.forgotten:
        launcher.journals.conclude(group, attempt.id, line)
    launcher.tell(line)


WORDS = {False: "false", True: "true"}
NOTHING = '""'


def settle(launcher: Launcher) -> None:
    """Write down what has come to be known, in one write for each journal; and only then let go of what ended."""
    launcher.journals.settle()
    if launcher.over_with:
        over, launcher.over_with = launcher.over_with, []
        for attempt in over:
            clean(launcher, attempt)


def clean(launcher: Launcher, attempt: Attempt) -> None:
    """Take away what an ended attempt needs no more."""
    request = attempt.request
    if attempt.root:
        launcher.roots.give_back(attempt.root, request["overlay"].get("keep", ""))
    elif attempt.borrowed:
        keep_upper(attempt.borrowed, request["overlay"]["keep"])
    if attempt.status:
        unlink(attempt.status)
    for path in request.get("delete", ()):
        unlink(path)
    for path in request.get("trees", ()):
        if not (path == request.get("state") and attempt.lets_go and launcher.states.take(path)):
            delete_tree(path)
    for path in request.get("tidy", ()):
        discard(path)
    if attempt.home:
        launcher.homes.take(attempt.home, request["home"])
    if attempt.forgotten:
        delete_tree(f"{launcher.options.root}/{request['group']}")
