"""After everything else of a decision: what a new phase of the run means to others."""

from tiphys.scheduler import crons, decision, notices, places, render, retention
from tiphys.scheduler.draft import Draft


def look(draft: Draft) -> None:
    """Tell who wants to know, and, where the run has ended, let others have its place and delete what is too much."""
    if draft.erased:
        if draft.state.shared.rules.archive and draft.run.phase.completed:
            draft.also(decision.Archived(workflow=render.workflow(draft.state)))
        return
    before, now = draft.state.run.phase, draft.run.phase
    if before is now:
        return
    notices.tell(draft)
    if now.completed and not before.completed:
        places.left(draft)
        retention.over(draft)
        crons.child_over(draft)
