import pathlib

import blockbuster
import pytest

from tests.triggers.dropped import Twin


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "drop"
    path.mkdir(mode=0o750)
    return path


@pytest.fixture
def twin() -> Twin:
    return Twin()


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop():
    with blockbuster.blockbuster_ctx("tiphys"):
        yield
