"""Containers: what a pod template runs. Kubernetes' own nested objects that select or place a pod stay plain JSON."""

from msgspec import field

from tiphys.spec.objects import JSON, AnyString, IntOrString, Object
from tiphys.spec.parameters import KeySelector


class EnvVarSource(Object):
    """Where an environment variable's value comes from."""

    field_ref: JSON = None
    resource_field_ref: JSON = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: JSON = None


class EnvVar(Object):
    """One environment variable."""

    name: str = ""
    value: AnyString = ""
    value_from: EnvVarSource | None = None


class EnvSource(Object):
    """A whole Secret or ConfigMap."""

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Object):
    """Every key of a Secret or ConfigMap as a variable, with a prefix."""

    prefix: str = ""
    config_map_ref: EnvSource | None = None
    secret_ref: EnvSource | None = None


class VolumeMount(Object):
    """A volume's place in the file system."""

    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False
    recursive_read_only: str | None = None
    mount_propagation: str | None = None


class VolumeDevice(Object):
    """A raw block device."""

    name: str = ""
    device_path: str = ""


class ContainerPort(Object):
    """A declared port."""

    name: str = ""
    host_port: int = 0
    container_port: int = 0
    protocol: str = ""
    host_ip: str = field(default="", name="hostIP")


class ResourceRequirements(Object):
    """CPU and memory: quantities as text or numbers."""

    limits: dict[str, IntOrString | float] | None = None
    requests: dict[str, IntOrString | float] | None = None
    claims: JSON = None


class Container(Object):
    """A container: image, command and surroundings."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ResourceRequirements | None = None
    resize_policy: JSON = None
    restart_policy: str | None = None
    restart_policy_rules: JSON = None
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[VolumeDevice, ...] = ()
    liveness_probe: JSON = None
    readiness_probe: JSON = None
    startup_probe: JSON = None
    lifecycle: JSON = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    image_pull_policy: str = ""
    security_context: dict[str, JSON] | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class ScriptTemplate(Container):
    """A container whose command gets the path of `source` as its last argument."""

    source: str = ""


class UserContainer(Container):
    """A sidecar or init container."""

    mirror_volume_mounts: bool | None = None


class ContainerSetRetryStrategy(Object):
    """In-pod repetition of one container's command."""

    duration: str = ""
    retries: IntOrString | None = None


class ContainerNode(Container):
    """A container of a containerSet."""

    dependencies: tuple[str, ...] = ()


class ContainerSetTemplate(Object):
    """Several containers in one pod."""

    containers: tuple[ContainerNode, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    retry_strategy: ContainerSetRetryStrategy | None = None


class Volume(Object):
    """A pod volume: exactly one source."""

    name: str = ""
    empty_dir: dict[str, JSON] | None = None
    host_path: dict[str, JSON] | None = None
    config_map: dict[str, JSON] | None = None
    secret: dict[str, JSON] | None = None
    persistent_volume_claim: dict[str, JSON] | None = None
    projected: dict[str, JSON] | None = None
    downward_api: dict[str, JSON] | None = field(default=None, name="downwardAPI")
    csi: dict[str, JSON] | None = None
    nfs: dict[str, JSON] | None = None
    ephemeral: dict[str, JSON] | None = None
    image: dict[str, JSON] | None = None
    git_repo: dict[str, JSON] | None = None
    aws_elastic_block_store: dict[str, JSON] | None = field(default=None, name="awsElasticBlockStore")
    gce_persistent_disk: dict[str, JSON] | None = field(default=None, name="gcePersistentDisk")
    azure_disk: dict[str, JSON] | None = None
    azure_file: dict[str, JSON] | None = None
    iscsi: dict[str, JSON] | None = None
    glusterfs: dict[str, JSON] | None = None
    rbd: dict[str, JSON] | None = None
    flex_volume: dict[str, JSON] | None = None
    cinder: dict[str, JSON] | None = None
    cephfs: dict[str, JSON] | None = None
    flocker: dict[str, JSON] | None = None
    fc: dict[str, JSON] | None = None
    vsphere_volume: dict[str, JSON] | None = None
    quobyte: dict[str, JSON] | None = None
    photon_persistent_disk: dict[str, JSON] | None = None
    portworx_volume: dict[str, JSON] | None = None
    scale_io: dict[str, JSON] | None = field(default=None, name="scaleIO")
    storageos: dict[str, JSON] | None = None
