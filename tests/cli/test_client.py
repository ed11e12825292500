"""The commands that ask a daemon, against a real server on a real socket: what they print, and with which code they end."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from anyio.from_thread import start_blocking_portal

from tests.server.serving import served, waiting, workflow
from tests.server.test_workflows import TEMPLATES
from tiphys import app
from tiphys.executors.scripted import Play, Script

ERRORS = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: hello-}
spec:
  entrypoint: mian
  templates:
    - name: main
      container: {image: any, command: ["true"]}
"""


class Terminal:
    """Types commands, reads what they say."""

    def __init__(self, portal, server, capsys) -> None:
        self.portal = portal
        self.server = server
        self._capsys = capsys

    def says(self, *typed, code=0) -> str:
        """What a command prints that ends with this code."""
        out, err = self.ends(*typed, code=code)
        assert not err or code, err
        return out

    def ends(self, *typed, code) -> tuple[str, str]:
        """What a command prints on standard output and standard error."""
        found = app.main(typed)
        out, err = self._capsys.readouterr()
        assert found == code, (out, err)
        return out, err

    def until(self, name, phase) -> None:
        """Wait for a phase."""
        self.portal.call(self.server.until, f"/workflows/default/{name}", phase)


@contextmanager
def daemon(path, script=None, **settings):
    """A server in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served(path, script, **settings)) as server:
        yield portal, server


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TIPHYS_SOCKET", str(tmp_path / "api.sock"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TIPHYS_CONFIG", raising=False)
    monkeypatch.delenv("ARGO_NAMESPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def terminal(place, capsys, request):
    script = getattr(request, "param", None)
    with daemon(place / "api.sock", script) as (portal, server):
        yield Terminal(portal, server, capsys)


def file(place, content, name="wf.yaml") -> str:
    path = place / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_submit_wait_list_and_get(terminal, place):
    assert terminal.says("submit", file(place, workflow()), "-o", "name") == "hello\n"
    out = terminal.says("wait", "hello")
    assert re.fullmatch(r"hello Succeeded at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n", out)
    out = terminal.says("list")
    assert re.fullmatch(r"NAME    STATUS      AGE   DURATION   PRIORITY   MESSAGE\nhello   Succeeded   \ds    \ds         0\n", out)
    out = terminal.says("get", "@latest")
    assert out.startswith("Name:                hello\nNamespace:           default\n")
    assert " ✔ hello  main" in out
    assert terminal.says("get", "hello", "-o", "name") == "hello\n"
    assert json.loads(terminal.says("get", "hello", "-o", "json"))["status"]["phase"] == "Succeeded"
    assert yaml.safe_load(terminal.says("get", "hello", "-o", "yaml"))["status"]["phase"] == "Succeeded"
    assert "NODENAME" in terminal.says("get", "hello", "-o", "wide")


def test_lists_are_chosen_and_formed(terminal, place):
    for name, colour in (("a", "red"), ("b", "blue")):
        terminal.says("submit", file(place, workflow()), "--name", name, "-l", f"colour={colour}", "--priority", "7", "-p", "x=1")
        terminal.until(name, "Succeeded")
    terminal.says("submit", file(place, waiting("c")), "-n", "other")

    def names(*typed):
        return terminal.says("list", "-o", "name", *typed).split()

    assert names() == ["b", "a"]
    assert names("-A") == ["c", "b", "a"]
    assert names("-l", "colour=red") == ["a"]
    assert names("-l", " ") == ["b", "a"]
    _, err = terminal.ends("list", "-l", "==", code=2)
    assert err == "tiphys: label selector '==': column 1: found '==', expected a label's name\n"
    assert names("-A", "--running") == ["c"]
    assert names("-A", "--completed") == ["b", "a"]
    assert names("-A", "--status", "Running,Pending") == ["c"]
    assert names("--prefix", "a") == ["a"]
    assert names("--field-selector", "metadata.name=b") == ["b"]
    assert names("--since", "1h", "--chunk-size", "1") == ["b", "a"]
    assert names("--older", "1h") == []
    assert names("-n", "other") == ["c"]
    assert [item["metadata"]["name"] for item in json.loads(terminal.says("list", "-o", "json"))] == ["b", "a"]
    wide = terminal.says("list", "-o", "wide", "--no-headers", "-A").splitlines()
    assert re.fullmatch(r"other +c +Running \(Suspended\) +\ds +\ds +0 +0/0/0", wide[0])
    assert wide[2].split()[-2:] == ["0/0/1", "x=1"]
    assert terminal.says("list", "-n", "nowhere") == "No workflows found\n"
    assert terminal.says("list", "-n", "nowhere", "-o", "json") == "[]\n"
    assert terminal.ends("list", "--status", "Asleep", code=2)[1].startswith("tiphys: there is no status 'Asleep'; there are")
    assert terminal.ends("list", "--older", "soon", code=2)[1].startswith("tiphys: --older is 'soon'")
    assert "column 3" in terminal.ends("list", "-l", "a b", code=2)[1]


def test_what_is_wrong_with_a_file_has_its_place(terminal, place):
    _, err = terminal.ends("submit", file(place, ERRORS), code=2)
    assert "wf.yaml:6:" in err
    assert "mian" in err
    assert "no such file" in terminal.ends("submit", "absent.yaml", code=2)[1].lower()
    assert "no Workflow found" in terminal.ends("submit", file(place, TEMPLATES), code=2)[1]
    assert "what is to be submitted" in terminal.ends("submit", code=2)[1]
    missing = workflow(workflowTemplateRef={"name": "absent"}, templates=None, entrypoint="")
    _, err = terminal.ends("submit", file(place, missing), code=1)
    assert "absent" in err


def test_submit_changes_what_it_is_told_to(terminal, place):
    path = file(place, workflow("a"))
    out = terminal.says("submit", path, "--dry-run", "--generate-name", "b-", "-l", "x=y", "-p", "n=v=w", "-o", "json")
    found = json.loads(out)
    assert found["metadata"] == {"generateName": "b-", "labels": {"x": "y"}}
    assert found["spec"]["arguments"]["parameters"] == [{"name": "n", "value": "v=w"}]
    parameters = file(place, "x: 1\nm: [2]\n", "params.yaml")
    found = json.loads(terminal.says("submit", path, "--server-dry-run", "-f", parameters, "-p", "x=3", "-o", "json"))
    assert found["spec"]["arguments"]["parameters"] == [{"name": "x", "value": "3"}, {"name": "m", "value": "[2]"}]
    assert terminal.says("list") == "No workflows found\n"
    assert terminal.says("submit", path, "-o", "name") == "a\n"
    assert terminal.ends("submit", path, code=1)[1] == 'tiphys: workflows.argoproj.io "a" already exists\n'
    assert "NAME=VALUE" in terminal.ends("submit", path, "-p", "x", code=2)[1]


def test_templates_come_along_with_their_workflow(terminal, place):
    text = TEMPLATES.split("---")[0] + "\n---\n" + yaml.safe_dump(workflow("a", workflowTemplateRef={"name": "greet"}, templates=None))
    assert terminal.says("submit", file(place, text), "-o", "name", "--wait").startswith("a\na Succeeded at ")


def test_submit_from_what_is_in_force(terminal):
    terminal.portal.call(terminal.server.define, TEMPLATES)
    out = terminal.says("submit", "--from", "workflowtemplate/greet", "-p", "who=me", "--name", "a", "-o", "name", "-w")
    assert out.startswith("a\na Succeeded at ")
    assert "who:" in terminal.says("get", "a")
    assert terminal.says("submit", "--from", "cwft/everywhere", "-o", "name").startswith("everywhere-")
    assert terminal.ends("submit", "--from", "wftmpl/absent", code=1)[1] == 'tiphys: workflowtemplates.argoproj.io "absent" not found\n'
    assert "KIND/NAME" in terminal.ends("submit", "--from", "absent", code=2)[1]


@pytest.mark.parametrize("terminal", [Script({"main": Play(exit_code=1)})], indirect=True)
def test_a_failure_is_the_exit_code(terminal, place):
    assert "hello Failed at" in terminal.says("submit", file(place, workflow()), "--wait", code=1)
    assert "hello Failed at" in terminal.says("wait", "hello", code=1)
    assert terminal.ends("wait", "absent", code=1)[1] == 'tiphys: workflows.argoproj.io "absent" not found\n'
    assert terminal.says("wait", "absent", "--ignore-not-found") == ""


def test_suspend_resume_and_what_is_refused(terminal, place):
    terminal.says("submit", file(place, waiting("a")))
    terminal.says("submit", file(place, waiting("b")))
    assert terminal.says("list", "--no-headers").count("Running (Suspended)") == 2  # each at its suspend node
    assert terminal.says("suspend", "a", "b") == "workflow a suspended\nworkflow b suspended\n"
    assert "Running (Suspended)" in terminal.says("list")
    assert terminal.says("resume", "@latest") == "workflow b resumed\n"
    assert terminal.says("resume", "a", "--node-field-selector", "displayName=wait") == "workflow a resumed\n"
    terminal.until("b", "Succeeded")
    out, err = terminal.ends("suspend", "b", "absent", "a", code=1)
    assert out == "workflow a suspended\n"
    assert err == 'tiphys: cannot suspend completed workflows\ntiphys: workflows.argoproj.io "absent" not found\n'


@pytest.mark.parametrize("terminal", [Script({"main": Play(seconds=60)})], indirect=True)
def test_stop_terminate_and_delete(terminal, place):
    for name in "abc":
        terminal.says("submit", file(place, workflow(name)))
    assert terminal.says("stop", "a", "-m", "enough") == "workflow a stopped\n"
    assert terminal.says("terminate", "b") == "workflow b terminated\n"
    terminal.until("a", "Failed")
    terminal.until("b", "Failed")
    assert terminal.says("delete", "--completed", "--dry-run").count("deleted (dry-run)") == 2
    assert terminal.says("delete", "a") == "Workflow 'a' deleted\n"
    assert terminal.says("delete", "--completed") == "Workflow 'b' deleted\n"
    assert terminal.says("delete", "--completed") == "No resources found\n"
    assert "which workflow?" in terminal.ends("delete", code=2)[1]


@pytest.mark.parametrize("terminal", [Script({"main": [Play(exit_code=1), Play()]})], indirect=True)
def test_one_name_that_is_not_there_hides_no_other(terminal, place):
    terminal.says("submit", file(place, workflow()), "--wait", code=1)
    out, err = terminal.ends("get", "nosuch", "hello", "-o", "name", code=1)
    assert (out, err) == ("hello\n", 'tiphys: workflows.argoproj.io "nosuch" not found\n')


@pytest.mark.parametrize("terminal", [Script({"main": [Play(exit_code=1), Play()]})], indirect=True)
def test_retry_and_resubmit(terminal, place):
    terminal.says("submit", file(place, workflow()), "--wait", code=1)
    assert terminal.says("retry", "hello", "--wait", "-o", "name").startswith("hello\nhello Succeeded at ")
    out = terminal.says("resubmit", "hello", "-o", "name")
    assert re.fullmatch(r"hello-\w{5}\n", out)
    assert terminal.says("list", "--resubmitted", "-o", "name") == out


def test_node_set_gives_outputs(terminal, place):
    body = waiting("a")
    body["spec"]["templates"][1]["outputs"] = {"parameters": [{"name": "said", "valueFrom": {"supplied": {}}}]}
    terminal.says("submit", file(place, body))
    typed = ("node", "set", "a", "--node-field-selector", "displayName=wait", "-p", "said=yes", "--phase", "Succeeded", "-m", "ok")
    assert terminal.says(*typed) == "workflow values set\n"
    terminal.until("a", "Succeeded")


@pytest.mark.parametrize("terminal", [Script({"main": Play(log="one\ntwo\n", seconds=0.2)})], indirect=True)
def test_logs_are_followed(terminal, place):
    assert terminal.says("submit", file(place, workflow()), "-o", "name", "--log").startswith(
        "hello\nhello: one\nhello: two\nhello Succeeded"
    )
    assert terminal.says("logs", "hello") == "hello: one\nhello: two\n"
    assert terminal.says("logs", "@latest", "hello", "-f", "--tail", "1") == "hello: two\n"
    assert terminal.says("logs", "hello", "--grep", "^o") == "hello: one\n"
    assert terminal.ends("logs", "hello", "absent", code=1)[1] == 'tiphys: pods "absent" not found\n'


@pytest.mark.parametrize("terminal", [Script({"main": Play(seconds=0.3)})], indirect=True)
def test_a_watch_ends_with_the_workflow(terminal, place):
    out = terminal.says("submit", file(place, workflow()), "--watch")
    assert re.search(r"^\d\d:\d\d:\d\d  ●  Running    hello", out, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d  ✔  Succeeded  hello", out, re.MULTILINE)
    assert "Status:              Succeeded" in out
    assert "✔ hello" in terminal.says("watch", "@latest")


def test_definitions_are_shown_and_a_cron_workflow_runs(terminal):
    assert terminal.says("cron", "list") == "No cron workflows found\n"
    terminal.portal.call(terminal.server.define, TEMPLATES)
    lines = terminal.says("cron", "list", "-A").splitlines()
    assert lines[0].split("   ")[0] == "NAMESPACE"
    assert re.fullmatch(r"default +nightly +\ds +N/A +N/A +0 3 \* \* \* +false", lines[1])
    out = terminal.says("cron", "get", "nightly")
    assert out.startswith("Name:                          nightly\nNamespace:                     default\nCreated:  ")
    assert "Schedules:                     0 3 * * *\nSuspended:                     false\n" in out
    assert json.loads(terminal.says("cron", "get", "nightly", "-o", "json"))["kind"] == "CronWorkflow"
    name = terminal.says("cron", "run", "nightly", "-o", "name").strip()
    assert terminal.says("wait", name).startswith(f"{name} Succeeded at ")
    assert terminal.ends("cron", "run", "absent", code=1)[1] == 'tiphys: cronworkflows.argoproj.io "absent" not found\n'
    assert terminal.says("template", "list") == "NAME\ngreet\n"
    assert terminal.says("template", "get", "greet").startswith("Name:                greet\nNamespace:           default\n")
    assert terminal.says("cluster-template", "list", "-o", "name") == "everywhere\n"
    assert yaml.safe_load(terminal.says("cluster-template", "get", "everywhere", "-o", "yaml"))["spec"]["entrypoint"] == "main"


def test_the_archive_is_shown(terminal, place):
    assert terminal.says("archive", "list") == "No workflows found\n"
    terminal.says("submit", file(place, workflow()), "--wait")
    terminal.says("delete", "hello")
    for _ in range(100):
        out = terminal.says("archive", "list")
        if "hello" in out:
            break
        time.sleep(0.02)
    assert re.search(r"^default +hello +Succeeded +\ds +\ds +[-0-9a-f]{36}$", out, re.MULTILINE)
    assert "✔ hello" in terminal.says("archive", "get", "hello")
    assert terminal.says("archive", "delete", "hello").endswith("Archived workflow 'hello' deleted\n")
    assert terminal.ends("archive", "get", "hello", code=1)[1] == 'tiphys: workflows.argoproj.io "hello" not found\n'


def test_version_and_health(terminal):
    assert terminal.says("health") == "ok\n"
    assert "tiphysd: 1.2.3\n" in terminal.says("version")
    assert terminal.says("version", "--short").count("\n") == 1


def test_a_daemon_that_recovers_says_so(place, capsys):
    with daemon(place / "api.sock", recovered=False) as (portal, server):
        out, _ = Terminal(portal, server, capsys).ends("health", code=1)
        assert out == "recovering\n"


def test_bad_usage_is_told_before_the_daemon_is_asked(place, capsys):
    for typed, said in (
        (("logs", ""), "a name is empty"),
        (("retry", "hello", "-p", "x"), "expected parameter of the form: NAME=VALUE. Received: x"),
        (("resubmit", "hello", "-p", "x"), "expected parameter of the form: NAME=VALUE. Received: x"),
        (("list", "-o", "xml"), "'xml' is not one of 'json', 'yaml', 'name', 'wide'"),
    ):
        assert app.main(typed) == 2
        assert said in capsys.readouterr().err


def test_no_daemon_is_told_from_no_permission(place, capsys):
    assert app.main(["list"]) == 1
    assert capsys.readouterr().err == f"tiphys: no daemon answers at {place}/api.sock: is tiphysd running?\n"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "dead.sock"))
    assert app.main(["list", "--socket", str(place / "dead.sock")]) == 1
    assert "is tiphysd running?" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize(
    ("mode", "said"), [(0o660, "only its owner and members of the group root may"), (0o600, "only its owner may; the daemon's setting")]
)
def test_who_may_not_use_the_socket_is_told_who_may(mode, said):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        with daemon(folder / "api.sock"):
            (folder / "api.sock").chmod(mode)
            # As root first: the interpreter's own files may be closed to others.
            twice = "assert app.main(['list']) == 0; os.setgid(65534); os.setuid(65534); sys.exit(app.main(['list', '--socket', where]))"
            environ = {**os.environ, "HOME": name, "XDG_CONFIG_HOME": name, "TIPHYS_SOCKET": str(folder / "api.sock")}
            command = [sys.executable, "-c", f"import os, sys; from tiphys import app; where = os.environ['TIPHYS_SOCKET']; {twice}"]
            made = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert said in made.stderr


def test_wait_outlives_a_restart_of_the_daemon(place, capsys):
    """The daemon goes while somebody waits; another with the same run comes, and the wait ends right."""
    path = place / "api.sock"
    codes = []
    with daemon(path) as (portal, server):
        portal.call(server.ask, "POST", "/workflows/default", {"workflow": waiting("a")})
        thread = threading.Thread(target=lambda: codes.append(app.main(["wait", "a"])))
        thread.start()
        time.sleep(0.5)
    path.unlink()
    time.sleep(0.7)
    with daemon(path, Script()) as (portal, server):
        body = workflow("a")
        portal.call(server.ask, "POST", "/workflows/default", {"workflow": body})
        thread.join(10)
    assert codes == [0]
    out, err = capsys.readouterr()
    assert out.startswith("a Succeeded at ")
    assert err.count("waiting for it to come back") >= 1


def test_the_command_line_starts_without_what_it_does_not_need():
    wanted = "{'aiohttp', 'rich', 'anyio', 'http.client'} & set(sys.modules)"
    code = f"import sys; from tiphys.cli import commands; print(sorted({wanted}))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout == "[]\n"
