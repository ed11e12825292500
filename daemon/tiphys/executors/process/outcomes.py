"""From the launcher's record of an end to the Outcome of the attempt, in Argo's words (semantics 2.10, 2.16.1, 2.18)."""

import signal
from datetime import UTC, datetime
from typing import Any

from tiphys.executors.staging import StagedOut
from tiphys.spec.work import Outcome, OutcomeKind, Usage, WorkOrder

End = tuple[OutcomeKind, int | None, str]
"""How a step ended: kind, exit code and message."""

NOT_STARTED = 64  # what Argo's own wrapper exits with where a command cannot be started
INTERRUPTED = "interrupted"


def utc(seconds: float | None) -> datetime | None:
    """A time of the launcher's."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def exit_message(container: str, code: int, *, out_of_memory: bool = False) -> str:
    """Argo's message for a main container that failed."""
    reason = "OOMKilled" if out_of_memory and code == 128 + signal.SIGKILL else "Error"
    return f"{container}: {reason} (exit code {code})"


def not_on_host(container: str, program: str, image: str, why: str) -> str:
    """The message for a command that this host does not have."""
    unused = f"image {image!r} was not used: " if image else ""
    return (
        f"{container}: Error (exit code {NOT_STARTED}): {not_found(program, why)}; {unused}the process executor runs commands of this host."
        " Install the command on this machine"
    )


def not_found(program: str, why: str) -> str:
    """Go's words for a program that is not there, which Argo's users know."""
    if "No such file" in why and "/" not in program:
        return f'exec: "{program}": executable file not found in $PATH'
    return f'exec: "{program}": {why}'


def error(message: str, *, transient: bool = False) -> Outcome:
    """The Outcome of an attempt that did not come to its start."""
    now = datetime.now(UTC)
    return Outcome(kind=OutcomeKind.ERROR, message=message, started_at=now, ended_at=now, transient=transient)


def failed(message: str, exit_code: int | None = None) -> Outcome:
    """The Outcome of an attempt that failed before its start."""
    now = datetime.now(UTC)
    return Outcome(kind=OutcomeKind.FAILED, exit_code=exit_code, message=message, started_at=now, ended_at=now)


def reached_deadline(order: WorkOrder) -> str:
    """The message of an attempt that was stopped at its deadline."""
    return order.deadline_message or "Pod was active on the node longer than the specified deadline"


def main_outcome(order: WorkOrder, record: dict[str, Any], container: str, program: str, image: str) -> End:
    """How the step itself ended: kind, exit code and message."""
    code = record["code"]
    if record["stopped"] == "deadline":
        return OutcomeKind.FAILED, None, reached_deadline(order)
    if record["stopped"] == "owner":
        return OutcomeKind.INTERRUPTED, code, f"{INTERRUPTED}: the run ended or was killed"
    if record["stopped"]:
        return OutcomeKind.STOPPED, code, exit_message(container, code) if code is not None else "stopped"
    if record["missing"]:
        return OutcomeKind.FAILED, NOT_STARTED, not_on_host(container, program, image, reason(record["failure"]))
    if record["failure"]:
        return OutcomeKind.ERROR, None, f"{container}: the command could not be started: {record['failure']}"
    if record["interrupted"] or code is None:
        return OutcomeKind.INTERRUPTED, code, f"{INTERRUPTED}: {record['interrupted'] or 'its exit code is lost'}"
    if code:
        return OutcomeKind.FAILED, code, exit_message(container, code, out_of_memory=record["oom"])
    return OutcomeKind.SUCCEEDED, 0, ""


def reason(failure: str) -> str:
    """The last part of a system's words, such as `No such file or directory`."""
    return failure.rpartition(": ")[2].partition("'")[0].strip() or failure


def outcome(record: dict[str, Any], end: End, staged: StagedOut, problem: str, *, transient: bool) -> Outcome:
    """The whole Outcome. Trouble with outputs makes a success an Error; a step that failed stays Failed with its own message."""
    kind, code, message = end
    if kind is OutcomeKind.SUCCEEDED and problem:
        kind, message = OutcomeKind.ERROR, problem
    return Outcome(
        kind=kind,
        exit_code=code,
        message=message,
        result=staged.result,
        parameters=dict(staged.parameters),
        artifacts=(*staged.artifacts, *([staged.log] if staged.log else [])),
        started_at=utc(record["started_at"]),
        ended_at=utc(record["ended_at"]),
        usage=Usage(cpu_seconds=record["cpu"], peak_bytes=record["peak"]),
        transient=transient and kind is OutcomeKind.ERROR,
    )
