"""Whether a failed attempt is followed by another (semantics 2.9, in Argo's order)."""

from datetime import datetime, timedelta

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import durations, expr, tags
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding, bodies, daemons, decision, nodes, room, todo
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec import transient
from tiphys.spec.status import Phase
from tiphys.spec.templates import Backoff, RetryStrategy

LONGEST = timedelta(days=36500)
POLICIES = frozenset({"Always", "OnFailure", "OnError", "OnTransientError"})


def advance(draft: Draft, wrapper: Node) -> None:
    """The last attempt is over, or its backoff is: end the Retry node, wait, or try again."""
    if wrapper.phase.fulfilled:
        return
    attempts = [node for node in draft.owned(wrapper.id) if node.role is Role.ATTEMPT]
    if not attempts:
        draft.later(todo.NextAttempt(wrapper.id))
        return
    last = attempts[-1]
    if not last.settled:
        return
    if last.daemoned and not last.phase.fulfilled:
        daemons.ready(draft, wrapper, last.ip)
        return
    if not last.phase.failed_or_error:
        nodes.end(draft, wrapper, last.phase, last.message, last.outputs)
        return
    try:
        _judge(draft, wrapper, attempts, strategy_of(draft, wrapper))
    except TiphysError as error:
        nodes.error(draft, wrapper, str(error))


def strategy_of(draft: Draft, node: Node) -> RetryStrategy:
    """The node's retryStrategy with inputs.* and workflow.* replaced; `node` is a Retry node or an attempt."""
    source = bodies.source_of(draft, node)
    strategy = bodies.strategy(draft, source.template)
    if strategy is None:
        return RetryStrategy(limit=0)
    text = msgspec.json.encode(strategy).decode()
    if "{{" in text:
        scope = bodies.scope_of(draft, node, source)
        strategy = msgspec.json.decode(tags.compile(text).render(scope, Unresolved.KEEP, draft.chance(node.name)), type=RetryStrategy)
    return strategy


def budget_end(strategy: RetryStrategy, first_started: datetime) -> datetime | None:
    """When backoff.maxDuration is used up; None where it is not given."""
    if strategy.backoff is None or not strategy.backoff.max_duration:
        return None
    return first_started + durations.parse_loose(strategy.backoff.max_duration)


def limit_of(strategy: RetryStrategy) -> int | None:
    """The number of retries after the first attempt; None: no limit. Raises BindingError where it is not a number."""
    if strategy.limit is None:
        return None
    try:
        return int(strategy.limit)
    except ValueError:
        raise binding.BindingError(f'strconv.Atoi: parsing "{strategy.limit}": invalid syntax') from None


def _judge(draft: Draft, wrapper: Node, attempts: list[Node], strategy: RetryStrategy) -> None:
    last = attempts[-1]
    if draft.run.shutdown is not Shutdown.NONE and not (wrapper.in_exit and draft.run.shutdown is Shutdown.STOP):
        _give_up(draft, wrapper, last, f"Stopped with strategy '{draft.run.shutdown}'")
        return
    if draft.run.deadline_passed and not wrapper.in_exit and draft.run.deadline_at is not None:
        _give_up(draft, wrapper, last, f"retry exceeded workflow deadline {_printed(draft.run.deadline_at)}")
        return
    limit = limit_of(strategy)
    wanted = _policy_allows(draft, strategy, last)
    go_on_at = last.retry_after_at or draft.at
    if strategy.backoff is not None:
        refusal, until = _backoff(draft, strategy, strategy.backoff, attempts)
        if refusal:
            _give_up(draft, wrapper, last, refusal)
            return
        if limit is not None:
            go_on_at = max(go_on_at, until)
    if not wanted:
        _give_up(draft, wrapper, last, last.message)
    elif limit is not None and len(attempts) > limit:
        _give_up(draft, wrapper, last, "No more retries left")
    elif not _expression_allows(draft, wrapper, strategy, attempts):
        _give_up(draft, wrapper, last, "retryStrategy.expression evaluated to false")
    elif draft.at < go_on_at and not room.failing_fast(draft, wrapper.boundary):
        wait = durations.humanize(go_on_at - draft.at)
        draft.change(wrapper, message=f"Backoff for {wait}", wake_at=go_on_at)
        draft.command(decision.SetTimer(uid=draft.run.uid, key=wrapper.id, at=go_on_at))
    else:
        draft.change(wrapper, message="", wake_at=None)
        draft.later(todo.NextAttempt(wrapper.id))


def _printed(at: datetime) -> str:
    """A time as Go's `%s` prints it."""
    return at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def _give_up(draft: Draft, wrapper: Node, last: Node, message: str) -> None:
    if last.execution_error:
        wrapper = draft.change(wrapper, execution_error=True)
    nodes.end(draft, wrapper, last.phase, message, last.outputs)


def _backoff(draft: Draft, strategy: RetryStrategy, backoff: Backoff, attempts: list[Node]) -> tuple[str, datetime]:
    """Why there is no next attempt ("" where there may be), and when it may begin."""
    first, last = attempts[0], attempts[-1]
    end = budget_end(strategy, first.started_at or draft.at)
    if end is not None and draft.at > end:
        return "Max duration limit exceeded", draft.at
    if not backoff.duration:
        raise binding.BindingError("no base duration specified for retryStrategy")
    wait = durations.parse_loose(backoff.duration)
    factor = int(backoff.factor) if backoff.factor not in (None, "") else 0
    if factor > 0:
        wait = _grown(wait, factor, len(attempts) - 1)
    if backoff.cap:
        wait = min(wait, durations.parse_loose(backoff.cap))
    until = (last.finished_at or draft.at) + wait
    if end is not None and until > end:
        return "Backoff would exceed max duration limit", until
    return "", until


def _grown(wait: timedelta, factor: int, times: int) -> timedelta:
    for _ in range(times if factor > 1 else 0):
        if wait > LONGEST / factor:
            return LONGEST
        wait *= factor
    return wait


def _policy_allows(draft: Draft, strategy: RetryStrategy, last: Node) -> bool:
    policy = strategy.retry_policy or ("Always" if strategy.expression else "OnFailure")
    if policy not in POLICIES:
        raise binding.BindingError(f"{policy} is not a valid RetryPolicy")
    match policy:
        case "Always":
            return True
        case "OnError":
            return last.phase is Phase.ERROR
        case "OnTransientError":
            return last.transient or transient.is_transient(last.message, draft.state.shared.rules.transient_pattern)
    return last.phase is Phase.FAILED


def _expression_allows(draft: Draft, wrapper: Node, strategy: RetryStrategy, attempts: list[Node]) -> bool:
    if not strategy.expression:
        return True
    last = bodies.last_retry(attempts[-1])
    environment = {
        "retries": str(len(attempts) - 1),
        "lastRetry": {key.removeprefix("lastRetry."): value for key, value in last.items()},
    }
    return expr.compile(strategy.expression).holds(environment, draft.chance(wrapper.name))
