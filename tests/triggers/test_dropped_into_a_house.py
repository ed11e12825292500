"""The drop folder before the daemon's real verbs, a real journal, and scripted steps."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.triggers.dropped import CRON, calling, inside, opened, put, running, template, until, workflow
from tests.triggers.house import daemon


async def test_workflows_and_definitions_reach_the_daemon_and_outlive_it(tmp_path, folder) -> None:
    put(folder, "library.yaml", template())
    put(folder, "nightly.yaml", CRON)
    put(folder, "caller.yaml", calling("caller", "library"))
    put(folder, "twice.yaml", workflow("caller"))  # a name that is taken gets letters more
    async with daemon(tmp_path) as house:
        await opened(house, folder).settle()
        assert sorted(house.definition_sources()) == ["drop/library.yaml", "drop/nightly.yaml"]
        assert sorted(run.name[:6] for run in house.runs()) == ["caller", "caller"]
        assert not house._engine.registry.claims  # all forgotten
    assert inside(folder, "accepted") == ["caller.yaml", "twice.yaml"]
    (folder / "nightly.yaml").unlink()
    async with daemon(tmp_path) as house:
        await opened(house, folder).settle()
        assert sorted(house.definition_sources()) == ["drop/library.yaml"]
        assert len(house.runs()) == 2


async def test_what_the_daemon_cannot_take_now_is_taken_later(tmp_path, folder) -> None:
    async with daemon(tmp_path) as house:
        house.refuses = lambda: "the disk is nearly full"
        drop = opened(house, folder)
        put(folder, "hello.yaml", workflow())
        await drop.settle()
        assert inside(folder, "claimed") == ["hello.yaml"]
        house.refuses = lambda: ""
        await drop.settle()
        assert inside(folder, "accepted") == ["hello.yaml"]
        assert len(house.runs()) == 1


async def test_interrupted_again_and_again_no_file_is_lost_or_run_twice(tmp_path, folder) -> None:
    for number in range(60):
        put(folder, f"w{number}.yaml", workflow(f"w{number}") + "---\n" + workflow(f"x{number}"))
    seconds = 0.05
    while not (folder / "accepted").exists() or len(inside(folder, "accepted")) < 60:
        with anyio.move_on_after(seconds):
            async with daemon(tmp_path) as house:
                await opened(house, folder, settle=0.01).run()
        seconds = min(seconds + 0.05, 2.0)
    async with daemon(tmp_path) as house:
        await opened(house, folder).settle()
        assert Counter(run.name for run in house.runs()) == Counter({f"{letter}{number}": 1 for letter in "wx" for number in range(60)})
        assert not house._engine.registry.claims


def let_work(pid: int, seconds: float) -> None:
    """Wait until a process has computed for so long, but not for ever: it may have nothing to do."""
    spent = Path(f"/proc/{pid}/schedstat")
    until, late = int(spent.read_text().split()[0]) + seconds * 1e9, time.monotonic() + 10 * seconds
    while int(spent.read_text().split()[0]) < until and time.monotonic() < late:
        time.sleep(0.002)


async def test_killed_again_and_again_no_file_is_lost_or_run_twice(tmp_path, folder, project) -> None:
    for number in range(400):
        put(folder, f"w{number}.params.yaml", "{}")
        put(folder, f"w{number}.yaml", workflow(f"w{number}") + "---\n" + workflow(f"x{number}"))
        put(folder, f"b{number}.yaml", workflow(f"b{number}").replace("main", "mian", 1))
    choose = random.Random(4)
    kills = 0

    def kill() -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.triggers.house", folder, tmp_path], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            process.stdout.readline()
            let_work(process.pid, choose.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)

    while not (folder / "accepted").exists() or len(inside(folder, "accepted")) < 800:
        await anyio.to_thread.run_sync(kill)
        kills += 1
        assert kills < 300  # it must come forward, however slow the machine is
    async with daemon(tmp_path) as house:
        await opened(house, folder).settle()
        assert Counter(run.name for run in house.runs()) == Counter({f"{letter}{number}": 1 for letter in "wx" for number in range(400)})
    assert Counter(inside(folder, "accepted")) == Counter(f"w{number}.yaml{end}" for number in range(400) for end in ("", ".params.yaml"))
    assert Counter(inside(folder, "rejected")) == Counter(f"b{number}.yaml{end}" for number in range(400) for end in ("", ".why"))
    assert inside(folder, "claimed") == []
    print(f"\n{kills} kills")


@pytest.mark.slow
async def test_many_files_at_once_leave_the_loop_free(tmp_path, folder) -> None:
    stalls = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await anyio.sleep(0.002)
            stalls.append(time.perf_counter() - before - 0.002)

    count = 1000
    async with daemon(tmp_path) as house:
        for number in range(count):
            put(folder, f"w{number}.yaml", workflow(f"w{number}"))
        began = time.perf_counter()
        async with anyio.create_task_group() as group, running(opened(house, folder)):
            group.start_soon(tick)
            await until(lambda: len(house.runs()) == count and not house._engine.registry.claims, 100)
            group.cancel_scope.cancel()
        print(f"\n{count} files in {time.perf_counter() - began:.1f} s, largest stall {max(stalls) * 1000:.0f} ms")
        assert len({run.name for run in house.runs()}) == count
    assert len(inside(folder, "accepted")) == count
    assert sorted(stalls)[int(len(stalls) * 0.99)] < 0.2
