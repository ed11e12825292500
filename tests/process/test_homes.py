"""The homes of steps without isolation."""

import anyio

from tests.process.orders import UID, opened, run, shell


async def test_what_a_step_left_in_its_home_goes_with_it(tmp_path):
    async with opened(tmp_path, "none") as executor:
        asked = [shell("echo x > $HOME/x", id=f"{UID}/{name}/0") for name in "abc"]
        for one in asked:
            await run(executor, one)

        def homes() -> list[str]:
            return sorted(path.name for path in executor._directories.kept_homes(UID))

        with anyio.fail_after(5):
            while await anyio.to_thread.run_sync(lambda: len(homes())) < 3:
                await anyio.sleep(0.01)
        await executor.remove(asked[0].id)
        assert await anyio.to_thread.run_sync(homes) == [f"{UID}.b.0.home", f"{UID}.c.0.home"]
        await executor.remove_run(UID)
        assert await anyio.to_thread.run_sync(homes) == []
