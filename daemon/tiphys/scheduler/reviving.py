"""Retry of a workflow that is only in the archive (semantics 2.14): it is made again under its name, with what succeeded in it.

It is a new run: nothing on disk, no artifact and no lock of the old one is its own, and the record in the archive stays.
"""

from msgspec import structs

from tiphys.scheduler import redoing
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Revived
from tiphys.scheduler.records import Manifest, Remains, Run
from tiphys.scheduler.state import RunState, Shared, State


def ended(remains: Remains) -> RunState:
    """A deleted run as it was when it had ended, which nobody knows of."""
    state = RunState(remains.run, remains.manifest, Shared())
    for node in remains.nodes:
        state.put(node)
    return state


def taken(name: str) -> str:
    """Why a workflow is not made again while there is one of its name; Argo's words."""
    return f"Workflow already exists on cluster, use argo retry {name} instead"


def revive(state: State, event: Revived) -> Draft | Refusal:
    """The draft of the new run, which goes on. The state is only read."""
    old = event.run
    if event.uid in state.runs:
        return Refusal(reason=f"a workflow with the uid {event.uid} is there already")
    if (old.namespace, old.name) in state.shared.crowd.by_name:
        return Refusal(reason=taken(old.name))
    if (refusal := redoing.refused(old, event.wish)) is not None:
        return refusal
    left = redoing.left(ended(Remains(manifest=event.manifest, run=old, nodes=event.nodes)), event.at, event.wish.restart)
    draft = Draft(RunState(_run(event), _manifest(event), state.shared), event.at)
    for node in left:
        draft.put(node)  # its handle is that of the old run's attempt, of which nothing is left to be found
    redoing.again(draft, event.wish, max((node.attempt for node in event.nodes), default=old.generation) + 1)
    return draft


def _run(event: Revived) -> Run:
    return structs.replace(
        event.run,
        uid=event.uid,
        created_at=event.at,
        key="",
        deleting=False,
        keeps_artifacts=False,
        collecting=(),
    )


def _manifest(event: Revived) -> Manifest:
    workflow = event.manifest.workflow
    metadata = structs.replace(workflow.metadata, uid=event.uid)
    return structs.replace(event.manifest, uid=event.uid, workflow=structs.replace(workflow, metadata=metadata))
