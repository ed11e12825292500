"""The machine fails in one way after another: the daemon comes to a clear state each time, and nothing is lost."""

import contextlib
import os
import resource
import signal
import subprocess
import time

import pytest

from tests.daemon.running import environment, processes, until
from tests.daemon.test_daemon import HELLO, slow, starts
from tiphys.spec.status import Phase

LOOP = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: loop-}
spec:
  entrypoint: main
  templates:
    - name: main
      steps: [[{name: work, template: work, withSequence: {count: "%d"}}]]
    - name: work
      container: {image: busybox, command: [sh, -c, "echo one >> %s/witness"]}
"""


def mounted(path, size: str) -> None:
    """A file system of that size; skips where none can be mounted."""
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def fill(file) -> None:
    """Write until there is no room."""
    while True:
        file.write(bytes(4096))


@pytest.fixture
def small(tiphysd):
    """The state on a small disk of its own."""
    mounted(tiphysd.state, "24m")
    tiphysd.settings = {"daemon": {"low_disk_bytes": 0}}
    yield tiphysd
    tiphysd.clear()
    subprocess.run(["umount", "-l", str(tiphysd.state)], check=True)


def test_on_a_full_disk_the_daemon_ends_with_a_reason_and_goes_on_when_there_is_room(small):
    small.start()
    small.drop("slow.yaml", slow(small))
    until(lambda: starts(small) == 1, "the step")
    until(lambda: (run := small.run("slow-")) and any(node.handle for node in small.nodes(run).values()), "its record")
    ballast = small.state / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        fill(file)
    (small.shared / "go").touch()
    code = small.process.wait(30)  # the end of the step cannot be recorded
    assert code == 1
    assert "the journal could not be written" in small.log
    assert "Traceback" not in small.log
    ballast.unlink()
    small.start()
    run = small.ended("slow-")
    assert small.nodes(run)[run.name].message == "main: Error (exit code 7)"
    assert starts(small) == 1


def test_with_the_disk_low_new_work_waits_in_the_folder_and_running_work_goes_on(small):
    small.settings = {"daemon": {"low_disk_bytes": 4 << 20}}
    small.start()
    small.drop("slow.yaml", slow(small))
    until(lambda: starts(small) == 1, "the step")
    (small.state / "ballast").write_bytes(bytes(21 << 20))
    time.sleep(1.1)
    small.drop("hello.yaml", HELLO)
    until(lambda: small.told("no new work is taken"), "the refusal")
    (small.shared / "go").touch()
    assert small.ended("slow-").phase is Phase.FAILED
    assert small.run("hello-") is None
    (small.state / "ballast").unlink()
    assert small.ended("hello-").phase is Phase.SUCCEEDED


def test_without_file_descriptors_work_waits_and_is_neither_lost_nor_doubled(tiphysd):
    tiphysd.start()
    pid = tiphysd.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count is all
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, hard))
    tiphysd.drop("hello.yaml", HELLO)
    tiphysd.drop("loop.yaml", LOOP % (30, tiphysd.shared))
    time.sleep(1.5)
    assert tiphysd.process.poll() is None, tiphysd.log[-2000:]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert tiphysd.ended("hello-").phase is Phase.SUCCEEDED
    assert tiphysd.ended("loop-").phase is Phase.SUCCEEDED
    assert len((tiphysd.shared / "witness").read_text().splitlines()) == 30
    assert len(tiphysd.runs()) == 2


def test_a_state_directory_that_cannot_be_written_is_refused_by_name(tiphysd):
    mounted(tiphysd.state, "8m")
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(tiphysd.state)], check=True)
        refused = tiphysd.refused(tiphysd.top / "tiphys.yaml")
        assert refused.returncode == 78
        assert "cannot be made" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        subprocess.run(["umount", "-l", str(tiphysd.state)], check=True)


def test_a_step_that_the_kernel_killed_for_its_memory_has_failed_with_137(tiphysd):
    tiphysd.start().drop("slow.yaml", slow(tiphysd))
    until(lambda: starts(tiphysd) == 1, "the step")
    mark = f"TIPHYS_ATTEMPT={tiphysd.run('slow-').uid}"
    for pid in [pid for pid in processes() if mark in environment(pid)]:
        with contextlib.suppress(ProcessLookupError):  # the launcher kills the rest of a step whose first process is gone
            os.kill(pid, signal.SIGKILL)
    run = tiphysd.ended("slow-")
    assert tiphysd.nodes(run)[run.name].message.startswith("main: ")
    assert "exit code 137" in tiphysd.nodes(run)[run.name].message
    assert tiphysd.process.poll() is None


def test_a_killed_launcher_is_replaced_and_work_goes_on(tiphysd):
    tiphysd.start().drop("loop.yaml", LOOP % (200, tiphysd.shared))
    until((tiphysd.shared / "witness").exists, "the first step")
    for _ in range(3):
        os.kill(tiphysd.launcher(), signal.SIGKILL)
        time.sleep(0.4)
    run = tiphysd.ended("loop-")
    ended = [node.phase for node in tiphysd.nodes(run).values() if node.launched_at is not None]
    assert len(ended) == 200
    assert all(phase.fulfilled for phase in ended)
    assert tiphysd.process.poll() is None
    tiphysd.drop("hello.yaml", HELLO)
    assert tiphysd.ended("hello-").phase is Phase.SUCCEEDED
