"""Why a node is tried again, or is not any more."""

from tiphys.errors import TiphysError
from tiphys.expressions import expr
from tiphys.scheduler import bodies, retrying, why_conditions, why_limits, why_not_yet
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import Attempt, Expression, Kind, Reason, Retries
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import Phase
from tiphys.spec.templates import RetryStrategy

WHY = {
    "Always": "every failure counts",
    "OnFailure": "only Failed counts",
    "OnError": "only Error counts",
    "OnTransientError": "only what may pass by itself counts",
}


def attempt(node: Node) -> Attempt:
    """An attempt as it is."""
    code = node.outputs.exit_code if node.outputs is not None else None
    return Attempt(
        name=node.name,
        phase=str(node.phase),
        message=why_conditions.cut(node.message),
        exit_code=code or "",
        started_at=node.launched_at or node.started_at,
        finished_at=node.finished_at,
    )


def attempts_of(draft: Draft, wrapper: Node) -> list[Node]:
    """The attempts of a Retry node, the first first."""
    return [node for node in draft.owned(wrapper.id) if node.role is Role.ATTEMPT]


def retries(draft: Draft, wrapper: Node) -> Retries:
    """A Retry node's strategy and how far it is. Raises a TiphysError."""
    made = attempts_of(draft, wrapper)
    strategy = retrying.strategy_of(draft, wrapper)
    policy = strategy.retry_policy or ("Always" if strategy.expression else "OnFailure")
    failed = [node for node in made if node.phase.failed_or_error]
    counts = ""
    if failed:
        allowed = retrying._policy_allows(draft, strategy, failed[-1])  # noqa: SLF001 (the very judgement is to be shown)
        verdict = "counts" if allowed else "does not count"
        counts = f"the last ended {failed[-1].phase}: by the policy {policy} {WHY.get(policy, '')}, so it {verdict}"
    return Retries(
        policy=policy,
        limit=retrying.limit_of(strategy),
        made=len(made),
        attempts=tuple(attempt(node) for node in made[-why_limits.MOST :]),
        counts=counts,
        expression=_expression(draft, wrapper, strategy, failed[-1] if failed else None, len(made)),
    )


def _expression(draft: Draft, wrapper: Node, strategy: RetryStrategy, last: Node | None, made: int) -> Expression | None:
    if not strategy.expression or last is None:
        return None
    values = {key: str(value) for key, value in bodies.last_retry(last).items()} | {"retries": str(made - 1)}
    environment = {
        "retries": values["retries"],
        "lastRetry": {key.removeprefix("lastRetry."): value for key, value in values.items() if key != "retries"},
    }
    try:
        value = expr.compile(strategy.expression).run(environment, draft.chance(wrapper.name))
    except TiphysError as error:
        return Expression(written=strategy.expression, result=f"an error: {error}", values=values)
    return Expression(written=strategy.expression, result=str(value).lower(), values=values)


def lines(found: Retries) -> tuple[str, ...]:
    """How far a strategy is, in words."""
    most = "no limit" if found.limit is None else f"limit {found.limit}"
    told = [f"{why_limits.counted(found.made, 'attempt')} made, {most} of retries, retryPolicy {found.policy}"]
    if found.counts:
        told.append(found.counts)
    if found.expression is not None:
        values = ", ".join(f"{key}={value}" for key, value in found.expression.values.items())
        told.append(f"expression {found.expression.written} is {found.expression.result} with {values}")
    return tuple(told)


def reasons(draft: Draft, wrapper: Node) -> list[Reason]:
    """Why a Retry node is as it is."""
    try:
        found = retries(draft, wrapper)
    except TiphysError as error:
        return [Reason(kind=Kind.RETRY, text=f"its retryStrategy cannot be used: {error}")]
    if wrapper.phase.fulfilled:
        return [Reason(kind=Kind.RETRY, text=_ended(wrapper, found), lines=lines(found), retries=found)]
    if wrapper.wake_at is not None:
        text = f"it waits before attempt {found.made + 1}: the backoff ends at {wrapper.wake_at:%H:%M:%S}"
        changes = f"attempt {found.made + 1} begins"
        return [Reason(kind=Kind.BACKOFF, text=text, lines=lines(found), changes=changes, at=wrapper.wake_at, retries=found)]
    made = attempts_of(draft, wrapper)
    if made and not made[-1].settled:
        last = made[-1]
        text = f"attempt {found.made} is {last.phase}: {last.name}"
        nodes = (why_limits.who(draft.run, last),)
        return [Reason(kind=Kind.RETRY, text=text, lines=lines(found), changes=f"the end of {last.name}", retries=found, nodes=nodes)]
    call = why_not_yet.parked(draft.state, f"{wrapper.name}({len(made)})")
    text = f"attempt {found.made + 1} is to begin"
    first = Reason(kind=Kind.RETRY, text=text, lines=lines(found), changes="there is room for it", retries=found)
    return [first, *(why_limits.parked(draft, call) if call is not None else ())]


def _ended(wrapper: Node, found: Retries) -> str:
    if wrapper.phase is Phase.SUCCEEDED:
        return f"attempt {found.made} succeeded"
    return f"it is given up after {why_limits.counted(found.made, 'attempt')}: {wrapper.message or wrapper.phase}"
