"""`tiphys events`: the event log of a workflow, a line for each event; `-f` goes on over restarts of the daemon."""

from collections.abc import Iterator
from datetime import tzinfo

import msgspec

from tiphys.cli.client import Unreachable
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.cli.waiting import STOPPING, Patience
from tiphys.scheduler.reasons import Told


class _Error(msgspec.Struct):
    message: str = ""


class _Line(msgspec.Struct):
    result: Told | None = None
    error: _Error | None = None


def main(remote: Remote, given: str, *, follow: bool, form: str) -> Exit:
    """Print the events."""
    name = remote.name(given)
    last = [0]
    if not follow:
        return _once(remote, name, last, form, {})
    patience = Patience(remote)
    remote.workflow(name, "apiVersion,kind,metadata.name")  # a daemon that was never there is not waited for
    while True:
        before = last[0]
        try:
            code = _once(remote, name, last, form, {"follow": "true"})
            status = remote.workflow(name, "apiVersion,kind,metadata.name,status.phase").status
            if code is not Exit.SUCCEEDED or (status is not None and status.phase.completed):
                return code
            patience.wait(STOPPING)
        except Unreachable as error:
            if last[0] != before:
                patience.renew()
            patience.wait(error)


def _once(remote: Remote, name: str, last: list[int], form: str, query: dict[str, str]) -> Exit:
    """Print what comes after the event of the number `last`, which goes along."""
    for text in remote.client.stream(remote.path(name, "event-log"), {**query, "after": str(last[0])}):
        found = msgspec.json.decode(text, type=_Line)
        if found.error is not None:
            remote.tell(found.error.message)
            return Exit.FAILED
        if found.result is not None:
            last[0] = found.result.number
            remote.print(msgspec.json.encode(found.result).decode() if form == "json" else line(found.result, remote.now.tzinfo))
    return Exit.SUCCEEDED


def line(told: Told, zone: tzinfo | None) -> str:
    """An event in one line: when, its number and kind, who asked, what happened, and what came of it."""
    return " ".join("  ".join(_parts(told, zone)).split("\n"))


def _parts(told: Told, zone: tzinfo | None) -> Iterator[str]:
    yield f"{told.at.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    yield f"#{told.number}"
    yield f"{told.event:<9}"
    if told.text:
        yield told.text + (f" (asked by {told.who})" if told.who else "")
    came = [*told.became, *told.commands]
    if told.refusal:
        yield f"-> refused: {told.refusal}"
    elif came:
        yield f"-> {'; '.join(came)}"
