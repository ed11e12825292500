"""Artifacts: files and folders that move between templates, and the places they are kept."""

from msgspec import field

from tiphys.spec.objects import JSON, Object
from tiphys.spec.parameters import KeySelector


class CreateBucketIfNotPresent(Object):
    """Create the bucket before the first save."""

    object_locking: bool = False


class S3Encryption(Object):
    """Server-side encryption of saved objects."""

    kms_key_id: str = ""
    kms_encryption_context: str = ""
    enable_encryption: bool = False
    server_side_customer_key_secret: KeySelector | None = None


class S3(Object):
    """An object (or prefix) in an S3 bucket."""

    endpoint: str = ""
    bucket: str = ""
    region: str = ""
    insecure: bool | None = None
    access_key_secret: KeySelector | None = None
    secret_key_secret: KeySelector | None = None
    session_token_secret: KeySelector | None = None
    role_arn: str = field(default="", name="roleARN")
    use_sdk_creds: bool = field(default=False, name="useSDKCreds")
    create_bucket_if_not_present: CreateBucketIfNotPresent | None = None
    encryption_options: S3Encryption | None = None
    ca_secret: KeySelector | None = None
    addressing_style: str = ""
    key: str = ""


class GCS(Object):
    """An object in Google Cloud Storage."""

    bucket: str = ""
    service_account_key_secret: KeySelector | None = None
    key: str = ""


class Azure(Object):
    """A blob in Azure storage."""

    endpoint: str = ""
    container: str = ""
    account_key_secret: KeySelector | None = None
    use_sdk_creds: bool = field(default=False, name="useSDKCreds")
    blob: str = ""


class OSSLifecycleRule(Object):
    """Days until an Aliyun object is moved or deleted."""

    mark_infrequent_access_after_days: int = 0
    mark_deletion_after_days: int = 0


class OSS(Object):
    """An object in Aliyun OSS."""

    endpoint: str = ""
    bucket: str = ""
    access_key_secret: KeySelector | None = None
    secret_key_secret: KeySelector | None = None
    create_bucket_if_not_present: bool = False
    security_token: str = ""
    lifecycle_rule: OSSLifecycleRule | None = None
    use_sdk_creds: bool = field(default=False, name="useSDKCreds")
    key: str = ""


class HDFS(Object):
    """A path in a Hadoop file system."""

    addresses: tuple[str, ...] = ()
    path: str = ""
    force: bool = False
    hdfs_user: str = ""
    krb_c_cache_secret: KeySelector | None = None
    krb_keytab_secret: KeySelector | None = None
    krb_username: str = ""
    krb_realm: str = ""
    krb_config_config_map: KeySelector | None = None
    krb_service_principal_name: str = ""
    data_transfer_protection: str = ""


class Artifactory(Object):
    """A file behind an Artifactory URL."""

    url: str = ""
    username_secret: KeySelector | None = None
    password_secret: KeySelector | None = None


class BasicAuth(Object):
    """User name and password from Secrets."""

    username_secret: KeySelector | None = None
    password_secret: KeySelector | None = None


class OAuth2EndpointParam(Object):
    """One extra parameter of a token request."""

    key: str = ""
    value: str = ""


class OAuth2(Object):
    """Client-credentials flow."""

    client_id_secret: KeySelector | None = field(default=None, name="clientIDSecret")
    client_secret_secret: KeySelector | None = None
    token_url_secret: KeySelector | None = field(default=None, name="tokenURLSecret")
    scopes: tuple[str, ...] = ()
    endpoint_params: tuple[OAuth2EndpointParam, ...] = ()


class ClientCert(Object):
    """A TLS client certificate from Secrets."""

    client_cert_secret: KeySelector | None = None
    client_key_secret: KeySelector | None = None


class HTTPAuth(Object):
    """How an HTTP artifact authenticates."""

    client_cert: ClientCert | None = None
    oauth2: OAuth2 | None = None
    basic_auth: BasicAuth | None = None


class Header(Object):
    """A literal HTTP header."""

    name: str = ""
    value: str = ""


class HTTPArtifact(Object):
    """A file behind an HTTP URL: GET to load, PUT to save."""

    url: str = ""
    headers: tuple[Header, ...] = ()
    auth: HTTPAuth | None = None
    save_stream_via_file: bool = False


class Git(Object):
    """A checkout of a git repository; input only."""

    repo: str = ""
    revision: str = ""
    branch: str = ""
    single_branch: bool = False
    depth: int | None = None
    fetch: tuple[str, ...] = ()
    username_secret: KeySelector | None = None
    password_secret: KeySelector | None = None
    ssh_private_key_secret: KeySelector | None = None
    insecure_ignore_host_key: bool = False
    insecure_skip_tls: bool = field(default=False, name="insecureSkipTLS")
    disable_submodules: bool = False


class Raw(Object):
    """Literal text; input only."""

    data: str = ""


class PluginArtifact(Object):
    """An artifact served by a driver plugin."""

    name: str = ""
    configuration: str = ""
    connection_timeout_seconds: int = 0
    key: str = ""


class TarStrategy(Object):
    """tar, gzip-compressed at the given level (-1..9, absent: default)."""

    compression_level: int | None = None


class NoneStrategy(Object):
    """As it is."""


class ZipStrategy(Object):
    """zip."""


class ArchiveStrategy(Object):
    """How an artifact is packed; absent means tar."""

    tar: TarStrategy | None = None
    none: NoneStrategy | None = None
    zip: ZipStrategy | None = None


class ArtifactGC(Object):
    """When a saved artifact is deleted."""

    strategy: str = ""
    service_account_name: str = ""
    pod_metadata: JSON = None
    force_finalizer_removal: bool = False
    pod_spec_patch: str = ""


class ArtifactLocation(Object):
    """Where bytes are kept: exactly one kind is set."""

    archive_logs: bool | None = None
    s3: S3 | None = None
    git: Git | None = None
    http: HTTPArtifact | None = None
    artifactory: Artifactory | None = None
    hdfs: HDFS | None = None
    raw: Raw | None = None
    oss: OSS | None = None
    gcs: GCS | None = None
    azure: Azure | None = None
    plugin: PluginArtifact | None = None


class Artifact(ArtifactLocation):
    """An artifact of arguments, inputs or outputs."""

    name: str = ""
    path: str = ""
    mode: int | None = None
    recurse_mode: bool = False
    from_: str = field(default="", name="from")
    from_expression: str = ""
    sub_path: str = ""
    optional: bool = False
    archive: ArchiveStrategy | None = None
    global_name: str = ""
    artifact_gc: ArtifactGC | None = field(default=None, name="artifactGC")
    deleted: bool = False


class ArtifactPaths(Artifact):
    """The source of a data template: an artifact whose keys are listed."""
