"""Documents in force: what a file defines, as it is now (design section 5). Runs keep the definitions of their beginning."""

from tiphys.scheduler import crons, decision, locks
from tiphys.scheduler.decision import Change, Decision, Refusal
from tiphys.scheduler.events import Defined, Event, Woken
from tiphys.scheduler.items import Definition, definition_key
from tiphys.scheduler.state import State
from tiphys.spec.workflows import ConfigMap


def defined(state: State, event: Defined) -> Decision | Refusal:
    """The definitions of a source are now those of the event. Refused where another source has one of the same kind and name."""
    registry = state.shared.registry
    new = {definition_key(document): document for document in event.documents}
    if len(new) < len(event.documents):
        return Refusal(reason=f"{event.source} defines something twice")
    for key in new:
        other = registry.definitions.get(key)
        if other is not None and other.source != event.source:
            kind, _, name = key.split("/", 2)
            return Refusal(reason=f'{kind} "{name}" is defined by {other.source} already')
    changes: list[Change] = []
    follows: list[Event] = []
    for old in registry.of_source(event.source):
        if old.key not in new:
            changes.append(decision.ItemRemoved(kind="Definition", key=old.key))
            changes += crons.gone(state, old.document)
            follows += crons.children(state, old.document, event.at)
    for document in event.documents:
        before = registry.definitions.get(definition_key(document))
        if isinstance(document, ConfigMap) and (before is None or before.document != document):
            follows += _waiting(state, document, event)
        made = Definition(document=document, source=event.source, digest=event.digest, at=event.at)
        changes.append(decision.ItemPut(item=made))
        changes += crons.changed(state, document)
    return Decision(changes=tuple(changes), commands=(decision.Refresh(),), follows=tuple(follows))


def _waiting(state: State, changed: ConfigMap, event: Defined) -> list[Event]:
    """Who waits for a semaphore whose limit this ConfigMap has may be let in now."""
    prefix = f"{changed.metadata.namespace}/{locks.SEMAPHORE}/{changed.metadata.name}/"
    if changed.metadata.name == locks.STORED_LIMITS:
        prefix = f"{changed.metadata.namespace}/{locks.DATABASE_SEMAPHORE}/"
    uids = {waiter.uid: None for lock, queue in state.shared.queues.items() if lock.startswith(prefix) for waiter in queue}
    return [Woken(at=event.at, uid=uid) for uid in uids]
