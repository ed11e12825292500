"""Patterns that are compiled when they are first used: a large one takes a millisecond, and most runs never need most of them."""

import re
from typing import Any, cast


class _Later:
    """Stands in for a compiled pattern."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:
        compiled = self.__dict__.get("_compiled")
        if compiled is None:
            compiled = self.__dict__["_compiled"] = re.compile(self._text)
        found = self.__dict__[name] = getattr(compiled, name)
        return found


def compiled(text: str) -> re.Pattern[str]:
    """The pattern of a text, as `re.compile` gives it."""
    return cast("re.Pattern[str]", _Later(text))
