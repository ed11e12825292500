"""How a step is ended: asked with SIGTERM, and made to with SIGKILL after its grace; at its deadline too."""

import contextlib
import os
import signal
import time

from tiphys.launching.attempts import Attempt
from tiphys.launching.launcher import Launcher
from tiphys.launching.processes import send_signal


def leave(launcher: Launcher, reason: str, grace: float) -> None:
    """Stop every step, and then this process."""
    launcher.leaving = True
    for attempt in list(launcher.running.values()):
        stop(launcher, attempt, grace, reason)


def forget_run(launcher: Launcher, group: str) -> None:
    """Nobody will ask for any attempt of a run again: what of it still runs is ended, and leaves nothing."""
    for attempt in launcher.running.values():
        if attempt.request["group"] == group:
            attempt.forgotten = True
            stop(launcher, attempt, float(attempt.request.get("grace", 30.0)), "stop")
    launcher.journals.forget_run(group)


def expire_at(launcher: Launcher, id_: str, deadline: float) -> None:
    """Stop an attempt at its deadline, if it still runs then."""

    def expire() -> None:
        if attempt := launcher.running.get(id_):
            stop(launcher, attempt, float(attempt.request.get("grace", 30.0)), "deadline")

    launcher.loop.later(deadline - time.time(), expire)


def stop(launcher: Launcher, attempt: Attempt, grace: float, reason: str) -> None:
    """SIGTERM now, SIGKILL after the grace; asked again, the shorter grace wins."""
    if attempt.code is not None:
        return
    attempt.stopped = attempt.stopped or reason
    at = time.monotonic() + grace
    if attempt.kill_at and attempt.kill_at <= at:
        return
    first = not attempt.kill_at
    attempt.kill_at = at
    launcher.loop.later(grace, lambda: kill(launcher, attempt))
    if first:
        terminate(launcher, attempt)


def terminate(launcher: Launcher, attempt: Attempt) -> None:
    """SIGTERM to the step's processes, as soon as there are any."""
    if launcher.running.get(attempt.id) is not attempt or attempt.code is not None:
        return
    if members := attempt.members():
        send_signal(members, signal.SIGTERM)
    else:
        launcher.loop.later(0.01, lambda: terminate(launcher, attempt))


def kill(launcher: Launcher, attempt: Attempt) -> None:
    """SIGKILL everything of the step."""
    if launcher.running.get(attempt.id) is not attempt or time.monotonic() < attempt.kill_at:
        return
    if attempt.isolated and (init := attempt.namespace_init()):
        send_signal([init], signal.SIGKILL)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(attempt.pid, signal.SIGKILL)
        send_signal(attempt.members(), signal.SIGKILL)
