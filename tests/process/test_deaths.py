"""Deaths of the owner, of the launcher, of both: nothing leaks, nothing is lost, nothing runs twice."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from tests.process.orders import UID, everywhere, opened, processes, run, shell, unique_sleep, until
from tiphys.executors.process import connection, link
from tiphys.launching import recovery
from tiphys.spec import work
from tiphys.spec.work import OutcomeKind

pytestmark = [everywhere]
TOP = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def owner(root: Path, isolation: str, mode: str, order_id: str, script: str, verb: str = "launch"):
    """A process with an executor that has launched (or adopted) an attempt."""
    argv = [sys.executable, "-m", "tests.process.owner", str(root), isolation, mode, order_id, script, verb]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP / "daemon"), str(TOP), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment, cwd=TOP) as process:
        try:
            yield process
        finally:
            process.kill()


def launchers(root: Path) -> list[int]:
    """The launcher's processes of a run folder, the keeper of a foreground one included."""
    return [pid for pid in processes(str(root / "attempts")) if b"launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def leaf(root: Path) -> int:
    """The launcher itself."""
    found = launchers(root)
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in found}
    return next(pid for pid in found if pid not in parents)


def end_daemon_launcher(root: Path) -> None:
    for pid in launchers(root):
        os.kill(pid, signal.SIGTERM)
    assert until(lambda: not launchers(root), 20)


def kill(pids) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_a_launcher_of_an_earlier_release_serves_its_steps_to_their_end_and_is_then_replaced(tmp_path, isolation, monkeypatch):
    monkeypatch.setattr(link, "UPGRADE_SECONDS", 0.2)
    now, earlier = connection.LAUNCHER, tmp_path / "earlier" / "launcher.py"
    shutil.copytree(now.parent / "launching", earlier.parent / "launching")
    earlier.write_bytes(now.read_bytes() + b"\n# an earlier release\n")
    asked = shell(f"while [ ! -e {tmp_path}/writable/go ]; do sleep 0.05; done; echo said; exit 5", wanted=work.Wanted(result=True))
    monkeypatch.setattr(connection, "LAUNCHER", earlier)
    async with opened(tmp_path, isolation, mode="daemon", writable=(str(tmp_path / "writable"),)) as executor:
        handle = await executor.launch(asked)
    (old,) = launchers(tmp_path)
    monkeypatch.setattr(connection, "LAUNCHER", now)
    async with opened(tmp_path, isolation, mode="daemon", writable=(str(tmp_path / "writable"),)) as executor:
        assert await executor.adopt(asked, handle) == handle
        await anyio.sleep(0.6)
        assert launchers(tmp_path) == [old]
        (tmp_path / "writable" / "go").touch()
        outcome = await executor.wait(asked, handle)
        assert (outcome.exit_code, outcome.result) == (5, "said")
        with anyio.fail_after(20):
            while old in launchers(tmp_path):
                await anyio.sleep(0.05)
        assert (await run(executor, shell("exit 6"))).exit_code == 6
        assert (await executor.wait(asked, handle)).exit_code == 5  # the new one knows what the old one saw
    end_daemon_launcher(tmp_path)


async def test_a_pid_that_now_belongs_to_another_process_is_not_taken_for_the_step(tmp_path, isolation):
    asked = shell(f"sleep {unique_sleep()}")
    async with opened(tmp_path, isolation, mode="daemon") as executor:
        handle = await executor.launch(asked)
        kill([leaf(tmp_path)])
    journal = next((tmp_path / "attempts").glob("*/journal"))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    started = next(line for line in lines if line["told"] == "started")
    kill([started["pid"]])
    time.sleep(0.05)  # a process is known by its start, which the kernel gives in hundredths of a second
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            started["pid"] = other.pid  # as if the kernel had given the number away again
            journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
            async with opened(tmp_path, isolation, mode="daemon") as executor:
                assert await executor.adopt(asked, handle) == handle
                outcome = await executor.wait(asked, handle)
            assert outcome.kind in (OutcomeKind.INTERRUPTED, OutcomeKind.FAILED)
            assert other.poll() is None, "somebody else's process was killed"
        finally:
            other.kill()
    end_daemon_launcher(tmp_path)


def mounts_below(root: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(root) in line]


def test_a_foreground_run_that_is_killed_leaves_nothing(tmp_path, isolation):
    seconds, other = unique_sleep(), unique_sleep()
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", f"setsid sleep {other} & sleep {seconds}") as process:
        assert process.stdout.readline() == "launched\n"
        assert until(lambda: processes(seconds) and processes(other))
        process.kill()
        assert until(lambda: not processes(seconds) and not processes(other) and not launchers(tmp_path))
    assert not mounts_below(tmp_path)


def test_a_foreground_run_whose_launcher_is_killed_leaves_nothing_and_says_interrupted(tmp_path, isolation):
    seconds, other = unique_sleep(), unique_sleep()
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", f"setsid sleep {other} & sleep {seconds}") as process:
        assert process.stdout.readline() == "launched\n"
        assert until(lambda: processes(seconds) and processes(other))
        kill([leaf(tmp_path)])
        outcome = json.loads(process.stdout.readline())
        assert outcome["kind"] == "interrupted"
        assert until(lambda: not processes(seconds) and not processes(other))
        assert process.wait(20) == 0
    assert until(lambda: not launchers(tmp_path))


def test_after_its_launcher_was_killed_a_foreground_run_goes_on(tmp_path, isolation):
    async def script() -> None:
        async with opened(tmp_path, isolation) as executor:
            seconds = unique_sleep()
            asked = shell(f"sleep {seconds}")
            handle = await executor.launch(asked)
            assert until(lambda: processes(seconds))
            kill(launchers(tmp_path))
            assert (await executor.wait(asked, handle)).kind is OutcomeKind.INTERRUPTED
            assert not processes(seconds)
            assert (await run(executor, shell("exit 5"))).exit_code == 5
            assert [path.name for path in (tmp_path / "attempts" / ".roots").glob("*")].__len__() <= 1

    import asyncio

    asyncio.run(script())


@pytest.mark.parametrize("everything", ["launcher and owner", "launcher, keeper and owner"])
def test_when_owner_and_launcher_are_killed_the_next_run_goes_on_and_nothing_is_left(tmp_path, isolation, everything):
    seconds = unique_sleep()
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", f"sleep {seconds}") as process:
        assert process.stdout.readline() == "launched\n"
        assert until(lambda: processes(seconds))
        kill([*(launchers(tmp_path) if "keeper" in everything else [leaf(tmp_path)]), process.pid])
    if isolation == "full" or "keeper" not in everything:
        assert until(lambda: not processes(seconds))
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", "true", "adopt") as process:
        assert process.stdout.readline() == "launched\n"
        assert json.loads(process.stdout.readline())["kind"] == "interrupted"
        assert not processes(seconds)


def test_a_resumed_run_learns_the_true_end_of_what_had_ended(tmp_path, isolation):
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", "echo said; exit 9") as process:
        process.stdout.readline()
        assert json.loads(process.stdout.readline())["exit_code"] == 9
    with owner(tmp_path, isolation, "run", f"{UID}/a/0", "true", "adopt") as process:
        assert process.stdout.readline() == "launched\n"
        again = json.loads(process.stdout.readline())
        assert (again["exit_code"], again["result"]) == (9, "said")
        assert json.loads(process.stdout.readline()) == "said\n"
    with owner(tmp_path, isolation, "run", f"{UID}/never/0", "true", "adopt") as process:
        assert process.stdout.readline() == "unknown\n"


def test_a_daemon_that_is_killed_finds_its_step_again_with_code_and_whole_log(tmp_path, isolation):
    gate = tmp_path / "shared" / "gate"
    gate.parent.mkdir()
    os.mkfifo(gate)
    script = f"echo before; read x < {gate}; echo after $x; exit 6"
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", script) as process:
        assert process.stdout.readline() == "launched\n"
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", script) as process:
        assert process.stdout.readline() == "launched\n"
        gate.write_text("go\n")
        outcome = json.loads(process.stdout.readline())
        assert (outcome["kind"], outcome["exit_code"], outcome["result"]) == ("failed", 6, "before\nafter go")
        assert json.loads(process.stdout.readline()) == "before\nafter go\n"
    end_daemon_launcher(tmp_path)


def test_a_step_that_ends_while_no_daemon_lives_keeps_its_end(tmp_path, isolation):
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", "sleep 0.5; echo late; exit 6") as process:
        assert process.stdout.readline() == "launched\n"
    time.sleep(1.0)
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", "never", "adopt") as process:
        assert process.stdout.readline() == "launched\n"
        outcome = json.loads(process.stdout.readline())
        assert (outcome["kind"], outcome["exit_code"], outcome["result"]) == ("failed", 6, "late")
        assert outcome["usage"]["cpu_seconds"] > 0
    end_daemon_launcher(tmp_path)


def test_a_daemons_step_outlives_its_launcher_and_the_next_launcher_has_its_code_and_output(tmp_path, isolation):
    if isolation == "none" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
        pytest.skip("before Linux 6.15 only a parent can learn an exit code")
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", "echo one; sleep 1.5; echo two; exit 8") as process:
        assert process.stdout.readline() == "launched\n"
        time.sleep(0.5)
        kill(launchers(tmp_path))
        outcome = json.loads(process.stdout.readline())
        assert (outcome["kind"], outcome["exit_code"], outcome["result"]) == ("failed", 8, "one\ntwo")
        assert json.loads(process.stdout.readline()) == "one\ntwo\n"
    end_daemon_launcher(tmp_path)


def test_a_daemons_step_can_be_stopped_after_its_launcher_was_killed(tmp_path, isolation):
    async def script() -> None:
        seconds = unique_sleep()
        async with opened(tmp_path, isolation, mode="daemon") as executor:
            asked = shell(f"setsid sleep {seconds} & sleep {seconds}; true")
            handle = await executor.launch(asked)
            assert until(lambda: len(processes(seconds)) == 2)
            kill(launchers(tmp_path))
            await executor.adopt(asked, handle)
            import anyio

            with anyio.fail_after(20):
                while executor._link._wire is None or executor._link._wire.lost.is_set():
                    await anyio.sleep(0.02)
            await executor.stop(handle, 5.0)
            outcome = await executor.wait(asked, handle)
            assert outcome.kind is OutcomeKind.STOPPED
            assert until(lambda: not processes(seconds))

    import asyncio

    asyncio.run(script())
    end_daemon_launcher(tmp_path)


def test_a_daemons_launcher_told_to_end_stops_its_steps(tmp_path, isolation):
    seconds = unique_sleep()
    with owner(tmp_path, isolation, "daemon", f"{UID}/a/0", f"sleep {seconds}") as process:
        assert process.stdout.readline() == "launched\n"
        assert until(lambda: processes(seconds))
        process.kill()
        process.wait()
        assert processes(seconds)
        end_daemon_launcher(tmp_path)
        assert not processes(seconds)


@pytest.mark.parametrize("result", [True, False], ids=["result", "log"])
def test_what_a_step_printed_while_no_launcher_lived_is_lost_and_that_is_said(tmp_path, isolation, result):
    """Its end is known without them, but a result that may be cut short is none, and a log that may be says so."""
    go, over = tmp_path / "writable" / "go", tmp_path / "writable" / "over"
    script = f"echo heard; while [ ! -e {go} ]; do sleep 0.05; done; echo unheard; touch {over}"
    asked = shell(script, wanted=work.Wanted(result=result))

    async def launched() -> None:
        async with opened(tmp_path, isolation, mode="daemon", writable=(str(tmp_path / "writable"),)) as executor:
            await executor.launch(asked)
            await anyio.sleep(0.5)

    async def adopted() -> tuple[work.Outcome, str]:
        async with opened(tmp_path, isolation, mode="daemon", writable=(str(tmp_path / "writable"),)) as executor:
            handle = await executor.adopt(asked, None)
            outcome = await executor.wait(asked, handle)
            assert await anyio.to_thread.run_sync(until, lambda: not list(executor._directories.kept_homes(UID)), 5)
            return outcome, b"".join([piece async for piece in executor.logs(handle)]).decode()

    anyio.run(launched)
    kill(launchers(tmp_path))
    go.touch()
    assert until(over.exists)
    assert until(lambda: not [pid for pid in processes(str(over)) if b"Z" not in Path(f"/proc/{pid}/stat").read_bytes()])
    outcome, log = anyio.run(adopted)
    if result:
        assert outcome.kind is OutcomeKind.INTERRUPTED
    elif outcome.kind is OutcomeKind.SUCCEEDED:  # its exit code was left: a zombie's, or what bwrap wrote
        assert log == "heard\n" + recovery.UNHEARD.decode()
    else:
        assert outcome.kind is OutcomeKind.INTERRUPTED
    end_daemon_launcher(tmp_path)
    assert not list((tmp_path / "attempts" / ".states").glob("*"))


def test_what_a_killed_launcher_left_of_steps_that_ended_is_deleted_by_the_next(tmp_path, isolation):
    async def launched() -> None:
        async with opened(tmp_path, isolation, mode="daemon") as executor:
            await run(executor, shell("true"))

    anyio.run(launched)
    kill(launchers(tmp_path))
    states = tmp_path / "attempts" / ".states"
    (states / "uid-1.a.0.state").mkdir()
    (states / "uid-1.a.0.status").touch()
    anyio.run(launched)
    assert not list(states.iterdir())
    end_daemon_launcher(tmp_path)


async def test_a_run_that_begins_while_the_folders_of_deleted_runs_are_looked_for_keeps_its_own(tmp_path, isolation):
    known = {"uid-old": None}
    async with opened(tmp_path, isolation) as executor, anyio.create_task_group() as group:
        for name in ("uid-old", "uid-deleted"):
            (tmp_path / "attempts" / name).mkdir()
        group.start_soon(executor.sweep, known.keys())
        known["uid-new"] = None
        (tmp_path / "attempts" / "uid-new").mkdir()
    left = {path.name for path in (tmp_path / "attempts").iterdir() if not path.name.startswith(".")}
    assert left == {"uid-old", "uid-new"}
