"""Which artifact repository a workflow uses: the one that its artifactRepositoryRef names, else the configured one (semantics 2.16.4)."""

from collections.abc import Mapping, Sequence

import msgspec
import yaml
from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.scheduler.records import Settled
from tiphys.spec.artifacts import S3, ArtifactLocation
from tiphys.spec.objects import Object
from tiphys.spec.workflows import ArtifactRepositoryRef, ConfigMap, Workflow

CONFIG_MAP = "artifact-repositories"
DEFAULT_KEY = "workflows.argoproj.io/default-artifact-repository"


class RepositoryError(TiphysError):
    """The repository that a workflow names cannot be used."""


class S3Repository(S3):
    """An S3 bucket as a repository: where in it artifacts go. `key_prefix` is Argo's old way to say it."""

    key_format: str = ""
    key_prefix: str = ""


class Repository(Object):
    """What a ConfigMap of repositories holds under a key."""

    archive_logs: bool | None = None
    s3: S3Repository | None = None


def chosen(settled: Settled, workflow: Workflow, config_maps: Sequence[ConfigMap], configured: Mapping[str, object]) -> Settled:
    """The settings of a run with the repository it chose. `configured`: those of the settings, by name. Raises RepositoryError."""
    reference = workflow.spec.artifact_repository_ref
    name = (reference.config_map if reference is not None else "") or CONFIG_MAP
    found = next((one for one in config_maps if one.metadata.name == name), None)
    if reference is None:
        key = ((found.metadata.annotations if found is not None else None) or {}).get(DEFAULT_KEY)
        if key is None:
            return settled
        reference = ArtifactRepositoryRef(config_map=name, key=key)
    key = reference.key or ((found.metadata.annotations if found is not None else None) or {}).get(DEFAULT_KEY, "")
    what = f'failed to resolve artifact repository: failed to find artifact repository ref "{workflow.metadata.namespace}/{name}#{key}"'
    if found is not None:
        text = (found.data or {}).get(key)
        if text is None:
            raise RepositoryError(f'{what}: config map missing key {key} for artifact repository ref "{name}"')
        repository = _read(text, what)
    elif key in configured:
        repository = _repository(configured[key], what)
    else:
        raise RepositoryError(
            f'{what}: configmaps "{name}" not found; put that ConfigMap into the submitted file, or the repository into the setting'
            " artifacts.repositories"
        )
    if repository.s3 is None:
        raise RepositoryError(f"{what}: it must be an s3 repository")
    shown = {"configMap": name, "key": key, "namespace": workflow.metadata.namespace, "artifactRepository": msgspec.to_builtins(repository)}
    bucket = repository.s3
    key_format = bucket.key_format or (f"{bucket.key_prefix}/{settled.key_format}" if bucket.key_prefix else settled.key_format)
    return structs.replace(
        settled,
        repository=ArtifactLocation(s3=S3(**{field: getattr(bucket, field) for field in S3.__struct_fields__})),
        repository_ref=shown,
        key_format=key_format,
        archive_logs=settled.archive_logs or (bool(repository.archive_logs) and workflow.spec.archive_logs is not False),
    )


def _read(text: str, what: str) -> Repository:
    try:
        return _repository(yaml.safe_load(text), what)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RepositoryError(f"{what}: it is not YAML: {error}") from error


def _repository(value: object, what: str) -> Repository:
    try:
        return msgspec.convert(value, Repository)
    except msgspec.ValidationError as error:
        raise RepositoryError(f"{what}: {error} (s3 repositories can be used here)") from error
