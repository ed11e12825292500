"""How many workflows run at once, on the whole and in each namespace (semantics 2.11). Who finds no place waits, by priority and age."""

from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Woken
from tiphys.scheduler.registry import Postponed
from tiphys.scheduler.state import RUNS, has_place
from tiphys.spec.status import Phase

POSTPONED = "Workflow processing has been postponed because too many workflows are already running"


def take(draft: Draft) -> bool:
    """Give the run, which has none, a place, or let it wait: also where there is room, but for somebody before it who has not heard yet."""
    next_ = _next(draft)
    if not _is_free(draft, draft.run.namespace) or (next_ is not None and next_.rank < draft.state.rank):
        if not draft.run.postponed:
            draft.change_run(phase=Phase.PENDING, message=POSTPONED, postponed=True, started_at=None, deadline_at=None)
        return False
    if draft.run.postponed:
        draft.change_run(postponed=False, message="")
    return True


def look(draft: Draft) -> None:
    """The run has got its place, or left it, or waits for none any more: the first that can go on takes what is free."""
    before, now = draft.state.run, draft.run
    moved = (has_place(before), before.postponed) != (has_place(now), now.postponed) and not now.postponed
    if moved and (next_ := _next(draft)) is not None:
        draft.follow(Woken(at=draft.at, uid=next_.rank[2]))


def _next(draft: Draft) -> Postponed | None:
    """Of the others that wait, the first for whom there is a place."""
    waiting = draft.state.shared.crowd.first_postponed(besides=draft.run.uid)
    return next((one for one in waiting if _is_free(draft, one.namespace)), None)


def _is_free(draft: Draft, namespace: str) -> bool:
    rules = draft.state.shared.rules
    within = rules.limit(namespace)
    if rules.parallelism and draft.count(RUNS) >= rules.parallelism:
        return False
    return not within or draft.count(RUNS, namespace) < within
