"""A drop folder with nothing in it to do, which needs no second look before its entries change."""

import time
from collections.abc import Sequence
from pathlib import Path

from tiphys.triggers import looking
from tiphys.triggers.looking import Stamp

GRAIN_NS = 1_000_000_000
"""A folder's time of change tells nothing of what comes as soon after it: file systems count in ticks."""

LONGEST_SECONDS = 60.0
"""After so long everything is looked at, whatever the stamps tell."""


class Rest:
    """Whether the folders are as they were when nothing was found to do."""

    def __init__(self) -> None:
        self._looked: tuple[Sequence[Stamp], int] = ((), 0)
        self._marks: Sequence[Stamp] = ()
        self._until = 0.0

    def goes_on(self, *folders: Path) -> bool:
        """Look at the folders; it blocks. Raises OSError."""
        at = time.time_ns()
        marks = [looking.stamp_of(folder.lstat()) for folder in folders]
        self._looked = marks, at
        if marks == self._marks and time.monotonic() < self._until:
            return True
        self._marks = ()
        return False

    def begin(self) -> None:
        """Nothing was found after the last look."""
        marks, at = self._looked
        if all(max(mark.modified, mark.changed) < at - GRAIN_NS for mark in marks):
            self._marks, self._until = marks, time.monotonic() + LONGEST_SECONDS
