"""Why a cron workflow starts something at its next tick, or does not, and what became of the last ones."""

from collections.abc import Iterator
from datetime import datetime

from tiphys.errors import TiphysError
from tiphys.expressions import conditions
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import FlatScope
from tiphys.scheduler import crons, why_conditions, why_limits
from tiphys.scheduler.items import Cron, Tick
from tiphys.scheduler.reasons import CronExplanation, Expression, Kind, Reason, Ticked
from tiphys.scheduler.state import State
from tiphys.spec.workflows import CronWorkflow

MOST_TICKS = 20


def explain_cron(state: State, namespace: str, name: str, now: datetime, following: datetime | None) -> CronExplanation | None:
    """Why a cron workflow is as it is; None: there is none. `following`: when it ticks next, as far as that is known."""
    registry = state.shared.registry
    cron = registry.cron_workflow(namespace, name)
    if cron is None:
        return None
    status = registry.crons.get(f"{namespace}/{name}") or Cron(namespace=namespace, name=name)
    ticks = registry.ticks_of(status.key)
    return CronExplanation(
        name=name,
        namespace=namespace,
        schedules=crons.schedules(cron).partition("|")[0],
        timezone=cron.spec.timezone,
        next_at=following,
        succeeded=status.succeeded,
        failed=status.failed,
        reasons=tuple(_reasons(state, cron, status, Chance(now=now, seed=f"{status.key}/explain"), following)),
        ticks=tuple(_tick(tick) for tick in ticks[-MOST_TICKS:]),
    )


def _tick(tick: Tick) -> Ticked:
    return Ticked(scheduled_at=tick.scheduled_at, at=tick.at, workflow=tick.workflow, skipped=tick.skipped, manual=tick.manual)


def _reasons(state: State, cron: CronWorkflow, status: Cron, chance: Chance, following: datetime | None) -> Iterator[Reason]:
    """In the order in which a tick asks."""
    spec = cron.spec
    scope = FlatScope(crons._values(cron, status))  # noqa: SLF001 (what a tick sees is to be shown, not something like it)
    if status.error:
        yield Reason(kind=Kind.CRON, text=f"{status.error_kind}: {status.error}", changes="its definition is another, or a tick goes well")
    if spec.suspend:
        yield Reason(kind=Kind.SUSPENDED, text="it is suspended: its ticks start nothing", changes="somebody resumes it")
    if spec.stop_strategy is not None and spec.stop_strategy.expression:
        found = why_conditions.program(spec.stop_strategy.expression, scope, chance)
        lines = tuple(f"{key} = {value}" for key, value in found.values.items())
        word = "has stopped it for good" if status.stopped else f"is {found.result}"
        text = f"its stopStrategy {word}: {spec.stop_strategy.expression}"
        yield Reason(
            kind=Kind.CRON, text=text, lines=lines, changes="its definition is another" if status.stopped else "", expression=found
        )
    if spec.when:
        found = _when(str(spec.when), scope, chance)
        yield Reason(
            kind=Kind.WHEN, text=f"its condition is {found.result}: {found.value}", lines=(f"written: {found.written}",), expression=found
        )
    active = crons._active(state.shared, status.key)  # noqa: SLF001 (as above)
    if active:
        policy = spec.concurrency_policy or "Allow"
        will = {"Forbid": "the next tick starts nothing while they run", "Replace": "the next tick ends them"}
        names = why_limits.listed(run.name for run in active)
        text = f"its workflows {names} have not ended, and concurrencyPolicy is {policy}: {will.get(policy, 'more may run beside them')}"
        nodes = tuple(why_limits.who(run) for run in active[: why_limits.MOST])
        yield Reason(kind=Kind.CRON, text=text, nodes=nodes, changes=f"the end of {names}" if policy == "Forbid" else "")
    if following is not None:
        yield Reason(kind=Kind.CRON, text=f"it ticks next at {following:%Y-%m-%d %H:%M:%S} UTC", at=following)
    else:
        yield Reason(kind=Kind.CRON, text="when it ticks next is not known")


def _when(written: str, scope: FlatScope, chance: Chance) -> Expression:
    value, open_ = why_conditions.substituted(written, scope, chance)
    try:
        result = str(conditions.evaluate(value, bare_words=False)).lower()
    except TiphysError as error:
        result = f"an error: {error}"
    return Expression(written=written, value=value, result=result, open=open_, values=why_conditions.values(written, scope))
