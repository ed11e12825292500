"""Who follows a workflow while its daemon is killed and comes back: each reconnects, sees all once, and ends as the workflow does."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.running import TOP, until

LINES = 80
TALK = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: talk}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - [{name: one, template: count}, {name: two, template: count}]
        - [{name: three, template: count}]
        - [{name: last, template: end}]
    - name: count
      script:
        image: busybox
        command: [sh]
        source: |
          i=0; while [ $i -lt %(lines)s ]; do echo "said $i"; sleep 0.05; i=$((i+1)); done
    - name: end
      container: {image: busybox, command: [sh, -c, "echo over; exit %(code)s"]}
"""
COMMANDS = {"logs": ["logs", "-f", "talk"], "events": ["events", "-f", "talk"], "watch": ["watch", "talk"], "wait": ["wait", "talk"]}


@contextlib.contextmanager
def followers(tiphysd, **commands):
    """The commands, going on, by their names."""
    environ = {**os.environ, "PYTHONPATH": str(TOP / "daemon"), "TIPHYS_SOCKET": str(tiphysd.socket)}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tiphys", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in commands.items()
    }
    try:
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.communicate()


def connections(tiphysd) -> int:
    """How many are connected to the daemon's socket."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(line[5] == "03" and line[7:] == [str(tiphysd.socket)] for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 3])
def test_who_follows_over_restarts_sees_everything_once_and_ends_right(tiphysd, code):
    tiphysd.start().drop("talk.yaml", TALK % {"lines": LINES, "code": code})
    until(lambda: tiphysd.run("talk"), "the run")
    with followers(tiphysd, **COMMANDS) as started:
        for _ in range(2):
            until(lambda: connections(tiphysd) == len(COMMANDS), "all of them connected")
            time.sleep(0.7)  # each has asked whether the workflow is there, and follows now
            assert tiphysd.end(signal.SIGKILL) == -signal.SIGKILL
            time.sleep(0.3)
            tiphysd.start()
        run = tiphysd.ended("talk")
        ended = {name: (*process.communicate(timeout=30), process.returncode) for name, process in started.items()}
    with followers(tiphysd, events=["events", "talk"]) as once:
        whole = once["events"].communicate(timeout=30)[0]
    complaints = {name: errors for name, (_, errors, _) in ended.items()}
    assert not any("Traceback" in errors for errors in complaints.values()), complaints
    assert all("waiting for it to come back" in complaints[name] for name in ended), complaints

    by_pod: dict[str, list[str]] = {}
    for line in ended["logs"][0].splitlines():
        pod, _, text = line.partition(": ")
        by_pod.setdefault(pod, []).append(text)
    said = [f"said {number}" for number in range(LINES)]
    assert sorted(by_pod.values()) == sorted([said, said, said, ["over"]])

    assert ended["events"][0] == whole
    assert len(whole.splitlines()) >= 5

    assert run.phase == ("Failed" if code else "Succeeded")
    assert ended["wait"][0].startswith(f"talk {run.phase} at ")
    assert f"{run.phase}" in ended["watch"][0]
    assert {name: code for name, (_, _, code) in ended.items()} == {"logs": 0, "events": 0, "watch": bool(code), "wait": bool(code)}
