"""When a file has been left alone for long enough, and when a bad one is bad for good. Pure: the time comes in, in seconds of any clock
that only goes forth.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from tiphys.triggers.looking import Stamp


@dataclass
class Sighting:
    """A file as it was last seen: since when it is unchanged, and since when it was found bad."""

    stamp: Stamp
    since: float
    bad_since: float | None = None


class Patience:
    """The files of a folder that wait. `again` says when each of them should be looked at."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, Sighting] = {}
        self._wavering: set[str] = set()
        self.again: dict[str, float] = {}

    def ready(self, name: str, stamp: Stamp, now: float, *, closed: bool) -> bool:
        """Whether to judge the file now: somebody was seen to close it or move it in, or it is unchanged for long enough."""
        seen = self._seen.get(name)
        if seen is None or seen.stamp != stamp:
            seen = self._seen[name] = Sighting(stamp, now)
            self._wavering.discard(name)
        if closed:
            seen.since = -math.inf
        self.again.pop(name, None)
        if now - seen.since >= self._seconds:
            return True
        self.again[name] = seen.since + self._seconds
        return False

    def written(self, name: str, now: float) -> bool:
        """Somebody writes to it still: it begins anew, with the next sight of it. Whether that is news.

        It is not if it was just closed: the kernel tells so a moment before it takes the writer off its books.
        """
        seen = self._seen.get(name)
        self.forget(name)
        if seen is None or seen.since > -math.inf:
            return True
        self._seen[name] = Sighting(seen.stamp, now)
        self.again[name] = now + self._seconds
        return False

    def final(self, name: str, now: float, *, gives: bool = False) -> bool:
        """The file was found bad: whether that was so before, and long enough ago, so that what it lacks will not come any more.
        `gives`: it gives what others may lack.
        """
        seen = self._seen.get(name)
        if seen is None:
            return False
        if seen.bad_since is None:
            seen.bad_since = now
        if now - seen.bad_since >= self._seconds:
            self._wavering.discard(name)
            return True
        if gives:
            self._wavering.add(name)
        self.again[name] = seen.bad_since + self._seconds
        return False

    def good(self, name: str) -> None:
        """The file was found good."""
        self._wavering.discard(name)
        if (seen := self._seen.get(name)) is not None:
            seen.bad_since = None

    @property
    def wavers(self) -> bool:
        """Whether a file may be good by and by that gives what others lack."""
        return bool(self._wavering)

    def wait(self, name: str, now: float) -> None:
        """Look at the file again before it is judged."""
        self.again[name] = now + self._seconds

    def absent(self, name: str, now: float) -> None:
        """The file is not there, perhaps because an editor is about to put the new one in its place: look again."""
        self.forget(name)
        self.again[name] = now + self._seconds

    def soon(self, name: str, now: float) -> None:
        """Something that the file depends on has changed."""
        self.again[name] = now

    def due(self, now: float) -> set[str]:
        """The files whose time has come; each is named once."""
        found = {name for name, at in self.again.items() if at <= now}
        for name in found:
            del self.again[name]
        return found

    def next(self) -> float:
        """When the first of them has its time; infinity where none waits."""
        return min(self.again.values(), default=math.inf)

    def forget(self, name: str) -> None:
        """The file is gone, or done."""
        self._seen.pop(name, None)
        self._wavering.discard(name)
        self.again.pop(name, None)

    def keep(self, present: Collection[str]) -> None:
        """Forget all files but these."""
        for name in self._seen.keys() - set(present):
            self.forget(name)
