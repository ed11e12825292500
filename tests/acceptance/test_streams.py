"""Exit codes, and what goes to which stream."""

import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from tests.acceptance.house import MANIFESTS, phases
from tests.process.orders import processes, unique_sleep, until

ROW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: row}
spec:
  entrypoint: main
  arguments: {parameters: [{name: code, value: "0"}, {name: nap, value: "0"}]}
  templates:
    - name: main
      container:
        image: alpine:3.20
        command: [sh, -c]
        args: ["echo splash; sleep {{workflow.parameters.nap}}; exit {{workflow.parameters.code}}"]
"""
FLEET = str(MANIFESTS / "fleet.yaml")


@pytest.fixture
def row(home) -> str:
    file = home.top / "row.yaml"
    file.write_text(ROW, encoding="utf-8")
    return str(file)


def test_success_is_0_and_its_tree_is_on_standard_output(home, row):
    ended = home.run(row)
    assert ended.code == 0
    assert "✔ row Succeeded in" in ended.out
    assert ended.err == ""


def test_failure_is_1_and_tells_the_step_its_message_its_last_lines_and_the_way_on(home, row):
    ended = home.run(row, "-p", "code=7")
    assert ended.code == 1
    for part in ("✖ row Failed", "Error (exit code 7)", "│ splash", "to go on from what failed: tiphys run"):
        assert part in ended.out
    log = next(line.split(maxsplit=1)[1] for line in ended.out.splitlines() if line.strip().startswith("log "))
    assert Path(log).read_text(encoding="utf-8") == "splash\n"


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_workflow_is_all_that_standard_output_holds_when_it_was_asked_for(home, row, form, read, code):
    ended = home.run(row, "-o", form, "--log", "-p", f"code={code}")
    assert ended.code == code
    workflow = read(ended.out)
    assert workflow["kind"] == "Workflow"
    assert workflow["status"]["phase"] == ("Failed" if code else "Succeeded")
    assert "row: splash\n" in ended.err
    assert "row Failed in" in ended.err if code else "row Succeeded in" in ended.err


def test_the_name_and_the_wide_tree(home, row):
    ended = home.run(row, "-o", "name")
    assert (ended.code, ended.out) == (0, "row\n")
    ended = home.run(row, "-o", "wide")
    assert ended.code == 0
    assert ended.out.startswith("Name:")
    assert "STEP" in ended.out


def test_standard_input_is_a_file_too(home):
    ended = home.run("-", "-o", "json", stdin=ROW)
    assert ended.code == 0
    assert ended.workflow["metadata"]["name"] == "row"


def test_several_workflows_of_a_file_all_run_and_are_a_list(home):
    ended = home.run(FLEET, "-o", "json")
    assert ended.code == 0, ended.err
    assert [(one["metadata"]["name"], one["status"]["phase"]) for one in ended.workflow] == [("argo", "Succeeded"), ("pinta", "Succeeded")]
    assert home.run(FLEET, "-o", "name").out == "argo\npinta\n"


def test_one_failure_among_several_is_1(home):
    ended = home.run(FLEET, "-o", "json", "-p", "also=3")
    assert ended.code == 1
    assert [phases(one)[one["metadata"]["name"]] for one in ended.workflow] == ["Succeeded", "Failed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["nowhere.yaml"],
        [],
        ["row.yaml", "-p", "without-a-value"],
        ["row.yaml", "-f", "nowhere.yaml"],
        ["row.yaml", "--entrypoint", "nowhere"],
        ["row.yaml", "--config", "nowhere.yaml"],
        ["row.yaml", "-o", "xml"],
        [FLEET, "--name", "both"],
        ["row.yaml", "--retry"],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]) or "nothing",
)
def test_what_cannot_be_asked_for_is_2_and_says_why_on_standard_error(home, row, arguments):
    ended = home.run(*arguments)
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert ended.err
    assert "Traceback" not in ended.err


def test_a_state_that_cannot_be_read_is_78(home, row):
    home.state.mkdir()
    (home.state / "journal.db").write_bytes(os.urandom(8192))
    ended = home.run(row, "--state", str(home.state))
    assert (ended.code, ended.out) == (78, "")
    assert "journal" in ended.err
    assert "Traceback" not in ended.err


def test_a_state_that_another_run_uses_is_78(home, row):
    nap = unique_sleep()
    with home.running(row, "--state", str(home.state), "-p", f"nap={nap}"):
        assert until(lambda: processes(nap))
        ended = home.run(row, "--state", str(home.state))
        assert (ended.code, ended.out) == (78, "")
    assert until(lambda: not processes(nap))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_130_and_still_prints_the_workflow(home, row, number):
    nap = unique_sleep()
    with home.running(row, "-o", "json", "-p", f"nap={nap}") as process:
        assert until(lambda: processes(nap))
        process.send_signal(number)
        assert process.wait(20) == 130
    assert json.loads(home.said("out"))["status"]["phase"] == "Failed"


def test_lint_is_0_or_2(home, row):
    good, bad = home.tiphys("lint", row), home.tiphys("lint", row, "nowhere.yaml")
    assert (good.code, bad.code) == (0, 2)
    assert "no linting errors found" in good.out
    assert "nowhere.yaml" in bad.err
