"""Places for these tests, and what they need of the machine."""

import os
from pathlib import Path

import pytest

from tests.acceptance.house import SHARED, House, aws
from tests.process.orders import bwrap_works


@pytest.fixture(params=["full", "none"])
def isolation(request) -> str:
    if request.param == "full" and os.environ.get("CI") != "true" and not bwrap_works():
        pytest.skip("bubblewrap does not work here")
    return request.param


@pytest.fixture
def house(tmp_path: Path, isolation: str) -> House:
    """A place in both kinds of isolation."""
    return House(top=tmp_path, isolation=isolation)


@pytest.fixture
def home(tmp_path: Path) -> House:
    """A place in the kind of isolation that the machine allows."""
    return House(top=tmp_path)


@pytest.fixture
def shared_files() -> Path:
    """The folder of the acceptance workflows; what they promise is tested with workflows of our own where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"there is no {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def aws_folder() -> str:
    """The folder that holds `aws`."""
    found = aws()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the aws command is missing; `make aws` installs it")
        pytest.skip("the aws command is missing; `make aws` installs it")
    return str(Path(found).parent)
