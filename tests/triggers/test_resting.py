"""A folder with nothing in it is not looked through again before something changes."""

import time

import anyio
import pytest

from tests.triggers.dropped import inside, opened, put, template, workflow
from tiphys.triggers import looking, resting


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(resting, "GRAIN_NS", 20_000_000)


@pytest.fixture
def listed(monkeypatch):
    """The times at which a folder was listed."""
    found = []
    way = looking.listing
    monkeypatch.setattr(looking, "listing", lambda folder: (found.append(time.monotonic()), way(folder))[1])
    return found


async def test_an_empty_folder_is_listed_once_until_something_comes(twin, folder, listed):
    drop = opened(twin, folder)
    await drop.prepare()
    await anyio.sleep(0.05)
    for _ in range(5):
        await drop.settle()
    assert len(listed) == 1
    put(folder, "hello.yaml", workflow())
    await drop.settle()
    assert twin.names == ["hello"]
    assert inside(folder, "accepted") == ["hello.yaml"]
    assert len(listed) > 1


async def test_what_comes_as_soon_as_the_folder_was_made_is_found(twin, folder):
    drop = opened(twin, folder)
    for number in range(30):
        await drop.settle()
        put(folder, f"w{number}.yaml", workflow(f"w{number}"))
    await drop.settle()
    assert len(twin.names) == 30


async def test_a_folder_with_definitions_does_not_rest(twin, folder, listed):
    drop = opened(twin, folder)
    put(folder, "library.yaml", template())
    await drop.settle()
    await anyio.sleep(0.05)
    before = len(listed)
    for _ in range(3):
        await drop.settle()
    assert len(listed) == before + 3
    (folder / "library.yaml").unlink()
    await drop.settle()
    assert twin.sources == {}


async def test_now_and_then_everything_is_looked_at_all_the_same(twin, folder, listed, monkeypatch):
    monkeypatch.setattr(resting, "LONGEST_SECONDS", 0.1)
    drop = opened(twin, folder)
    await drop.prepare()
    await anyio.sleep(0.05)
    await drop.settle()
    await anyio.sleep(0.15)
    await drop.settle()
    assert len(listed) == 2


async def test_rights_that_change_end_the_rest(twin, folder, listed):
    drop = opened(twin, folder)
    await drop.prepare()
    await anyio.sleep(0.05)
    await drop.settle()
    folder.chmod(0o777)
    await drop.settle()
    put(folder, "hello.yaml", workflow())
    await drop.settle()
    assert twin.names == []
    folder.chmod(0o750)
    await drop.settle()
    assert twin.names == ["hello"]
