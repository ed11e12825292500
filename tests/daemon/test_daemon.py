"""tiphysd as an operator meets it: it starts, says so, takes work, ends without ending steps, and refuses what it must."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.daemon.running import TOP, environment, notify_socket, processes, until
from tiphys.spec.status import Phase

HELLO = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: hello-}
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: busybox, command: [echo, hello]}
"""
SLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: slow-}
spec:
  entrypoint: main
  templates:
    - name: main
      %(more)s
      script:
        image: busybox
        command: [sh]
        source: |
          echo started
          echo one >> %(shared)s/starts
          i=0; while [ $i -lt 30 ]; do echo "line $i"; sleep 0.05; i=$((i+1)); [ -e %(shared)s/go ] && break; done
          while [ ! -e %(shared)s/go ]; do sleep 0.05; done
          echo finished
          exit 7
"""


def slow(tiphysd, more="") -> str:
    return SLOW % {"shared": tiphysd.shared, "more": more}


def starts(tiphysd) -> int:
    path = tiphysd.shared / "starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_dropped_file_runs_and_lies_with_the_accepted_ones(tiphysd):
    tiphysd.start().drop("hello.yaml", HELLO)
    run = tiphysd.ended("hello-")
    assert run.phase is Phase.SUCCEEDED
    until(lambda: [path for path in (tiphysd.dropped / "accepted").iterdir() if path.name.endswith("-hello.yaml")], "the accepted file")
    assert tiphysd.end() == 0


def test_systemd_hears_when_it_is_ready_alive_reloading_and_stopping(tiphysd):
    path = tiphysd.top / "notify"
    with notify_socket(path) as heard:
        tiphysd.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"}
        tiphysd.start()

        def hear(word: str) -> bool:
            return word in heard.recv(4096).decode()

        until(lambda: hear("READY=1"), "READY")
        until(lambda: hear("WATCHDOG=1"), "a ping of the watchdog")
        until(lambda: hear("WATCHDOG=1"), "another")
        tiphysd.process.send_signal(signal.SIGHUP)
        until(lambda: hear("RELOADING=1"), "RELOADING")
        until(lambda: hear("READY=1"), "READY after the reload")
        tiphysd.process.send_signal(signal.SIGTERM)
        until(lambda: hear("STOPPING=1"), "STOPPING")
        assert tiphysd.process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_goes_on_while_there_is_no_daemon_and_its_true_end_is_learnt(tiphysd, number):
    tiphysd.start().drop("slow.yaml", slow(tiphysd))
    until(lambda: starts(tiphysd) == 1, "the step's start")
    until(lambda: (run := tiphysd.run("slow-")) and any(node.handle for node in tiphysd.nodes(run).values()), "its record")
    assert tiphysd.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    time.sleep(0.3)
    tiphysd.start()
    (tiphysd.shared / "go").touch()
    run = tiphysd.ended("slow-")
    assert run.phase is Phase.FAILED
    node = tiphysd.nodes(run)[run.name]
    assert node.message == "main: Error (exit code 7)"
    text = tiphysd.log_of(node)
    assert text.startswith("started\nline 0\n")
    assert text.endswith("finished\n")
    assert starts(tiphysd) == 1


def test_what_ended_while_there_was_no_daemon_is_learnt_from_the_launcher(tiphysd):
    tiphysd.start().drop("slow.yaml", slow(tiphysd))
    until(lambda: (run := tiphysd.run("slow-")) and any(node.handle for node in tiphysd.nodes(run).values()), "its record")
    tiphysd.end(signal.SIGKILL)
    (tiphysd.shared / "go").touch()
    time.sleep(1.0)
    tiphysd.start()
    run = tiphysd.ended("slow-")
    assert tiphysd.nodes(run)[run.name].message == "main: Error (exit code 7)"
    assert starts(tiphysd) == 1


def test_with_the_launcher_killed_a_step_without_an_end_is_an_error_and_follows_the_retry_policy(tiphysd):
    more = "retryStrategy: {limit: 2, retryPolicy: OnError}"
    tiphysd.start().drop("slow.yaml", slow(tiphysd, more))
    until(lambda: (run := tiphysd.run("slow-")) and any(node.handle for node in tiphysd.nodes(run).values()), "its record")
    until(lambda: starts(tiphysd) == 1, "the start")
    launcher = tiphysd.launcher()
    tiphysd.end(signal.SIGKILL)
    os.kill(launcher, signal.SIGKILL)
    mark = f"TIPHYS_ATTEMPT={tiphysd.run('slow-').uid}"
    for pid in [pid for pid in processes() if mark in environment(pid)]:  # the step dies with its launcher, as on a reboot
        os.kill(pid, signal.SIGKILL)
    (tiphysd.shared / "go").touch()
    tiphysd.start()
    run = tiphysd.ended("slow-")
    nodes = tiphysd.nodes(run)
    first = nodes[f"{run.name}(0)"]
    assert first.phase in (Phase.ERROR, Phase.FAILED)  # the kernel may still know the exit code of what was killed
    if first.phase is Phase.ERROR:
        assert "interrupted" in first.message or "launcher was killed" in first.message
        assert f"{run.name}(1)" in nodes


def test_a_second_daemon_is_refused(tiphysd):
    tiphysd.start()
    second = tiphysd.refused(tiphysd.top / "tiphys.yaml")
    assert second.returncode == 78, second.stderr
    assert f"the journal is in use by process {tiphysd.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert tiphysd.process.poll() is None


def test_mistakes_in_the_settings_are_named_and_change_nothing(tiphysd):
    tiphysd.start()
    good = (tiphysd.top / "tiphys.yaml").read_text()
    (tiphysd.top / "tiphys.yaml").write_text("daemon: {paralelism: 3}")
    tiphysd.process.send_signal(signal.SIGHUP)
    (line,) = until(lambda: tiphysd.told("settings not reloaded"), "the refusal")
    assert 'unknown setting "daemon.paralelism"; did you mean "parallelism"?' in line["reason"]
    (tiphysd.top / "tiphys.yaml").write_text(good)
    assert tiphysd.process.poll() is None
    (tiphysd.top / "bad.yaml").write_text("notifications: {ops: {topic: nonsense}}")
    refused = tiphysd.refused(tiphysd.top / "bad.yaml")
    assert refused.returncode == 2
    assert "notifications.ops.topic" in refused.stderr


def test_state_that_cannot_be_kept_is_told(tiphysd):
    tiphysd.configure()
    (tiphysd.top / "taken").write_text("a file where a folder is wanted")
    (tiphysd.top / "bad.yaml").write_text(f"state_directory: {tiphysd.top}/taken/state")
    refused = tiphysd.refused(tiphysd.top / "bad.yaml")
    assert refused.returncode == 78
    cure = "cannot keep state here: Not a directory; name another place with the setting state_directory"
    assert refused.stderr == f"tiphysd: {tiphysd.top}/taken/state: {cure}\n"


def test_a_check_that_nobody_reads_ends_quietly(tiphysd):
    tiphysd.configure()
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "tiphys.tiphysd", "--config", str(tiphysd.top / "tiphys.yaml"), "check"]
    environ = {**os.environ, "PYTHONPATH": str(TOP / "daemon")}
    ran = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, env=environ, text=True, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_reload_lets_those_in_that_waited_for_a_place(tiphysd):
    tiphysd.settings = {"daemon": {"parallelism": 1}}
    tiphysd.start()
    tiphysd.drop("slow.yaml", slow(tiphysd))
    until(lambda: starts(tiphysd) == 1, "the first")
    tiphysd.drop("hello.yaml", HELLO)
    waiting = until(lambda: tiphysd.run("hello-"), "the second")
    assert waiting.phase is Phase.PENDING
    assert waiting.message == "Workflow processing has been postponed because too many workflows are already running"
    tiphysd.configure(daemon={"parallelism": 2})
    tiphysd.process.send_signal(signal.SIGHUP)
    assert tiphysd.ended("hello-").phase is Phase.SUCCEEDED
    (tiphysd.shared / "go").touch()
    tiphysd.ended("slow-")


def test_with_little_space_left_no_new_work_is_taken_until_there_is_more(tiphysd):
    tiphysd.settings = {"daemon": {"low_disk_bytes": 1 << 60}}
    tiphysd.start().drop("hello.yaml", HELLO)
    until(lambda: tiphysd.told("no new work is taken"), "the refusal")
    time.sleep(0.7)
    assert not tiphysd.runs()
    tiphysd.configure(daemon={"low_disk_bytes": 0})
    tiphysd.process.send_signal(signal.SIGHUP)
    assert tiphysd.ended("hello-").phase is Phase.SUCCEEDED
    assert len(tiphysd.runs()) == 1
