"""The life of an http attempt: known from its launch, made while it is waited for, ended by its deadline, a stop, or an answer.

A request has no process that could outlive this one. So nothing is found again after a restart (`adopt` gives None) and an
attempt that was on its way is sent again, with the same idempotency key. aiohttp is imported with the first request.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread
import msgspec

from tiphys.executors.slots import Slots
from tiphys.settings import HTTPSettings
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding, Handle, Outcome, OutcomeKind, Report, Request, Severity, WorkOrder

if TYPE_CHECKING:
    from tiphys.executors.http.sending import Sender
    from tiphys.secrets import Secrets

LOST = "interrupted: the request was on its way when the engine ended"
STOPPED = "the request was stopped"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass
class _Attempt:
    """One order between `launch` and `remove`."""

    handle: Handle
    scope: anyio.CancelScope | None = None  # there while somebody makes the request
    over: anyio.Event | None = None  # there while somebody else waits for that
    stopped: bool = False
    outcome: Outcome | None = None


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

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        if self._sender is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await self._sender.close()

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
            if attempt.scope is None:
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

    async def remove(self, order_id: str) -> None:
        """Forget the attempt and its answer."""
        self._attempts.pop(order_id, None)

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget the attempts of a run."""
        for order_id in [order_id for order_id in self._attempts if order_id.startswith(f"{workflow_uid}/")]:
            del self._attempts[order_id]

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
                began = self._clock()
                outcome = await self._perform(order)
            finally:
                self._slots.give_back(order.id)
            return msgspec.structs.replace(outcome, started_at=began, ended_at=self._clock())
        kind, message = (OutcomeKind.STOPPED, STOPPED) if attempt.stopped else (OutcomeKind.FAILED, order.deadline_message)
        return Outcome(kind=kind, message=message, started_at=arrived, ended_at=self._clock())

    async def _perform(self, order: WorkOrder) -> Outcome:
        if not isinstance(order.work, Request):
            kind = type(order.work).__name__
            return Outcome(kind=OutcomeKind.ERROR, message=f"template {order.template_name}: the http executor cannot run a {kind}")
        sender = self._sender or await self._open()
        return await sender.send(order, order.work.http)

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
