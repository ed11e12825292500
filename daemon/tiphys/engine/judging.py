"""Whether the executors can run a submission: what they refuse, and what of it has no meaning for them."""

from collections.abc import Mapping, Sequence

from msgspec import structs

from tiphys.scheduler import sources
from tiphys.scheduler.records import Manifest
from tiphys.spec.objects import camel
from tiphys.spec.templates import POD_KINDS, Template, kind
from tiphys.spec.work import Executor, Finding, Severity
from tiphys.spec.workflows import ClusterWorkflowTemplate, WorkflowSpec, WorkflowTemplate

INHERITED = (
    "service_account_name", "automount_service_account_token", "executor", "node_selector", "affinity", "tolerations",
    "scheduler_name", "host_aliases", "security_context", "pod_spec_patch",
)  # fmt: skip
"""Fields that a pod takes from the workflow where its template does not set them."""

UNUSED = (
    "image_pull_secrets", "host_network", "dns_policy", "dns_config", "pod_priority_class_name", "pod_priority",
    "pod_disruption_budget", "pod_metadata", "pod_resources", "resource_claims",
)  # fmt: skip
"""Fields of a workflow that have no meaning for a run on one machine."""

CLEANING = ("ttl_strategy", "pod_gc", "artifact_gc")
"""Fields that only a daemon follows: what a foreground run left is there to be looked at."""


def judge(manifest: Manifest, executors: Mapping[str, Executor], *, cleans: bool = False) -> tuple[list[str], list[str]]:
    """What is refused, and what a person should know: one line each. A notice's fields are gathered into one line.

    `cleans`: finished runs are deleted as they say.
    """
    refused: list[str] = []
    noticed: dict[str, dict[str, None]] = {}
    for where, template in _templates(manifest):
        for finding in findings(executors, manifest.chosen.executor, template):
            if finding.severity is Severity.ERROR:
                refused.append(f"{where}.{finding.field}: {finding.message}")
            else:
                said, _, fields = finding.message.rpartition(": ")
                noticed.setdefault(said or fields, {}).update(dict.fromkeys(fields.split(", ") if said else ()))
    notices = [f"{said}: {', '.join(fields)}" if fields else said for said, fields in noticed.items()]
    spec = manifest.workflow.spec
    if spec.executor_plugins:
        refused.append("spec.executorPlugins: they are containers beside every pod's agent; configure plugins in the setting plugins")
    unused = [camel(name).replace("Gc", "GC") for name in (*UNUSED, *(() if cleans else CLEANING)) if getattr(spec, name)]
    strategies = [spec.retry_strategy, *(template.retry_strategy for _, template in _templates(manifest))]
    if any(strategy is not None and strategy.affinity is not None for strategy in strategies):
        unused.append("retryStrategy.affinity")
    if unused:
        notices.append(f"fields of the workflow that are not used by a run on this machine: {', '.join(unused)}")
    return refused, notices


def findings(executors: Mapping[str, Executor], chosen: str, template: Template) -> Sequence[Finding]:
    """What the executor that would run a template says of it; steps, dag and suspend need none."""
    match kind(template):
        case "steps" | "dag" | "suspend" | "":
            return ()
        case ("http" | "data" | "plugin") as name if name in executors:
            return executors[name].supports(template)
    return executors[chosen].supports(template) if chosen in executors else ()


def _templates(manifest: Manifest) -> list[tuple[str, Template]]:
    """The templates of a submission with where they are, defaults merged in."""
    spec = manifest.workflow.spec
    found = [(f"templates.{t.name}", t) for t in spec.templates]
    resources: list[WorkflowTemplate | ClusterWorkflowTemplate] = [*manifest.templates, *manifest.cluster_templates]
    for resource in resources:
        if spec.workflow_template_ref is None or resource.metadata.name != spec.workflow_template_ref.name:
            found += [(f"{resource.metadata.name}.templates.{t.name}", t) for t in resource.spec.templates]
    for where, template in list(found):
        for step in (step for group in template.steps or () for step in group):
            if step.inline is not None:
                found.append((f"{where}.{step.name}.inline", step.inline))
        for task in template.dag.tasks if template.dag is not None else ():
            if task.inline is not None:
                found.append((f"{where}.{task.name}.inline", task.inline))
    return [(where, as_pod(sources.with_defaults(template, spec.template_defaults), spec)) for where, template in found]


def as_pod(template: Template, spec: WorkflowSpec) -> Template:
    """A pod template with what its pod takes from the workflow; other templates as they are."""
    if kind(template) not in POD_KINDS:
        return template
    taken = {name: getattr(spec, name) for name in INHERITED if not getattr(template, name) and getattr(spec, name)}
    group = template.container_set
    containers = [template.container, template.script, *template.init_containers, *template.sidecars, *(group.containers if group else ())]
    mounts = [mount for container in containers if container is not None for mount in container.volume_mounts]
    mounted = {mount.name for mount in (*mounts, *(group.volume_mounts if group else ()))}
    own = {volume.name for volume in template.volumes}
    volumes = template.volumes + tuple(v for v in spec.volumes if v.name in mounted and v.name not in own)
    return structs.replace(template, volumes=volumes, **taken)
