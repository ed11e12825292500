"""A house behind a real Unix socket, and a client at its other end."""

import blockbuster
import pytest

from tests.server.serving import Served, served


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop():
    with blockbuster.blockbuster_ctx("tiphys"):
        yield


@pytest.fixture
def opened(tmp_path):
    """What opens a server: `async with opened(script) as served`."""

    def make(script=None, **settings) -> "Served":
        return served(tmp_path / "api.sock", script, **settings)

    return make
