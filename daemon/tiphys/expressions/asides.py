"""Large values that a render leaves out of a JSON text: a mark stands in place of each, and what is read of the text has the value itself.

So a value of megabytes is neither escaped, pasted and read again for each node that gets it, nor held once for each.
"""

import functools
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tiphys.expressions import scans

LARGE: Final = 16_384
"""So many characters are large."""
FENCE: Final = "\ue000"
"""At both ends of a mark: a character of which no script makes use."""

_REMEMBERED: Final = 4_000_000


class Asides:
    """The values that were left out, by their marks; beside those of an earlier text."""

    __slots__ = ("values",)

    def __init__(self, before: Mapping[str, str] = MappingProxyType({})) -> None:
        self.values: dict[str, str] = dict(before) if before else {}

    def mark(self, value: str) -> str:
        """What stands for a value; each time another."""
        made = f"{FENCE}{len(self.values)}{FENCE}"
        self.values[made] = value
        return made

    def exact(self, text: str) -> bool:
        """Whether each mark is there once, outside of tags, and nothing else that looks like one."""
        return text.count(FENCE) == 2 * len(self.values) and all(_is_outside(mark, text) for mark in self.values)

    def filled(self, text: str) -> str:
        """A JSON text with the values in it."""
        for mark, value in self.values.items():
            text = text.replace(mark, json.dumps(value, ensure_ascii=False)[1:-1])
        return text


def _is_outside(mark: str, text: str) -> bool:
    """Whether a mark is in a text, and no tag goes on there: what a value has in it could end that."""
    at = text.find(mark)
    return at >= 0 and text.rfind("{{", 0, at) <= text.rfind("}}", 0, at)


NOTHING: Final = Asides()
"""Of a text that is whole."""


def may_be_left_out(value: str) -> bool:
    """Whether a value comes to the same when it is pasted into a JSON text and read of it again: no tag and nothing that is refused."""
    return _may_be_left_out(value) if len(value) < _REMEMBERED else not _spoils(value)


@functools.lru_cache(maxsize=4)
def _may_be_left_out(value: str) -> bool:
    return not _spoils(value)


def _spoils(value: str) -> bool:
    return "{{" in value or scans.unescapable(value)


def has_tags(value: str) -> bool:
    """Whether the beginning of a tag is in a text. Of a large one it is remembered for a while."""
    return "{{" in value if not LARGE <= len(value) < _REMEMBERED else _has_tags(value)


@functools.lru_cache(maxsize=4)
def _has_tags(value: str) -> bool:
    return "{{" in value
