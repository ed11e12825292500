"""Artifacts: where their bytes are kept and the path they have in a step (semantics 1.13, 2.24)."""

import posixpath
from collections.abc import Iterator

from tiphys.spec import artifacts

KINDS = ("s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin")


def key_of(location: artifacts.ArtifactLocation) -> str:
    """The key, or what stands for it, of the one location that is set; "" where none is."""
    for kind, field in (("artifactory", "url"), ("azure", "blob"), ("git", "repo"), ("gcs", "key"), ("hdfs", "path"), ("http", "url")):
        found = getattr(location, kind)
        if found is not None:
            return str(getattr(found, field))
    for kind in ("oss", "raw", "s3", "plugin"):
        found = getattr(location, kind)
        if found is not None:
            return str(found.data if kind == "raw" else found.key)
    return ""


def has_location_or_key(location: artifacts.ArtifactLocation) -> bool:
    """Whether the artifact says where it is, wholly or by a key in the artifact repository. An empty raw text is a location."""
    return location.raw is not None or key_of(location) != ""


def names_a_place(location: artifacts.ArtifactLocation) -> bool:
    """Whether the artifact names a kind of location at all: enough for an input, whose loading tells the rest."""
    return any(getattr(location, kind) is not None for kind in KINDS)


def faults(prefix: str, location: artifacts.ArtifactLocation) -> Iterator[str]:
    """What a location lacks (git and hdfs are the ones that Argo judges)."""
    if location.git is not None and not location.git.repo:
        yield f"{prefix}.git.repo is required"
    if location.hdfs is not None:
        yield from _hdfs_faults(f"{prefix}.hdfs", location.hdfs)


def _hdfs_faults(prefix: str, hdfs: artifacts.HDFS) -> Iterator[str]:
    if not hdfs.addresses:
        yield f"{prefix}.addresses is required"
    if not hdfs.path:
        yield f"{prefix}.path is required"
    elif not hdfs.path.startswith(("/", "{{")):
        yield f"{prefix}.path must be a absolute file path"
    ticket, keytab = hdfs.krb_c_cache_secret is not None, hdfs.krb_keytab_secret is not None
    if not hdfs.hdfs_user and not ticket and not keytab:
        yield f"either {prefix}.hdfsUser, {prefix}.krbCCacheSecret or {prefix}.krbKeytabSecret is required"
    service = bool(hdfs.krb_service_principal_name) and hdfs.krb_config_config_map is not None
    if keytab and not (service and hdfs.krb_username and hdfs.krb_realm):
        needed = f"{prefix}.krbServicePrincipalName, {prefix}.krbConfigConfigMap, {prefix}.krbUsername and {prefix}.krbRealm"
        yield f"{needed} are required with {prefix}.krbKeytabSecret"
    if ticket and not service:
        yield f"{prefix}.krbServicePrincipalName and {prefix}.krbConfigConfigMap are required with {prefix}.krbCCacheSecret"


def path_fault(artifact: artifacts.Artifact) -> str:
    """What is wrong with the path of a leaf template's artifact; "" where nothing is."""
    path = artifact.path
    if not path:
        return f"Artifact '{artifact.name}' did not specify a path"
    before, up, _ = f"{path}/".partition("/../")
    if up and before:
        cleaned = posixpath.normpath(path)
        if not cleaned.startswith(f"{before}/") or len(cleaned) <= len(before) + 1:
            return f"Artifact '{artifact.name}' attempted to use a path containing '..'. Directory traversal is not permitted"
    return ""
