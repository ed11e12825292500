"""`tiphys list`: Argo's table of workflows (semantics part 3)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from tiphys.cli import header, output, times
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import EVERYWHERE, Remote, pages
from tiphys.spec import selectors
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.workflows import Workflow

LABELS = "workflows.argoproj.io/"
OUTLINE = ",".join(
    [
        "metadata",
        "items.apiVersion",
        "items.kind",
        "items.metadata",
        "items.spec",
        *(f"items.status.{name}" for name in ("phase", "message", "startedAt", "finishedAt", "estimatedDuration", "progress", "nodes")),
    ]
)
PHASES = {phase.value for phase in (Phase.PENDING, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR)}
LONGEST = 50
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
PART = re.compile(r"([0-9]{1,6})([smhdw])")
AGE = re.compile(r"([0-9]{1,6}[smhdw]){1,5}")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which workflows, and how they are shown."""

    everywhere: bool = False
    statuses: str = ""
    running: bool = False
    completed: bool = False
    resubmitted: bool = False
    prefix: str = ""
    since: str = ""
    older: str = ""
    selector: str = ""
    field_selector: str = ""
    chunk_size: int = 0
    headers: bool = True
    output: str = ""


def main(remote: Remote, wish: Wish) -> Exit:
    """Print the list."""
    found = workflows(remote, wish, full=wish.output in {"json", "yaml", "wide"})
    if wish.output in {"json", "yaml"}:
        remote.print(_values(found, wish.output))
    elif wish.output == "name":
        remote.print(*(workflow.metadata.name for workflow in found))
    elif not found:
        remote.print("No workflows found")
    else:
        remote.print(*table(found, remote.now, wish))
    return Exit.SUCCEEDED


def workflows(remote: Remote, wish: Wish, *, full: bool) -> list[Workflow]:
    """The workflows that are meant, in the order they are shown. `full`: with their nodes."""
    query = {
        "listOptions.labelSelector": _selector(wish),
        "listOptions.fieldSelector": wish.field_selector,
        "fields": "" if full else OUTLINE,
        "nodes": "" if full else "suspended",
    }
    path = remote.path(namespace=EVERYWHERE if wish.everywhere else "")
    found = pages(remote, path, {name: value for name, value in query.items() if value}, wish.chunk_size)
    chosen = [workflow for workflow in found if workflow.metadata.name.startswith(wish.prefix)]
    if wish.since:
        oldest = remote.now - age(wish.since, "--since")
        chosen = [workflow for workflow in chosen if _created(workflow) > oldest]
    if wish.older:
        newest = remote.now - age(wish.older, "--older")
        chosen = [workflow for workflow in chosen if _ended(workflow) is not None and (_ended(workflow) or remote.now) < newest]
    return ordered(chosen)


def ordered(found: Iterable[Workflow]) -> list[Workflow]:
    """Unfinished ones first, the newest of them first; then the finished, the last to end first."""
    by_creation = sorted(found, key=_created, reverse=True)
    finished = sorted((one for one in by_creation if _ended(one)), key=lambda one: _ended(one) or _created(one), reverse=True)
    return [*(one for one in by_creation if not _ended(one)), *finished]


def table(found: Sequence[Workflow], now: datetime, wish: Wish) -> list[str]:
    """The lines of the table."""
    names = ["NAME", "STATUS", "AGE", "DURATION", "PRIORITY", "MESSAGE"]
    names = [*(["NAMESPACE"] if wish.everywhere else []), *names, *(["P/R/C", "PARAMETERS"] if wish.output == "wide" else [])]
    rows = [_row(workflow, now, wish) for workflow in found]
    return columns([*([names] if wish.headers else []), *rows])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, three blanks between columns as Argo has them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(workflow: Workflow, now: datetime, wish: Wish) -> list[str]:
    meta, status = workflow.metadata, workflow.status
    cells = [
        meta.name,
        header.status_word(workflow),
        times.short(times.seconds(meta.creation_timestamp, None, now)),
        times.short(times.seconds(status.started_at, status.finished_at, now)) if status and status.started_at else "0s",
        str(workflow.spec.priority or 0),
        " ".join((status.message if status else "").split()),
    ]
    if wish.everywhere:
        cells = [meta.namespace, *cells]
    if wish.output == "wide":
        cells += [_counts(workflow), _parameters(workflow)]
    return cells


def _counts(workflow: Workflow) -> str:
    """Pods that are pending, running, completed."""
    nodes = (workflow.status.nodes if workflow.status else None) or {}
    phases = [node.phase for node in nodes.values() if node.type is NodeType.POD]
    return f"{phases.count(Phase.PENDING)}/{phases.count(Phase.RUNNING)}/{sum(phase.completed for phase in phases)}"


def _parameters(workflow: Workflow) -> str:
    given = workflow.spec.arguments.parameters if workflow.spec.arguments else ()
    return ",".join(f"{one.name}={_shortened(one.value)}" for one in given if one.value is not None)


def _shortened(value: str) -> str:
    half = (LONGEST - 3) // 2
    return value if len(value) <= LONGEST else f"{value[:half]}...{value[-half:]}"


def _selector(wish: Wish) -> str:
    try:
        selectors.parse_selector(wish.selector)  # by itself: what is added below is nothing that anybody typed
    except selectors.SelectorError as error:
        raise BadInput(f"label selector {wish.selector!r}: {error}") from error
    parts = [wish.selector] if wish.selector.strip() else []
    parts.append(f"{LABELS}workflow-archiving-status!=Persisted")  # `archive list` shows those that are gone
    if wish.statuses:
        given = [status.strip() for status in wish.statuses.split(",") if status.strip()]
        if unknown := [status for status in given if status not in PHASES]:
            raise BadInput(f"there is no status {unknown[0]!r}; there are {', '.join(sorted(PHASES))}")
        new = [""] if "Pending" in given else []  # nobody has looked at it yet
        parts.append(f"{LABELS}phase in ({','.join([*given, *new])})")
    if wish.running:
        parts.append(f"{LABELS}completed!=true")
    if wish.completed:
        parts.append(f"{LABELS}completed=true")
    if wish.resubmitted:
        parts.append(f"{LABELS}resubmitted-from-workflow")
    return ",".join(parts)


def age(text: str, option: str) -> timedelta:
    """`90s`, `10m`, `3h`, `2d`, `1w`, `1h30m`. Raises BadInput."""
    if not AGE.fullmatch(text):
        raise BadInput(f"{option} is {text!r}; it is a number and one of s, m, h, d, w, as 10m")
    return timedelta(seconds=sum(int(number) * UNITS[unit] for number, unit in PART.findall(text)))


def _created(workflow: Workflow) -> datetime:
    found = times.parse(workflow.metadata.creation_timestamp)
    assert found is not None  # the daemon always says it
    return found


def _ended(workflow: Workflow) -> datetime | None:
    return times.parse(workflow.status.finished_at) if workflow.status else None


def _values(found: Sequence[Workflow], form: str) -> str:
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(found), indent=output.INDENT).decode()
    return output.yaml_text(msgspec.to_builtins(found))
