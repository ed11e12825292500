"""What an operator may ask of a run (semantics 2.13, 2.14) and the workflow's own deadline, which asks the same."""

from msgspec import structs

from tiphys.scheduler import attempts, decision, expanding, nodes, retention, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Delete, Resume, SetNode
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.scheduler.working import DEADLINE_PASSED
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import NodeType, Phase


def shut_down(draft: Draft, strategy: Shutdown) -> Refusal | None:
    """Stop or Terminate."""
    run = draft.run
    if run.phase.completed:
        return Refusal(reason=f'cannot shutdown a completed workflow: workflow: "{run.name}", namespace: "{run.namespace}"')
    if run.shutdown is Shutdown.TERMINATE or run.shutdown is strategy:
        return Refusal(reason=f"workflow {run.name} is being shut down already: {run.shutdown}")
    draft.change_run(shutdown=strategy, suspended=False)
    if run.wanting or run.postponed:
        _give_up(draft, strategy)
        return None
    ids = tuple(node.id for node in draft.all_nodes() if not (node.phase.fulfilled or (node.in_exit and strategy is Shutdown.STOP)))
    end_all(draft, todo.EndAll(ids, 0, *_words(strategy)))
    if run.suspended:
        _wake_waiting(draft)
    return None


def _wake_waiting(draft: Draft) -> None:
    """Let what waits for locks try again: they may have become free while the run was suspended."""
    for node in draft.all_nodes():
        if node.waiting_for:
            draft.later(todo.Enter(node.id))


def _words(strategy: Shutdown) -> tuple[str, str]:
    """What a running node, and one that only waits, is told when the run is shut down."""
    return f"workflow shutdown with strategy:  {strategy}", f"Stopped with strategy '{strategy}'"


def go_on(draft: Draft) -> None:
    """After a restart: end what was to be ended and was not told so yet."""
    run = draft.run
    if run.shutdown is Shutdown.NONE and not run.deadline_passed:
        return
    spared = run.shutdown is not Shutdown.TERMINATE
    left = tuple(node.id for node in draft.all_nodes() if not (node.phase.fulfilled or (node.in_exit and spared)) and _goes_on(node))
    if left:
        words = (DEADLINE_PASSED, DEADLINE_PASSED) if run.shutdown is Shutdown.NONE else _words(run.shutdown)
        end_all(draft, todo.EndAll(left, 0, *words))


def _goes_on(node: Node) -> bool:
    return node.type is NodeType.SUSPEND or bool(node.waiting_for) or (attempts.is_attempt(node) and not node.ending)


def _give_up(draft: Draft, strategy: Shutdown) -> None:
    """The run waits for a place or a lock. Where nothing of it began, that is its end. A retried one has to end what is there: at once
    if it is terminated (then nothing is started any more), and else, since its exit handler is to run, when its turn has come.
    """
    if draft.find(draft.run.name) is None:
        message = f"Stopped with strategy '{strategy}'"
        draft.change_run(phase=Phase.FAILED, message=message, finished_at=draft.at, wanting=(), waiting_for="", postponed=False)
        draft.command(decision.Finish(uid=draft.run.uid))
    elif strategy is Shutdown.TERMINATE:
        draft.change_run(wanting=(), waiting_for="", postponed=False)
        draft.later(todo.GoOn())


def delete(draft: Draft, wish: Delete) -> Refusal | None:
    """Delete the run; one that goes on is terminated, and goes when it has ended."""
    if draft.run.phase.completed:
        return retention.delete(draft, wish)
    draft.change_run(deleting=True, keeps_artifacts=draft.run.keeps_artifacts or wish.force)
    if draft.run.shutdown is not Shutdown.TERMINATE:
        return shut_down(draft, Shutdown.TERMINATE)
    return None


def deadline(draft: Draft) -> Refusal | None:
    """The workflow's activeDeadlineSeconds is over (semantics 2.10)."""
    run = draft.run
    if run.phase.completed or run.deadline_at is None or run.deadline_passed:
        return Refusal(reason="no deadline is awaited")
    if draft.at < run.deadline_at:
        draft.command(decision.SetTimer(uid=run.uid, key="", at=run.deadline_at))
        return None
    draft.change_run(deadline_passed=True)
    ids = tuple(node.id for node in draft.all_nodes() if not node.phase.fulfilled and not node.in_exit)
    end_all(draft, todo.EndAll(ids, 0, DEADLINE_PASSED, DEADLINE_PASSED))
    return None


def end_all(draft: Draft, item: todo.EndAll) -> None:
    """End nodes, from the one at `index` on; then let go what waits for room."""
    end = item.index + expanding.spend(draft)
    for node_id in item.nodes[item.index : end]:
        node = draft.node(node_id)
        if not node.phase.fulfilled:
            _end(draft, node, item.running, item.idle)
    if end < len(item.nodes):
        draft.later(structs.replace(item, index=end))
    else:
        _release(draft)


def _end(draft: Draft, node: Node, running: str, idle: str) -> None:
    """End one node: a running attempt is stopped and will say so itself, what only waits ends here and now."""
    if node.type is NodeType.SUSPEND or node.waiting_for:
        nodes.end(draft, node, Phase.FAILED, idle)
    elif node.type is NodeType.POD:
        attempts.stop(draft, node, at_once=bool(node.ending) and draft.run.shutdown is Shutdown.TERMINATE)
        draft.change(node, ending=running)
    elif attempts.is_attempt(node):
        attempts.stop(draft, node)
        nodes.end(draft, node, Phase.FAILED, idle)
    elif node.type is NodeType.RETRY and node.wake_at is not None:
        draft.later(todo.Begin(node.id))
    elif node.type is NodeType.DAG:
        draft.later(todo.Look(node.id))


def _release(draft: Draft) -> None:
    """Let everything that waits for room try again, in the order of the walk: now there may be room for all of it."""
    calls = [draft.queue(queue).pop() for queue in list(draft.queues()) for _ in range(draft.waiting(queue))]
    release(draft, tuple(sorted(calls, key=lambda call: (call.turn, call.name))), 0)


def release(draft: Draft, calls: tuple[Call, ...], index: int) -> None:
    """Let calls try again, from the one at `index` on."""
    end = index + expanding.many(draft)
    for call in calls[index:end]:
        draft.later(todo.NextAttempt(call.owner) if call.role is Role.ATTEMPT else todo.Start(call))
    if end < len(calls):
        draft.later(todo.Release(calls, end))


def suspend(draft: Draft) -> Refusal | None:
    """Start nothing new."""
    if draft.run.phase.completed:
        return Refusal(reason="cannot suspend completed workflows")
    draft.change_run(suspended=True)
    return None


def resume(draft: Draft, wish: Resume) -> Refusal | None:
    """Go on: the workflow and all its suspend nodes, or only the named ones."""
    run = draft.run
    if run.phase.completed:
        return Refusal(reason=f"cannot resume completed workflow {run.name}")
    waiting = [n for n in draft.all_nodes() if n.type is NodeType.SUSPEND and not n.phase.fulfilled]
    if wish.nodes:
        chosen = [node for node in waiting if node.id in wish.nodes]
        if not chosen:
            return Refusal(
                reason="currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: " + ",".join(wish.nodes)
            )
        for node in chosen:
            attempts.resume(draft, node, defaults=False)
        return None
    for node in waiting:
        if name := attempts.missing_default(node):
            return Refusal(reason=attempts.no_value(name))
    if run.suspended:
        draft.change_run(suspended=False)
        _wake_waiting(draft)
        _release(draft)
    for node in waiting:
        attempts.resume(draft, node)
    return None


def set_node(draft: Draft, wish: SetNode) -> Refusal | None:
    """Give suspend nodes outputs, a message, a phase."""
    found = [node for node in draft.all_nodes() if node.id in wish.nodes and node.type is NodeType.SUSPEND and not node.phase.fulfilled]
    if not found:
        return Refusal(reason="'set' currently only targets suspend nodes, use a node field selector to target them")
    for node in found:
        reason = _cannot_set(node, wish)
        if reason:
            return Refusal(reason=reason)
    for node in found:
        outputs = node.outputs
        if outputs is not None and wish.parameters:
            outputs = structs.replace(outputs, parameters=tuple(_set(p, wish) for p in outputs.parameters))
        changed = draft.change(node, outputs=outputs, message=wish.message or node.message)
        if wish.phase is not Phase.UNKNOWN:
            nodes.end(draft, changed, wish.phase)
    return None


def _set(parameter: Parameter, wish: SetNode) -> Parameter:
    if parameter.name not in wish.parameters:
        return parameter
    return structs.replace(parameter, value=wish.parameters[parameter.name], value_from=None)


def _cannot_set(node: Node, wish: SetNode) -> str:
    if not wish.parameters:
        return ""
    if node.outputs is None or not node.outputs.parameters:
        return "cannot set output parameters because node is not expecting any raw parameters"
    there = {parameter.name: parameter for parameter in node.outputs.parameters}
    for name in wish.parameters:
        if name not in there:
            return f"node is not expecting output parameter '{name}'"
        source = there[name].value_from
        if source is None or source.supplied is None:
            return f"cannot set output parameter '{name}' because it does not use valueFrom.raw or it was already set"
    return ""
