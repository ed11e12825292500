"""decide(state, event): one fact in, what differs out. Nothing else in here changes anything."""

from typing import assert_never

from tiphys.scheduler import (
    attempts,
    closing,
    concluding,
    controls,
    crons,
    dag,
    definitions,
    ending,
    entering,
    events,
    hooks,
    items,
    locks,
    notices,
    recovery,
    redoing,
    retention,
    reviving,
    room,
    slicing,
    starting,
    submitting,
    todo,
)
from tiphys.scheduler.decision import Decision, ItemPut, ItemRemoved, ManifestPut, Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Shutdown
from tiphys.scheduler.state import State

OfRun = (
    events.Started
    | events.Reported
    | events.Exited
    | events.TimerFired
    | events.Asked
    | events.DaemonStarted
    | events.Woken
    | events.Continued
    | events.ArtifactsDeleted
)
"""Facts about a run that is there."""


def decide(state: State, event: events.Event) -> Decision | Refusal:
    """What follows from `event`. The state is only read; `State.apply` takes the decision in."""
    match event:
        case events.Exited():
            return _of_run(state, event)
        case events.Submitted():
            return _submitted(state, event)
        case events.Revived():
            return _revived(state, event)
        case events.Defined():
            return definitions.defined(state, event)
        case events.Ticked():
            return crons.ticked(state, event)
        case events.Notified():
            return notices.notified(state, event)
        case events.Forgotten(key=key):
            return _forgotten(state, key)
        case _:
            return _of_run(state, event)


def _forgotten(state: State, key: str) -> Decision | Refusal:
    if key not in state.shared.registry.claims:
        return Refusal(reason=f"no submission has the key {key}")
    return Decision(changes=(ItemRemoved(kind="Claim", key=key),))


def _of_run(state: State, event: OfRun) -> Decision | Refusal:
    run = state.runs.get(event.uid)
    if run is None:
        return Refusal(reason=f"no workflow has the uid {event.uid}")
    draft = Draft(run, event.at)
    if run.rest and not isinstance(event, events.Continued):
        work(draft, whole=True)  # whoever asks keeps a run's facts back until it has continued; this is for those who do not
    refusal = _take(draft, event)
    if refusal is not None:
        return refusal
    work(draft)
    closing.look(draft)
    return draft.decision()


def _submitted(state: State, event: events.Submitted) -> Decision | Refusal:
    if event.uid in state.runs:
        return Refusal(reason=f"a workflow with the uid {event.uid} is there already")
    if event.key and event.key in state.shared.registry.claims:
        return Refusal(reason=f"the submission {event.key} was made before")
    state.begun[event.uid] = submitting.first_state(event, state.shared)
    state.begun[event.uid].sources.update(state.prepared.get(event.uid, {}))
    draft = Draft(state.begun[event.uid], event.at)
    for node in event.nodes:
        draft.put(node)
    manifest = submitting.submitted(draft)
    work(draft)
    closing.look(draft)
    if event.key:
        draft.also(ItemPut(item=items.Claim(key=event.key, uid=event.uid, at=event.at)))
    return draft.decision(ManifestPut(manifest=manifest))


def _revived(state: State, event: events.Revived) -> Decision | Refusal:
    draft = reviving.revive(state, event)
    if isinstance(draft, Refusal):
        return draft
    state.begun[event.uid] = draft.state
    draft.state.sources.update(state.prepared.get(event.uid, {}))
    work(draft)
    closing.look(draft)
    return draft.decision(ManifestPut(manifest=draft.state.manifest))


def _take(draft: Draft, event: OfRun) -> Refusal | None:
    match event:
        case events.Exited():
            return attempts.exited(draft, event)
        case events.Started():
            return attempts.started(draft, event)
        case events.Reported():
            return attempts.reported(draft, event)
        case events.TimerFired(key=""):
            return controls.deadline(draft)
        case events.TimerFired(key=retention.TTL):
            return retention.expired(draft)
        case events.TimerFired(key=key):
            node = draft.find(key)
            return Refusal(reason=f"no node has the id {key}") if node is None else attempts.woken(draft, node)
        case events.Asked(wish=wish):
            return _asked(draft, wish)
        case events.Woken():
            entering.look(draft)
            return None
        case events.Continued():
            return None if draft.state.rest else Refusal(reason="nothing is left to be done")
        case events.DaemonStarted():
            recovery.go_on(draft)
            return None
        case events.ArtifactsDeleted():
            return retention.artifacts_deleted(draft, event)
        case _:
            assert_never(event)


def _asked(draft: Draft, wish: events.Wish) -> Refusal | None:
    match wish:
        case events.Stop():
            return controls.shut_down(draft, Shutdown.STOP)
        case events.Terminate():
            return controls.shut_down(draft, Shutdown.TERMINATE)
        case events.Suspend():
            return controls.suspend(draft)
        case events.Resume():
            return controls.resume(draft, wish)
        case events.SetNode():
            return controls.set_node(draft, wish)
        case events.Retry():
            return redoing.retry(draft, wish)
        case events.Delete():
            return controls.delete(draft, wish)
        case _:
            assert_never(wish)


def work(draft: Draft, *, whole: bool = False) -> None:
    """Work the draft's list off to its fixed point; where that is much, and not the `whole` of it is wanted, end in between."""
    enough = draft.state.shared.rules.slice
    while (item := draft.next()) is not None:
        _do(draft, item)
        draft.spent += 1
        if draft.spent >= enough and not whole and draft.before_slice():
            if draft.may_end():
                return
            enough = 2 * draft.spent  # to look again and again would cost more than it saves


def _do(draft: Draft, item: todo.Todo) -> None:
    match item:
        case todo.Start(call=call):
            starting.start(draft, call)
        case todo.Over(node_id=node_id):
            ending.over(draft, draft.node(node_id))
        case todo.Settle(node_id=node_id):
            ending.settle(draft, draft.node(node_id))
        case todo.Moved(node_id=node_id):
            hooks.moved(draft, draft.node(node_id))
        case todo.Enter(node_id=node_id):
            entering.enter(draft, node_id)
        case todo.GoOn():
            recovery.go_on(draft)
        case todo.Freed(locks=locks_):
            locks.freed(draft, locks_)
        case todo.Admit(boundary=boundary):
            room.admit(draft, boundary)
        case todo.Begin(node_id=node_id):
            ending.begin(draft, draft.node(node_id))
        case todo.Look(node_id=node_id):
            dag.look(draft, draft.node(node_id))
        case todo.NextAttempt(node_id=node_id):
            starting.attempt(draft, draft.node(node_id))
        case todo.Conclude():
            concluding.conclude(draft)
        case _:
            slicing.go_on(draft, item)
