"""Executor plugins: services that carry plugin templates out when they are asked over HTTP (semantics 2.19).

Every configured plugin is asked in turn, by Argo's protocol: `POST <url>/api/v1/template.execute`. The first that answers with a node
has taken the template; it may be asked again until that node is over. An attempt has no process: after a restart it asks again, with
the same workflow uid and template, and the plugin decides whether it has seen that before. aiohttp is imported with the first request.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread
import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import durations
from tiphys.spec.artifacts import Artifact
from tiphys.spec.parameters import Parameter
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding, Handle, Outcome, OutcomeKind, PluginWork, Report, Severity, WorkOrder

if TYPE_CHECKING:
    import aiohttp

    from tiphys.settings import PluginEntry

NAME = "plugin"
PATH = "/api/v1/template.execute"
NOBODY = "no plugin executed the template"
LOST = "interrupted: the plugin was being asked when the engine ended"
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_TRIES = 1.0, 60.0, 8
ASK_AGAIN_SECONDS = 5.0
LARGEST_ANSWER = 16 * 1024 * 1024


class Answered(msgspec.Struct, frozen=True, rename="camel"):
    """The outputs in an answer."""

    parameters: tuple[Parameter, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    result: str | None = None


class Node(msgspec.Struct, frozen=True, rename="camel"):
    """The node in an answer."""

    phase: str = ""
    message: str = ""
    progress: str = ""
    outputs: Answered | None = None


class Answer(msgspec.Struct, frozen=True):
    """What a plugin answers; without a node the template is not its own. `requeue`: when to ask again, a Go duration."""

    node: Node | None = None
    requeue: str = ""


class PluginFailed(TiphysError):
    """A plugin gave no usable answer; the text names it. `transient`: asking again may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass
class _Attempt:
    handle: Handle
    scope: anyio.CancelScope
    stopped: bool = False
    outcome: Outcome | None = None
    progress: str = ""


class PluginExecutor:
    """Asks plugins (an Executor of `spec.work`); an async context manager, which owns the connections. `plugins`: by name."""

    name = NAME

    def __init__(self, plugins: Mapping[str, PluginEntry]) -> None:
        self._plugins = plugins
        self._deaf: set[str] = set()
        self._attempts: dict[str, _Attempt] = {}
        self._session: aiohttp.ClientSession | None = None
        self._said, self._heard = anyio.create_memory_object_stream[tuple[str, Report]](1024)

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first question."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self._said.close()
        self._heard.close()
        if self._session is not None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await self._session.close()

    async def launch(self, order: WorkOrder) -> Handle:
        """Note the attempt; plugins are asked while it is waited for."""
        attempt = self._attempts.get(order.id)
        if attempt is None:
            attempt = self._attempts[order.id] = _Attempt(Handle(executor=NAME, text=order.id), anyio.CancelScope())
        return attempt.handle

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """The attempt if this very executor knows it; that of an earlier process is asked for again."""
        del handle
        attempt = self._attempts.get(order.id)
        return None if attempt is None else attempt.handle

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:
        """Ask until the node is over, the deadline has come, or the attempt was stopped."""
        attempt = self._attempts.get(handle.text)
        if attempt is None:
            return Outcome(kind=OutcomeKind.INTERRUPTED, message=LOST, ended_at=datetime.now(UTC))
        if attempt.outcome is not None:
            return attempt.outcome
        began = datetime.now(UTC)
        if order.deadline is not None:
            attempt.scope.deadline = anyio.current_time() + (order.deadline - began).total_seconds()
        kind, message = OutcomeKind.FAILED, order.deadline_message
        made: Outcome | None = None
        with attempt.scope:
            try:
                made = await self._carried_out(order, attempt)
            except PluginFailed as error:
                made = Outcome(kind=OutcomeKind.ERROR, message=str(error), transient=error.transient)
        if made is None:
            if attempt.stopped:
                kind, message = OutcomeKind.STOPPED, "the plugin was not asked any more"
            made = Outcome(kind=kind, message=message)
        attempt.outcome = msgspec.structs.replace(made, started_at=began, ended_at=datetime.now(UTC))
        return attempt.outcome

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Ask no more; what the plugin has begun is its own affair."""
        del grace_seconds
        if attempt := self._attempts.get(handle.text):
            attempt.stopped = True
            attempt.scope.cancel()

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """The progress that plugins tell."""
        async for said in self._heard:
            yield said

    async def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Nothing: what a plugin prints is in its own log."""
        del handle, follow
        for nothing in list[bytes]():
            yield nothing

    async def release(self, workflow_uid: str) -> None:
        """Nothing: there are no claims here."""

    async def running(self) -> Mapping[str, Handle]:
        """Nothing: a question ends with the process that asked it."""
        return {}

    async def remove(self, order_id: str) -> None:
        """Forget the attempt."""
        self._attempts.pop(order_id, None)

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget the attempts of a run."""
        for order_id in [order_id for order_id in self._attempts if order_id.startswith(f"{workflow_uid}/")]:
            del self._attempts[order_id]

    async def sweep(self, known: Collection[str]) -> None:
        """Nothing is left on disk."""

    def supports(self, template: Template) -> Sequence[Finding]:
        """A plugin template needs a plugin."""
        return findings(template, self._plugins)

    async def _carried_out(self, order: WorkOrder, attempt: _Attempt) -> Outcome:
        if not isinstance(order.work, PluginWork):
            return Outcome(kind=OutcomeKind.ERROR, message=f"template {order.template_name}: plugins run plugin templates only")
        question = msgspec.json.encode(
            {
                "workflow": {"metadata": {"name": order.workflow.name, "namespace": order.workflow.namespace, "uid": order.workflow.uid}},
                "template": order.work.template,
            }
        )
        taken: str | None = None
        while True:
            for name in [taken] if taken else [name for name in self._plugins if name not in self._deaf]:
                answer = await self._asked(name, question)
                if answer is None or answer.node is None:
                    continue
                taken = name
                node = answer.node
                if node.phase in ENDS:
                    return _ended(node)
                if node.phase not in {"Running", "Pending", ""}:
                    raise PluginFailed(f"plugin {name}: its answer has the unknown phase {node.phase!r}")
                if node.progress and node.progress != attempt.progress:
                    attempt.progress = node.progress
                    await self._said.send((order.id, Report(progress=node.progress)))
                await anyio.sleep(_pause(name, answer))
                break
            else:
                return Outcome(kind=OutcomeKind.FAILED, message=NOBODY)

    async def _asked(self, name: str, question: bytes) -> Answer | None:
        """A plugin's answer; None: it does not do this at all. What may pass by itself is waited for."""
        wait = FIRST_WAIT_SECONDS
        for last in range(MOST_TRIES):
            try:
                return await self._ask(name, question)
            except PluginFailed as error:
                if not error.transient or last == MOST_TRIES - 1:
                    raise
            await anyio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        return None

    async def _ask(self, name: str, question: bytes) -> Answer | None:
        entry = self._plugins[name]
        client = await anyio.to_thread.run_sync(importlib.import_module, "aiohttp")
        if self._session is None:
            self._session = client.ClientSession()
        headers = {"Content-Type": "application/json"}
        if entry.token_file:
            try:
                token = await (await anyio.Path(entry.token_file).expanduser()).read_text(encoding="utf-8")
            except OSError as error:
                raise PluginFailed(f"plugin {name}: its token cannot be read: {entry.token_file}: {error.strerror}") from error
            headers["Authorization"] = f"Bearer {token.strip()}"
        timeout = client.ClientTimeout(total=entry.timeout_seconds)
        try:
            async with self._session.post(entry.url.rstrip("/") + PATH, data=question, headers=headers, timeout=timeout) as reply:
                status, body = reply.status, await reply.content.read(LARGEST_ANSWER)
        except TimeoutError as error:
            raise PluginFailed(f"plugin {name}: no answer within {entry.timeout_seconds:g} s", transient=True) from error
        except client.ClientError as error:
            raise PluginFailed(f"plugin {name}: {error}", transient=True) from error
        if status == 404:
            self._deaf.add(name)
            return None
        if status != 200:
            text = body[:200].decode(errors="replace").strip()
            raise PluginFailed(f"plugin {name}: it answered {status}: {text}", transient=status == 503)
        try:
            return msgspec.json.decode(body or b"{}", type=Answer)
        except msgspec.MsgspecError as error:
            raise PluginFailed(f"plugin {name}: its answer cannot be read: {error}") from error


ENDS: dict[str, OutcomeKind] = {"Succeeded": OutcomeKind.SUCCEEDED, "Failed": OutcomeKind.FAILED, "Error": OutcomeKind.ERROR}


def _ended(node: Node) -> Outcome:
    outputs = node.outputs or Answered()
    return Outcome(
        kind=ENDS[node.phase],
        message=node.message,
        result=outputs.result,
        parameters={parameter.name: parameter.value for parameter in outputs.parameters if parameter.value is not None},
        artifacts=outputs.artifacts,
        progress=node.progress,
    )


def _pause(name: str, answer: Answer) -> float:
    """How long to wait before the next question. Raises PluginFailed where the answer's `requeue` is no duration."""
    if not answer.requeue:
        return ASK_AGAIN_SECONDS
    try:
        return durations.parse(answer.requeue).total_seconds()
    except TiphysError as error:
        raise PluginFailed(f"plugin {name}: its answer's requeue: {error}") from error


def findings(template: Template, plugins: Mapping[str, Any]) -> Sequence[Finding]:
    """Why a plugin template cannot be carried out, and what of it is not used."""
    if template.plugin is None:
        return [Finding(severity=Severity.ERROR, field="plugin", message="plugins run plugin templates only")]
    if not plugins:
        wanted = ", ".join(template.plugin) or "NAME"
        message = f"plugin: no executor plugin is configured; say where one is in the settings: plugins: {{{wanted}: {{url: ...}}}}"
        return [Finding(severity=Severity.ERROR, field="plugin", message=message)]
    if template.inputs is not None and template.inputs.artifacts:
        message = "a plugin gets no files: the artifacts are handed to it by their location"
        return [Finding(severity=Severity.WARNING, field="inputs.artifacts", message=message)]
    return []
