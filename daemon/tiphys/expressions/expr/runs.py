"""One evaluation: what its closures share, and how much work it may still do."""

import random
from collections.abc import Mapping

from tiphys.expressions.chance import Chance
from tiphys.expressions.expr import limits
from tiphys.expressions.expr.faults import Fault


class Run:
    """The environment, the slots of `let` and predicate variables, the budget, and chance."""

    __slots__ = ("_random", "argo", "chance", "env", "slots", "source", "steps")

    def __init__(self, env: Mapping[str, object], chance: Chance, slots: int, source: str, *, argo: bool) -> None:
        self.env = env
        self.chance = chance
        self.slots: list[object] = [None] * slots
        self.source = source
        self.argo = argo
        self.steps = limits.MAX_STEPS
        self._random: random.Random | None = None

    @property
    def random(self) -> random.Random:
        """The generator of this evaluation, the same on a replay."""
        if self._random is None:
            self._random = self.chance.child(self.source).random()
        return self._random

    def spend(self, steps: int) -> None:
        """Counts work; raises Fault when this evaluation has done too much."""
        self.steps -= steps
        if self.steps < 0:
            raise Fault("evaluation budget exceeded: the expression does too much work")

    def copied(self, characters: int) -> None:
        """Counts the making of a text; raises Fault when it is too long."""
        if characters > limits.MAX_TEXT:
            raise Fault("memory budget exceeded: the text is too long")
        self.spend(characters >> 6)

    def made(self, items: int) -> None:
        """Counts the making of a list; raises Fault when it is too long."""
        if items > limits.MAX_ITEMS:
            raise Fault("memory budget exceeded: the list is too long")
        self.spend(items >> 3)
