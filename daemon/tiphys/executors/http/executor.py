"""The life of an http attempt: known from its launch, made while it is waited for, ended by its deadline, a stop, or an answer.

Where a connection is there already, a request is made at once and its end is heard of by a call (`begin`): nobody waits, so there is no
task. What is not over with one exchange (a redirect, a connection that had been closed) is then gone on with in a task, as any other is.

A request has no process that could outlive this one. So nothing is found again after a restart (`adopt` gives None) and an
attempt that was on its way is sent again, with the same idempotency key. aiohttp is imported with the first request.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import anyio
import anyio.to_thread
import msgspec

from tiphys.executors.slots import Slots
from tiphys.settings import HTTPSettings
from tiphys.spec.templates import Template
from tiphys.spec.work import Course, Finding, Handle, Outcome, OutcomeKind, Report, Request, Severity, WorkOrder

if TYPE_CHECKING:
    from tiphys.executors.http.requests import Sent
    from tiphys.executors.http.sending import Sender
    from tiphys.executors.http.wires import Broken, Reply, Wire
    from tiphys.secrets import Secrets

LOST = "interrupted: the request was on its way when the engine ended"
STOPPED = "the request was stopped"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class _Begun:
    """A request that was made at once, while its answer is not there. `until`: the loop's time at which its `timeoutSeconds` are over."""

    __slots__ = ("at", "course", "order", "timer", "until", "wire")

    def __init__(self, order: WorkOrder, course: Course, wire: Wire, at: datetime) -> None:
        self.order = order
        self.course = course
        self.wire = wire
        self.at = at
        self.until: float | None = None
        self.timer: asyncio.TimerHandle | None = None


class _Rest(NamedTuple):
    """What of a begun request is to be gone on with: what its first exchange came to (or what went wrong with us), and when it began."""

    heard: Reply | Broken | Exception
    at: datetime
    until: float | None


@dataclass(slots=True)
class _Attempt:
    """One order between `launch` and `remove`."""

    handle: Handle
    scope: anyio.CancelScope | None = None  # there while somebody makes the request
    over: anyio.Event | None = None  # there while somebody else waits for that
    stopped: bool = False
    outcome: Outcome | None = None
    begun: _Begun | None = None
    rest: _Rest | None = None


class HTTPExecutor:
    """Runs `Request` orders (an Executor of `spec.work`); an async context manager, which owns the connections.

    `environment` is where a proxy is named (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), as Go's client reads them. `clock` gives
    aware UTC times.
    """

    name = "http"

    def __init__(
        self,
        settings: HTTPSettings,
        secrets: Secrets,
        *,
        environment: dict[str, str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._environment = environment or {}
        self._clock = clock
        self._slots = Slots(settings.parallelism)
        self._attempts: dict[str, _Attempt] = {}
        self._opening = anyio.Lock()
        self._sender: Sender | None = None
        self._unsaid: list[_Begun] = []

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        if self._sender is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await self._sender.close()

    def begin(self, order: WorkOrder, course: Course) -> bool:
        """Make the attempt's request at once, if it has no secrets and no deadline, and there are a free slot and a connection for it."""
        work, sender = order.work, self._sender
        if sender is None or order.deadline is not None or order.id in self._attempts or not self._slots.is_free:
            return False
        if not isinstance(work, Request):
            return False
        attempt = _Attempt(Handle(executor=self.name, text=order.id))
        wire = sender.begin(order, work.http, functools.partial(self._heard, attempt))
        if wire is None:
            return False
        self._slots.hold(order.id)
        self._attempts[order.id] = attempt
        attempt.begun = begun = _Begun(order, course, wire, self._clock())
        if work.http.timeout_seconds is not None:
            loop = asyncio.get_running_loop()
            begun.until = loop.time() + work.http.timeout_seconds
            begun.timer = loop.call_at(begun.until, self._timed_out, attempt, sender, work)
        if not self._unsaid:
            asyncio.get_running_loop().call_soon(self._say)
        self._unsaid.append(begun)
        return True

    def hold(self) -> None:
        """Nothing waits to be sent together with other requests."""

    def flush(self) -> None:
        """Nothing: what was begun is on its way."""

    def _say(self) -> None:
        """Tell of the requests that were begun in the last turn of the loop: no answer can be there before this."""
        unsaid, self._unsaid = self._unsaid, []
        for begun in unsaid:
            begun.course.started(Handle(executor=self.name, text=begun.order.id))

    def _heard(self, attempt: _Attempt, sent: Sent, heard: Reply | Broken) -> None:
        """A begun request has its answer, or its connection is gone."""
        begun, sender = attempt.begun, self._sender
        if begun is None or sender is None or not isinstance(begun.order.work, Request):
            return
        trouble: Exception | None = None
        try:
            outcome = sender.heard(begun.order, begun.order.work.http, sent, heard)
        except Exception as error:  # noqa: BLE001 - raised by `wait`, as if the request had been made there
            outcome, trouble = None, error
        if outcome is None:
            attempt.rest = _Rest(trouble or heard, begun.at, begun.until)
        self._settle(attempt, begun, outcome)

    def _timed_out(self, attempt: _Attempt, sender: Sender, work: Request) -> None:
        if attempt.begun is not None:
            attempt.begun.wire.shut()
            self._settle(attempt, attempt.begun, sender.timed_out(work.http))

    def _cut(self, attempt: _Attempt) -> None:
        """End a begun request."""
        if attempt.begun is not None:
            attempt.begun.wire.shut()
            self._settle(attempt, attempt.begun, Outcome(kind=OutcomeKind.STOPPED, message=STOPPED))

    def _settle(self, attempt: _Attempt, begun: _Begun, outcome: Outcome | None) -> None:
        """Tell of a begun request; None: it has to be gone on with."""
        attempt.begun = None
        if begun.timer is not None:
            begun.timer.cancel()
        self._slots.give_back(begun.order.id)
        if outcome is not None:
            outcome = attempt.outcome = msgspec.structs.replace(outcome, started_at=begun.at, ended_at=self._clock())
            self._attempts.pop(begun.order.id, None)
        if attempt.over is not None:
            attempt.over.set()
            attempt.over = None
        begun.course.over(outcome)

    async def launch(self, order: WorkOrder) -> Handle:
        """Note the attempt; the request is made while it is waited for."""
        attempt = self._attempts.get(order.id)
        if attempt is None:
            attempt = self._attempts[order.id] = _Attempt(Handle(executor=self.name, text=order.id))
        return attempt.handle

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """The attempt if this very executor knows it; an earlier process's request is gone, and is made again."""
        del handle  # it says no more than the order
        attempt = self._attempts.get(order.id)
        return None if attempt is None else attempt.handle

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:
        """Make the request, or wait for whoever makes it; a cancelled wait takes its request with it."""
        attempt = self._attempts.get(handle.text)
        if attempt is None:
            return Outcome(kind=OutcomeKind.INTERRUPTED, message=LOST, ended_at=self._clock())
        while attempt.outcome is None:
            if attempt.scope is None and attempt.begun is None:
                await self._make(order, attempt)
            else:
                attempt.over = attempt.over or anyio.Event()
                await attempt.over.wait()
        return attempt.outcome

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Cut the connection; a request has nothing to do in its grace."""
        del grace_seconds
        if attempt := self._attempts.get(handle.text):
            attempt.stopped = True
            if attempt.scope is not None:
                attempt.scope.cancel()
            self._cut(attempt)

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """Nothing is heard of an attempt before its end."""
        for silence in list[tuple[str, Report]]():
            yield silence

    async def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Nothing: a request prints nothing, and what it was answered is its result."""
        del handle, follow
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk

    async def release(self, workflow_uid: str) -> None:
        """Nothing: there are no claims here."""

    async def running(self) -> Mapping[str, Handle]:
        """Nothing: a request ends with the process that made it."""
        return {}

    async def remove(self, order_id: str) -> None:
        """Forget the attempt and its answer."""
        self._attempts.pop(order_id, None)

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget the attempts of a run."""
        for order_id in [order_id for order_id in self._attempts if order_id.startswith(f"{workflow_uid}/")]:
            self._cut(self._attempts.pop(order_id))

    async def sweep(self, known: Collection[str]) -> None:
        """Nothing is left on disk."""

    def supports(self, template: Template) -> Sequence[Finding]:
        """An http template gives its answer's body as `outputs.result` and nothing else."""
        return findings(template)

    async def _make(self, order: WorkOrder, attempt: _Attempt) -> None:
        attempt.scope = anyio.CancelScope()
        try:
            attempt.outcome = await self._run(order, attempt, attempt.scope)
        finally:
            attempt.scope = None
            if attempt.over is not None:
                attempt.over.set()
                attempt.over = None

    async def _run(self, order: WorkOrder, attempt: _Attempt, scope: anyio.CancelScope) -> Outcome:
        """The request under its deadline; the wait for a free place counts as part of the attempt, but not of `timeoutSeconds`."""
        arrived = self._clock()
        if order.deadline is not None:
            scope.deadline = anyio.current_time() + (order.deadline - arrived).total_seconds()
        if attempt.stopped:
            scope.cancel()
        with scope:
            await self._slots.take(order.id)
            try:
                began = self._clock() if attempt.rest is None else attempt.rest.at
                outcome = await self._perform(order, attempt.rest)
            finally:
                self._slots.give_back(order.id)
            return msgspec.structs.replace(outcome, started_at=began, ended_at=self._clock())
        kind, message = (OutcomeKind.STOPPED, STOPPED) if attempt.stopped else (OutcomeKind.FAILED, order.deadline_message)
        return Outcome(kind=kind, message=message, started_at=arrived, ended_at=self._clock())

    async def _perform(self, order: WorkOrder, rest: _Rest | None) -> Outcome:
        if not isinstance(order.work, Request):
            kind = type(order.work).__name__
            return Outcome(kind=OutcomeKind.ERROR, message=f"template {order.template_name}: the http executor cannot run a {kind}")
        sender = self._sender or await self._open()
        if rest is None:
            return await sender.send(order, order.work.http)
        if isinstance(rest.heard, Exception):
            raise rest.heard
        left = None if rest.until is None else max(0.0, rest.until - asyncio.get_running_loop().time())
        return await sender.send(order, order.work.http, rest.heard, left)

    async def _open(self) -> Sender:
        """Import the client (a quarter of a second, so not on the loop) and make the one session."""
        async with self._opening:
            if self._sender is None:
                sending = await anyio.to_thread.run_sync(importlib.import_module, "tiphys.executors.http.sending")
                self._sender = sending.Sender(self._settings, self._secrets, self._environment, self._clock)
            return self._sender


def findings(template: Template) -> Sequence[Finding]:
    """What an http template asks for that a request cannot do."""
    """What an http template cannot have, and what of it is not used."""
    found: list[Finding] = []

    def say(severity: Severity, place: str, message: str) -> None:
        found.append(Finding(severity=severity, field=place, message=message))

    if template.http is None:
        say(Severity.ERROR, "http", "the http executor runs http templates only")
        return found
    if template.outputs is not None and template.outputs.artifacts:
        say(Severity.ERROR, "outputs.artifacts", "an http template has no files to save; its body is outputs.result")
    if template.outputs is not None and template.outputs.parameters:
        say(Severity.ERROR, "outputs.parameters", "an http template gives no parameters; take its body from outputs.result")
    if template.inputs is not None and template.inputs.artifacts:
        say(Severity.WARNING, "inputs.artifacts", "an http template has no files, so the artifacts are not brought in")
    return found
