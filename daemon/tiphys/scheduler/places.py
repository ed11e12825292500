"""How many workflows run at once, on the whole and in each namespace (semantics 2.11). Who finds no place waits, by priority and age."""

from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Woken
from tiphys.scheduler.state import RUNS, has_place
from tiphys.spec.status import Phase

POSTPONED = "Workflow processing has been postponed because too many workflows are already running"


def take(draft: Draft) -> bool:
    """Give the run a place, or let it wait."""
    if not _is_free(draft, draft.run.namespace):
        draft.change_run(phase=Phase.PENDING, message=POSTPONED, postponed=True, started_at=None)
        return False
    if draft.run.postponed:
        draft.change_run(postponed=False, message="")
    return True


def left(draft: Draft) -> None:
    """The run has ended: the first that waits and can go on takes its place."""
    if not has_place(draft.state.run) and not draft.state.run.postponed:
        return
    for waiting in draft.state.shared.crowd.postponed:
        uid = waiting.rank[2]
        if uid != draft.run.uid and _is_free(draft, waiting.namespace):
            draft.follow(Woken(at=draft.at, uid=uid))
            return


def _is_free(draft: Draft, namespace: str) -> bool:
    rules = draft.state.shared.rules
    within = rules.limit(namespace)
    if rules.parallelism and draft.count(RUNS) >= rules.parallelism:
        return False
    return not within or draft.count(RUNS, namespace) < within
