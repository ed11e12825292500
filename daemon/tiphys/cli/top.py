"""`tiphys top`: what runs and what waits in all workflows, and how busy the machine is; once, or again and again."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from tiphys.cli import listing, output, times
from tiphys.cli.client import Unreachable
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.cli.waiting import Patience
from tiphys.scheduler.activity import Activity, Doing
from tiphys.scheduler.reasons import Room

CLEAR = "\x1b[H\x1b[J"
GIB = 1 << 30


class _Machine(msgspec.Struct, rename="camel"):
    load: tuple[float, float, float]
    processors: int
    memory_bytes: int = 0
    available_bytes: int = 0


class _Top(msgspec.Struct):
    machine: _Machine
    executors: tuple[Room, ...]
    activity: Activity


def main(remote: Remote, *, looks: int | None, interval: float, limit: int, form: str) -> Exit:
    """Print what goes on, so many times (None: until interrupted)."""
    patience = Patience(remote)
    whole = remote.out.stream.isatty() and looks != 1
    done = 0
    while True:
        try:
            text = remote.client.get("/top", {"limit": str(limit)})
            patience.renew()
        except Unreachable as error:
            if not done:
                raise
            patience.wait(error)
            continue
        if whole:
            remote.out.stream.write(CLEAR)
        elif done:
            remote.print("")
        _show(remote, text, form)
        done += 1
        if looks is not None and done >= looks:
            return Exit.SUCCEEDED
        time.sleep(interval)


def _show(remote: Remote, text: bytes, form: str) -> None:
    if form == "json":
        remote.print(msgspec.json.format(text, indent=output.INDENT).decode())
    elif form == "yaml":
        remote.print(output.yaml_text(msgspec.json.decode(text)))
    else:
        remote.print(*lines(msgspec.json.decode(text, type=_Top)))


def lines(top: _Top) -> Iterator[str]:
    """What goes on, in lines."""
    machine, now = top.machine, top.activity.at
    load = " ".join(f"{value:.2f}" for value in machine.load)
    memory = f", {machine.available_bytes / GIB:.1f} of {machine.memory_bytes / GIB:.1f} GiB memory free" if machine.memory_bytes else ""
    yield f"Machine:    load {load} on {machine.processors} processors{memory}"
    for room in top.executors:
        if room.live or room.before or room.limit:
            bound = f"{room.live} of {room.limit} places" if room.limit else f"{room.live} place{'' if room.live == 1 else 's'}"
            yield f"Executor:   {room.executor}: {bound} taken, {room.before or 0} wait"
    counts = top.activity.workflows
    yield f"Workflows:  {', '.join(f'{count} {phase}' for phase, count in sorted(counts.items())) or 'none'}"
    total = sum(top.activity.counts.values())
    for title, found in (("RUNNING", top.activity.running), ("WAITING", top.activity.waiting)):
        if found:
            yield ""
            yield from _table(title, found, now)
    more = total - len(top.activity.running) - len(top.activity.waiting)
    if more > 0:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(top.activity.counts.items()))
        yield ""
        yield f"and {more} more; in all {kinds}"


def _table(title: str, found: Sequence[Doing], now: datetime) -> Iterator[str]:
    rows = [[title, "NODE", "FOR", "WHY"]]
    for one in found:
        age = times.short((now - one.since).total_seconds()) if one.since is not None else ""
        rows.append([one.workflow, one.node or "-", age or "-", f"{one.kind}: {' '.join(one.text.split())}"])
    yield from listing.columns(rows)
