"""A short share of `make torture`: a daemon that is killed at each named point, and at random moments, keeps its promises."""

import os
import time

import pytest

from tests.torture.torture import table
from tests.torture.world import Plan, points, run

SEED = "tested"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_daemon_that_is_killed_at_every_point_and_at_random_moments_keeps_its_promises():
    figures = run(Plan(seed=f"{SEED}-0", kills=len(points()), width=(20, 40), sweep=True, until=time.monotonic() + 120))
    print(table(figures))
    assert not figures.violations


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights to make namespaces and mounts")
def test_steps_in_isolation_and_killed_launchers_break_no_promise():
    plan = Plan(seed=f"{SEED}-1", kills=6, isolation="full", launchers=True, width=(10, 20), until=time.monotonic() + 60)
    figures = run(plan)
    print(table(figures))
    assert not figures.violations
