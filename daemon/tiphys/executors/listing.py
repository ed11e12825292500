"""The executor of data templates: it lists the keys below an artifact's place and transforms the list by expressions (semantics 2.19).

Nothing of it outlives this process: what was on its way is listed again after a restart.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime

import anyio

from tiphys.artifacts import locations
from tiphys.artifacts.errors import ArtifactError
from tiphys.artifacts.store import Artifacts
from tiphys.expressions import expr, gojson
from tiphys.expressions.chance import Chance
from tiphys.expressions.errors import ExpressionError
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding, Handle, Listing, Outcome, OutcomeKind, Report, Severity, WorkOrder

NAME = "data"
UNLISTED = ("raw", "http", "git", "artifactory")


class ListingExecutor:
    """Runs `Listing` orders."""

    name = NAME

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._scopes: dict[str, anyio.CancelScope] = {}

    async def launch(self, order: WorkOrder) -> Handle:
        """Note the attempt; the work is done while it is waited for."""
        self._scopes.setdefault(order.id, anyio.CancelScope())
        return Handle(executor=NAME, text=order.id)

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """Nothing is found again: an earlier process's listing is made anew."""
        del order, handle
        return None

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:
        """List and transform."""
        began = datetime.now(UTC)
        scope = self._scopes.setdefault(handle.text, anyio.CancelScope())
        if order.deadline is not None:
            scope.deadline = anyio.current_time() + (order.deadline - began).total_seconds()
        with scope:
            return await self._carry_out(order, began)
        now = datetime.now(UTC)
        if order.deadline is not None and now >= order.deadline:
            return Outcome(kind=OutcomeKind.FAILED, message=order.deadline_message, started_at=began, ended_at=now)
        return Outcome(kind=OutcomeKind.STOPPED, message="the listing was stopped", started_at=began, ended_at=now)

    async def _carry_out(self, order: WorkOrder, began: datetime) -> Outcome:
        kind, message, result = OutcomeKind.SUCCEEDED, "", None
        try:
            result = gojson.compact(await self._listed(order, began))
        except ArtifactError as error:
            kind, message = OutcomeKind.ERROR, f"failed to list the artifact's keys: {error}"
        except (ExpressionError, gojson.Unprintable) as error:
            kind, message = OutcomeKind.ERROR, f"failed to transform data: {error}"
        return Outcome(kind=kind, message=message, result=result, started_at=began, ended_at=datetime.now(UTC))

    async def _listed(self, order: WorkOrder, began: datetime) -> object:
        work = order.work
        if not isinstance(work, Listing) or work.data.source is None or work.data.source.artifact_paths is None:
            raise ArtifactError("a data template needs source.artifactPaths")
        data: object = await self._artifacts.list_keys(work.data.source.artifact_paths, order.workflow.namespace)
        for number, step in enumerate(work.data.transformation):
            chance = Chance(now=began, seed=f"{order.id}/{number}")
            data = expr.compile(step.expression).run({"data": data}, chance, functions="plain")
        return data

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Cut it off; a listing has nothing to do in its grace."""
        del grace_seconds
        if scope := self._scopes.get(handle.text):
            scope.cancel()

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """Nothing is heard of an attempt before its end."""
        for silence in list[tuple[str, Report]]():
            yield silence

    async def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Nothing: a listing prints nothing."""
        del handle, follow
        nothing: tuple[bytes, ...] = ()
        for chunk in nothing:
            yield chunk

    async def release(self, workflow_uid: str) -> None:
        """Nothing: there are no claims here."""

    async def running(self) -> Mapping[str, Handle]:
        """Nothing: a listing ends with the process that made it."""
        return {}

    async def remove(self, order_id: str) -> None:
        """Forget the attempt."""
        self._scopes.pop(order_id, None)

    async def remove_run(self, workflow_uid: str) -> None:
        """Forget the attempts of a run."""
        for order_id in [order_id for order_id in self._scopes if order_id.startswith(f"{workflow_uid}/")]:
            del self._scopes[order_id]

    async def sweep(self, known: Collection[str]) -> None:
        """Nothing is left on disk."""

    def supports(self, template: Template) -> Sequence[Finding]:
        """Places whose keys cannot be listed are refused."""
        return findings(template)


def findings(template: Template) -> Sequence[Finding]:
    """What a data template asks for that cannot be done."""
    data = template.data
    if data is None or data.source is None or data.source.artifact_paths is None:
        return [Finding(severity=Severity.ERROR, field="data.source", message="a data template needs source.artifactPaths")]
    place = data.source.artifact_paths
    kind = locations.kind(place)
    if kind in UNLISTED:
        return [Finding(severity=Severity.ERROR, field="data.source.artifactPaths", message=f"the keys of {kind} cannot be listed")]
    refusal = locations.supports(place)
    return [Finding(severity=Severity.ERROR, field="data.source.artifactPaths", message=refusal)] if refusal else ()
