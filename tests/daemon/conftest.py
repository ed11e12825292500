"""A daemon for each test that wants one; nothing of it is left afterwards."""

import pytest

from tests.daemon.running import Tiphysd


@pytest.fixture
def tiphysd(tmp_path):
    daemon = Tiphysd(top=tmp_path)
    daemon.configure()
    yield daemon
    daemon.clear()
