"""The end of a run: its exit handler, and then its last phase (semantics 2.2, steps 8 to 12)."""

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler import daemons, decision, hooks, measuring, resolving, room, sources, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role, Shutdown
from tiphys.spec.status import Phase
from tiphys.spec.templates import Arguments, LifecycleHook
from tiphys.spec.workflows import WorkflowSpec


def conclude(draft: Draft) -> None:
    """Go on towards the end, if the main part is over."""
    run = draft.run
    entry = draft.find(run.name)
    if run.phase.completed or entry is None or not entry.settled:
        return
    if entry.execution_error and not entry.phase.completed:
        return
    handler = exit_handler(draft)
    ended = draft.named(f"{run.name}.onExit")
    if handler is not None and ended is None and run.shutdown is not Shutdown.TERMINATE and not entry.execution_error:
        call = _call(draft, handler)
        if not draft.queue(room.RUN).holds(call.name):  # a daemon may end while the run is suspended
            draft.later(todo.Start(call))
        return
    if ended is not None and not ended.settled:
        return
    if not daemons.dismiss_all(draft):
        _finish(draft, entry, ended)


def releases_claims(spec: WorkflowSpec, phase: Phase) -> bool:
    """Whether the volumes of volumeClaimTemplates go when the run ends so: by default only after a success (semantics 2.18)."""
    strategy = spec.volume_claim_gc.strategy if spec.volume_claim_gc is not None else ""
    return bool(spec.volume_claim_templates) and (phase is Phase.SUCCEEDED or strategy == "OnWorkflowCompletion")


def exit_handler(draft: Draft) -> LifecycleHook | None:
    """The workflow's exit handler: onExit wins over hooks.exit."""
    spec = draft.state.manifest.workflow.spec
    if spec.on_exit:
        return LifecycleHook(template=spec.on_exit)
    return (spec.hooks or {}).get("exit")


def _call(draft: Draft, handler: LifecycleHook) -> Call:
    return Call(
        name=f"{draft.run.name}.onExit",
        role=Role.EXIT,
        template=handler.template,
        reference=handler.template_ref,
        scope=sources.local_scope(draft),
        arguments=_arguments(draft, handler),
        in_exit=True,
    )


def _arguments(draft: Draft, handler: LifecycleHook) -> Arguments:
    """The handler's arguments, exported artifacts found; tags in parameters are replaced with the template's own (semantics 2.5.2)."""
    given = handler.arguments
    if given is None or not (given.parameters or given.artifacts):
        return hooks.of_the_workflow(draft)
    scope, chance = GlobalScope(draft), draft.chance(f"{draft.run.name}.onExit")
    try:
        artifacts = tuple(found for artifact in given.artifacts if (found := resolving.artifact(artifact, scope, chance)) is not None)
    except TiphysError:
        return given
    return structs.replace(given, artifacts=artifacts)


def _finish(draft: Draft, entry: Node, ended: Node | None) -> None:
    run = draft.run
    phase, message = Phase.SUCCEEDED, ""
    if entry.phase.failed_or_error:
        phase, message = entry.phase, entry.message
        if run.shutdown is not Shutdown.NONE:
            message = f"Stopped with strategy '{run.shutdown}'"
        elif entry.execution_error:
            message = f"error in entry template execution: {entry.message}"
    elif ended is not None and ended.phase.failed_or_error:
        phase, message = ended.phase, ended.message
        if ended.execution_error:
            message = f"error in exit template execution : {ended.message}"
    if run.holding:
        draft.later(todo.Freed(run.holding))
    draft.change_run(phase=phase, message=message, finished_at=draft.at, holding=(), wanting=(), waiting_for="")
    measuring.run_over(draft, entry)
    if releases_claims(draft.state.manifest.workflow.spec, phase):
        draft.command(decision.ReleaseClaims(uid=run.uid))
    draft.command(decision.Finish(uid=run.uid))
