"""Volumes of a step, as host folders: an emptyDir is the attempt's own, a claim of the run's volumeClaimTemplates is the run's, and
ConfigMaps, Secrets and facts of the pod are files made right before the start, in memory, and deleted at the end.
"""

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

from tiphys.executors.process import command
from tiphys.executors.process.command import CommandError
from tiphys.executors.process.isolation import Mount
from tiphys.executors.process.places import Directories, safe, scratch_key
from tiphys.secrets import SecretMissing, Secrets
from tiphys.spec.containers import Container, Volume, VolumeMount
from tiphys.spec.work import WorkOrder

FILLED = ("config_map", "secret", "projected", "downward_api")
MODE = 0o644


def mounts(
    order: WorkOrder, wanted: Iterable[VolumeMount], volumes: Iterable[Volume], directories: Directories
) -> tuple[tuple[Mount, ...], tuple[Volume, ...]]:
    """The step's mounts, and the volumes among them whose files must be made. CommandError: one that cannot be given."""
    known = {volume.name: volume for volume in volumes}
    found, filled = [], dict[str, Volume]()
    for mount in wanted:
        volume = known.get(mount.name)
        if volume is None:
            raise CommandError(f"volumeMounts: there is no volume {mount.name!r}")
        source, made = _folder(order, volume, directories)
        parts = [part for part in mount.sub_path.split("/") if part not in {"", "."}]
        if ".." in parts or mount.sub_path.startswith("/"):
            raise CommandError(f"volumeMounts: subPath {mount.sub_path!r} of volume {mount.name!r} must stay inside the volume")
        if made:
            filled[volume.name] = volume
        found.append(Mount(path=mount.mount_path, source="/".join([source, *parts]), read_only=mount.read_only or made, filled=made))
    return tuple(found), tuple(filled.values())


def _folder(order: WorkOrder, volume: Volume, directories: Directories) -> tuple[str, bool]:
    """The volume's host folder, and whether its files are made for the attempt."""
    if volume.empty_dir is not None:
        return str(directories.folder(order.id) / "volumes" / safe(volume.name)), False
    if volume.persistent_volume_claim is not None:
        claim = str(volume.persistent_volume_claim.get("claimName", ""))
        if claim.startswith(f"{order.workflow.name}-"):
            return str(claims(order.id, directories) / safe(claim)), False
        raise CommandError(f"volume {volume.name!r}: the claim {claim!r} is none of this workflow's volumeClaimTemplates")
    if any(getattr(volume, name) is not None for name in FILLED):
        return f"{filled_folder(order.id, directories)}/{safe(volume.name)}", True
    raise CommandError(f"volume {volume.name!r}: this kind of volume is not supported")


def claims(order_id: str, directories: Directories) -> Path:
    """Where the claims of a run are."""
    return directories.group(order_id) / "claims"


def filled_folder(order_id: str, directories: Directories) -> str:
    """Where the files of an attempt's made volumes are."""
    return f"{directories.scratch}/{scratch_key(order_id)}.volumes"


async def files(order: WorkOrder, volume: Volume, secrets: Secrets) -> list[tuple[str, int, str]]:
    """The files of a made volume: path below it, mode, text. Raises CommandError: something that is not optional is missing."""
    try:
        return [found async for found in _files(order, volume, secrets)]
    except SecretMissing as error:
        raise CommandError(f"volume {volume.name!r}: {error}") from error


async def _files(order: WorkOrder, volume: Volume, secrets: Secrets) -> AsyncIterator[tuple[str, int, str]]:
    where = f"volume {volume.name!r}"
    sources: list[dict[str, Any]] = []
    mode = MODE
    if volume.config_map is not None:
        sources, mode = [{"configMap": volume.config_map}], _mode(volume.config_map, where)
    elif volume.secret is not None:
        named = {**volume.secret, "name": volume.secret.get("secretName") or volume.secret.get("name")}
        sources, mode = [{"secret": named}], _mode(volume.secret, where)
    elif volume.downward_api is not None:
        sources, mode = [{"downwardAPI": volume.downward_api}], _mode(volume.downward_api, where)
    elif volume.projected is not None:
        sources, mode = list(volume.projected.get("sources") or ()), _mode(volume.projected, where)
    for source in sources:
        for kind, spec in source.items():
            match kind:
                case "configMap":
                    values = await secrets.config_map_keys(order.workflow.namespace, str(spec.get("name")))
                    found = _chosen(secrets, "ConfigMap", order.workflow.namespace, spec, values, where)
                case "secret":
                    values = await secrets.secret_keys(order.workflow.namespace, str(spec.get("name")))
                    found = _chosen(secrets, "Secret", order.workflow.namespace, spec, values, where)
                case "downwardAPI":
                    found = [(str(item.get("path")), item, _fact(order, item, where)) for item in spec.get("items") or ()]
                case _:
                    raise CommandError(f"{where}: {kind} is not supported")
            for path, item, text in found:
                yield _inside(path, where), _mode(item, where, mode), text


def _chosen(
    secrets: Secrets, kind: str, namespace: str, spec: Mapping[str, Any], values: Mapping[str, str] | None, where: str
) -> list[tuple[str, Mapping[str, Any], str]]:
    """Path, item and text of each file that a ConfigMap or Secret gives."""
    if values is None:
        if spec.get("optional"):
            return []
        raise secrets.missing(kind, namespace, str(spec.get("name")))
    items = spec.get("items")
    if items is None:
        return [(key, {}, text) for key, text in values.items()]
    found: list[tuple[str, Mapping[str, Any], str]] = []
    for item in items:
        key = str(item.get("key"))
        if key in values:
            found.append((str(item.get("path") or key), item, values[key]))
        elif not spec.get("optional"):
            raise CommandError(f"{where}: {kind} {spec.get('name')!r} has no key {key!r}")
    return found


def _fact(order: WorkOrder, item: Mapping[str, Any], where: str) -> str:
    reference = item.get("fieldRef")
    if not isinstance(reference, Mapping):
        raise CommandError(f"{where}: only fieldRef has an answer without a pod")
    return command.field_value(str(reference.get("fieldPath", "")), order, Container())


def _inside(path: str, where: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or not path:
        raise CommandError(f"{where}: path {path!r} must stay inside the volume")
    return os.path.normpath(path)


def _mode(spec: Mapping[str, Any], where: str, default: int = MODE) -> int:
    value = spec.get("defaultMode", spec.get("mode"))
    if value is None:
        return default
    if not isinstance(value, int) or not 0 <= value <= 0o777:
        raise CommandError(f"{where}: {value!r} is no file mode")
    return value
