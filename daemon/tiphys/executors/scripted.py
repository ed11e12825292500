"""The executor that only pretends: a script says how each attempt ends, and after how long.

It serves rehearsals (a whole workflow walked through without running a step), the scheduler's own tests and benches. What it
keeps per attempt is an outcome and no task, lock or event, so 100,000 attempts at once are cheap.
"""

import math
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import anyio
import msgspec

from tiphys.spec.artifacts import Artifact
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding, Handle, Outcome, OutcomeKind, Report, WorkOrder

LOST = "interrupted: the attempt cannot be found"
STOPPED = "main: Error (exit code 143)"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Play(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How one attempt goes: it takes `seconds` and then ends as said.

    `kind` is worked out from the exit code where it is not given: 0 succeeds, anything else fails with Argo's message.
    """

    seconds: float = 0.0
    exit_code: int | None = 0
    kind: OutcomeKind | None = None
    message: str = ""
    result: str | None = None
    parameters: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    log: str = ""
    transient: bool = False
    retry_after_seconds: float | None = None

    def outcome(self) -> Outcome:
        """The outcome at the end of the play, without its times."""
        kind = self.kind or (OutcomeKind.SUCCEEDED if self.exit_code in {0, None} else OutcomeKind.FAILED)
        said = "" if kind is OutcomeKind.SUCCEEDED or self.exit_code in {0, None} else f"main: Error (exit code {self.exit_code})"
        return Outcome(
            kind=kind,
            exit_code=self.exit_code,
            message=self.message or said,
            result=self.result,
            parameters=self.parameters,
            artifacts=self.artifacts,
            transient=self.transient,
            retry_after_seconds=self.retry_after_seconds,
        )


Part = Play | Sequence[Play] | Callable[[WorkOrder], Play]
"""One play for every attempt, or one for each attempt in turn (the last stays), or a function of the order."""


class Script:
    """Which play an order gets.

    A key is a node's name, or a template's name, or a pattern over either in which `*` stands for any text and `?` for any one
    character. A node's own name wins over its template's, both over patterns, and among patterns the first. What no key
    speaks of gets `otherwise`, which by default succeeds at once.
    """

    def __init__(self, parts: Mapping[str, Part] | None = None, *, otherwise: Part | None = None) -> None:
        self._exact = dict(parts or {})
        self._patterns = [(_pattern(key), part) for key, part in self._exact.items() if "*" in key or "?" in key]
        self._otherwise: Part = Play() if otherwise is None else otherwise

    def play(self, order: WorkOrder) -> Play:
        """The play for this attempt."""
        part = self._part(order)
        if isinstance(part, Play):
            return part
        if isinstance(part, Sequence):
            return part[min(order.attempt, len(part) - 1)]
        return part(order)

    def _part(self, order: WorkOrder) -> Part:
        if order.node_name in self._exact:
            return self._exact[order.node_name]
        if order.template_name in self._exact:
            return self._exact[order.template_name]
        for pattern, part in self._patterns:
            if pattern.fullmatch(order.node_name) or pattern.fullmatch(order.template_name):
                return part
        return self._otherwise


class Performance(msgspec.Struct, eq=False, gc=False):
    """One order between `launch` and `remove`: what a process would be to another executor.

    `stop` is made only for one that is waited for over time.
    """

    handle: Handle
    play: Play
    started_at: datetime
    began: float
    stop: anyio.Event | None = None
    stopped: bool = False
    outcome: Outcome | None = None

    def left(self) -> float:
        """Seconds to the end of the play; not positive: it is over."""
        return self.began + self.play.seconds - anyio.current_time() if self.play.seconds else 0.0


class ScriptedExecutor:
    """Plays a Script (an Executor of `spec.work`).

    `world` holds the attempts; hand the same one to a second executor and it finds what the first began, as a restarted
    engine finds its processes. `launched` lists the ids in the order they began, each once.
    """

    name = "scripted"

    def __init__(
        self, script: Script | None = None, *, world: dict[str, Performance] | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.launched: list[str] = []
        self.world = {} if world is None else world
        self._script = script or Script()
        self._clock = clock

    async def launch(self, order: WorkOrder) -> Handle:
        """Begin the attempt's play, once."""
        performance = self.world.get(order.id)
        if performance is None:
            handle = Handle(executor=self.name, text=order.id)
            play = self._script.play(order)
            performance = self.world[order.id] = Performance(handle, play, self._clock(), anyio.current_time())
            self.launched.append(order.id)
        return performance.handle

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """The handle of an attempt that was begun, by whichever executor of this world."""
        del handle  # it says no more than the order
        performance = self.world.get(order.id)
        return None if performance is None else performance.handle

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:
        """The outcome, once the play's time, a stop or the deadline has come."""
        performance = self.world.get(handle.text)
        if performance is None:
            return Outcome(kind=OutcomeKind.INTERRUPTED, message=LOST, ended_at=self._clock())
        if performance.outcome is None:
            overdue = await self._overdue(order, performance)
            if performance.outcome is None:  # another waiter may have been first
                performance.outcome = self._ended(order, performance, overdue=overdue)
        return performance.outcome

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """End the play, which obeys at once."""
        del grace_seconds
        performance = self.world.get(handle.text)
        if performance is None or performance.outcome is not None or performance.left() <= 0:
            return
        performance.stopped = True
        if performance.stop is not None:
            performance.stop.set()

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """Nothing is heard of an attempt before its end."""
        for silence in list[tuple[str, Report]]():
            yield silence

    async def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """The play's log, all of it at once."""
        del follow
        performance = self.world.get(handle.text)
        if performance is not None and performance.play.log:
            yield performance.play.log.encode()

    async def release(self, workflow_uid: str) -> None:
        """Nothing: there are no claims here."""

    async def running(self) -> Mapping[str, Handle]:
        """What of this world is not over."""
        return {order_id: one.handle for order_id, one in self.world.items() if one.outcome is None and one.left() > 0 and not one.stopped}

    async def remove(self, order_id: str) -> None:
        """Forget the attempt."""
        self.world.pop(order_id, None)

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget the attempts of a run."""
        for order_id in [order_id for order_id in self.world if order_id.startswith(f"{workflow_uid}/")]:
            del self.world[order_id]

    async def sweep(self, known: Collection[str]) -> None:
        """Nothing is left on disk."""

    def supports(self, template: Template) -> Sequence[Finding]:
        """Everything can be played."""
        del template
        return ()

    async def _overdue(self, order: WorkOrder, performance: Performance) -> bool:
        """Let the play's time pass; whether the deadline came first."""
        left = performance.left()
        limit = math.inf if order.deadline is None else (order.deadline - self._clock()).total_seconds()
        if min(left, limit) > 0 and not performance.stopped:
            performance.stop = performance.stop or anyio.Event()
            with anyio.move_on_after(min(left, limit)):
                await performance.stop.wait()
        return limit < left

    def _ended(self, order: WorkOrder, performance: Performance, *, overdue: bool) -> Outcome:
        if performance.stopped:
            outcome = Outcome(kind=OutcomeKind.STOPPED, exit_code=143, message=STOPPED)
        elif overdue:
            outcome = Outcome(kind=OutcomeKind.FAILED, exit_code=143, message=order.deadline_message)
        else:
            outcome = performance.play.outcome()
        return msgspec.structs.replace(outcome, started_at=performance.started_at, ended_at=self._clock())


def _pattern(key: str) -> re.Pattern[str]:
    parts = (".*" if mark == "*" else "." if mark == "?" else re.escape(mark) for mark in key)
    return re.compile("".join(parts), re.DOTALL)
