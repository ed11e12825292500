"""After everything else of a decision: what a new phase of the run means to others."""

from tiphys.scheduler import crons, decision, locks, notices, places, retention
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Remains


def look(draft: Draft) -> None:
    """Tell who wants to know, and, where the run has ended, let others have its place and delete what is too much."""
    if draft.erased:
        if draft.state.shared.rules.archive and draft.run.phase.completed:
            state = draft.state
            remains = Remains(manifest=state.manifest, run=state.run, nodes=tuple(state.nodes.values()))
            draft.also(decision.Archived(remains=remains))
        return
    locks.pass_on(draft)
    before, now = draft.state.run, draft.run
    if now is before:
        return
    places.look(draft)
    again = now.generation != before.generation  # it may have ended again at once
    if before.phase is now.phase and not again:
        return
    notices.tell(draft)
    if now.phase.completed and (again or not before.phase.completed):
        retention.over(draft)
        crons.child_over(draft)
