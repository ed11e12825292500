"""Every setting, frozen, with its default. Read once by `app` and handed down in pieces; nothing below reads a file or variable.

Sizes are bytes, times are seconds.
"""

import msgspec


class ImageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What an image would run by itself: the shape of Argo's controller setting `images`."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The process executor."""

    isolation: str = "auto"  # auto (full where bubblewrap works), full, none
    parallelism: int = 0  # steps at once on this machine; 0: four for each core
    writable: tuple[str, ...] = ()  # host paths bound read-write; made if missing
    visible: tuple[str, ...] = ()  # host paths under /run or homes shown read-only
    env: dict[str, str] = {}  # added to every step's environment
    env_from: tuple[str, ...] = ()  # names of the daemon's own variables handed on
    user: str = ""  # steps run as this user; "": the daemon's own
    grace_seconds: float = 30.0
    log_limit_bytes: int = 64 * 1024 * 1024  # a step's output kept on disk; what is over is cut from the front
    python: str = ""  # what `python` means where the host has none; "": python3


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An executor plugin."""

    url: str = ""  # where it is asked, without /api/v1/…
    token_file: str = ""  # a file with the bearer token to show; "": none
    timeout_seconds: float = 30.0  # of one question


class HTTPSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The http executor."""

    parallelism: int = 50
    transient_statuses: bool = True  # 408, 425, 429, 502, 503, 504 count as transient
    max_body_bytes: int = 16 * 1024 * 1024


class S3Repository(msgspec.Struct, frozen=True, kw_only=True):
    """An S3 artifact repository; secrets are named, not given."""

    endpoint: str = ""
    bucket: str = ""
    region: str = ""
    insecure: bool = False
    access_key_secret: tuple[str, str] | None = None  # name, key
    secret_key_secret: tuple[str, str] | None = None
    session_token_secret: tuple[str, str] | None = None
    use_sdk_creds: bool = False
    create_bucket: bool = False
    addressing_style: str = ""


class ArtifactSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where artifacts without a place of their own are kept."""

    key_format: str = "{{workflow.name}}/{{pod.name}}"
    directory: str = ""  # "": artifacts/ in the state directory
    s3: S3Repository | None = None  # set: used in place of the directory
    archive_logs: bool = False
    repositories: dict[str, object] = {}  # by name, each in the shape of Argo's artifact repositories


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint database."""

    synchronous: str = ""  # full, normal; "": full for the daemon, normal for `tiphys run`
    wal_limit_bytes: int = 64 * 1024 * 1024
    remains_bytes: int = 256 * 1024 * 1024  # the rows of archived workflows, compressed, from which they can be retried; 0: none are kept


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what a manifest may be."""

    file_bytes: int = 16 * 1024 * 1024
    nesting: int = 100
    aliases: int = 10_000  # nodes that alias expansion may add
    nodes: int = 3_000_000  # values in a file; a map or list counts 6


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`tiphysd` itself."""

    socket: str = ""  # "": $RUNTIME_DIRECTORY/api.sock, /run/tiphys/api.sock for root, $XDG_RUNTIME_DIR/tiphys/api.sock
    socket_group: str = "tiphys"  # the group that may use the socket, where there is such a group
    parallelism: int = 0  # workflows that run at once; 0: any number
    namespace_parallelism: int = 0  # the same, in each namespace
    namespaces: dict[str, int] = {}  # the same, for single namespaces
    timezone: str = ""  # of cron workflows that name none; "": the machine's
    low_disk_bytes: int = 256 * 1024 * 1024  # with less free space no new work is taken
    log_level: str = "info"  # debug, info, warning, error
    log_format: str = ""  # json, console; "": console on a terminal, else json; under systemd its journal's own fields


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The API: over the network besides its Unix socket, and what bounds a request."""

    listen: str = ""  # HOST:PORT, or several with commas between; "": the Unix socket alone
    tls_certificate: str = ""  # PEM: the certificate and those that lead to its issuer
    tls_key: str = ""  # PEM; "": in the certificate's file
    tokens_file: str = ""  # "": tokens.json in the state directory
    insecure_loopback: bool = False  # without TLS, whoever is on this machine needs no token
    rate_per_second: float = 50.0  # requests of one token or address over the network; 0: any number
    burst: int = 500  # so many at once before the rate counts
    body_bytes: int = 0  # the largest body; 0: limits.file_bytes
    request_seconds: float = 60.0  # until an answer begins; 0: any time
    origins: tuple[str, ...] = ()  # web pages from elsewhere that may ask, as https://example.org


class DropSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The drop folder."""

    directory: str = ""  # "": drop/ in the state directory
    sweep_seconds: float = 5.0  # how often it is looked through, whatever the kernel reports
    settle_seconds: float = 0.5  # a file that nobody was seen to close must have been left alone this long
    owners: tuple[str, ...] = ()  # users whose files are taken besides root's and the daemon's own


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What stays of finished workflows."""

    completed: int = 0  # the newest that succeeded are kept; 0: all
    failed: int = 0
    errored: int = 0
    archive: bool = True  # a workflow that is deleted by a rule leaves its record in the archive
    archive_seconds: int = 0  # how long; 0: for ever
    pod_gc_delay_seconds: float = 5.0  # between the end of an attempt and the deletion of its folder, where podGC asks for that
    vacuum_free_share: float = 0.5  # the database is made smaller when this share of it is free


class NotificationEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told of workflows' phases: exactly one of url, topic, queue, function, command."""

    url: str = ""  # a webhook: POST of JSON
    topic: str = ""  # an SNS topic's ARN
    queue: str = ""  # an SQS queue's URL
    function: str = ""  # a Lambda function's name or ARN
    command: tuple[str, ...] = ()  # a program and its arguments; the JSON comes on its standard input
    phases: tuple[str, ...] = ("Succeeded", "Failed", "Error")
    namespaces: tuple[str, ...] = ()  # (): all
    selector: str = ""  # a label selector, as of `argo list -l`; "": all
    endpoint: str = ""  # of AWS' services; "": AWS' own
    region: str = ""
    access_key_secret: tuple[str, str] | None = None  # name, key; None: found the way AWS' own tools do
    secret_key_secret: tuple[str, str] | None = None
    token_secret: tuple[str, str] | None = None  # a webhook's bearer token
    timeout_seconds: float = 30.0
    give_up_seconds: int = 7 * 24 * 3600  # a notification that could not be delivered for so long is dropped, and logged


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`tiphys run`."""

    keep_seconds: int = 7 * 24 * 3600  # finished foreground runs stay this long


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    namespace: str = "default"
    state_directory: str = ""  # "": $STATE_DIRECTORY, /var/lib/tiphys for root, $XDG_STATE_HOME/tiphys
    secrets_directory: str = ""  # <name>/<key> files; "": secrets/ beside the settings file
    executor: str = "process"
    images: dict[str, ImageEntry] = {}
    workflow_defaults: dict[str, object] = {}  # metadata and spec below those of every workflow
    plugins: dict[str, PluginEntry] = {}
    semaphores: dict[str, int] = {}  # limits by name
    transient_pattern: str = ""  # failure messages that it finds are transient, besides those that are known
    process: ProcessSettings = ProcessSettings()
    http: HTTPSettings = HTTPSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    journal: JournalSettings = JournalSettings()
    limits: LimitSettings = LimitSettings()
    run: RunSettings = RunSettings()
    daemon: DaemonSettings = DaemonSettings()
    server: ServerSettings = ServerSettings()
    drop: DropSettings = DropSettings()
    retention: RetentionSettings = RetentionSettings()
    notifications: dict[str, NotificationEntry] = {}
