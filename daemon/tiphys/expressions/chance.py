"""Time and chance for expressions: a value that comes with the event, so that a decision can be replayed."""

import random
from datetime import datetime

import msgspec


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """What `now()`, `uuidv4()`, `randAlphaNum()` and their like see.

    `now` is aware and UTC. The same seed gives the same "random" values, so whoever evaluates several expressions for one event
    gives each its own `child`.
    """

    now: datetime
    seed: str

    def child(self, label: str) -> "Chance":
        """The chance of one part of the same event, told from the others by `label`."""
        return Chance(now=self.now, seed=f"{self.seed}/{label}")

    def random(self) -> random.Random:
        """A fresh generator; every call gives the same sequence."""
        return random.Random(self.seed)  # noqa: S311 - replayable by intent; the seed is as unguessable as its maker made it
