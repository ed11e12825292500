"""The examples do what they say, run as a newcomer runs them."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def run(project: Path, state: Path, example: str, *arguments: str) -> tuple[int, dict[str, object], str]:
    """Exit code, the final workflow and what was told of an example."""
    done = subprocess.run(
        [sys.executable, "-m", "tiphys", "run", f"examples/{example}.yaml", "-o", "json", "--log", *arguments],
        cwd=project,
        env={**os.environ, "STATE_DIRECTORY": str(state), "PYTHONPATH": str(project / "daemon")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def phases(workflow: dict) -> dict[str, str]:
    return {node["displayName"]: node["phase"] for node in workflow["status"]["nodes"].values()}


def test_fan_out_runs_a_script_per_item_gathers_and_says_goodbye(project: Path, tmp_path: Path) -> None:
    code, workflow, told = run(project, tmp_path, "fan-out", "-p", "stations=3")
    assert code == 0
    assert sum(name.startswith("measure(") for name in phases(workflow)) == 3
    assert workflow["status"]["outputs"]["parameters"][0]["value"] == "3 of 3"
    assert "report: station-2     15.1 ###############\n" in told
    assert re.search(r"onExit: fan-out-\w+ ended: Succeeded\n", told)


def test_files_move_from_step_to_step(project: Path, tmp_path: Path) -> None:
    code, _, told = run(project, tmp_path, "files")
    assert code == 0
    assert "show: 7 words, the longest is helmsman\n" in told


@pytest.mark.parametrize(("coin", "line"), [("heads", "heads: HEADS it is\n"), ("tails", "tails: the other side\n")])
def test_branches_go_one_way_or_the_other_and_a_failure_is_handled(project: Path, tmp_path: Path, coin: str, line: str) -> None:
    code, workflow, told = run(project, tmp_path, "branches", "-p", f"coin={coin}")
    assert code == 0
    assert line in told
    assert phases(workflow)["risky"] == "Failed"
    assert phases(workflow)["celebrate"] == "Omitted"
    assert phases(workflow)["home"] == "Succeeded"


def test_a_library_of_templates_a_map_and_a_secret(project: Path, tmp_path: Path) -> None:
    code, workflow, told = run(project, tmp_path, "library")
    assert code == 0
    assert "greet(1:Jason): Good morning, Jason\n" in told
    assert "open-door: the code has 12 characters\n" in told
    assert "made-up-4711" not in json.dumps(workflow) + told


def test_a_schedule_is_run_once_one_item_at_a_time(project: Path, tmp_path: Path) -> None:
    code, workflow, _ = run(project, tmp_path, "nightly")
    assert code == 0
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "nightly"
    assert [name for name in phases(workflow) if name.startswith("day(")] == ["day(0:day-01)", "day(1:day-02)", "day(2:day-03)"]


def test_what_fails_is_tried_again(project: Path, tmp_path: Path) -> None:
    code, workflow, told = run(project, tmp_path, "retries", "-p", "works-at=1")
    assert code == 0
    assert [node["phase"] for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"] == ["Failed", "Succeeded"]
    assert "attempt 1\n" in told


def test_work_that_takes_too_long_is_ended_and_cleaned_up_after(project: Path, tmp_path: Path) -> None:
    code, workflow, told = run(project, tmp_path, "cleanup")
    assert code == 1
    assert workflow["status"]["phase"] == "Failed"
    assert phases(workflow)["alarm"] == "Succeeded"
    assert re.search(r"alarm: cleanup-\w+ ended Failed after \d", told)


def test_a_crew_works_together(project: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    code, workflow, told = run(project, tmp_path, "crew", "-p", f"port={port}")
    assert code == 0
    assert "sail: the harbour answers 200\n" in told
    assert "voyage: rowed\n" in told
    voyage = next(node for node in workflow["status"]["nodes"].values() if node["displayName"] == "voyage")
    assert voyage["progress"] == "2/2"
    assert set(phases(workflow).values()) == {"Succeeded"}
