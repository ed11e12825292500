"""`tiphys explain`: why a workflow or a node is as it is, as a person reads it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from tiphys.cli import eventlog, listing, output
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.scheduler.reasons import CriticalPath, CronExplanation, Explanation, Reason, RunExplanation, Told

MOST_LINKS = 30


def main(remote: Remote, given: str, node: str, form: str) -> Exit:
    """Print the explanation."""
    name = remote.name(given)
    text = remote.client.get(remote.path(name, "explain"), {"node": node} if node else None)
    if form:
        return _value(remote, text, form)
    if node:
        remote.print(*of_node(msgspec.json.decode(text, type=Explanation), remote))
    else:
        remote.print(*of_run(msgspec.json.decode(text, type=RunExplanation), remote))
    return Exit.SUCCEEDED


def cron(remote: Remote, name: str, form: str) -> Exit:
    """Print why a cron workflow is as it is."""
    text = remote.client.get(remote.path(name, "explain", kind="cron-workflows"))
    if form:
        return _value(remote, text, form)
    remote.print(*of_cron(msgspec.json.decode(text, type=CronExplanation)))
    return Exit.SUCCEEDED


def _value(remote: Remote, text: bytes, form: str) -> Exit:
    if form == "json":
        remote.print(msgspec.json.format(text, indent=output.INDENT).decode())
    else:
        remote.print(output.yaml_text(msgspec.json.decode(text)))
    return Exit.SUCCEEDED


def of_cron(found: CronExplanation) -> Iterator[str]:
    """The lines of a cron workflow."""
    yield f"Cron workflow:  {found.namespace}/{found.name}"
    yield f"Schedules:      {found.schedules}" + (f" ({found.timezone})" if found.timezone else "")
    yield f"Workflows:      {found.succeeded} succeeded, {found.failed} failed"
    yield from _why(found.reasons)
    if found.ticks:
        yield ""
        yield "Ticks:"
        for tick in found.ticks:
            became = f"skipped: {_one_line(tick.skipped)}" if tick.skipped else f"started {tick.workflow}"
            yield f"  {tick.scheduled_at:%Y-%m-%d %H:%M:%S} UTC  {became}{' (by hand)' if tick.manual else ''}"


def of_node(found: Explanation, remote: Remote) -> Iterator[str]:
    """The lines of a node."""
    yield f"Node:      {found.node}" + (f" ({found.id})" if found.id else "")
    yield f"Workflow:  {found.namespace}/{found.workflow}"
    if found.template:
        yield f"Template:  {found.template}"
    yield f"Phase:     {found.phase or 'it has no node yet'}" + (f": {_one_line(found.message)}" if found.message else "")
    if found.output:
        yield f"Folder:    {found.output}"
    yield from _why(found.reasons)
    yield from _decided(found.decided, remote)


def of_run(found: RunExplanation, remote: Remote) -> Iterator[str]:
    """The lines of a workflow."""
    yield f"Workflow:  {found.namespace}/{found.workflow} ({found.uid})"
    yield f"Phase:     {found.phase or 'Pending'}" + (f": {_one_line(found.message)}" if found.message else "")
    yield from _why(found.reasons)
    if found.open:
        more = sum(found.counts.values()) - len(found.open)
        yield ""
        yield f"Open: {', '.join(f'{count} {kind}' for kind, count in sorted(found.counts.items()))}"
        yield from (
            "  " + line for line in listing.columns([[one.node, one.phase or "not begun", _one_line(one.text)] for one in found.open])
        )
        if more > 0:
            yield f"  and {more} more"
    if found.path is not None:
        yield from path(found.path)
    yield from _decided(found.decided, remote)


def path(found: CriticalPath) -> Iterator[str]:
    """Where the time went."""
    yield ""
    spent = sorted(found.totals.items(), key=lambda one: -one[1])
    yield f"Time: {_seconds(found.seconds)}" + (
        f", of which {', '.join(_share(why, s, found.seconds) for why, s in spent)}" if spent else ""
    )
    if found.work:
        yield f"  all attempts together ran {_seconds(found.work)}: {', '.join(f'{n} {_seconds(s)}' for n, s in found.by_template.items())}"
    yield f"  overhead {found.overhead:.1%}"
    links = [link for link in found.links if link.ran or link.waited]
    if links:
        yield "Critical path:"
        rows = [["BEGAN", "NODE", "RAN", "WAITED BEFORE"]]
        for link in links[-MOST_LINKS:]:
            waited = ", ".join(f"{why} {_seconds(s)}" for why, s in link.waited.items())
            rows.append([f"+{_seconds(link.began)}", link.node, _seconds(link.ran), waited])
        yield from ("  " + line for line in listing.columns(rows))
        if len(links) > MOST_LINKS:
            yield f"  after {len(links) - MOST_LINKS} others"


def _share(why: str, seconds: float, whole: float) -> str:
    return f"{why} {_seconds(seconds)}" + (f" ({seconds / whole:.0%})" if whole else "")


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 600 else f"{value / 60:.1f}min"


def _why(reasons: Sequence[Reason]) -> Iterator[str]:
    if reasons:
        yield "Why:"
    for reason in reasons:
        yield f"  {reason.kind}: {_one_line(reason.text)}"
        yield from (f"      {_one_line(line)}" for line in reason.lines)
        if reason.changes:
            yield f"      changes: {_one_line(reason.changes)}" + (_at(reason.at) if reason.at is not None else "")


def _at(at: datetime) -> str:
    return f", {at:%Y-%m-%d %H:%M:%S} UTC"


def _decided(told: Sequence[Told], remote: Remote) -> Iterator[str]:
    if told:
        yield ""
        yield "Decided:"
        yield from (f"  {eventlog.line(one, remote.now.tzinfo)}" for one in told)


def _one_line(text: str) -> str:
    return " ".join(text.split())
