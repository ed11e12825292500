"""Who is told of a run's phase: a row in the outbox, committed with the change itself."""

from msgspec import structs

from tiphys.scheduler import decision
from tiphys.scheduler.decision import Decision, Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Notified
from tiphys.scheduler.items import Outbox, Target
from tiphys.scheduler.state import State
from tiphys.spec import selectors
from tiphys.spec.notices import Notice


def tell(draft: Draft) -> None:
    """The run's phase is another now: put a notice into the outbox for each target that wants it."""
    for target in draft.state.shared.rules.targets:
        if _wants(target, draft):
            draft.also(decision.ItemPut(item=Outbox(notice=_notice(draft, target.name))))
            draft.command(decision.Deliver())


def _wants(target: Target, draft: Draft) -> bool:
    run = draft.run
    if str(run.phase) not in target.phases or (target.namespaces and run.namespace not in target.namespaces):
        return False
    return not target.selector or selectors.labels_match(target.selector, run.labels)


def _notice(draft: Draft, target: str) -> Notice:
    run = draft.run
    return Notice(
        id=f"{run.uid}/{run.generation}/{run.phase}/{target}",
        target=target,
        uid=run.uid,
        name=run.name,
        namespace=run.namespace,
        phase=str(run.phase),
        message=run.message,
        labels=run.labels,
        at=draft.at,
        created_at=draft.at,
    )


def notified(state: State, event: Notified) -> Decision | Refusal:
    """A notice is delivered, or given up, and leaves the outbox; or it is tried again later."""
    found = state.shared.registry.outbox.get(event.notice_id)
    if found is None:
        return Refusal(reason=f"the outbox holds no notification {event.notice_id}")
    if event.again_at is None:
        return Decision(changes=(decision.ItemRemoved(kind="Outbox", key=event.notice_id),))
    notice = structs.replace(found.notice, attempts=found.notice.attempts + 1, due_at=event.again_at, last_error=event.error)
    return Decision(changes=(decision.ItemPut(item=Outbox(notice=notice)),))
