"""A daemon says of itself when its loop was held up."""

import asyncio
import functools
import time

import anyio

from tiphys.service.turns import Turns, loop_over


async def computing(seconds: float) -> None:
    await asyncio.sleep(0)
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    await asyncio.sleep(0)


def noted(seconds: float) -> Turns:
    turns = Turns()
    anyio.run(computing, seconds, backend_options={"loop_factory": functools.partial(loop_over, turns)})
    return turns


def test_a_turn_that_computes_too_long_is_noted() -> None:
    stalls = noted(0.06).stalls
    assert stalls.count >= 1
    assert stalls.own == 1
    assert stalls.longest_seconds >= stalls.longest_own_seconds >= 0.06


def test_short_turns_are_not_our_own_stalls() -> None:
    assert noted(0.0).stalls.own == 0


def test_what_was_before_can_be_forgotten() -> None:
    turns = noted(0.06)
    turns.begin_anew()
    assert (turns.stalls.count, turns.stalls.longest_seconds) == (0, 0.0)
