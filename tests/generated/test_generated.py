"""Any workflow ends, keeps every law, and ends the same wherever it is crashed.

`TIPHYS_FUZZ_SECONDS=600 pytest tests/generated` goes on drawing for so long; a failure names its seed.
"""

import os
import random
import time

import pytest

from tests.generated import busy, workflows
from tests.generated.world import World
from tiphys.scheduler import room

SEEDS = 152
PARTS = 8


def faults(seed: int) -> list[str]:
    """What is wrong with the workflow of a seed; empty where all is well."""
    workflow = workflows.workflow(random.Random(seed), hard=seed % 2 == 1)
    plain = World(workflow, seed)
    if not plain.play():
        return [f"it never ends: {plain.end()}", *plain.broken]
    if plain.broken:
        return plain.broken
    crashed = World(workflow, seed, crash=0.25)
    if not crashed.play():
        return [f"crashed, it never ends: {crashed.end()}", *crashed.broken]
    if crashed.broken:
        return [f"crashed: {broken}" for broken in crashed.broken]
    if crashed.end() != plain.end():
        return [f"crashed, it ends otherwise: {crashed.end()} instead of {plain.end()}"]
    if crashed.replayed() != crashed.run.nodes:
        return ["its events, decided again, give other rows"]
    return []


def cut(seed: int) -> tuple[list[str], int]:
    """What is wrong with the workflow of a seed whose decisions are cut wherever they can be; and how often they were.

    Where something fails fast, tasks that would have been omitted a moment later may have no node: that much may differ.
    """
    hard = seed % 2 == 1
    workflow = workflows.workflow(random.Random(seed), hard=hard)
    if seed % 4 == 1:
        workflow, hard = busy.without_locks(workflow), False
    plain, cut_ = World(workflow, seed), World(workflow, seed, slice_=1)
    crashed = World(workflow, seed, slice_=1, crash=0.25)
    ended = [world.play() for world in (plain, cut_, crashed)]
    broken = [*cut_.broken, *crashed.broken]
    if not all(ended):
        broken.append(f"not all end: {ended}")
    if _differs(cut_, plain, hard=hard):
        broken.append(f"cut, it ends otherwise: {cut_.end()} instead of {plain.end()}")
    if _differs(crashed, cut_, hard=hard):
        broken.append(f"cut and crashed, it ends otherwise: {crashed.end()} instead of {cut_.end()}")
    if crashed.replayed() != crashed.run.nodes:
        broken.append("its events, decided again, give other rows")
    return broken, cut_.slices + crashed.slices


def _differs(one: World, other: World, *, hard: bool) -> bool:
    """Whether two worlds ended otherwise, where they may not. A cut moves what began before a failure, and who is first at a lock: after a
    crash between two slices the rest of a loop begins before what is inside its first items. (Of those that wait none changes its turn.)
    """
    if hard:
        return False
    return one.end()[:2] != other.end()[:2] or (one.end() != other.end() and room.FAIL_FAST not in repr(other.end()))


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_workflows_end_keep_the_laws_and_do_not_mind_crashes(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        assert not faults(seed), f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_decision_may_be_cut_into_slices_and_the_daemon_be_killed_between_them(part: int) -> None:
    slices = 0
    for seed in range(part, SEEDS, PARTS):
        broken, made = cut(seed)
        assert not broken, f"seed {seed}"
        slices += made
    assert slices > 100


@pytest.mark.skipif("TIPHYS_FUZZ_SECONDS" not in os.environ, reason="set TIPHYS_FUZZ_SECONDS for a long search")
@pytest.mark.timeout(0)
def test_a_long_search_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    first = random.SystemRandom().getrandbits(40)
    end = time.monotonic() + float(os.environ["TIPHYS_FUZZ_SECONDS"])
    count = 0
    while time.monotonic() < end:
        assert not faults(first + count), f"seed {first + count}"
        count += 1
    with capsys.disabled():
        print(f"{count} generated workflows, each run with and without crashes, from seed {first}")
