"""The WorkOrder of a node: what an executor is asked to do. Built when there is room to launch, never stored."""

from datetime import datetime, timedelta

import msgspec
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions import durations, tags
from tiphys.expressions.scope import ChainScope, FlatScope, Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import attempts, binding, bodies, plans, retrying, sources
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import RunState
from tiphys.spec import names, work
from tiphys.spec.artifacts import S3, Artifact, ArtifactLocation
from tiphys.spec.containers import Container, Volume
from tiphys.spec.status import NodeType
from tiphys.spec.templates import Template

POD_DEADLINE = "Pod was active on the node longer than the specified deadline"
STEP_DEADLINE = "Step exceeded its deadline"


class OrderError(TiphysError):
    """The attempt cannot be ordered; the text is its node's message."""


def build(state: RunState, node_id: str, now: datetime) -> work.WorkOrder:
    """The order of a node's current attempt. `now` is when it is (or was) launched: deadlines count from there.

    Raises a TiphysError whose text is the node's Error message.
    """
    node = state.nodes[node_id]
    source = _source_of(state, node)
    if not source.text.plain or node.role is Role.ATTEMPT or (node.inputs is not None and node.inputs.artifacts):
        return _built(Draft(state, now), node, source)
    key = (source.scope, source.name, _captures(state, node, source))
    mould = state.moulds.get(key) if source.name else None
    if mould is None or mould.workflow.labels is not state.run.labels:
        made = _built(Draft(state, now), node, source)
        if source.name and _is_mould(made):
            state.moulds[key] = made
        return made
    return structs.replace(
        mould,
        id=f"{state.run.uid}/{node_id}/{node.attempt}",
        node_id=node_id,
        node_name=node.name,
        pod_name=names.pod_name_of(state.run.name, node_id, node.name, node.template),
        attempt=node.attempt,
        idempotency_key=node_id,
    )


def _built(draft: Draft, node: Node, source: sources.Source) -> work.WorkOrder:
    """An order made from the beginning."""
    state, run = draft.state, draft.run
    template = bodies.body(draft, node, source)
    deadline, message = _deadline(draft, node, template, draft.at)
    chosen = state.manifest.chosen
    return work.WorkOrder(
        id=f"{run.uid}/{node.id}/{node.attempt}",
        workflow=work.WorkflowIdentity(uid=run.uid, name=run.name, namespace=run.namespace, labels=run.labels),
        node_id=node.id,
        node_name=node.name,
        pod_name=names.pod_name_of(run.name, node.id, node.name, node.template),
        template_name=node.template,
        attempt=node.attempt,
        executor=executor_of(source.kind, chosen.executor),
        work=_work(state, template, source.kind),
        inputs=tuple(work.InputArtifact(artifact=_at_home(state, a)) for a in _inputs(template, node) if binding.located(a)),
        wanted=_wanted(draft, node, source, template),
        deadline=deadline,
        deadline_message=message,
        grace_seconds=chosen.grace_seconds,
        idempotency_key=attempts.key_of(draft, node),
        daemon=bool(template.daemon),
        template=template,
        config_maps=state.manifest.config_maps,
    )


def _is_mould(made: work.WorkOrder) -> bool:
    """Whether nothing in an order without variables depends on its node but the names: the next of its template is made after it."""
    wanted = made.wanted
    return made.deadline is None and not (wanted.artifacts or wanted.logs is not None or wanted.container_logs)


def executor_of(kind: str, chosen: str) -> str:
    """Which executor carries a template kind out: requests and listings have their own, unless a rehearsal scripts everything."""
    return kind if kind in ("http", "data", "plugin") and chosen != "scripted" else chosen


def executor_name(state: RunState, node: Node) -> str:
    """The name of the executor that carries a node out."""
    return executor_of(_source_of(state, node).kind, state.manifest.chosen.executor)


def _source_of(state: RunState, node: Node) -> sources.Source:
    found = sources.known(state, node)
    return bodies.source_of(Draft(state, state.run.created_at), node) if found is None else found


def _inputs(template: Template, node: Node) -> tuple[Artifact, ...]:
    """The bound artifacts at the paths of the rendered template."""
    if node.inputs is None or not node.inputs.artifacts:
        return ()
    paths = {a.name: a.path for a in template.inputs.artifacts} if template.inputs is not None else {}
    return tuple(structs.replace(a, path=paths.get(a.name) or a.path) for a in node.inputs.artifacts)


def _work(state: RunState, template: Template, kind: str) -> work.Work:
    if kind == "http" and template.http is not None:
        return work.Request(http=template.http)
    if kind == "data" and template.data is not None:
        return work.Listing(data=template.data)
    plain = not template.sidecars and not template.init_containers
    if kind == "container" and template.container is not None and plain:
        return work.Command(container=template.container, volumes=_volumes(state, template))
    if kind == "script" and template.script is not None and plain:
        fields = {name: getattr(template.script, name) for name in Container.__struct_fields__}
        return work.Command(container=Container(**fields), source=template.script.source, volumes=_volumes(state, template))
    if kind == "plugin":
        return work.PluginWork(template=template)
    return work.PodWork(template=template, volumes=_volumes(state, template))


def _volumes(state: RunState, template: Template) -> tuple[Volume, ...]:
    spec = state.manifest.workflow.spec
    found = {volume.name: volume for volume in template.volumes}
    for volume in spec.volumes:
        found.setdefault(volume.name, volume)
    for claim in spec.volume_claim_templates:
        name = str((claim.get("metadata") or {}).get("name", ""))
        found.setdefault(name, Volume(name=name, persistent_volume_claim={"claimName": f"{state.run.name}-{name}"}))
    return tuple(found.values())


def _wanted(draft: Draft, node: Node, source: sources.Source, template: Template) -> work.Wanted:
    outputs = template.outputs
    parameters = tuple(
        work.OutputParameter(name=parameter.name, path=source_.path, default=source_.default)
        for parameter in (outputs.parameters if outputs is not None else ())
        if (source_ := parameter.value_from) is not None and source_.path
    )
    artifacts: tuple[work.OutputArtifact, ...] = ()
    logs, container_logs = None, dict[str, Artifact]()
    archive_logs = _archives_logs(draft, template)
    if archive_logs or (outputs is not None and outputs.artifacts):
        location = _location(draft, node, source, template)
        declared = outputs.artifacts if outputs is not None else ()
        artifacts = tuple(work.OutputArtifact(artifact=_at_home(draft.state, _placed(artifact, location))) for artifact in declared)
        if archive_logs and template.container_set is not None:
            names_ = [container.name for container in template.container_set.containers]
            container_logs = {name: _at(Artifact(name=f"{name}-logs"), location, f"{name}.log") for name in names_}
        elif archive_logs:
            logs = _at(Artifact(name="main-logs"), location, "main.log")
    return work.Wanted(
        result=_captures(draft.state, node, source), parameters=parameters, artifacts=artifacts, logs=logs, container_logs=container_logs
    )


def _archives_logs(draft: Draft, template: Template) -> bool:
    manifest = draft.state.manifest
    if manifest.chosen.archive_logs:
        return True
    if template.archive_location is not None and template.archive_location.archive_logs is not None:
        return template.archive_location.archive_logs
    return bool(manifest.workflow.spec.archive_logs)


def _captures(state: RunState, node: Node, source: sources.Source) -> bool:
    """Whether anybody reads the node's result: the enclosing template's text mentions it (semantics 2.16.1)."""
    if source.kind in ("http", "data"):
        return True
    if not node.boundary or not node.task or node.role in (Role.ROOT, Role.EXIT, Role.HOOK):
        return False
    captured = _source_of(state, state.nodes[node.boundary]).captured
    return bool(captured) and plans.base(node.task) in captured


# artifacts


def _location(draft: Draft, node: Node, source: sources.Source, template: Template) -> ArtifactLocation:
    """Where this attempt's artifacts go by default: a location whose key is a prefix."""
    scope = ChainScope(FlatScope(_own(draft, node)), bodies.scope_of(draft, node, source))
    declared = template.archive_location
    if declared is not None and binding.located(Artifact(**structs.asdict(declared))):
        text = msgspec.json.encode(declared).decode()
        return msgspec.json.decode(tags.compile(text).render(scope, Unresolved.FAIL, draft.chance(node.name)), type=ArtifactLocation)
    chosen = draft.state.manifest.chosen
    key = _key(draft, node, chosen.key_format, scope)
    if chosen.repository is not None and chosen.repository.s3 is not None:
        return ArtifactLocation(s3=structs.replace(chosen.repository.s3, key=key))
    return ArtifactLocation(s3=S3(key=key))


def _at_home(state: RunState, artifact: Artifact) -> Artifact:
    """An artifact that has only a key, in the run's own repository."""
    home = state.manifest.chosen.repository
    if home is None or home.s3 is None or artifact.s3 is None or artifact.s3.bucket or not artifact.s3.key:
        return artifact
    return structs.replace(artifact, s3=structs.replace(home.s3, key=artifact.s3.key))


def _own(draft: Draft, node: Node) -> dict[str, object]:
    return {"pod.name": names.pod_name(draft.run.name, node.name, node.template)}


def _key(draft: Draft, node: Node, text: str, scope: Scope) -> str:
    return tags.render_plain(text, scope, Unresolved.FAIL, draft.chance(node.name)).rstrip("/")


def _placed(artifact: Artifact, location: ArtifactLocation) -> Artifact:
    if not binding.located(artifact):
        return _at(artifact, location, _file_name(artifact))
    if artifact.s3 is not None and not artifact.s3.key and location.s3 is not None:
        return structs.replace(artifact, s3=structs.replace(artifact.s3, key=f"{location.s3.key}/{_file_name(artifact)}"))
    return artifact


def _file_name(artifact: Artifact) -> str:
    if artifact.archive is not None and artifact.archive.none is not None:
        return artifact.path.rstrip("/").rpartition("/")[2]
    return f"{artifact.name}.zip" if artifact.archive is not None and artifact.archive.zip is not None else f"{artifact.name}.tgz"


def _at(artifact: Artifact, location: ArtifactLocation, name: str) -> Artifact:
    """The artifact at a file below a location."""
    for kind in ("s3", "gcs", "oss", "plugin"):
        place = getattr(location, kind)
        if place is not None:
            return structs.replace(artifact, **{kind: structs.replace(place, key=f"{place.key.rstrip('/')}/{name}")})
    if location.azure is not None:
        return structs.replace(artifact, azure=structs.replace(location.azure, blob=f"{location.azure.blob.rstrip('/')}/{name}"))
    for kind in ("http", "artifactory"):
        place = getattr(location, kind)
        if place is not None:
            return structs.replace(artifact, **{kind: structs.replace(place, url=f"{place.url.rstrip('/')}/{name}")})
    if location.hdfs is not None:
        return structs.replace(artifact, hdfs=structs.replace(location.hdfs, path=f"{location.hdfs.path.rstrip('/')}/{name}"))
    raise OrderError(f"artifact {artifact.name} has no place to be saved to: archiveLocation cannot hold it")


# deadlines


def _deadline(draft: Draft, node: Node, template: Template, now: datetime) -> tuple[datetime | None, str]:
    """When the attempt is stopped, and what its node then says (semantics 2.10)."""
    limit: tuple[datetime | None, str] = (None, "")
    if template.active_deadline_seconds is not None:
        limit = now + timedelta(seconds=_seconds(template.active_deadline_seconds)), POD_DEADLINE
    if template.timeout and node.type is NodeType.POD:
        end = (node.started_at or now) + durations.parse(template.timeout)
        if end - now <= timedelta(seconds=1) and node.launched_at is None:
            raise OrderError(f"{node.name} exceeded its deadline")
        limit = end, POD_DEADLINE
    if node.role is Role.ATTEMPT:
        wrapper = draft.node(node.owner)
        first = draft.owned(wrapper.id)[0]
        end_ = retrying.budget_end(retrying.strategy_of(draft, wrapper), first.started_at or now)
        if end_ is not None and first.id != node.id and (limit[0] is None or end_ < limit[0]):
            limit = end_, STEP_DEADLINE
    return limit


def _seconds(value: int | str) -> int:
    try:
        seconds = int(value)
    except ValueError:
        raise OrderError(f"activeDeadlineSeconds must be a positive integer > 0, not '{value}'") from None
    if seconds <= 0:
        raise OrderError(f"activeDeadlineSeconds must be a positive integer > 0, not '{value}'")
    return seconds
