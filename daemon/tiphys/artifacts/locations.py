"""What the location of an artifact means: which place its bytes are in, and under which key. Pure."""

import posixpath
from urllib.parse import urlsplit

import msgspec

from tiphys import settings
from tiphys.artifacts.errors import ArtifactError
from tiphys.spec.artifacts import (
    S3,
    Artifact,
    ArtifactLocation,
    Artifactory,
    BasicAuth,
    CreateBucketIfNotPresent,
    Git,
    HTTPArtifact,
    HTTPAuth,
    Raw,
)
from tiphys.spec.parameters import KeySelector

UNBUILT = {
    "gcs": "Google Cloud Storage",
    "azure": "Azure storage",
    "oss": "Aliyun OSS",
    "hdfs": "HDFS",
    "plugin": "artifact driver plugins",
}
KINDS = ("s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin")


class InRepository(msgspec.Struct, frozen=True, kw_only=True):
    """The configured repository, whatever it is."""

    key: str


Place = InRepository | S3 | HTTPArtifact | Git | Raw


def kind(location: ArtifactLocation) -> str:
    """`s3`, `http`, …: the field that is set, or "" for none."""
    return next((name for name in KINDS if getattr(location, name) is not None), "")


def key(location: ArtifactLocation) -> str:
    """The key, by whatever name its kind calls it; "" if it has none."""
    match kind(location):
        case "s3" | "gcs" | "oss" | "plugin" as name:
            found: str = getattr(location, name).key
            return found
        case "azure":
            return location.azure.blob if location.azure else ""
        case "hdfs":
            return location.hdfs.path if location.hdfs else ""
        case "artifactory":
            return urlsplit(location.artifactory.url).path if location.artifactory else ""
        case _:
            return ""


def has_location(location: ArtifactLocation) -> bool:
    """Tell whether there is anything to load from: a key, or a place that needs none."""
    match kind(location):
        case "":
            return False
        case "http":
            return bool(location.http and location.http.url)
        case "git":
            return bool(location.git and location.git.repo)
        case "raw":
            return True
        case _:
            return bool(key(location))


def key_only(location: ArtifactLocation) -> bool:
    """Tell whether the location names no place of its own (a bucket, a container, addresses): it is in the repository then."""
    match kind(location):
        case "s3" | "gcs" | "oss" as name:
            return not getattr(location, name).bucket
        case "azure":
            return not (location.azure and location.azure.container)
        case "hdfs":
            return not (location.hdfs and location.hdfs.addresses)
        case "plugin":
            return not (location.plugin and location.plugin.name)
        case _:
            return False


def supports(location: ArtifactLocation) -> str | None:
    """Why artifacts cannot be moved to or from this location; None if they can."""
    name = kind(location)
    if name in UNBUILT and not key_only(location):
        return f"{UNBUILT[name]} ({name}) is not supported; use s3, http, or a key alone (the configured repository)"
    return None


def place(artifact: ArtifactLocation, sub_path: str = "") -> Place:
    """Where the bytes are. ArtifactError: nowhere, or in a kind of place that is not supported.

    Argo counts an s3 location without `endpoint` as none and moves it to the repository's bucket; here a bucket that is named is
    used, at the SDK's own endpoint, since bytes in another bucket than the one written would be lost to who looks for them.
    """
    refusal = supports(artifact)
    if refusal is not None:
        raise ArtifactError(refusal)
    if key_only(artifact):
        return InRepository(key=_below(key(artifact), sub_path))
    if artifact.s3 is not None:
        return msgspec.structs.replace(artifact.s3, key=_below(artifact.s3.key, sub_path))
    if artifact.http is not None:
        return msgspec.structs.replace(artifact.http, url=_below(artifact.http.url, sub_path))
    if artifact.artifactory is not None:
        url = _below(artifact.artifactory.url, sub_path)
        return msgspec.structs.replace(as_http(artifact.artifactory), url=url)
    if artifact.git is not None:
        return artifact.git
    if artifact.raw is not None:
        return artifact.raw
    raise ArtifactError("template artifact location not set")


def as_http(artifactory: Artifactory) -> HTTPArtifact:
    """Artifactory is HTTP with basic authentication."""
    if artifactory.username_secret is None:
        return HTTPArtifact(url=artifactory.url)
    basic = BasicAuth(username_secret=artifactory.username_secret, password_secret=artifactory.password_secret)
    return HTTPArtifact(url=artifactory.url, auth=HTTPAuth(basic_auth=basic))


def _below(base: str, sub_path: str) -> str:
    if not sub_path:
        return base
    return f"{base.rstrip('/')}/{sub_path.lstrip('/')}"


def clean_key(text: str) -> str:
    """A key without `.`, doubled and outer slashes. ArtifactError: it climbs out with `..`."""
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in text:
        raise ArtifactError(f"the artifact key {text!r} is not valid: it may not contain `..`")
    return posixpath.join(*parts) if parts else ""


def relocatable(artifact: Artifact) -> Artifact:
    """The artifact as status shows it: one in the repository by its key alone."""
    if not key_only(artifact):
        return artifact
    cleared = dict.fromkeys(KINDS, None)
    return msgspec.structs.replace(artifact, **{**cleared, "s3": S3(key=key(artifact))})


def repository_s3(repository: settings.S3Repository, repository_key: str = "") -> S3:
    """An S3 repository of the settings as a location."""

    def selector(pair: tuple[str, str] | None) -> KeySelector | None:
        return None if pair is None else KeySelector(name=pair[0], key=pair[1])

    return S3(
        endpoint=repository.endpoint,
        bucket=repository.bucket,
        region=repository.region,
        insecure=repository.insecure,
        access_key_secret=selector(repository.access_key_secret),
        secret_key_secret=selector(repository.secret_key_secret),
        session_token_secret=selector(repository.session_token_secret),
        use_sdk_creds=repository.use_sdk_creds,
        create_bucket_if_not_present=CreateBucketIfNotPresent() if repository.create_bucket else None,
        addressing_style=repository.addressing_style,
        key=repository_key,
    )


def completed(location: S3, repository: settings.S3Repository) -> S3:
    """An s3 location that names a bucket but no endpoint, reached as the repository is."""
    known = repository_s3(repository)
    own_keys = location.use_sdk_creds or location.access_key_secret is not None
    keys = location if own_keys else known
    return msgspec.structs.replace(
        location,
        endpoint=known.endpoint,
        insecure=known.insecure,
        region=location.region or known.region,
        addressing_style=location.addressing_style or known.addressing_style,
        access_key_secret=keys.access_key_secret,
        secret_key_secret=keys.secret_key_secret,
        session_token_secret=keys.session_token_secret,
        use_sdk_creds=keys.use_sdk_creds,
    )
