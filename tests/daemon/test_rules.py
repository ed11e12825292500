"""What a real daemon does by rule: cron, notifications, and the deletion of what has had its time."""

import json
import os
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.daemon.running import until
from tests.daemon.test_daemon import HELLO
from tiphys.daemon import tidy_seconds
from tiphys.scheduler.items import Outbox, Tick
from tiphys.spec.status import Phase

MADE = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: made-, labels: {team: "%(team)s"}}
spec:
  entrypoint: main
  %(more)s
  templates:
    - name: main
      script:
        image: busybox
        command: [sh]
        source: |
          echo content > %(shared)s/made.txt
          cp %(shared)s/made.txt /tmp/made-%(mark)s.txt
          %(end)s
      outputs:
        artifacts: [{name: made, path: /tmp/made-%(mark)s.txt, archive: {none: {}}}]
"""


def made(tiphysd, more="", end="exit 0", team="a") -> str:
    return MADE % {"shared": tiphysd.shared, "more": more, "end": end, "team": team, "mark": os.getpid()}


def archived(tiphysd) -> list[str]:
    with sqlite3.connect(f"file:{tiphysd.state}/journal.db?mode=ro", uri=True) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM archive")]


def test_a_cron_workflow_ticks_keeps_its_history_and_goes_with_its_file(tiphysd):
    tiphysd.start().drop(
        "cron.yaml",
        HELLO.replace("kind: Workflow", "kind: CronWorkflow")
        .replace("generateName: hello-", "name: ticking")
        .replace("spec:", "spec:\n  schedules: ['@every 1s']\n  successfulJobsHistoryLimit: 2\n  workflowSpec:", 1)
        .replace("\n  entrypoint", "\n    entrypoint")
        .replace("\n  templates:", "\n    templates:")
        .replace("\n    - name: main\n      container", "\n      - name: main\n        container"),
    )
    until(lambda: len([item for item in tiphysd.items() if isinstance(item, Tick) and item.uid]) >= 5, "five ticks")
    ticks = [item for item in tiphysd.items() if isinstance(item, Tick)]
    assert len({tick.scheduled_at for tick in ticks}) == len(ticks)
    assert len([run for run in tiphysd.runs() if run.phase.completed]) <= 2
    assert set(archived(tiphysd)) <= {tick.workflow for tick in ticks}
    (tiphysd.dropped / "cron.yaml").unlink()
    until(lambda: not tiphysd.runs() and not tiphysd.items(), "the end of all that is its")


def test_what_has_a_time_to_live_goes_and_leaves_its_record_in_the_archive(tiphysd):
    tiphysd.start().drop("made.yaml", made(tiphysd, "ttlStrategy: {secondsAfterCompletion: 1}"))
    run = tiphysd.ended("made-")
    assert run.phase is Phase.SUCCEEDED
    folder = tiphysd.state / "attempts" / run.uid
    assert folder.exists()
    until(lambda: not tiphysd.runs() and not folder.exists(), "its deletion")
    assert archived(tiphysd) == [run.name]


def test_a_time_to_live_that_ended_while_there_was_no_daemon_counts(tiphysd):
    tiphysd.start().drop("made.yaml", made(tiphysd, "ttlStrategy: {secondsAfterSuccess: 2}"))
    tiphysd.ended("made-")
    tiphysd.end()
    time.sleep(2)
    tiphysd.start()
    until(lambda: not tiphysd.runs(), "its deletion", 5)


def test_run_folders_go_as_pod_gc_says(tiphysd):
    tiphysd.settings = {"retention": {"pod_gc_delay_seconds": 0.1}, "process": {"isolation": "none"}}
    tiphysd.start()
    tiphysd.drop("made.yaml", made(tiphysd, "podGC: {strategy: OnPodSuccess}\n  archiveLogs: true"))
    run = tiphysd.ended("made-")
    node = tiphysd.nodes(run)[run.name]
    folder = tiphysd.state / "attempts" / run.uid / f"{node.id}.0"
    until(lambda: not folder.exists(), "the folder's end")
    assert {artifact.name for artifact in node.outputs.artifacts} == {"made", "main-logs"}


def test_artifacts_go_with_their_workflow_where_artifact_gc_says_so(tiphysd):
    tiphysd.start()
    more = "artifactGC: {strategy: OnWorkflowDeletion}\n  ttlStrategy: {secondsAfterCompletion: 2}"
    tiphysd.drop("made.yaml", made(tiphysd, more))
    run = tiphysd.ended("made-")
    kept = tiphysd.state / "artifacts"
    assert [path for path in kept.rglob("*") if path.is_file() and run.name in str(path)]
    until(lambda: not tiphysd.runs(), "its deletion")
    assert not [path for path in kept.rglob("*") if path.is_file() and run.name in str(path)]


def test_of_those_that_ended_only_so_many_stay(tiphysd):
    tiphysd.settings = {"retention": {"completed": 2, "archive": False}}
    tiphysd.start()
    for number in range(5):
        tiphysd.drop(f"{number}.yaml", HELLO)
    until(lambda: len(list((tiphysd.dropped / "accepted").iterdir())) == 5, "five files")
    until(lambda: len(tiphysd.runs()) == 2 and all(run.phase.completed for run in tiphysd.runs()), "two that stay")
    assert archived(tiphysd) == []


class Receiver(BaseHTTPRequestHandler):
    """A webhook that fails first."""

    told: list[dict]
    failures = 2

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Idempotency-Key"] == body["id"]
        if Receiver.failures:
            Receiver.failures -= 1
            self.send_response(503)
        else:
            Receiver.told.append(body)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_phases_are_told_at_least_once_also_after_a_kill(tiphysd):
    Receiver.told, Receiver.failures = [], 2
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    heard = tiphysd.shared / "heard"
    tiphysd.settings = {
        "notifications": {
            "hook": {"url": f"http://127.0.0.1:{server.server_port}/x", "phases": ["Running", "Succeeded"], "selector": "team=a"},
            "script": {"command": ["sh", "-c", f"cat >> {heard}; echo >> {heard}"], "phases": ["Failed"]},
        }
    }
    try:
        tiphysd.start().drop("made.yaml", made(tiphysd))
        run = tiphysd.ended("made-")
        tiphysd.end(9)
        tiphysd.start()
        until(lambda: {one["phase"] for one in Receiver.told} == {"Running", "Succeeded"}, "both phases")
        assert {one["name"] for one in Receiver.told} == {run.name}
        tiphysd.drop("other.yaml", made(tiphysd, end="exit 1", team="b"))
        until(lambda: heard.exists() and heard.read_text().endswith("\n"), "the command")
        said = [json.loads(line) for line in Path(heard).read_text().splitlines() if line]
        assert {one["phase"] for one in said} == {"Failed"}
        until(lambda: not [item for item in tiphysd.items() if isinstance(item, Outbox)], "an empty outbox")
        assert all(one["labels"]["team"] == "a" for one in Receiver.told)
    finally:
        server.shutdown()
        server.server_close()


def test_the_archive_is_tidied_often_enough_for_how_long_it_keeps_records():
    assert [tidy_seconds(kept) for kept in (0, 1, 600, 3600, 30 * 24 * 3600)] == [3600, 60, 60, 360, 3600]
