"""Daemons, containerSets and sidecars from the command line to the tree, also across the death of the run."""

import dataclasses
import socket
import time
from pathlib import Path

import pytest

from tests.acceptance.house import House, holding

MANIFEST = Path(__file__).parent / "manifests" / "pods.yaml"


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """The workflow, with a port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    made = tmp_path / "pods.yaml"
    made.write_text(MANIFEST.read_text().replace("PORT", str(port)))
    return str(made)


def phases(workflow: dict) -> dict[str, str]:
    return {node["displayName"]: node["phase"] for node in workflow["status"]["nodes"].values()}


def test_a_daemon_serves_its_clients_and_goes_with_its_steps(house: House, manifest: str) -> None:
    ended = house.run(manifest, "--state", str(house.state), "-o", "json")
    assert ended.code == 0, ended.err
    assert set(phases(ended.workflow).values()) == {"Succeeded"}
    nodes = {node["displayName"]: node for node in ended.workflow["status"]["nodes"].values()}
    assert (nodes["server(0)"]["daemoned"], nodes["server(0)"]["podIP"]) == (True, "127.0.0.1")
    assert (nodes["second"]["type"], nodes["second"]["boundaryID"]) == ("Container", nodes["set(0)"]["id"])
    assert nodes["server(0)"]["finishedAt"] >= nodes["client"]["finishedAt"]
    assert not holding("pods")


def test_a_run_that_is_killed_goes_on_with_a_new_daemon_and_a_new_pod(house: House, manifest: str) -> None:
    with house.running(manifest, "--state", str(house.state)) as process:
        deadline = time.monotonic() + 30
        while "Running    first" not in house.said("out") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    while holding("pods") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not holding("pods"), "something outlived the run"
    ended = house.run(manifest, "--state", str(house.state), "-o", "json")
    assert ended.code == 0, ended.err
    found = phases(ended.workflow)
    assert (found["server(0)"], found["server(1)"]) == ("Error", "Succeeded")
    assert (found["set(0)"], found["set(1)"]) == ("Error", "Succeeded")


def test_more_daemons_than_slots_leave_room_for_their_clients(home: House) -> None:
    steps = "[[{name: d, template: d, withSequence: {count: '5'}}], [{name: c, template: c, withSequence: {count: '5'}}]]"
    file = home.top / "many.yaml"
    file.write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: many}\nspec:\n  entrypoint: main\n  templates:\n"
        f"  - {{name: main, steps: {steps}}}\n"
        "  - {name: d, daemon: true, container: {image: x, command: [sleep, '600']}}\n"
        "  - {name: c, container: {image: x, command: ['true']}}\n"
    )
    there = dataclasses.replace(home, settings={"process": {"parallelism": 2}})
    assert there.run(str(file)).code == 0
    assert not holding("many")
