"""What runs and nobody waits for is found, ended, and leaves nothing."""

import os
import signal

import anyio

from tests.process.orders import UID, everywhere, opened, processes, shell, unique_sleep
from tests.process.test_deaths import end_daemon_launcher, leaf
from tiphys.executors.process import places

pytestmark = [everywhere]


def left(executor, order) -> list[str]:
    """What is beside the launcher's own things of an attempt that is over."""
    directories = executor._directories
    key = places.scratch_key(order.id)
    return [path.name for top in (directories.scratch, directories.states) for path in top.iterdir() if path.name.startswith(key)]


async def over(executor, nap: str) -> None:
    with anyio.fail_after(10):
        while processes(nap) or await executor.running():
            await anyio.sleep(0.02)


async def test_what_another_owner_has_launched_is_found_and_can_be_ended(tmp_path, isolation):
    nap = unique_sleep()
    asked = shell(f"sleep {nap}")
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        await executor.launch(asked)
        assert asked.id in await executor.running()
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        running = await executor.running()
        assert list(running) == [asked.id]
        await executor.stop(running[asked.id], 5.0)
        await executor.stop(running[asked.id], 5.0)  # twice is as once
        await over(executor, nap)
        assert await executor.adopt(asked, None) == running[asked.id]  # its end is known
        assert (await executor.wait(asked, running[asked.id])).exit_code == 143
        assert not executor._link._strays
        assert not left(executor, asked)
    end_daemon_launcher(tmp_path)


async def test_a_later_launcher_ends_what_this_one_was_asked_to(tmp_path, isolation):
    nap = unique_sleep()
    asked = shell(f"trap '' TERM; sleep {nap}; sleep {nap}")
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        await executor.launch(asked)
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        (handle,) = (await executor.running()).values()
        os.kill(leaf(tmp_path), signal.SIGSTOP)
        await executor.stop(handle, 0.2)
        os.kill(leaf(tmp_path), signal.SIGKILL)
        await over(executor, nap)
    end_daemon_launcher(tmp_path)


async def test_a_run_that_is_deleted_while_something_of_it_runs_leaves_nothing(tmp_path, isolation):
    nap = unique_sleep()
    asked = shell(f"echo said; sleep {nap}")
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        await executor.launch(asked)
        await executor.remove_run(UID)
        await over(executor, nap)
        assert not executor.folder(asked.id).parent.exists()
        assert not left(executor, asked)
    end_daemon_launcher(tmp_path)
