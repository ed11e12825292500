"""A workflow that was deleted is retried from the archive by a real daemon, which may be killed while it takes that in: once, and whole."""

import contextlib
import http.client
import shutil
import time

import pytest

from tests.daemon.running import until
from tests.daemon.test_kept import asked
from tiphys.spec.status import Phase

FAILED = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: broken}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - {name: a, template: make}
          - {name: b, template: try, depends: a, arguments: {parameters: [{name: r, value: "{{tasks.a.outputs.result}}"}]}}
          - name: c
            template: use
            depends: b
            arguments: {artifacts: [{name: in, from: "{{tasks.a.outputs.artifacts.out}}"}]}
    - name: make
      container: {image: busybox, command: [sh, -c, "echo a >>%(shared)s/ran; echo result; echo file >%(shared)s/out"]}
      outputs: {artifacts: [{name: out, path: %(shared)s/out, archive: {none: {}}}]}
    - name: try
      inputs: {parameters: [{name: r}]}
      container:
        image: busybox
        command: [sh, -c, "echo b {{inputs.parameters.r}} >>%(shared)s/ran; test -e %(shared)s/go"]
    - name: use
      inputs: {artifacts: [{name: in, path: %(shared)s/in}]}
      container: {image: busybox, command: [sh, -c, "echo c $(cat %(shared)s/in) >>%(shared)s/ran"]}
"""


def ran(tiphysd):
    """What ran, in its order."""
    return (tiphysd.shared / "ran").read_text().splitlines()


def deleted(tiphysd):
    """A workflow that failed and was deleted, with all that it left on disk; its uid."""
    tiphysd.start().drop("broken.yaml", FAILED % {"shared": tiphysd.shared})
    run = tiphysd.ended("broken")
    assert (run.phase, ran(tiphysd)) == (Phase.FAILED, ["a", "b result"])
    assert asked(tiphysd, "DELETE", "/api/v1/workflows/default/broken")[0] == 200
    folder = tiphysd.state / "attempts" / run.uid
    until(lambda: (tiphysd.run("broken") is None and not folder.exists()) or None, "the deletion")
    (tiphysd.shared / "go").touch()
    return run.uid


def retried(tiphysd, uid):
    """The answer to a retry; 0: the daemon died over it."""
    try:
        return asked(tiphysd, "PUT", f"/api/v1/archived-workflows/{uid}/retry")[0]
    except (http.client.HTTPException, OSError):
        return 0


@pytest.mark.parametrize("point", ["before-record", "in-transaction", "after-record"])
def test_a_daemon_killed_over_a_retry_makes_it_once(tiphysd, point):
    uid = deleted(tiphysd)
    assert tiphysd.end() == 0
    tiphysd.environ = {"TIPHYS_FAULT": f"{point}:1"}
    tiphysd.start()
    assert retried(tiphysd, uid) == 0
    assert tiphysd.process.wait(10) == -9
    tiphysd.environ = {}
    tiphysd.start()
    assert retried(tiphysd, uid) == (409 if point == "after-record" else 200)
    run = tiphysd.ended("broken")
    assert run.phase is Phase.SUCCEEDED, tiphysd.nodes(run)
    assert run.uid != uid
    assert ran(tiphysd) == ["a", "b result", "b result", "c file"]
    assert [one.name for one in tiphysd.runs()] == ["broken"]


@pytest.mark.parametrize("point", ["before-record", "in-transaction", "after-record", "erasing"])
def test_a_daemon_killed_over_a_deletion_loses_neither_the_workflow_nor_its_rows(tiphysd, point):
    tiphysd.start().drop("broken.yaml", FAILED % {"shared": tiphysd.shared})
    uid = tiphysd.ended("broken").uid
    assert tiphysd.end() == 0
    tiphysd.environ = {"TIPHYS_FAULT": f"{point}:1"}
    tiphysd.start()
    with contextlib.suppress(http.client.HTTPException, OSError):
        asked(tiphysd, "DELETE", "/api/v1/workflows/default/broken")
    assert tiphysd.process.wait(10) == -9
    tiphysd.environ = {}
    (tiphysd.shared / "go").touch()
    tiphysd.start()
    there = tiphysd.run("broken") is not None
    assert there == (point in {"before-record", "in-transaction"}), "it is there, or in the archive with its rows"
    assert retried(tiphysd, uid) == 200
    run = until(lambda: run if (run := tiphysd.run("broken")) and run.phase is Phase.SUCCEEDED else None, "the end")
    assert (run.uid == uid) == there
    assert ran(tiphysd) == ["a", "b result", "b result", "c file"]


def test_what_was_kept_elsewhere_and_is_gone_is_an_error_that_names_it(tiphysd):
    uid = deleted(tiphysd)
    shutil.rmtree(tiphysd.state / "artifacts")
    assert retried(tiphysd, uid) == 200
    run = tiphysd.ended("broken")
    [c] = [node for name, node in tiphysd.nodes(run).items() if name.endswith(".c")]
    assert (run.phase, c.phase) == (Phase.ERROR, Phase.ERROR)
    assert c.message.startswith("artifact in failed to load: the artifact repository has no 'broken/broken-make-"), c.message
    assert ran(tiphysd) == ["a", "b result", "b result"]


def test_a_restart_between_deletion_and_retry_loses_nothing_but_what_steps_printed(tiphysd):
    uid = deleted(tiphysd)
    assert tiphysd.end() == 0
    tiphysd.start()
    assert retried(tiphysd, uid) == 200
    run = tiphysd.ended("broken")
    assert run.phase is Phase.SUCCEEDED
    began = time.monotonic()
    status, text = asked(tiphysd, "GET", "/api/v1/workflows/default/broken/log?logOptions.follow=true")
    assert (status, text) == (200, b""), "no step that is still known printed anything"
    assert time.monotonic() - began < 10
