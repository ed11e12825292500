"""What a real daemon kept of a step is handed out by its API, also when the step's own folder, or the workflow, is gone."""

import http.client
import json
import socket

from tests.daemon.running import until

KEPT = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: kept}
spec:
  entrypoint: main
  archiveLogs: true
  podGC: {strategy: OnPodCompletion, deleteDelayDuration: 0s}
  templates:
    - name: main
      container: {image: busybox, command: [sh, -c, "echo one; echo two; mkdir %(shared)s/out; echo file >%(shared)s/out/a.txt"]}
      outputs: {artifacts: [{name: out, path: %(shared)s/out}, {name: tree, path: %(shared)s/out, archive: {none: {}}}]}
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def asked(tiphysd, method, path):
    connection = Unix(tiphysd.socket)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def lines(tiphysd):
    status, text = asked(tiphysd, "GET", "/api/v1/workflows/default/kept/log")
    assert status == 200, text
    return [json.loads(line)["result"]["content"] for line in text.splitlines()]


def test_logs_and_artifacts_outlive_the_step_and_the_workflow(tiphysd):
    tiphysd.start().drop("kept.yaml", KEPT % {"shared": tiphysd.shared})
    uid = tiphysd.ended("kept").uid
    [node] = tiphysd.nodes(tiphysd.run("kept")).values()
    folder = tiphysd.state / "runs"
    until(lambda: not [path for path in folder.rglob("*") if path.is_file() and uid in str(path)] or None, "podGC")
    assert lines(tiphysd) == ["one", "two"]
    status, packed = asked(tiphysd, "GET", f"/artifacts/default/kept/{node.id}/out")
    assert (status, packed[:2]) == (200, b"\x1f\x8b")
    assert asked(tiphysd, "GET", f"/artifact-files/default/workflows/kept/{node.id}/outputs/tree/a.txt") == (200, b"file\n")
    assert asked(tiphysd, "DELETE", "/api/v1/workflows/default/kept")[0] == 200
    until(lambda: tiphysd.run("kept") is None or None, "the deletion")
    assert lines(tiphysd) == ["one", "two"]
    assert asked(tiphysd, "GET", f"/artifacts-by-uid/{uid}/{node.id}/out") == (200, packed)
