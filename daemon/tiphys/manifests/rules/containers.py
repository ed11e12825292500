"""The containers of a pod: mounts, names and order (semantics 2.24)."""

from collections.abc import Iterable

from tiphys.manifests.rules import graph
from tiphys.manifests.rules.visits import Visit
from tiphys.spec import containers

RESERVED = frozenset({"wait", "supervisor"})
RESERVED_PREFIX = "artifact-plugin-"


def reserved_fault(name: str) -> str:
    """Why a user's container may not be called so; "" where it may."""
    taken = name in RESERVED or name.startswith(RESERVED_PREFIX)
    return f'"{name}" is a reserved Argo container name' if taken else ""


def check_mounts(visit: Visit, container: containers.Container) -> None:
    """Two things cannot be mounted on one path: volumes and input artifacts."""
    label = f"templates.{visit.template.name}"
    mounted = _check_volume_mounts(visit, container.volume_mounts, "container")
    artifacts = visit.template.inputs.artifacts if visit.template.inputs else ()
    for index, artifact in enumerate(artifacts):
        if not artifact.path:
            continue
        if artifact.path in mounted:
            text = f"{label}.inputs.artifacts[{index}].path '{artifact.path}' already mounted in {mounted[artifact.path]}"
            visit.error(text, "inputs", "artifacts", index, "path")
        mounted[artifact.path] = f"inputs.artifacts.{artifact.name}"


def _check_volume_mounts(visit: Visit, mounts: Iterable[containers.VolumeMount], field: str) -> dict[str, str]:
    mounted: dict[str, str] = {}
    prefix = "container." if field == "container" else ""
    for index, mount in enumerate(mounts):
        path = mount.mount_path
        if path in mounted:
            text = f"templates.{visit.template.name}.{field}.volumeMounts[{index}].mountPath '{path}' already mounted in {mounted[path]}"
            visit.error(text, field, "volumeMounts", index)
        mounted[path] = f"{prefix}volumeMounts.{mount.name}"
    return mounted


def check_set(visit: Visit, group: containers.ContainerSetTemplate) -> None:
    """A container set has named containers without a cycle, and `main` where something goes in or out."""
    template = visit.template
    label = f"templates.{template.name}.containerSet"
    if not group.containers:
        visit.error(f"{label}.containers must have at least one container", "containerSet")
        return
    listed = [container.name for container in group.containers]
    visit.bad_names(listed, f"{label}.containers", "containerSet", "containers", plain=True)
    for index, name in enumerate(listed):
        if fault := reserved_fault(name):
            visit.error(f"{label}.containers[{index}].name: {fault}", "containerSet", "containers", index, "name")
    _check_volume_mounts(visit, group.volume_mounts, "containerSet")
    _check_order(visit, group, label)
    outputs = template.outputs
    needs_main = bool(template.inputs and template.inputs.artifacts) or bool(outputs and (outputs.parameters or outputs.artifacts))
    if needs_main and "main" not in listed:
        visit.error(f'{label}.containers must have a container named "main" for input or output', "containerSet", "containers")


def _check_order(visit: Visit, group: containers.ContainerSetTemplate, label: str) -> None:
    needs = {container.name: container.dependencies for container in group.containers}
    for index, container in enumerate(group.containers):
        for place, name in enumerate(container.dependencies):
            if name not in needs:
                text = f"{label}.containers.{container.name} dependency '{name}' not defined"
                visit.error(text, "containerSet", "containers", index, "dependencies", place)
    if cycle := graph.cycle(needs):
        visit.error(f"{label}.containers dependency cycle detected: {'->'.join(cycle)}", "containerSet", "containers")


def check_init_names(visit: Visit) -> None:
    """Init containers need a name: they have no other identity."""
    for index, container in enumerate(visit.template.init_containers):
        if not container.name:
            visit.error("initContainers must all have container name", "initContainers", index)
            return


def check_beside(visit: Visit) -> None:
    """Sidecars and init containers keep off the names of Argo's own containers."""
    template = visit.template
    for field, group in (("sidecars", template.sidecars), ("initContainers", template.init_containers)):
        for index, container in enumerate(group):
            if fault := reserved_fault(container.name):
                visit.error(f"templates.{template.name}.{field}[{index}].name: {fault}", field, index, "name")
