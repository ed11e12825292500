"""What a process that lives for months does about its memory: what a start needed goes back, and what connections leave is looked for.

A closed connection of asyncio is garbage in a cycle (its transport holds a method of its own), and takes buffers along that the collector
does not count. With thresholds as high as a hot path likes them, thousands of such would wait for it.
"""

import ctypes
import gc
from contextlib import suppress

import anyio
import anyio.to_thread

THRESHOLDS = (5_000, 2, 7_000)
"""A look at fifty thousand young objects, all of which live on, holds the loop up for fourteen milliseconds, and one at a hundred thousand
that outlived the first, which each tenth of ten thousand came to, for thirty. So both are often and short: one to two milliseconds, and no
more in all, for each object is looked at as often. The third, at all there are, is as seldom as before.
"""
M_ARENA_MAX = -8
"""The number of mallopt's option, of glibc's malloc.h."""
YOUNG = 1
"""The generation up to which is looked through often: at most what came since the collector's last turn."""
COLLECT_SECONDS = 10.0
TRIM_EVERY = 6
WORTH_IT = 1_000
"""Objects that must have come before anybody looks: a process at rest makes none."""


def share_one_heap() -> None:
    """Have all threads take from one heap; to be called before there are any. glibc would give each worker thread one of its own (up to
    eight a processor), and what is free in one is of no use to another: after hours, twenty megabytes. Threads that compute in turns, as
    Python's do, have no use for that many.
    """
    with suppress(AttributeError):  # another C library has no such thing
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def settle() -> None:
    """What is there stays: the collector need not look at it again, and seldom at what comes. What is free goes back to the system."""
    gc.collect()
    gc.freeze()
    trim()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def trim() -> None:
    """Give free memory back to the system, as far as the C library knows how."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


async def kept_small(seconds: float = COLLECT_SECONDS) -> None:
    """Look for young garbage every so many seconds, and give free memory back now and then; for ever."""
    while True:
        busy = False
        for _ in range(TRIM_EVERY):
            await anyio.sleep(seconds)
            if gc.get_count()[0] >= WORTH_IT:
                gc.collect(YOUNG)
                busy = True
        if busy:
            await anyio.to_thread.run_sync(trim)
