"""Any workflow ends, keeps every law, and ends the same wherever it is crashed.

`TIPHYS_FUZZ_SECONDS=600 pytest tests/generated` goes on drawing for so long; a failure names its seed.
"""

import os
import random
import time

import pytest

from tests.generated import workflows
from tests.generated.world import World

SEEDS = 240
PARTS = 8


def faults(seed: int) -> list[str]:
    """What is wrong with the workflow of a seed; empty where all is well."""
    workflow = workflows.workflow(random.Random(seed))
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


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_workflows_end_keep_the_laws_and_do_not_mind_crashes(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        assert not faults(seed), f"seed {seed}"


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
