"""Volumes of a step: an emptyDir is the attempt's own folder, a claim of the run's volumeClaimTemplates a folder that the run shares."""

from tiphys.executors.process.command import CommandError
from tiphys.executors.process.isolation import Mount
from tiphys.executors.process.places import Directories, safe
from tiphys.spec.containers import Volume
from tiphys.spec.work import Command, WorkOrder


def mounts(order: WorkOrder, work: Command, directories: Directories) -> tuple[Mount, ...]:
    """The step's volumes and where they are on the host. CommandError: one that cannot be given."""
    known = {volume.name: volume for volume in work.volumes}
    found = []
    for mount in work.container.volume_mounts:
        volume = known.get(mount.name)
        if volume is None:
            raise CommandError(f"volumeMounts: there is no volume {mount.name!r}")
        source = _folder(order, volume, directories)
        parts = [part for part in mount.sub_path.split("/") if part not in {"", "."}]
        if ".." in parts or mount.sub_path.startswith("/"):
            raise CommandError(f"volumeMounts: subPath {mount.sub_path!r} of volume {mount.name!r} must stay inside the volume")
        found.append(Mount(path=mount.mount_path, source="/".join([source, *parts]), read_only=mount.read_only))
    return tuple(found)


def _folder(order: WorkOrder, volume: Volume, directories: Directories) -> str:
    if volume.empty_dir is not None:
        return str(directories.folder(order.id) / "volumes" / safe(volume.name))
    if volume.persistent_volume_claim is not None:
        claim = str(volume.persistent_volume_claim.get("claimName", ""))
        if claim.startswith(f"{order.workflow.name}-"):
            return str(directories.group(order.id) / "claims" / safe(claim))
        raise CommandError(f"volume {volume.name!r}: the claim {claim!r} is none of this workflow's volumeClaimTemplates")
    raise CommandError(f"volume {volume.name!r}: only emptyDir volumes and the run's own volumeClaimTemplates are supported")
