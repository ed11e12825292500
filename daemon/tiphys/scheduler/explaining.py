"""Why something is as it is, and when that can change: of a node, of something that has no node yet, of a whole workflow.

Nothing is decided here: the same pure functions that decide are asked again over the state as it is, and what they see is told.
Explaining a node costs what it touches: its own step or task, those that it depends on, and one look over the run's nodes.
"""

from datetime import datetime

from tiphys.scheduler import why_hooks, why_nodes, why_not_yet, why_runs
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.reasons import Explanation, Reason, Room, RunExplanation, Shown, Waiting
from tiphys.scheduler.records import Node
from tiphys.scheduler.state import RunState, State
from tiphys.spec import names
from tiphys.spec.status import NodeType

MOST_OPEN = 50


class Unknown(Shown, frozen=True):
    """There is no such node, nor will one be called so, as far as is known. `near`: names that look alike."""

    name: str
    near: tuple[str, ...] = ()


def find(run: RunState, name: str) -> Node | None:
    """The node that is meant by an id, a full name, a display name or a pod's name; of several one that has not ended, or the newest."""
    found = run.nodes.get(name) or run.nodes.get(run.ids.get(name) or run.ids.get(f"{run.run.name}.{name}", ""))
    if found is not None:
        return found
    same = [node for node in run.nodes.values() if node.display_name == name or (node.task == name and not node.phase.fulfilled)]
    if not same and name.startswith(f"{run.run.name}-"):
        same = [node for node in run.nodes.values() if node.type is NodeType.POD and _pod(run, node) == name]
    whole = [node for node in same if node.display_name == name]
    return max(whole or same, key=lambda node: (not node.phase.fulfilled, node.started_at or run.run.created_at), default=None)


def _pod(run: RunState, node: Node) -> str:
    return names.pod_name(run.run.name, node.name, node.reference.template if node.reference is not None else node.template)


def explain_node(state: State, uid: str, node_id: str, now: datetime, room: Room | None = None) -> Explanation | Unknown:
    """Why a node is as it is. `node_id`: as `find` takes it, or the name of what has no node yet (a step, a task, a hook, a waiting call).

    `room`: how full the node's executor is, where it waits to be launched. Raises KeyError where no run has the uid.
    """
    run = state.runs[uid]
    draft = Draft(run, now)
    node = find(run, node_id)
    if node is not None:
        return _of_node(state, draft, node, room)
    call = why_not_yet.parked(run, node_id) or why_not_yet.parked(run, f"{run.run.name}.{node_id}")
    if call is not None:
        return _not_yet(run, call.name, call.template, tuple(why_not_yet.call_reasons(draft, call)))
    if (hook := why_hooks.find(draft, node_id)) is not None:
        return _not_yet(run, node_id, hook[1].hook.template, tuple(why_hooks.reasons(draft, *hook)))
    if node_id in (f"{run.run.name}.onExit", "onExit") and (handler := why_hooks.exit_handler(draft)) is not None:
        return _not_yet(run, f"{run.run.name}.onExit", "", (handler,))
    one = why_not_yet.declared(draft, node_id)
    if one is not None:
        waiting = why_not_yet.parked(run, one.name)
        if waiting is not None:
            return _not_yet(run, one.name, waiting.template, tuple(why_not_yet.call_reasons(draft, waiting)))
        return _not_yet(run, one.name, one.declared.template, tuple(why_not_yet.step_reasons(draft, one)))
    return Unknown(name=node_id, near=_near(run, node_id))


def _near(run: RunState, name: str) -> tuple[str, ...]:
    known = dict.fromkeys(node.display_name for node in list(run.nodes.values())[:2000])
    import difflib  # noqa: PLC0415 - only mistakes pay for it

    return tuple(difflib.get_close_matches(name, known, n=3))


def _of_node(state: State, draft: Draft, node: Node, room: Room | None) -> Explanation:
    run = draft.run
    moment = node.started_at or draft.at  # the chance that its texts had when it was made
    return Explanation(
        workflow=run.name,
        namespace=run.namespace,
        uid=run.uid,
        node=node.name,
        id=node.id,
        type=str(node.type),
        template=node.reference.template if node.reference is not None else node.template,
        phase=str(node.phase),
        message=node.message,
        started_at=node.launched_at or node.started_at,
        finished_at=node.finished_at,
        reasons=tuple(why_nodes.reasons(state, Draft(draft.state, moment), node, room)),
    )


def _not_yet(run: RunState, name: str, template: str, reasons: tuple[Reason, ...]) -> Explanation:
    return Explanation(workflow=run.run.name, namespace=run.run.namespace, uid=run.run.uid, node=name, template=template, reasons=reasons)


def explain_run(state: State, uid: str, now: datetime) -> RunExplanation:
    """Why a workflow is as it is, and what of it has not ended, with the first reason of each. The critical path is `critical.path`.

    Raises KeyError where no run has the uid.
    """
    run = state.runs[uid]
    draft = Draft(run, now)
    row = run.run
    waiting, counts = why_runs.waiting(draft, MOST_OPEN)
    return RunExplanation(
        workflow=row.name,
        namespace=row.namespace,
        uid=row.uid,
        phase=str(row.phase),
        message=row.message,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        reasons=tuple(why_runs.reasons(state, draft)),
        open=tuple(sorted(waiting, key=_turn)[:MOST_OPEN]),
        counts=counts,
    )


def _turn(one: Waiting) -> tuple[bool, str]:
    return not one.phase, one.node
