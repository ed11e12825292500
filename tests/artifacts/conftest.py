import pathlib

import blockbuster
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


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop():
    with blockbuster.blockbuster_ctx("tiphys") as watching:
        # The SDK looks for ~/.aws/credentials itself where no keys are named, once for each client.
        for function in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            watching.functions[function].can_block_in("botocore/configloader.py", "raw_config_parse")
        # A file in memory.
        watching.functions["io.BufferedWriter.write"].can_block_in("artifacts/credentials.py", "in_memory")
        yield
