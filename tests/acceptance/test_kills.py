"""Whatever is killed while a step runs, nothing leaks, and the run goes on and ends right."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.house import MANIFESTS, House, nodes, parent, phases
from tests.process.orders import processes, unique_sleep, until

ALL_ONCE = {"first": 1, "home": 1, "second": 1, "third": 1}
FEW_SECONDS = 5.0


def voyage(house: House, policy: str = "OnError", **parameters: str) -> list[str]:
    """Arguments of a run of the voyage, whose state is kept in `house.state`."""
    file = house.top / "voyage.yaml"
    file.write_text((MANIFESTS / "voyage.yaml").read_text(encoding="utf-8").replace("OnError", policy), encoding="utf-8")
    flags = [flag for name, value in {"dir": str(house.writable), **parameters}.items() for flag in ("-p", f"{name}={value}")]
    return [str(file), "-o", "json", "--state", str(house.state), *flags]


@contextlib.contextmanager
def held(house: House, nap: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of the step that is held, whose two processes are seen."""
    with house.running(*arguments) as process:
        assert until(lambda: len(processes(nap)) >= 2), house.said()
        assert house.launchers()
        yield process


def launcher(house: House) -> int:
    """The launcher itself: the one that is no other's parent."""
    found = house.launchers()
    return next(pid for pid in found if pid not in {parent(other) for other in found})


def nothing_leaks(house: House, nap: str) -> None:
    assert until(lambda: not processes(nap) and not house.launchers(), FEW_SECONDS)
    assert str(house.top) not in Path("/proc/self/mounts").read_text()


def test_a_killed_run_leaves_nothing_and_goes_on_with_the_step_that_was_cut_off(house):
    nap = unique_sleep()
    arguments = voyage(house, hold="second", nap=nap)
    with held(house, nap, *arguments) as process:
        process.kill()
        process.wait()
        nothing_leaks(house, nap)
    assert house.counted() == {"first": 1, "second": 1}
    ended = house.run(*arguments)
    assert ended.code == 0, ended.err
    workflow = ended.workflow
    assert workflow["status"]["phase"] == "Succeeded"
    assert phases(workflow)["second(0)"] == "Error"
    assert "interrupted" in nodes(workflow)["second(0)"]["message"]
    assert phases(workflow)["second(1)"] == "Succeeded"
    assert house.counted() == ALL_ONCE | {"second": 2}


def test_a_policy_that_takes_in_errors_retries_it_and_one_that_does_not_fails(home):
    for policy, code, counts in (("Always", 0, ALL_ONCE | {"second": 2}), ("OnFailure", 1, {"first": 1, "home": 1, "second": 1})):
        place = House(top=home.top / policy)
        place.top.mkdir()
        nap = unique_sleep()
        arguments = voyage(place, policy, hold="second", nap=nap)
        with held(place, nap, *arguments) as process:
            process.kill()
        nothing_leaks(place, nap)
        ended = place.run(*arguments)
        assert (ended.code, place.counted()) == (code, counts)


def test_a_step_without_a_retry_strategy_that_was_cut_off_is_an_error_and_the_exit_handler_runs(home):
    nap = unique_sleep()
    arguments = voyage(home, hold="first", nap=nap)
    with held(home, nap, *arguments) as process:
        process.kill()
    nothing_leaks(home, nap)
    ended = home.run(*arguments)
    assert ended.code == 1
    assert phases(ended.workflow)["first"] == "Error"
    assert home.counted() == {"first": 1, "home": 1}


def test_an_exit_handler_that_was_cut_off_runs_again(house):
    nap = unique_sleep()
    arguments = voyage(house, hold="home", nap=nap)
    with held(house, nap, *arguments) as process:
        process.kill()
        process.wait()
        nothing_leaks(house, nap)
    assert house.counted() == ALL_ONCE
    ended = house.run(*arguments)
    assert ended.code == 0, ended.err
    assert ended.workflow["status"]["phase"] == "Succeeded"
    assert house.counted() == ALL_ONCE | {"home": 2}


def test_a_run_that_has_ended_only_tells_again_what_came_out(home):
    arguments = voyage(home)
    first, second = home.run(*arguments), home.run(*arguments)
    assert (first.code, second.code) == (0, 0)
    assert second.workflow == first.workflow
    assert home.counted() == ALL_ONCE


def test_a_run_whose_launcher_is_killed_goes_on_by_itself(house):
    nap = unique_sleep()
    with held(house, nap, *voyage(house, hold="second", nap=nap)) as process:
        os.kill(launcher(house), signal.SIGKILL)
        assert process.wait(30) == 0, house.said()
    nothing_leaks(house, nap)
    workflow = json.loads(house.said("out"))
    assert phases(workflow)["second(0)"] == "Error"
    assert phases(workflow)["second(1)"] == "Succeeded"
    assert house.counted() == ALL_ONCE | {"second": 2}


def test_an_exit_handler_whose_launcher_is_killed_runs_again(house):
    nap = unique_sleep()
    with held(house, nap, *voyage(house, hold="home", nap=nap)) as process:
        os.kill(launcher(house), signal.SIGKILL)
        assert process.wait(30) == 0, house.said()
    nothing_leaks(house, nap)
    assert house.counted() == ALL_ONCE | {"home": 2}


def test_run_and_launcher_killed_together_leave_nothing_and_the_run_goes_on(house):
    nap = unique_sleep()
    arguments = voyage(house, hold="second", nap=nap)
    with held(house, nap, *arguments) as process:
        own = launcher(house)
        os.kill(own, signal.SIGKILL)
        process.kill()
        process.wait()
        nothing_leaks(house, nap)
    ended = house.run(*arguments)
    assert ended.code == 0, ended.err
    assert phases(ended.workflow)["second(0)"] == "Error"
    assert house.counted() == ALL_ONCE | {"second": 2}


def test_all_of_them_killed_at_once_leave_nothing_in_isolation_and_nothing_anywhere_once_the_run_goes_on(house):
    nap = unique_sleep()
    arguments = voyage(house, hold="second", nap=nap)
    with held(house, nap, *arguments) as process:
        for pid in [*house.launchers(), process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.wait()
        if house.isolation == "full":
            assert until(lambda: not processes(nap), FEW_SECONDS)
    ended = house.run(*arguments)
    assert ended.code == 0, ended.err
    nothing_leaks(house, nap)
    assert house.counted() == ALL_ONCE | {"second": 2}


@pytest.mark.parametrize("seconds", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_a_run_that_is_killed_at_any_moment_goes_on_and_ends_right(home, seconds):
    arguments = voyage(home, policy="Always")
    with home.running(*arguments) as process:
        time.sleep(seconds)
        process.kill()
    ended = home.run(*arguments)
    again = home.counted()
    workflow = ended.workflow
    # `first` and `third` have no retryStrategy: one that was cut off fails the run, as a lost pod does.
    cut = [name for name, node in nodes(workflow, "Pod").items() if "interrupted" in node.get("message", "")]
    if {"first", "third"} & set(cut):
        assert ended.code == 1
    else:
        assert ended.code == 0, ended.err
        assert again.keys() == ALL_ONCE.keys()
    assert again["home"] >= 1
    assert all(times <= 2 for times in again.values())
    assert until(lambda: not home.launchers(), FEW_SECONDS)


def test_an_interrupt_ends_the_step_runs_the_exit_handler_and_says_130(house):
    nap = unique_sleep()
    with held(house, nap, *voyage(house, hold="second", nap=nap)) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    nothing_leaks(house, nap)
    workflow = json.loads(house.said("out"))
    assert workflow["status"]["phase"] == "Failed"
    assert house.counted() == {"first": 1, "home": 1, "second": 1}
    assert "third" not in phases(workflow)


def test_a_second_interrupt_terminates_at_once_a_step_that_does_not_hear(house):
    nap = unique_sleep()
    with held(house, nap, *voyage(house, hold="second", nap=nap, deaf='trap "" TERM')) as process:
        process.send_signal(signal.SIGINT)
        assert until(lambda: "stopping" in house.said())
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - began < 5  # the grace is ten seconds
    nothing_leaks(house, nap)
    assert house.counted() == {"first": 1, "second": 1}


def test_retry_goes_on_from_what_failed(home):
    arguments = voyage(home, sick="second")
    failed = home.run(*arguments)
    assert failed.code == 1
    assert home.counted() == {"first": 1, "home": 1, "second": 1}
    assert f"--state {home.state} --retry" in failed.err
    still = home.run(*arguments)
    assert still.code == 1
    assert home.counted() == {"first": 1, "home": 1, "second": 1}
    (home.writable / "well").touch()
    ended = home.run(*arguments, "--retry")
    assert ended.code == 0, ended.err
    assert ended.workflow["status"]["phase"] == "Succeeded"
    assert home.counted() == {"first": 1, "home": 2, "second": 2, "third": 1}
    assert ended.workflow["metadata"]["uid"] == failed.workflow["metadata"]["uid"]
