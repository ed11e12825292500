"""A workflow arrives: its row, its globals, its first node (semantics 2.2, steps 1 to 8)."""

import re
from datetime import timedelta

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import environment, expr, tags
from tiphys.expressions.asides import LARGE, has_tags
from tiphys.expressions.expr import values
from tiphys.expressions.scope import FlatScope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding, decision, estimates, locks, measuring, places, sources, todo
from tiphys.scheduler import globals as variables
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.events import Submitted
from tiphys.scheduler.records import Manifest, Role, Run, Shutdown
from tiphys.scheduler.state import RunState, Shared
from tiphys.spec.parameters import Parameter
from tiphys.spec.status import Phase
from tiphys.spec.templates import Arguments
from tiphys.spec.workflows import WorkflowMetadata, WorkflowSpec

LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
LONGEST_LABEL = 63


def first_state(event: Submitted, shared: Shared) -> RunState:
    """A state with the new run in it, for the draft to begin from."""
    meta = event.manifest.workflow.metadata
    run = Run(
        uid=event.uid,
        name=meta.name,
        namespace=meta.namespace,
        created_at=event.at,
        seed=event.seed,
        labels=dict(meta.labels or {}),
        annotations=dict(meta.annotations or {}),
        key=event.key,
    )
    return RunState(run, event.manifest, shared)


def submitted(draft: Draft) -> Manifest:
    """Begin the run. Returns the manifest with the spec's own workflow.* tags replaced (stage 1)."""
    manifest = draft.state.manifest
    spec = manifest.workflow.spec
    try:
        parameters = tuple(_parameter(p, draft.state) for p in (spec.arguments or Arguments()).parameters)
    except TiphysError as error:
        return _refused(draft, manifest, f"failed to set global parameters: {error}")
    draft.change_run(parameters=parameters)
    try:
        spec = _metadata(draft, spec)
        _labels_from(draft, spec)
    except TiphysError as error:
        return _refused(draft, manifest, str(error), Phase.ERROR)
    try:
        spec = _spec(draft, spec)
    except TiphysError as error:
        return _refused(draft, manifest, f"invalid spec: {error}")
    arguments = spec.arguments or Arguments()
    rendered = {p.name: p.value for p in arguments.parameters}
    parameters = tuple(structs.replace(p, value=rendered.get(p.name) or p.value) for p in parameters)
    arguments = structs.replace(arguments, parameters=parameters)
    workflow = structs.replace(manifest.workflow, spec=structs.replace(spec, arguments=arguments))
    manifest = structs.replace(manifest, workflow=workflow)
    draft.state.manifest = manifest
    shutdown = Shutdown(spec.shutdown) if spec.shutdown in tuple(Shutdown) else Shutdown.NONE
    draft.change_run(parameters=parameters, suspended=bool(spec.suspend), shutdown=shutdown)
    try:
        if places.take(draft) and lock(draft):
            begin(draft)
    except TiphysError as error:
        refuse(draft, f"Failed to acquire the synchronization lock. {error}")
    return manifest


def lock(draft: Draft) -> bool:
    """Take the workflow's own locks (semantics 2.2, step 4); False: it waits for them. Raises a TiphysError."""
    sync = draft.state.manifest.workflow.spec.synchronization
    if sync is None:
        return True
    scope = FlatScope(variables.fixed(draft.run, draft.state.manifest.workflow))
    return locks.take_for_run(draft, locks.wanted(draft, sync, scope, draft.run.name))


def set_out(draft: Draft) -> None:
    """Start the clock: the run has its place and its locks."""
    spec = draft.state.manifest.workflow.spec
    draft.change_run(phase=Phase.RUNNING, started_at=draft.run.started_at or draft.at)
    if spec.active_deadline_seconds is not None and draft.run.deadline_at is None:
        seconds = spec.active_deadline_seconds  # 0: nothing begins any more but exit handlers
        draft.change_run(deadline_at=draft.at + timedelta(seconds=seconds), deadline_passed=seconds <= 0)


def time_deadline(draft: Draft) -> None:
    """Have the run told of its deadline, if that is still to come."""
    if draft.run.deadline_at is not None and not draft.run.deadline_passed:
        draft.command(decision.SetTimer(uid=draft.run.uid, key="", at=draft.run.deadline_at))


def begin(draft: Draft) -> None:
    """Start the clock and the entrypoint."""
    spec = draft.state.manifest.workflow.spec
    if draft.run.phase is not Phase.RUNNING:
        set_out(draft)
        time_deadline(draft)
    estimates.of_run(draft)
    measuring.run_begun(draft)
    if draft.find(draft.run.name) is not None:  # it resubmits a run and keeps what succeeded there
        draft.later(todo.GoOn())
        return
    draft.later(
        todo.Start(
            Call(
                name=draft.run.name,
                role=Role.ROOT,
                template=spec.entrypoint,
                scope=sources.local_scope(draft),
                arguments=structs.replace(spec.arguments or Arguments(), parameters=draft.run.parameters),
            )
        )
    )


def _metadata(draft: Draft, spec: WorkflowSpec) -> WorkflowSpec:
    """The labels and annotations that the spec adds, with workflow.* replaced in them (semantics 2.2, step 1)."""
    added = spec.workflow_metadata
    if added is None:
        return spec
    text = msgspec.json.encode(added).decode()
    if "{{" in text:
        scope = FlatScope(variables.fixed(draft.run, draft.state.manifest.workflow))
        rendered = tags.compile(text).render(scope, Unresolved.KEEP, draft.chance(draft.run.name))
        added = msgspec.json.decode(rendered, type=WorkflowMetadata)
    for key, value in (added.labels or {}).items():
        _check_label(key, value)
    draft.change_run(
        labels={**draft.run.labels, **(added.labels or {})}, annotations={**draft.run.annotations, **(added.annotations or {})}
    )
    return structs.replace(spec, workflow_metadata=added)


def _check_label(key: str, value: str) -> None:
    if len(value) > LONGEST_LABEL or LABEL.fullmatch(value) is None:
        raise variables.GlobalError(f'invalid label value "{value}" for label "{key}"')


def _labels_from(draft: Draft, spec: WorkflowSpec) -> None:
    """Labels from expressions over workflow.*, evaluated once, before anything else is replaced (semantics 2.17)."""
    wanted = spec.workflow_metadata.labels_from if spec.workflow_metadata is not None else None
    for key, source in (wanted or {}).items():
        program = expr.compile(source.expression)
        scope = FlatScope(variables.fixed(draft.run, draft.state.manifest.workflow))
        value = program.run(environment.nested(program, scope), draft.chance(key))
        what = f'failed to evaluate label "{key}" expression "{source.expression}"'
        if not isinstance(value, str):
            raise variables.GlobalError(f"{what} evaluted to {values.go_type(value)} but must be a string")
        _check_label(key, value)
        draft.change_run(labels={**draft.run.labels, key: value})


def refuse(draft: Draft, message: str, phase: Phase = Phase.FAILED) -> None:
    """End a run that cannot begin."""
    draft.change_run(phase=phase, message=message, started_at=draft.at, finished_at=draft.at, wanting=(), waiting_for="")
    draft.command(decision.Finish(uid=draft.run.uid))


def _refused(draft: Draft, manifest: Manifest, message: str, phase: Phase = Phase.FAILED) -> Manifest:
    refuse(draft, message, phase)
    return manifest


def _parameter(parameter: Parameter, state: RunState) -> Parameter:
    """A workflow argument with its value (argo-variables 1)."""
    if parameter.value is not None:
        return parameter
    source = parameter.value_from
    if source is not None and source.config_map_key_ref is not None:
        reference = source.config_map_key_ref
        found = state.config_map(reference.name)
        value = (found.data or {}).get(reference.key) if found is not None else None
        if value is None:
            value = source.default
        if value is None:
            where = f"configmap with name {reference.name} and key {reference.key}"
            what = binding.lacking(found, reference.name, reference.key)
            raise variables.GlobalError(f"failed to set global parameter {parameter.name} from {where}: {what}")
        return structs.replace(parameter, value=value)
    value = parameter.default if parameter.default is not None else source.default if source is not None else None
    if value is None:
        raise variables.GlobalError(f"either value or valueFrom must be specified in order to set global parameter {parameter.name}")
    return structs.replace(parameter, value=value)


def _spec(draft: Draft, spec: WorkflowSpec) -> WorkflowSpec:
    """The spec, templates aside, with workflow.* replaced; what cannot be resolved yet stays."""
    if "{{" not in msgspec.json.encode(structs.replace(spec, templates=(), arguments=_small(spec.arguments))).decode():
        return spec
    text = msgspec.json.encode(structs.replace(spec, templates=())).decode()
    scope = FlatScope(variables.fixed(draft.run, draft.state.manifest.workflow))
    rendered = tags.compile(text).render(scope, Unresolved.KEEP, draft.chance(draft.run.name))
    return structs.replace(msgspec.json.decode(rendered, type=WorkflowSpec), templates=spec.templates)


def _small(arguments: Arguments | None) -> Arguments | None:
    """Arguments less large values without tags."""
    if arguments is None:
        return None
    values = (p.value or "" for p in arguments.parameters)
    kept = tuple(
        structs.replace(p, value="") if len(value) >= LARGE and not has_tags(value) else p
        for p, value in zip(arguments.parameters, values, strict=True)
    )
    return structs.replace(arguments, parameters=kept)
