"""Many runs under one roof: every law holds, nobody waits while there is room, and a day with crashes ends as the day without them.

`TIPHYS_FUZZ_SECONDS=600 pytest tests/generated/test_crowds.py` goes on drawing for so long; a failure names its seed.
"""

import os
import random
import time

import pytest

from tests.generated.crowd import Crowd

SEEDS = 66
PARTS = 6


def faults(seed: int) -> list[str]:
    """What is wrong with the day of a seed; empty where all is well."""
    plain = Crowd(seed)
    if not plain.play():
        return plain.broken[:5]
    crashed = Crowd(seed, crash=0.1)
    if not crashed.play():
        return [f"crashed: {broken}" for broken in crashed.broken[:5]]
    if plain.sliced:  # who comes first at a lock, or at room, may be another one after a crash between two slices
        return []
    end, other = plain.end(), crashed.end()
    return [f"crashed, the {part} are {other[part]}, and else {end[part]}" for part in end if end[part] != other[part]]


@pytest.mark.parametrize("part", range(PARTS))
def test_days_with_and_without_crashes_end_alike(part: int) -> None:
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
        print(f"{count} days, each with and without crashes, from seed {first}")
