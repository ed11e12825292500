"""How often somebody may ask: a bucket of tokens for each, filled at a steady rate."""

import math
from collections import OrderedDict
from dataclasses import dataclass

MOST = 10_000
"""Buckets that are remembered; the one longest unused is forgotten first, which fills it."""


@dataclass(kw_only=True)
class _Bucket:
    level: float
    at: float


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a bucket said: whether there was one left, how many are now, and the seconds until there is one, and until it is full."""

    granted: bool
    left: int
    one_after: float
    full_after: float


class Rates:
    """The buckets of all who ask."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str, at: float, rate: float, burst: int) -> Taken:
        """Take one from a bucket, at a time of a steady clock."""
        size = float(max(burst, 1))
        bucket = self._buckets.setdefault(key, _Bucket(level=size, at=at))
        self._buckets.move_to_end(key)
        while len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        bucket.level = min(size, bucket.level + (at - bucket.at) * rate)
        bucket.at = at
        granted = bucket.level >= 1
        if granted:
            bucket.level -= 1
        return Taken(
            granted=granted,
            left=math.floor(bucket.level),
            one_after=max(0.0, 1 - bucket.level) / rate,
            full_after=(size - bucket.level) / rate,
        )
