"""A decision ends a step that still runs, and the daemon is killed before the step is told: the next daemon has it ended."""

import signal

from tests.daemon.running import environment, processes, until
from tiphys.spec.status import Phase

BROKEN = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: broken-}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - name: a
            template: work
            hooks: {seen: {template: work, expression: 'tasks.a.status == "Running" ? 1 : false'}}
    - name: work
      container: {image: busybox, command: [sh, -c, "echo one >> %(shared)s/starts; sleep 300"]}
"""


def marked(run) -> list[int]:
    return [pid for pid in processes() if f"TIPHYS_ATTEMPT={run.uid}/" in environment(pid)]


def test_a_step_that_a_broken_hook_ended_does_not_outlive_the_daemon_that_was_to_stop_it(tiphysd):
    tiphysd.environ = {"TIPHYS_FAULT": "stopping:1"}
    tiphysd.start().drop("broken.yaml", BROKEN % {"shared": tiphysd.shared})
    assert tiphysd.process.wait(30) == -signal.SIGKILL
    run = tiphysd.run("broken-")
    assert run.phase is Phase.ERROR
    assert marked(run)
    tiphysd.environ = {}
    tiphysd.start()
    until(lambda: not marked(run), "the end of the step", 10)
