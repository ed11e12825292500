import pathlib

import pytest

from tiphys import settings
from tiphys.artifacts import store
from tiphys.secrets import Secrets


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "repository"


@pytest.fixture
def local_store(repository: pathlib.Path) -> store.Artifacts:
    return store.Artifacts(settings.ArtifactSettings(), repository, Secrets(), durable=False)
