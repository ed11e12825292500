"""`explain`, `events` and `top` against a real server on a real socket: what they print, and with which code they end."""

import json
import re
import threading
import time

import pytest
import yaml

from tests.cli.test_client import daemon, place, terminal  # noqa: F401 (fixtures)
from tests.server.serving import waiting, workflow
from tiphys import app
from tiphys.executors.scripted import Play, Script

SLOW = Script(otherwise=lambda order: Play(seconds=0.3))


def plain(text: str) -> str:
    """A text without times, numbers of events and what depends on who runs the test."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?", "TIME", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"#\d+", "#N", text)
    text = re.sub(r"\(asked by [^)]*\)", "(asked by ME)", text)
    text = re.sub(r"\d+\.\d+(s|%| s)", r"N\1", text)
    text = re.sub(r"\(\d+%\)", "(N%)", text)
    return re.sub(r"\([0-9a-f-]{36}\)", "(UID)", text)


def submit(at, made) -> None:
    at.portal.call(at.server.ask, "POST", "/workflows/default", {"workflow": made})


def test_a_node_that_waits_is_explained(terminal):  # noqa: F811
    submit(terminal, waiting())
    node_id = terminal.portal.call(terminal.server.ask, "GET", "/workflows/default/hello/explain?node=wait")[1]["id"]
    assert plain(terminal.says("explain", "hello", "wait")) == (
        f"Node:      hello[0].wait ({node_id})\n"
        "Workflow:  default/hello\n"
        "Template:  wait\n"
        "Phase:     Running\n"
        "Why:\n"
        "  suspend: it waits until somebody resumes it\n"
        "      changes: somebody resumes it\n"
        "\n"
        "Decided:\n"
        "  TIME  #N  Submitted  it was submitted  -> Running\n"
    )
    assert plain(terminal.says("explain", "@latest", "hello[1].work")) == (
        "Node:      hello[1].work\n"
        "Workflow:  default/hello\n"
        "Template:  work\n"
        "Phase:     it has no node yet\n"
        "Why:\n"
        "  order: it is in group 1 of hello, and group 0 has not ended: hello[0].wait\n"
        "      changes: the end of hello[0].wait\n"
    )
    assert json.loads(terminal.says("explain", "hello", "wait", "-o", "json"))["reasons"][0]["kind"] == "suspend"
    assert yaml.safe_load(terminal.says("explain", "hello", "-o", "yaml"))["counts"] == {"suspend": 1}


@pytest.mark.parametrize("terminal", [SLOW], indirect=True)
def test_a_workflow_is_explained_with_where_its_time_went(terminal):  # noqa: F811
    submit(terminal, waiting())
    assert plain(terminal.says("explain", "hello")) == (
        "Workflow:  default/hello (UID)\n"
        "Phase:     Running\n"
        "\n"
        "Open: 1 suspend\n"
        "  hello[0].wait   Running   waits until somebody resumes it\n"
        "\n"
        "Time: Ns, of which suspended Ns (N%)\n"
        "  overhead N%\n"
        "Critical path:\n"
        "  BEGAN   NODE            RAN    WAITED BEFORE\n"
        "  +Ns   hello[0].wait   Ns   suspended Ns\n"
        "\n"
        "Decided:\n"
        "  TIME  #N  Submitted  it was submitted  -> Running\n"
    )
    terminal.says("resume", "hello")
    terminal.until("hello", "Succeeded")
    out = terminal.says("explain", "hello")
    assert "  ended: it ended Succeeded\n" in out
    assert re.search(r"Time: 0\.\ds, of which running 0\.[34]s \(\d+%\)", out)
    assert "all attempts together ran 0." in out


def test_what_is_not_known_is_an_error_that_helps(terminal):  # noqa: F811
    submit(terminal, waiting())
    out, err = terminal.ends("explain", "hello", "waiit", code=1)
    assert (out, err) == ("", 'tiphys: there is no node "waiit", and nothing that is known will become one; did you mean wait?\n')
    assert terminal.ends("explain", "none", code=1)[1] == 'tiphys: workflows.argoproj.io "none" not found\n'
    assert "not found" in terminal.ends("events", "none", "-f", code=1)[1]


def test_events_one_a_line(terminal):  # noqa: F811
    submit(terminal, waiting())
    terminal.says("suspend", "hello")
    terminal.says("resume", "hello")
    terminal.until("hello", "Succeeded")
    lines = plain(terminal.says("events", "hello")).splitlines()
    assert lines[0].startswith("TIME  #N  Submitted  it was submitted  -> the workflow Running; hello Running")
    assert lines[1] == "TIME  #N  Asked      suspend (asked by ME)  -> the workflow Running"
    assert "hello[0].wait Succeeded" in lines[2]
    assert lines[-1] == (
        "TIME  #N  Exited     hello[1].work, attempt 0: succeeded, exit code 0"
        "  -> the workflow Succeeded; hello[1].work Succeeded; hello[1] Succeeded; hello Succeeded; Finish"
    )
    found = [json.loads(line) for line in terminal.says("events", "hello", "-o", "json").splitlines()]
    assert [one["number"] for one in found] == sorted(one["number"] for one in found)
    assert terminal.says("events", "hello", "-f") == terminal.says("events", "hello")


def test_events_are_followed_over_a_restart_of_the_daemon(place, capsys):  # noqa: F811
    """Nothing is missed and nothing comes twice, though the daemon went away: what was shown is asked for no more."""
    path = place / "api.sock"
    codes = []
    with daemon(path) as (portal, server):
        portal.call(server.ask, "POST", "/workflows/default", {"workflow": waiting("a")})
        thread = threading.Thread(target=lambda: codes.append(app.main(["events", "a", "-f"])))
        thread.start()
        time.sleep(0.7)
    path.unlink()
    time.sleep(0.7)
    with daemon(path) as (portal, server):
        portal.call(server.ask, "POST", "/workflows/default", {"workflow": waiting("a")})  # it knows nothing: the same again
        time.sleep(0.7)
        portal.call(server.ask, "PUT", "/workflows/default/a/resume")
        thread.join(20)
    assert codes == [0]
    out, err = capsys.readouterr()
    assert [line.split()[3] for line in out.splitlines() if " Started " not in line] == ["Submitted", "Asked", "Exited"]
    assert "waiting for it to come back" in err


@pytest.mark.parametrize("terminal", [Script(otherwise=lambda order: Play(seconds=30))], indirect=True)
def test_top_once_and_again(terminal):  # noqa: F811
    submit(terminal, waiting("a"))
    locked = workflow("b", synchronization={"mutexes": [{"name": "only"}]})
    submit(terminal, locked)
    submit(terminal, {**locked, "metadata": {"name": "c"}})
    time.sleep(0.2)
    out = terminal.says("top")
    assert re.match(
        r"Machine:    load [\d.]+ [\d.]+ [\d.]+ on \d+ processors, [\d.]+ of [\d.]+ GiB memory free\n"
        r"Executor:   scripted: 1 place taken, 0 wait\n"
        r"Workflows:  1 Pending, 2 Running\n",
        out,
    )
    table = plain(out.partition("\n\n")[2])
    assert re.sub(r"\b\d+s", "Ns", table) == (
        "RUNNING     NODE   FOR   WHY\n"
        "default/b   b      Ns    running: runs since TIME UTC\n"
        "\n"
        "WAITING     NODE        FOR   WHY\n"
        "default/a   a[0].wait   Ns    suspend: waits until somebody resumes it\n"
        "default/c   -           Ns    lock: waits for the lock default/Mutex/only\n"
    )
    twice = terminal.says("top", "--watch", "--count", "2", "--interval", "0.1", "-o", "json")
    assert len(re.findall(r"^\{", twice, re.MULTILINE)) == 2
    assert "and 1 more; in all 1 lock, 1 running, 1 suspend" in terminal.says("top", "--limit", "1")


CRON = """
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly, namespace: default}
spec:
  schedules: ["0 3 * * *"]
  timezone: Europe/Berlin
  workflowSpec: {entrypoint: main, templates: [{name: main, container: {image: any, command: ["true"]}}]}
"""


def test_a_cron_workflow_is_explained(terminal):  # noqa: F811
    terminal.portal.call(terminal.server.define, CRON)
    name = terminal.says("cron", "run", "nightly", "-o", "name").strip()
    terminal.until(name, "Succeeded")
    assert plain(terminal.says("cron", "explain", "nightly")) == (
        "Cron workflow:  default/nightly\n"
        "Schedules:      0 3 * * * (Europe/Berlin)\n"
        "Workflows:      1 succeeded, 0 failed\n"
        "Why:\n"
        "  cron: when it ticks next is not known\n"
        "\n"
        "Ticks:\n"
        f"  TIME UTC  started {name} (by hand)\n"
    )
    assert "cron: it was started by the cron workflow nightly" in terminal.says("explain", name)
    assert json.loads(terminal.says("cron", "explain", "nightly", "-o", "json"))["succeeded"] == 1
    assert terminal.ends("cron", "explain", "none", code=1)[1] == 'tiphys: cronworkflows.argoproj.io "none" not found\n'
