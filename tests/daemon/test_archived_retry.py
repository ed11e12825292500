"""A workflow that was deleted is retried from the archive by a real daemon, which may be killed while it takes that in: once, and whole."""

import contextlib
import http.client
import json
import random
import shutil
import threading
import time

import pytest

from tests.daemon.running import until
from tests.daemon.test_kept import asked
from tiphys.care import verifying
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


def test_a_parameter_of_hundreds_of_kilobytes_outlives_kill_deletion_and_retry(tiphysd):
    """It is in the journal once, beside the rows; whoever asks sees it whole."""
    given = "a line of a list; " * 20_000
    text = (FAILED % {"shared": tiphysd.shared}).replace("parameters: [{name: r}]", "parameters: [{name: r}, {name: big}]")
    text = text.replace('outputs.result}}"}]}}', 'outputs.result}}"}, {name: big, value: "{{workflow.parameters.big}}"}]}}')
    text = text.replace("spec:", f"spec:\n  arguments: {{parameters: [{{name: big, value: '{given}'}}]}}", 1)
    tiphysd.start().drop("broken.yaml", text)
    run = tiphysd.ended("broken")
    tiphysd.process.kill()
    tiphysd.process.wait()
    tiphysd.start()
    assert tiphysd.run("broken").parameters[0].value == given
    assert tiphysd.nodes(run)["broken.b"].inputs.parameters[1].value == given
    shown = json.loads(asked(tiphysd, "GET", "/api/v1/workflows/default/broken")[1])
    assert [node["inputs"]["parameters"][1]["value"] for node in shown["status"]["nodes"].values() if "inputs" in node][:1] == [given]
    assert asked(tiphysd, "DELETE", "/api/v1/workflows/default/broken")[0] == 200
    until(lambda: tiphysd.run("broken") is None or None, "the deletion")
    assert given.encode() in asked(tiphysd, "GET", f"/api/v1/archived-workflows/{run.uid}")[1]
    (tiphysd.shared / "go").touch()
    assert retried(tiphysd, run.uid) == 200
    until(lambda: (run := tiphysd.run("broken")) is not None and run.phase is Phase.SUCCEEDED, "the success")
    again = tiphysd.run("broken")
    assert tiphysd.nodes(again)["broken.b"].inputs.parameters[1].value == given
    assert tiphysd.end() == 0
    contents = verifying.examined(tiphysd.state / "journal.db")
    assert contents.wrong == 0, contents.damage
    assert (tiphysd.state / "journal.db").stat().st_size < 3_000_000


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


def test_whatever_is_asked_and_whenever_it_is_killed_each_workflow_is_there_once(tiphysd):
    names = ["broken-1", "broken-2", "broken-3"]
    tiphysd.start()
    for name in names:
        text = FAILED.replace("name: broken", f"name: {name}").replace("echo a >>", f"echo a-{name} >>")
        tiphysd.drop(f"{name}.yaml", text % {"shared": tiphysd.shared})
    for name in names:
        tiphysd.ended(name)
    chance = random.Random(11)
    over = threading.Event()

    def asks(name):
        chance = random.Random(name)
        while not over.is_set():
            with contextlib.suppress(http.client.HTTPException, OSError):
                if chance.random() < 0.5:
                    asked(tiphysd, "DELETE", f"/api/v1/workflows/default/{name}")
                else:
                    asked(tiphysd, "PUT", f"/api/v1/archived-workflows/{name}/retry")
            time.sleep(chance.uniform(0, 0.1))

    askers = [threading.Thread(target=asks, args=(name,)) for name in names]
    for asker in askers:
        asker.start()
    try:
        for _ in range(8):
            time.sleep(chance.uniform(0.1, 1.0))
            tiphysd.end(9)
            there = [run.name for run in tiphysd.runs()]
            assert len(there) == len(set(there)), there
            tiphysd.start()
    finally:
        over.set()
        for asker in askers:
            asker.join()
    (tiphysd.shared / "go").touch()
    for name in names:
        until(lambda name=name: (run := tiphysd.run(name)) is None or run.phase.completed, f"the end of {name}")
        if tiphysd.run(name) is None:
            assert asked(tiphysd, "PUT", f"/api/v1/archived-workflows/{name}/retry")[0] == 200
        elif tiphysd.run(name).phase is not Phase.SUCCEEDED:
            assert asked(tiphysd, "PUT", f"/api/v1/workflows/default/{name}/retry")[0] == 200
        until(lambda name=name: (run := tiphysd.run(name)) is not None and run.phase is Phase.SUCCEEDED, f"the success of {name}")
    assert sorted(line for line in ran(tiphysd) if line.startswith("a-")) == [f"a-{name}" for name in names], "what succeeded ran once"
    assert tiphysd.end() == 0
    tiphysd.start()
    kept = {run.uid for run in tiphysd.runs()}
    folder = tiphysd.state / "attempts"
    until(lambda: {path.name for path in folder.iterdir() if not path.name.startswith(".")} <= kept, "nothing is left of what was deleted")
    assert tiphysd.end() == 0
    contents = verifying.examined(tiphysd.state / "journal.db")
    assert contents.wrong == 0, contents.damage
    assert contents.archived > 0
