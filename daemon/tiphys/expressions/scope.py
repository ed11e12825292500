"""What a name stands for: flat keys such as `tasks.A.outputs.parameters.x`, looked up literally (semantics 2.5).

A scope is asked in two ways: for one key (simple tags) and for everything below a prefix (expressions, where flat keys become
nested maps). It never computes anything.
"""

import bisect
import enum
import itertools
from collections.abc import Mapping
from typing import Final, Literal, Protocol


class Nothing(enum.Enum):
    """The two ways of having no value."""

    MISSING = "missing"
    ABSENT = "absent"


MISSING: Final[Literal[Nothing.MISSING]] = Nothing.MISSING
"""The scope does not know the key."""

ABSENT: Final[Literal[Nothing.ABSENT]] = Nothing.ABSENT
"""The key exists and holds nothing: an output of a Skipped or Omitted node that declares no default (semantics 2.5.4)."""

_FEW: Final = 16


class Scope(Protocol):
    """Names and their values."""

    def get(self, key: str) -> object:
        """The value of a flat key, `MISSING` or `ABSENT`."""
        ...

    def under(self, prefix: str) -> Mapping[str, object]:
        """All flat keys that equal `prefix` or lie below `prefix.`, with their values."""
        ...


class FlatScope:
    """A scope over one mapping. Values in it may change and keys may be added later; a key that was there stays there."""

    __slots__ = ("_ordered", "_values")

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._ordered: list[str] = []

    def get(self, key: str) -> object:
        """The value of a flat key, `MISSING` or `ABSENT`."""
        return self._values.get(key, MISSING)

    def under(self, prefix: str) -> Mapping[str, object]:
        """All flat keys that equal `prefix` or lie below `prefix.`, with their values."""
        values = self._values
        found = {prefix: values[prefix]} if prefix in values else {}
        ordered = self._sorted()
        below = prefix + "."
        for index in range(bisect.bisect_left(ordered, below), len(ordered)):
            key = ordered[index]
            if not key.startswith(below):
                break
            found[key] = values[key]
        return found

    def _sorted(self) -> list[str]:
        """The keys in order; a few new ones (a mapping lists them last) are put where they belong."""
        values, ordered = self._values, self._ordered
        new = len(values) - len(ordered)
        if 0 < new <= _FEW and isinstance(values, dict):
            for key in itertools.islice(reversed(values), new):
                bisect.insort(ordered, key)
        elif new:
            self._ordered = ordered = sorted(values)
        return ordered


class ChainScope:
    """Several scopes as one; the first that has a key answers for it."""

    __slots__ = ("_scopes",)

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    def get(self, key: str) -> object:
        """The value of a flat key, `MISSING` or `ABSENT`."""
        for scope in self._scopes:
            value = scope.get(key)
            if value is not MISSING:
                return value
        return MISSING

    def under(self, prefix: str) -> Mapping[str, object]:
        """All flat keys that equal `prefix` or lie below `prefix.`, with their values."""
        found: dict[str, object] = {}
        for scope in reversed(self._scopes):
            found.update(scope.under(prefix))
        return found
