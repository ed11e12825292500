"""Cron workflows (semantics 2.20): what becomes of each tick, and of the workflows that they start. When it ticks is not known here."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import conditions, environment, expr, tags
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import FlatScope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import decision
from tiphys.scheduler.decision import Change, Decision, Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Asked, Delete, Event, Submitted, Terminate, Ticked
from tiphys.scheduler.items import Cron, Definable, Tick, definition_key
from tiphys.scheduler.records import Run
from tiphys.scheduler.registry import CRON_LABEL, MOST_TICKS
from tiphys.scheduler.state import Shared, State
from tiphys.spec.status import Phase
from tiphys.spec.workflows import CronWorkflow

SPEC_ERROR, SUBMISSION_ERROR = "SpecError", "SubmissionError"
SUCCEEDED_KEPT, FAILED_KEPT = 3, 1
WHO = "cron"


def ticked(state: State, event: Ticked) -> Decision | Refusal:
    """A tick: the workflow is started, or why it is not; either way it is written down, once."""
    shared = state.shared
    cron = shared.registry.cron_workflow(event.namespace, event.name)
    if cron is None:
        return Refusal(reason=f'cron workflow "{event.name}" not found in namespace {event.namespace}')
    status = shared.registry.crons.get(f"{event.namespace}/{event.name}") or Cron(namespace=event.namespace, name=event.name)
    tick = Tick(namespace=event.namespace, name=event.name, scheduled_at=event.scheduled_at, at=event.at, manual=event.manual)
    before = shared.registry.ticks.get(status.key, {}).get(tick.key)
    if before is not None and (event.missed or not before.missed):
        return Refusal(reason=f"{event.name} has ticked at {event.scheduled_at.isoformat()} already")
    skipped = event.missed
    if not skipped and not event.manual:
        status, skipped = _judged(shared, cron, status, event)
    if not skipped and event.manifest is None:
        skipped = event.error or "its workflow cannot be made"
        status = structs.replace(status, error=skipped, error_kind=SUBMISSION_ERROR, failed=status.failed + (not event.manual))
    follows: list[Event] = []
    if not skipped and event.manifest is not None:
        name = event.manifest.workflow.metadata.name
        if (event.namespace, name) in shared.crowd.by_name:
            skipped = f"workflow {name} is there already"
        else:
            tick = structs.replace(tick, uid=event.child, workflow=name)
            status, follows = _started(shared, cron, status, event)
    if not event.manual and (status.last_scheduled_at is None or status.last_scheduled_at < event.scheduled_at):
        status = structs.replace(status, last_scheduled_at=event.scheduled_at, last_used=schedules(cron))
    tick = structs.replace(tick, skipped=skipped, missed=bool(event.missed))
    changes: list[Change] = [decision.ItemPut(item=status), decision.ItemPut(item=tick)]
    known = shared.registry.ticks_of(status.key)
    changes += [decision.ItemRemoved(kind="Tick", key=old.key) for old in known[: max(0, len(known) + 1 - MOST_TICKS)]]
    return Decision(changes=tuple(changes), follows=tuple(follows))


def _started(shared: Shared, cron: CronWorkflow, status: Cron, event: Ticked) -> tuple[Cron, list[Event]]:
    """The workflow begins; under Replace the others end first."""
    assert event.manifest is not None
    follows: list[Event] = []
    if cron.spec.concurrency_policy == "Replace" and not event.manual:
        follows += [Asked(at=event.at, uid=run.uid, wish=Terminate(), who=WHO) for run in _active(shared, status.key)]
    follows.append(Submitted(at=event.at, uid=event.child, seed=event.seed, manifest=event.manifest))
    if status.error_kind == SUBMISSION_ERROR:
        status = structs.replace(status, error="", error_kind="")
    if not event.manual:
        status = structs.replace(status, last_started_at=event.scheduled_at)
    return status, follows


def schedules(cron: CronWorkflow) -> str:
    """The schedules with their time zone, as one text: missed ticks only count while it stays the same."""
    return ",".join((*cron.spec.schedules, *((cron.spec.schedule,) if cron.spec.schedule else ()))) + f"|{cron.spec.timezone}"


def _judged(shared: Shared, cron: CronWorkflow, status: Cron, event: Ticked) -> tuple[Cron, str]:
    """Argo's questions at a tick, in its order; "": the workflow may start."""
    spec = cron.spec
    try:
        status = _looked_whether_it_stops(cron, status, event.at)
    except TiphysError as error:
        why = f"failed to evaluate stop strategy: {error}"
        return structs.replace(status, error=why, error_kind=SPEC_ERROR), why
    if spec.suspend:
        return status, "it is suspended"
    if status.stopped:
        return status, "its stopStrategy has stopped it for good"
    try:
        if not _when(cron, status, event):
            return status, f"its condition is not true: {spec.when}"
    except TiphysError as error:
        why = f"run policy error: {error}"
        return structs.replace(status, error=why, error_kind=SUBMISSION_ERROR, failed=status.failed + 1), why
    active = _active(shared, status.key)
    if spec.concurrency_policy == "Forbid" and active:
        return status, f"concurrencyPolicy is Forbid and {active[0].name} still runs"
    return status, ""


def _looked_whether_it_stops(cron: CronWorkflow, status: Cron, at: datetime) -> Cron:
    """The status, stopped if its stopStrategy says so now; an error that this had before is over. Raises a TiphysError."""
    stopped = status.stopped or _stops(cron, status, at)
    if status.error_kind == SPEC_ERROR:
        status = structs.replace(status, error="", error_kind="")
    return structs.replace(status, stopped=stopped)


def _active(shared: Shared, key: str) -> list[Run]:
    return [run for run in shared.crowd.by_cron.get(key, {}).values() if not run.phase.completed]


def _values(cron: CronWorkflow, status: Cron) -> dict[str, object]:
    meta = cron.metadata
    values: dict[str, object] = {
        "cronworkflow.name": meta.name,
        "cronworkflow.namespace": status.namespace,
        "cronworkflow.failed": status.failed,
        "cronworkflow.succeeded": status.succeeded,
        "cronworkflow.lastScheduledTime": status.last_started_at,
        "cronworkflow.labels": dict(meta.labels or {}),
        "cronworkflow.annotations": dict(meta.annotations or {}),
    }
    for name, entries in (("labels", meta.labels), ("annotations", meta.annotations)):
        values[f"cronworkflow.{name}.json"] = msgspec.json.encode(dict(sorted((entries or {}).items()))).decode()
        values.update({f"cronworkflow.{name}.{key}": value for key, value in (entries or {}).items()})
    return values


def _when(cron: CronWorkflow, status: Cron, event: Ticked) -> bool:
    if not cron.spec.when:
        return True
    chance = Chance(now=event.at, seed=f"{event.seed}/when")
    text = tags.render_plain(str(cron.spec.when), FlatScope(_values(cron, status)), Unresolved.FAIL, chance)
    return conditions.evaluate(text, bare_words=False)


def _stops(cron: CronWorkflow, status: Cron, at: datetime) -> bool:
    strategy = cron.spec.stop_strategy
    if strategy is None or not strategy.expression:
        return False
    program = expr.compile(strategy.expression)
    seen = environment.nested(program, FlatScope(_values(cron, status)))
    return program.holds({"cronworkflow": {}} | seen, Chance(now=at, seed=f"{status.key}/stop"))


# definitions come and go


def changed(state: State, document: Definable) -> Iterator[Change]:
    """A CronWorkflow is new or another: its status begins, an error of before is forgotten."""
    before = state.shared.registry.definitions.get(definition_key(document))
    if isinstance(document, CronWorkflow) and (before is None or before.document != document):
        key = f"{document.metadata.namespace}/{document.metadata.name}"
        status = state.shared.registry.crons.get(key) or Cron(namespace=document.metadata.namespace, name=document.metadata.name)
        strategy = document.spec.stop_strategy
        stopped = status.stopped and strategy is not None and bool(strategy.expression)
        yield decision.ItemPut(item=structs.replace(status, stopped=stopped, error="", error_kind=""))


def gone(state: State, document: Definable) -> Iterator[Change]:
    """A CronWorkflow is no longer there, nor are its status and ticks."""
    if isinstance(document, CronWorkflow):
        key = f"{document.metadata.namespace}/{document.metadata.name}"
        if key in state.shared.registry.crons:
            yield decision.ItemRemoved(kind="Cron", key=key)
        for tick in state.shared.registry.ticks_of(key):
            yield decision.ItemRemoved(kind="Tick", key=tick.key)


def children(state: State, document: Definable, at: datetime) -> list[Event]:
    """The workflows of a CronWorkflow that is no longer there go with it."""
    if not isinstance(document, CronWorkflow):
        return []
    runs = state.shared.crowd.by_cron.get(f"{document.metadata.namespace}/{document.metadata.name}", {})
    return [Asked(at=at, uid=uid, wish=Delete(), who=WHO) for uid in runs]


# its workflows


def child_over(draft: Draft) -> None:
    """A workflow that a CronWorkflow started has ended: count it, see whether that was the last, and keep only so many."""
    run = draft.run
    key = f"{run.namespace}/{run.labels.get(CRON_LABEL, '')}"
    registry = draft.state.shared.registry
    status = registry.crons.get(key)
    cron = registry.cron_workflow(run.namespace, run.labels.get(CRON_LABEL, ""))
    if CRON_LABEL not in run.labels or status is None or cron is None:
        return
    if run.phase is Phase.SUCCEEDED:
        status = structs.replace(status, succeeded=status.succeeded + 1)
    else:
        status = structs.replace(status, failed=status.failed + 1)
    try:
        status = _looked_whether_it_stops(cron, status, draft.at)
    except TiphysError as error:
        status = structs.replace(status, error=f"failed to evaluate stop strategy: {error}", error_kind=SPEC_ERROR)
    draft.also(decision.ItemPut(item=status))
    _keep(draft, cron, key)


def _keep(draft: Draft, cron: CronWorkflow, key: str) -> None:
    """The history limits: of those that succeeded and of the others, the newest stay."""
    runs = [run for run in draft.state.shared.crowd.by_cron.get(key, {}).values() if run.uid != draft.run.uid] + [draft.run]
    limits = (
        (True, cron.spec.successful_jobs_history_limit, SUCCEEDED_KEPT),
        (False, cron.spec.failed_jobs_history_limit, FAILED_KEPT),
    )
    for good, given, usual in limits:
        limit = usual if given is None or given < 0 else given
        ended = [run for run in runs if run.phase.completed and (run.phase is Phase.SUCCEEDED) == good]
        ended.sort(key=lambda run: (run.finished_at or run.created_at, run.created_at, run.uid))
        for run in ended[: max(0, len(ended) - limit)]:
            draft.follow(Asked(at=draft.at, uid=run.uid, wish=Delete(), who=WHO))
