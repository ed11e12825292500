"""The event log as people read it: what happened, who asked, and what was made of it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from tiphys.journal.protocol import Logged, Touched
from tiphys.scheduler import events
from tiphys.scheduler.reasons import Told
from tiphys.scheduler.records import Node
from tiphys.scheduler.retention import TTL

MOST_TOUCHED = 20
MOST_TOLD = 20
LAUNCHES = ("Launch ", "Adopt ")
BY_SOMEBODY = (events.Asked, events.Revived)


def told(one: Logged, nodes: Mapping[str, Node]) -> Told:
    """An event of a run; nodes that are not there any more go by their ids."""
    touched = one.summary.touched
    became = [_became(change, nodes) for change in touched[:MOST_TOUCHED]]
    if len(touched) > MOST_TOUCHED:
        became.append(f"and {len(touched) - MOST_TOUCHED} more")
    return _told(one, nodes, tuple(became), one.summary.commands)


def of_node(log: Sequence[Logged], node_id: str, nodes: Mapping[str, Node]) -> tuple[Told, ...]:
    """The last events that made a node what it is."""
    found: list[Told] = []
    for one in log:
        became = tuple(_state(change) for change in one.summary.touched if change.node_id == node_id)
        about = getattr(one.event, "node_id", getattr(one.event, "key", "")) == node_id
        asked = isinstance(one.event, events.Asked | events.TimerFired)
        if not about and (not became or (not asked and found and found[-1].became == became)):
            continue
        commands = tuple(command for command in one.summary.commands if _of(command) == node_id)
        found.append(_told(one, nodes, became, commands))
    return tuple(found[-MOST_TOLD:])


def of_run(log: Sequence[Logged], nodes: Mapping[str, Node]) -> tuple[Told, ...]:
    """The last events that changed a run as a whole, and what was asked of it."""
    found: list[Told] = []
    for one in log:
        became = tuple(_state(change) for change in one.summary.touched if not change.node_id)
        if isinstance(one.event, events.Asked) or (became and not (found and found[-1].became == became)):
            found.append(_told(one, nodes, became, ()))
    return tuple(found[-MOST_TOLD:])


def of_wishes(log: Sequence[Logged], nodes: Mapping[str, Node]) -> tuple[Told, ...]:
    """What was asked of a run: all that can concern a part of it that has no node."""
    return tuple(_told(one, nodes, (), ()) for one in log if isinstance(one.event, events.Asked))[-MOST_TOLD:]


def launches(log: Sequence[Logged]) -> dict[str, datetime]:
    """When each node's last launch was commanded, by id."""
    return {_of(command): one.event.at for one in log for command in one.summary.commands if command.startswith(LAUNCHES[0])}


def _of(command: str) -> str:
    """The node that a command in brief is about: `Launch wf-123/0`."""
    return command.partition(" ")[2].rpartition("/")[0] or command.split(" ")[1] if " " in command else ""


def _told(one: Logged, nodes: Mapping[str, Node], became: tuple[str, ...], commands: tuple[str, ...]) -> Told:
    event = one.event
    return Told(
        number=one.number,
        at=event.at,
        event=type(event).__name__,
        who=event.who if isinstance(event, BY_SOMEBODY) else "",
        text=text(event, nodes),
        became=became,
        commands=tuple(_command(command, nodes) for command in commands[:MOST_TOUCHED]),
        refusal=one.summary.refusal,
    )


def _name(node_id: str, nodes: Mapping[str, Node]) -> str:
    return nodes[node_id].name if node_id in nodes else node_id


def _state(change: Touched) -> str:
    phase = change.phase or "Pending"
    return f"{phase}: {change.message}" if change.message else phase


def _became(change: Touched, nodes: Mapping[str, Node]) -> str:
    return f"{_name(change.node_id, nodes) if change.node_id else 'the workflow'} {_state(change)}"


def _command(command: str, nodes: Mapping[str, Node]) -> str:
    node_id = _of(command)
    return command.replace(node_id, _name(node_id, nodes), 1) if node_id else command


def text(event: events.Event, nodes: Mapping[str, Node]) -> str:
    """What happened, in words; whose values may be secret is told by name alone."""
    match event:
        case events.Submitted():
            return "it was submitted"
        case events.Revived(run=old, wish=wish):
            return f"it was taken out of the archive, where it has the uid {old.uid}: {' '.join(_wish(wish, nodes))}"
        case events.Started(node_id=node_id, attempt=attempt, handle=handle):
            return f"{_name(node_id, nodes)}, attempt {attempt}: it runs ({handle.executor})"
        case events.Reported(node_id=node_id, report=report):
            said = ["it is ready"] if report.ready else []
            said += [f"progress {report.progress}"] if report.progress else []
            said += [f"{container.name} {container.phase}" for container in report.containers]
            return f"{_name(node_id, nodes)}: {', '.join(said) or 'it said something of itself'}"
        case events.Exited(node_id=node_id, attempt=attempt, outcome=outcome):
            code = f", exit code {outcome.exit_code}" if outcome.exit_code is not None else ""
            message = f": {outcome.message}" if outcome.message else ""
            return f"{_name(node_id, nodes)}, attempt {attempt}: {outcome.kind}{code}{message}"
        case events.TimerFired(key=""):
            return "the workflow's deadline has come"
        case events.TimerFired(key=key):
            return "its time to live is over" if key == TTL else f"the time that {_name(key, nodes)} waited for has come"
        case events.Asked(wish=wish):
            return " ".join(_wish(wish, nodes))
        case events.DaemonStarted():
            return "the daemon has started again"
        case events.Woken():
            return "a lock or a place that it waits for may be free"
        case events.Continued():
            return "there was more to do"
        case events.ArtifactsDeleted(error=error):
            return f"artifacts could not be deleted: {error}" if error else "artifacts are deleted"
        case _:
            return ""


def _wish(wish: events.Wish, nodes: Mapping[str, Node]) -> Iterator[str]:
    yield type(wish).__name__.lower().replace("setnode", "set")
    if isinstance(wish, events.Resume | events.SetNode):
        yield from (_name(node_id, nodes) for node_id in wish.nodes)
    if isinstance(wish, events.SetNode | events.Retry) and wish.parameters:
        yield f"(parameters {', '.join(wish.parameters)})"
    if isinstance(wish, events.SetNode) and wish.phase:
        yield f"to {wish.phase}"
    if isinstance(wish, events.Delete) and wish.force:
        yield "by force"
    if isinstance(wish, events.Stop | events.SetNode) and wish.message:
        yield f"({wish.message})"
