"""A volume is provisioned, used and cleaned up after: success, a failure on purpose, a step that never ends."""

import itertools
import json
import os
from datetime import datetime

import pytest

from tests.acceptance.house import MANIFESTS, House, holding, nodes, phases
from tests.process.orders import processes, unique_sleep, until

numbers = itertools.count()


def own(house: House, *arguments: str) -> list[str]:
    return [str(MANIFESTS / "volume.yaml"), "-p", f"workdir={house.writable}", "-o", "json", *arguments]


def seconds(node: dict) -> float:
    return (datetime.fromisoformat(node["finishedAt"]) - datetime.fromisoformat(node["startedAt"])).total_seconds()


def left(house: House) -> list[str]:
    return [path.name for path in house.writable.iterdir() if path.name != "counted"]


def test_all_goes_well(house):
    ended = house.run(*own(house))
    assert ended.code == 0, ended.err
    assert phases(ended.workflow)["show"] == "Succeeded"
    assert house.counted() == {"tidy": 1, "work": 1}
    assert left(house) == []


def test_a_failure_on_purpose_is_tried_once_and_cleaned_up_after(house):
    ended = house.run(*own(house, "-p", "fail=yes"))
    assert ended.code == 1
    workflow = ended.workflow
    assert workflow["status"]["phase"] == "Failed"
    assert nodes(workflow)["work(0)"]["outputs"]["exitCode"] == "3"
    assert "work(1)" not in nodes(workflow)
    assert phases(workflow)["show"] == "Omitted"
    assert house.counted() == {"tidy": 1, "work": 1}
    assert left(house) == []
    assert "not as it should be" in ended.err


def test_a_step_that_never_ends_is_ended_with_all_that_it_started(house):
    nap = unique_sleep()
    with house.running(*own(house, "-p", "fail=hang", "-p", f"nap={nap}")) as process:
        assert until(lambda: len(processes(nap)) >= 2)
        assert process.wait(20) == 1
    assert processes(nap) == []
    workflow = json.loads(house.said("out"))
    assert workflow["status"]["phase"] == "Failed"
    assert 2 <= seconds(nodes(workflow)["work(0)"]) <= 4
    assert "work(1)" not in nodes(workflow)
    assert house.counted() == {"tidy": 1, "work": 1}
    assert left(house) == []


class TestShared:
    """The file itself. What it promises of counts is read from its nodes."""

    def ran(self, home: House, folder, fail: str):
        name = f"provision-{os.getpid()}-{next(numbers)}"
        arguments = [str(folder / "provision-and-process.yaml"), "--name", name, "-o", "json"]
        parameters = ["-p", f"workdir={home.writable}", "-p", f"fail={fail}"]
        with home.running(*arguments, *parameters) as process:
            until(lambda: holding(name) or process.poll() is not None)
            code = process.wait(40)
        assert holding(name) == []
        assert left(home) == []
        workflow = json.loads(home.said("out"))
        assert [node["phase"] for node in nodes(workflow).values() if node["templateName"] == "cleanup"] == ["Succeeded"]
        return code, workflow

    def test_no(self, home, shared_files):
        code, workflow = self.ran(home, shared_files, "no")
        assert (code, workflow["status"]["phase"]) == (0, "Succeeded")
        assert phases(workflow)["publish"] == "Succeeded"

    def test_yes(self, home, shared_files):
        code, workflow = self.ran(home, shared_files, "yes")
        assert (code, workflow["status"]["phase"]) == (1, "Failed")
        assert nodes(workflow)["process(0)"]["outputs"]["exitCode"] == "3"
        assert "process(1)" not in nodes(workflow)

    @pytest.mark.slow
    def test_hang(self, home, shared_files):
        code, workflow = self.ran(home, shared_files, "hang")
        assert (code, workflow["status"]["phase"]) == (1, "Failed")
        assert 5 <= seconds(nodes(workflow)["process(0)"]) <= 7
        assert "process(1)" not in nodes(workflow)
