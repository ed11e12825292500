"""What a template asks for that a host process cannot give: refused by name; and what only places or names a pod: noticed once.

Nothing is dropped in silence: every field of a pod template is honoured, refused here, or in the notice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tiphys.executors.process import command, pods, volumes
from tiphys.settings import ImageEntry
from tiphys.spec.containers import Container, ResourceRequirements, Volume
from tiphys.spec.objects import camel
from tiphys.spec.templates import Template, kind
from tiphys.spec.work import Finding, Severity

PLACING = (
    "node_selector",
    "affinity",
    "tolerations",
    "scheduler_name",
    "priority_class_name",
    "service_account_name",
    "automount_service_account_token",
    "executor",
    "metadata",
)
"""Template fields that place, name or label a pod."""

PLACING_CONTAINER = ("ports", "image_pull_policy", "resize_policy", "termination_message_path", "termination_message_policy")
PLACING_CONTAINER_OF_NO_USE = ("stdin", "stdin_once")
"""Container fields that change nothing for a process here: its input is empty."""

REFUSED_KINDS = {
    "resource": "it acts on a Kubernetes cluster",
    "data": "it is not a command",
}
REFUSED = {
    "pod_spec_patch": "there is no pod to patch",
    "host_aliases": "a step uses the host's own /etc/hosts",
    "pod_resources": "there is no pod to give resources to; use the container's resources.limits",
    "resource_claims": "there are no devices to claim",
}
REFUSED_CONTAINER = {
    "liveness_probe": "nobody would restart or end the step",
    "startup_probe": "nobody would restart or end the step",
    "lifecycle": "its handlers would not be called",
    "volume_devices": "there are no block devices to hand in",
    "restart_policy": "a step is started once",
    "restart_policy_rules": "a step is started once",
    "tty": "a step has no terminal",
}
PROJECTED = frozenset({"configMap", "secret", "downwardAPI"})
QUANTITY = re.compile(r"([0-9.]+)([numkKMGTPE]i?|)")
FACTORS = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
FACTORS |= {f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGTPE")}
PERIOD = 100_000


def findings(
    template: Template, images: Mapping[str, ImageEntry], *, isolated: bool, limits_work: bool, uid: int, gid: int
) -> Sequence[Finding]:
    """Errors first, then at most one notice."""
    containers = dict(_containers(template))
    errors = [*_template_errors(template, uid, gid)]
    unused = [*_unused(template)]
    for top, container in containers.items():
        errors += _container_errors(top, container, images, isolated, uid, gid)
        errors += _probe_errors(top, container, daemon=bool(template.daemon))
        unused += _unused_container(top, container, limits_work and len(containers) == 1)
        if container.readiness_probe and not (template.daemon and not top.startswith("initContainers")):
            unused.append(f"{top}.readinessProbe")
    try:
        pods.mounted(list(pods.parts(template)))
    except command.CommandError as error:
        errors.append(Finding(severity=Severity.ERROR, field="volumeMounts", message=str(error)))
    if unused:
        errors.append(
            Finding(
                severity=Severity.NOTICE,
                field=unused[0],
                message=f"fields without meaning for a process on this host are not used: {', '.join(unused)}",
            )
        )
    return errors


def _refuse(field: str, why: str) -> Finding:
    return Finding(severity=Severity.ERROR, field=field, message=f"{field}: the process executor cannot honour this: {why}")


def _template_errors(template: Template, uid: int, gid: int) -> Iterator[Finding]:
    if (name := kind(template)) in REFUSED_KINDS:
        yield _refuse(camel(name), REFUSED_KINDS[name])
    for name, why in REFUSED.items():
        if getattr(template, name):
            yield _refuse(camel(name), why)
    yield from _security(template.security_context, "securityContext", uid, gid)
    for volume in template.volumes:
        if why := volume_trouble(volume):
            yield _refuse(f"volumes[{volume.name}]", why)


def _containers(template: Template) -> Iterator[tuple[str, Container]]:
    """Every container of a pod template by its place in it."""
    for name in ("container", "script"):
        if (container := getattr(template, name)) is not None:
            yield name, container
    if template.container_set is not None:
        for one in template.container_set.containers:
            yield f"containerSet.containers[{one.name}]", one
    for name in ("init_containers", "sidecars"):
        for one in getattr(template, name):
            yield f"{camel(name)}[{one.name}]", one


def _probe_errors(top: str, container: Container, *, daemon: bool) -> Iterator[Finding]:
    try:
        if daemon and "{{" not in msgspec.json.encode(container.readiness_probe).decode():
            pods.probe(container)
    except command.CommandError as error:
        yield Finding(severity=Severity.ERROR, field=f"{top}.readinessProbe", message=str(error))


def _container_errors(
    top: str, container: Container, images: Mapping[str, ImageEntry], isolated: bool, uid: int, gid: int
) -> Iterator[Finding]:
    for name, why in REFUSED_CONTAINER.items():
        if getattr(container, name):
            yield _refuse(f"{top}.{camel(name)}", why)
    yield from _security(container.security_context, f"{top}.securityContext", uid, gid)
    if container.volume_mounts and not isolated:
        yield _refuse(f"{top}.volumeMounts", "without isolation a step has no place of its own to mount them")
    for mount in container.volume_mounts:
        if mount.sub_path_expr or mount.mount_propagation:
            yield _refuse(f"{top}.volumeMounts[{mount.name}]", "subPathExpr and mountPropagation are not supported")
    for variable in container.env:
        if variable.value_from and (variable.value_from.resource_field_ref or variable.value_from.file_key_ref):
            yield _refuse(f"{top}.env[{variable.name}].valueFrom", "there is no pod to take it from")
    for name, value in ((container.resources and container.resources.limits) or {}).items():
        if name not in {"cpu", "memory", "ephemeral-storage"}:
            yield _refuse(f"{top}.resources.limits.{name}", f"a host process cannot be given {value} of it")
    if not container.command and "{{" not in container.image:
        try:
            command.words(container, images)
        except command.CommandError as error:
            yield Finding(severity=Severity.ERROR, field=f"{top}.command", message=str(error))


def _security(context: Mapping[str, Any] | None, field: str, uid: int, gid: int) -> Iterator[Finding]:
    """Only what is so anyway can be promised."""
    for name, value in (context or {}).items():
        given = {
            "runAsUser": value == uid,
            "runAsGroup": value == gid,
            "runAsNonRoot": not value or uid != 0,
            "privileged": not value,
            "allowPrivilegeEscalation": True,
            "readOnlyRootFilesystem": not value,
            "capabilities": not value,
        }
        if value is not None and not given.get(name, False):
            yield _refuse(f"{field}.{name}", f"steps run as uid {uid}, gid {gid} with a container's usual rights")


def volume_trouble(volume: Volume) -> str:
    """Why a volume cannot be given; "": it can."""
    if volume.empty_dir is not None or volume.persistent_volume_claim is not None:
        return ""
    if any(getattr(volume, name) is not None for name in volumes.FILLED):
        strange = [kind for source in (volume.projected or {}).get("sources") or () for kind in source if kind not in PROJECTED]
        return f"{', '.join(strange)}: there is no cluster that could issue it" if strange else ""
    return "only emptyDir, configMap, secret, projected, downwardAPI and the run's own volumeClaimTemplates are supported"


def _unused(template: Template) -> Iterator[str]:
    return (camel(name) for name in PLACING if getattr(template, name) not in (None, "", {}, []))


def _unused_container(top: str, container: Container, limits_work: bool) -> Iterator[str]:
    for name in (*PLACING_CONTAINER, *PLACING_CONTAINER_OF_NO_USE):
        if getattr(container, name):
            yield f"{top}.{camel(name)}"
    resources = container.resources
    if resources and resources.requests:
        yield f"{top}.resources.requests"
    if resources and resources.claims:
        yield f"{top}.resources.claims"
    if resources and resources.limits and (not limits_work or "ephemeral-storage" in resources.limits):
        yield f"{top}.resources.limits" + ("" if limits_work else " (no cgroup with cpu and memory is delegated to the launcher)")


def quantity(value: float | str) -> float:
    """A Kubernetes quantity (`500m`, `1Gi`, `1e3`) as a number. ValueError: it is none."""
    if isinstance(value, str) and (found := QUANTITY.fullmatch(value)):
        return float(found[1]) * FACTORS[found[2]]
    return float(value)


def limits(resources: ResourceRequirements | None) -> dict[str, str]:
    """A container's limits as cgroup files. ValueError: not a quantity."""
    found = dict((resources and resources.limits) or {})
    files = {}
    if "memory" in found:
        files["memory.max"] = str(int(quantity(found["memory"])))
    if "cpu" in found:
        files["cpu.max"] = f"{max(int(quantity(found['cpu']) * PERIOD), 1000)} {PERIOD}"
    return files
