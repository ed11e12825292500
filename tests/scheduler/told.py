"""An explanation as lines of text, to be compared."""

from datetime import datetime

from tiphys.scheduler import explaining, reasons
from tiphys.scheduler.state import State


def node(state: State, uid: str, name: str, now: datetime, room: reasons.Room | None = None) -> list[str]:
    """A node's explanation: its kind and sentence, what is below it, what changes it."""
    found = explaining.explain_node(state, uid, name, now, room)
    if isinstance(found, explaining.Unknown):
        return [f"unknown; near: {', '.join(found.near)}"]
    return [line for reason in found.reasons for line in lines(reason)]


def run(state: State, uid: str, now: datetime) -> list[str]:
    """A workflow's explanation, and what of it is open."""
    found = explaining.explain_run(state, uid, now)
    told = [line for reason in found.reasons for line in lines(reason)]
    return told + [f"open {one.node} {one.kind}: {one.text}" for one in found.open]


def lines(reason: reasons.Reason) -> list[str]:
    """One reason."""
    told = [f"{reason.kind}: {reason.text}", *(f"    {line}" for line in reason.lines)]
    at = f" at {reason.at:%H:%M:%S}" if reason.at is not None else ""
    return [*told, f"  until: {reason.changes}{at}"] if reason.changes else told
