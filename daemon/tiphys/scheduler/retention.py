"""What stays of runs, and for how long: ttlStrategy, history limits, podGC, artifactGC (semantics 2.20, 2.23), deletion on demand."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import durations
from tiphys.scheduler import bodies, concluding, decision
from tiphys.scheduler.decision import Refusal
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import ArtifactsDeleted, Asked, Delete
from tiphys.scheduler.records import Node, Role, Run
from tiphys.spec.artifacts import Artifact
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.workflows import TTLStrategy, WorkflowSpec

TTL = "@ttl"
"""The key of the timer that deletes a run."""
WHO = "retention"
COMPLETION, DELETION = "OnWorkflowCompletion", "OnWorkflowDeletion"
MAKERS = frozenset({NodeType.POD, NodeType.PLUGIN})
"""Types of nodes whose output artifacts are their own."""


def expires_at(run: Run, strategy: TTLStrategy | None) -> datetime | None:
    """When a finished run is to be deleted; None: never. The phase Error does not use secondsAfterFailure."""
    if strategy is None or not run.phase.completed or run.finished_at is None:
        return None
    seconds = strategy.seconds_after_completion
    if run.phase is Phase.FAILED and strategy.seconds_after_failure is not None:
        seconds = strategy.seconds_after_failure
    elif run.phase is Phase.SUCCEEDED and strategy.seconds_after_success is not None:
        seconds = strategy.seconds_after_success
    return None if seconds is None else run.finished_at + timedelta(seconds=seconds)


def over(draft: Draft) -> None:
    """The run has ended: delete what its rules say, at once or when its time has come, and of others what is now too many."""
    if draft.run.deleting:
        draft.follow(Asked(at=draft.at, uid=draft.run.uid, wish=Delete(), who=WHO))
    elif draft.state.shared.rules.cleans:
        _await_end(draft)
        _retain(draft)
        _collect(draft, (COMPLETION,))
    _clean_all(draft)


def go_on(draft: Draft) -> None:
    """After a restart: a finished run's time goes on, and what was to be deleted may not have been."""
    if draft.run.collecting:
        draft.command(decision.DeleteArtifacts(uid=draft.run.uid, artifacts=_artifacts(draft, draft.run.collecting)))
    elif draft.run.deleting:
        draft.follow(Asked(at=draft.at, uid=draft.run.uid, wish=Delete(), who=WHO))
    if concluding.releases_claims(draft.state.manifest.workflow.spec, draft.run.phase):
        draft.command(decision.ReleaseClaims(uid=draft.run.uid))
    if draft.state.shared.rules.cleans:
        _await_end(draft)
    _clean_all(draft)


def concerns(run: Run, spec: WorkflowSpec) -> bool:
    """Whether a finished run may have something outstanding after a restart."""
    return bool(run.deleting or run.collecting or spec.ttl_strategy or spec.pod_gc or spec.volume_claim_templates)


def clean_again(draft: Draft) -> None:
    """After a restart: what a run's ended pods left may not have been deleted."""
    _clean_all(draft)


def pod_over(draft: Draft, node: Node) -> None:
    """A pod has ended."""
    spec = draft.state.manifest.workflow.spec
    if spec.pod_gc is not None and draft.state.shared.rules.cleans and _is_pod(node) and _goes(draft, node, spec):
        _clean(draft, spec, (_order(draft, node),))


def expired(draft: Draft) -> Refusal | None:
    """The timer of a finished run went off."""
    at = expires_at(draft.run, draft.state.manifest.workflow.spec.ttl_strategy)
    if at is None:
        return Refusal(reason=f"workflow {draft.run.name} has no end of its time to live")
    if draft.at < at:
        draft.command(decision.SetTimer(uid=draft.run.uid, key=TTL, at=at))
        return None
    return delete(draft, Delete())


def delete(draft: Draft, wish: Delete) -> Refusal | None:
    """Delete a finished run, once its artifacts that go with it are gone. Who calls has ended a run that goes on."""
    if wish.force or draft.run.keeps_artifacts:
        draft.erase()
        return None
    draft.change_run(deleting=True)
    if not draft.run.collecting and not _collect(draft, (COMPLETION, DELETION)):
        draft.erase()
    return None


def artifacts_deleted(draft: Draft, event: ArtifactsDeleted) -> Refusal | None:
    """What was to be deleted is gone, or some of it could not be deleted."""
    asked = draft.run.collecting
    if not asked:
        return Refusal(reason=f"no artifacts of workflow {draft.run.name} are being deleted")
    if not event.error:
        for node, artifact in list(_doomed(draft, asked)):
            now = draft.node(node.id)
            assert now.outputs is not None
            kept = tuple(structs.replace(one, deleted=True) if one == artifact else one for one in now.outputs.artifacts)
            draft.change(now, outputs=structs.replace(now.outputs, artifacts=kept))
    draft.change_run(collecting=(), artifact_gc_error=event.error)
    tried_all = DELETION in asked
    if draft.run.deleting and (not event.error or not tried_all or _is_forced(draft)):
        force = bool(event.error) and tried_all
        draft.follow(Asked(at=draft.at, uid=draft.run.uid, wish=Delete(force=force), who=WHO))
    return None


def _is_forced(draft: Draft) -> bool:
    collection = draft.state.manifest.workflow.spec.artifact_gc
    return collection is not None and collection.force_finalizer_removal


def _await_end(draft: Draft) -> None:
    if at := expires_at(draft.run, draft.state.manifest.workflow.spec.ttl_strategy):
        draft.command(decision.SetTimer(uid=draft.run.uid, key=TTL, at=at))


def _retain(draft: Draft) -> None:
    """Of those that ended as this run did, the oldest go where there are too many."""
    run, shared = draft.run, draft.state.shared
    rules = shared.rules
    limit = {Phase.SUCCEEDED: rules.completed, Phase.FAILED: rules.failed, Phase.ERROR: rules.errored}.get(run.phase, 0)
    if limit:
        ended = sorted((at, uid) for uid, at in shared.crowd.ended.get(run.phase, {}).items() if uid != run.uid)
        for _, uid in ended[: max(0, len(ended) + 1 - limit)]:
            draft.follow(Asked(at=draft.at, uid=uid, wish=Delete(), who=WHO))


def _collect(draft: Draft, strategies: tuple[str, ...]) -> bool:
    """Have the artifacts with these strategies deleted; whether there are any. One such deletion of a run goes on at a time, so that its
    end says for which artifacts it is the end.
    """
    doomed = _artifacts(draft, strategies) if draft.has_artifacts() else ()
    if doomed:
        draft.change_run(collecting=strategies, artifact_gc_error="")
        draft.command(decision.DeleteArtifacts(uid=draft.run.uid, artifacts=doomed))
    return bool(doomed)


def _artifacts(draft: Draft, strategies: tuple[str, ...]) -> tuple[Artifact, ...]:
    return tuple(artifact for _, artifact in _doomed(draft, strategies))


def _doomed(draft: Draft, strategies: tuple[str, ...]) -> Iterator[tuple[Node, Artifact]]:
    """The output artifacts with these strategies that are not deleted yet. What a memo gave was made by another run, and is that one's."""
    spec = draft.state.manifest.workflow.spec
    general = spec.artifact_gc.strategy if spec.artifact_gc is not None else ""
    for node in draft.all_nodes():
        if node.type in MAKERS and node.outputs is not None and not (node.memo is not None and node.memo.hit):
            for artifact in node.outputs.artifacts:
                own = artifact.artifact_gc.strategy if artifact.artifact_gc is not None else ""
                if (own or general) in strategies and not artifact.deleted:
                    yield node, artifact


def _clean_all(draft: Draft) -> None:
    spec = draft.state.manifest.workflow.spec
    if spec.pod_gc is not None and draft.state.shared.rules.cleans:
        orders = tuple(_order(draft, node) for node in draft.all_nodes() if _is_pod(node) and _goes(draft, node, spec))
        if orders:
            _clean(draft, spec, orders)


def _goes(draft: Draft, node: Node, spec: WorkflowSpec) -> bool:
    """Whether podGC has what a pod left deleted, as node and run are now."""
    assert spec.pod_gc is not None
    run = draft.run
    match spec.pod_gc.strategy:
        case "OnPodCompletion":
            goes = node.phase.fulfilled
        case "OnPodSuccess":
            goes = node.phase is Phase.SUCCEEDED
        case "OnWorkflowCompletion":
            goes = run.phase.completed
        case "OnWorkflowSuccess":
            goes = run.phase is Phase.SUCCEEDED
        case _:
            goes = False
    if not goes or not isinstance(spec.pod_gc.label_selector, Mapping):
        return goes
    return _selected(spec.pod_gc.label_selector, _labels(draft, node, spec))


def _labels(draft: Draft, node: Node, spec: WorkflowSpec) -> dict[str, str]:
    """The labels of a node's pod: those for all pods, those of its template, and Argo's own."""
    metadata = [spec.pod_metadata]
    with suppress(TiphysError):  # then there never was a pod
        metadata.append(bodies.body(draft, node, bodies.source_of(draft, node)).metadata)
    labels = {key: value for one in metadata if one is not None for key, value in (one.labels or {}).items()}
    return {**labels, "workflows.argoproj.io/workflow": draft.run.name}


def _selected(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    """Kubernetes' LabelSelector: all of matchLabels and of matchExpressions."""
    wanted, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    assert isinstance(wanted, Mapping)
    assert isinstance(expressions, list)
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in expressions:
        value, values = labels.get(expression["key"]), expression.get("values") or []
        holds = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds.get(expression.get("operator", ""), False):
            return False
    return True


def _is_pod(node: Node) -> bool:
    return node.type is NodeType.POD and node.role is not Role.CONTAINER and node.launched_at is not None


def _order(draft: Draft, node: Node) -> str:
    return f"{draft.run.uid}/{node.id}/{node.attempt}"


def _clean(draft: Draft, spec: WorkflowSpec, orders: tuple[str, ...]) -> None:
    seconds = draft.state.shared.rules.pod_gc_delay_seconds
    if spec.pod_gc is not None and spec.pod_gc.delete_delay_duration:
        with suppress(durations.InvalidDuration):  # lint has refused that
            seconds = durations.parse_loose(spec.pod_gc.delete_delay_duration).total_seconds()
    draft.command(decision.Clean(uid=draft.run.uid, orders=orders, delay_seconds=seconds))
