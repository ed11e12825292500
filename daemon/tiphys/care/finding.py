"""What a check says: a line that tells what is, and where it is not well a second one that tells what to do."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

CLEAN, WRONG, STATE_REFUSED = 0, 1, 78


class Severity(enum.StrEnum):
    """How bad it is. A warning keeps no daemon from working."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Found:
    """One finding. `cure` is what to do about it; `refused`: a daemon would refuse the state for it (exit code 78)."""

    severity: Severity
    what: str
    cure: str = ""
    refused: bool = False


def ok(what: str) -> Found:
    """All is well with it."""
    return Found(severity=Severity.OK, what=what)


def warning(what: str, cure: str) -> Found:
    """A daemon works, but somebody should know."""
    return Found(severity=Severity.WARNING, what=what, cure=cure)


def error(what: str, cure: str) -> Found:
    """A daemon does not work, or does not keep its promises."""
    return Found(severity=Severity.ERROR, what=what, cure=cure)


def refusal(what: str, cure: str) -> Found:
    """A daemon would refuse the state."""
    return Found(severity=Severity.ERROR, what=what, cure=cure, refused=True)


def exit_code(found: Iterable[Found]) -> int:
    """0: nothing worse than warnings, 1: errors, 78: the state is refused."""
    all_found = list(found)
    if any(one.refused for one in all_found):
        return STATE_REFUSED
    return WRONG if any(one.severity is Severity.ERROR for one in all_found) else CLEAN


def lines(found: Iterable[Found]) -> list[str]:
    """As people read it: `severity  what`, and `cure: …` below."""
    made = []
    for one in found:
        made.append(f"{one.severity:<8} {' '.join(one.what.split())}")
        if one.cure:
            made.append(f"{'':<8} cure: {' '.join(one.cure.split())}")
    return made


def size(count: int) -> str:
    """Bytes as people say it."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def counted(count: int, noun: str) -> str:
    """`1 workflow`, `2 workflows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
