"""When lines of output came: as their executor noted it, and where it does not know, when their step began or ended."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tiphys.engine.inbox import now
from tiphys.scheduler.records import Node
from tiphys.server import queries
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.server.reels import Line
from tiphys.spec.status import NodeStatus
from tiphys.spec.work import Moment

LONGEST_SECONDS = 10**10
BEGINNING = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a wish says of times: only lines that came at `since` or later (None: all), and each behind its time (`stamps`)."""

    since: datetime | None = None
    stamps: bool = False

    def __bool__(self) -> bool:
        return self.stamps or self.since is not None

    def misses(self, node: Node) -> bool:
        """Whether the node had ended before."""
        return self.since is not None and node.finished_at is not None and node.finished_at < self.since

    def shown(self, lines: Sequence[Line], clock: "Clock") -> list[Line]:
        """Those of the lines that are wanted, as they are shown."""
        timed = [(clock.at(number), number, text) for number, text in lines]
        if self.since is not None:
            timed = [one for one in timed if one[0] >= self.since]
        return [(number, f"{stamp(at)} {text}" if self.stamps else text) for at, number, text in timed]


def wanted(query: Mapping[str, str]) -> Timing:
    """The logOptions sinceSeconds, sinceTime and timestamps, as Kubernetes means them. Raises Problem."""
    seconds, text = query.get("logOptions.sinceSeconds", ""), query.get("logOptions.sinceTime", "")
    whole, nanos = (query.get(f"logOptions.sinceTime.{part}", "") for part in ("seconds", "nanos"))
    since = None
    if seconds not in {"", "0"} and (text or whole):
        raise Problem(400, "at most one of logOptions.sinceTime and logOptions.sinceSeconds may be given")
    if seconds not in {"", "0"}:
        since = max(BEGINNING, now() - timedelta(seconds=_number(seconds, "logOptions.sinceSeconds")))
    elif text:
        since = queries.time(text, "logOptions.sinceTime")
    elif whole:
        since = BEGINNING + timedelta(
            seconds=_number(whole, "logOptions.sinceTime.seconds"), microseconds=_number(nanos or "0", "logOptions.sinceTime.nanos") // 1000
        )
    return Timing(since=since, stamps=query.get("logOptions.timestamps", "").lower() in {"1", "true"})


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 11 and int(text) <= LONGEST_SECONDS):
        raise Problem(400, f"{name} is {text!r}; it must be a whole number above zero")
    return int(text)


def stamp(at: datetime) -> str:
    """A time as Kubernetes puts it before a line."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z"


class Clock:
    """When each line of a node came. `begin`: those before the first moment."""

    __slots__ = ("_at", "_begin", "_counts")

    def __init__(self, begin: datetime, moments: Iterable[Moment] = ()) -> None:
        self._begin = begin
        self._counts: list[int] = []
        self._at: list[datetime] = []
        for lines, at in moments:
            self._counts.append(lines)
            self._at.append(at)

    def at(self, number: int) -> datetime:
        """When the line of that number, counted from 1, had come to its end."""
        index = bisect.bisect_left(self._counts, number)
        return self._at[index - 1] if index else self._begin


async def of_archived(node: NodeStatus) -> Clock:
    """Of a node that is only in the archive."""
    text = node.finished_at or node.started_at
    return Clock(datetime.fromisoformat(text) if text else BEGINNING)


class Clocks:
    """The clocks of a run's nodes. Who wants to know of a line asks after the line was read: a mark is made before the line is."""

    def __init__(self, here: Context, uid: str) -> None:
        self._here = here
        self._uid = uid
        self._known: dict[str, Clock] = {}

    async def learn(self, nodes: Iterable[Node]) -> None:
        """Look at many nodes that have ended at once."""
        await self._look([node for node in nodes if node.phase.fulfilled and node.id not in self._known])

    async def of(self, node_id: str) -> Clock:
        """The clock of a node as far as it printed until now. Raises NotThere."""
        known = self._known.get(node_id)
        if known is not None:
            return known
        node = self._here.house.nodes(self._uid).get(node_id)
        if node is None:
            return Clock(now())
        [clock] = await self._look([node])
        return clock

    async def _look(self, nodes: Sequence[Node]) -> list[Clock]:
        found: dict[str, Sequence[Moment]] = {}
        for executor, way in self._here.timed.items():
            asked = [node for node in nodes if node.handle is not None and node.handle.executor == executor]
            if asked:
                answers = await way([node.handle for node in asked if node.handle is not None])
                found |= {node.id: moments for node, moments in zip(asked, answers, strict=True)}
        clocks = [_clock(node, found.get(node.id)) for node in nodes]
        self._known |= {node.id: clock for node, clock in zip(nodes, clocks, strict=True) if node.phase.fulfilled}
        return clocks


def _clock(node: Node, moments: Sequence[Moment] | None) -> Clock:
    """None: its executor knows nothing of when lines come."""
    begin = node.launched_at or node.started_at or now()
    return Clock(node.finished_at or begin) if moments is None else Clock(begin, moments)
