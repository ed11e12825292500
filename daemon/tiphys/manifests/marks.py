"""Where things stand in a file: JSON paths to lines and columns.

Positions are asked for only when something is wrong, so they are not kept: the document is read once more, for all the
paths that are wanted at once, and nothing is built.
"""

from collections.abc import Iterable
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from tiphys.manifests import composing, scalars
from tiphys.manifests.source import Source

Path = tuple[str | int, ...]
Position = tuple[int, int]

STARTS = (MappingStartEvent, SequenceStartEvent)
ENDS = (MappingEndEvent, SequenceEndEvent)


class Wanted:
    """A place that some path leads to, and the wanted places below it."""

    __slots__ = ("below", "key", "value")

    def __init__(self) -> None:
        self.key: Position | None = None
        self.value: Position | None = None
        self.below: dict[str | int, Wanted] = {}


class Marks:
    """The positions of one document. `start` is its line in the file; `prefix` leads to it inside a `kind: List`."""

    def __init__(self, source: Source, start: int) -> None:
        self.source = source
        self.start = start
        self.prefix: Path = ()
        self._known: dict[Path, Position] = {}

    def below(self, prefix: Path) -> "Marks":
        """The positions of the part that `prefix` leads to; what one of the two has read, both know."""
        part = Marks(self.source, self.start)
        part.prefix = self.prefix + prefix
        part._known = self._known  # of its own class
        return part

    def at(self, path: Path) -> Position:
        """Line and column (from 1) of the key, or list item, that the deepest known prefix of `path` leads to."""
        return self.locate([path])[path]

    def locate(self, paths: Iterable[Path]) -> dict[Path, Position]:
        """As `at`, for many paths in one reading."""
        whole = {path: self.prefix + path for path in paths}
        missing = [path for path in whole.values() if path not in self._known]
        if missing:
            root = Wanted()
            for path in missing:
                _plant(root, path)
            self._read(root)
            for path in missing:
                self._known[path] = _deepest(root, path) or (self.start, 1)
        return {path: self._known[place] for path, place in whole.items()}

    def _read(self, root: Wanted) -> None:
        """Walk the document's events and note the positions of wanted places."""
        base = self.start - 1
        get = composing.events(self.source.data[self.source.offset(self.start) :])
        stack: list[tuple[Wanted | None, bool, int]] = []
        node: Wanted | None = None  # the open container, where something below it is wanted
        is_map = False
        index = -1  # of the item that was read last
        child: Wanted | None = root  # what the next value is, if wanted
        awaiting_key = False
        try:
            while True:
                event: Any = get()
                kind = event.__class__
                if event is None or kind is DocumentEndEvent:
                    return
                if kind in ENDS:
                    node, is_map, index = stack.pop()
                    awaiting_key = is_map
                    continue
                if kind not in STARTS and kind is not ScalarEvent and kind is not AliasEvent:
                    continue
                position = (event.start_mark.line + base + 1, event.start_mark.column + 1)
                if awaiting_key:
                    awaiting_key = False
                    child = node.below.get(_name(event)) if node is not None and node.below and kind is ScalarEvent else None
                    if child is not None:
                        child.key = child.key or position
                    if kind not in STARTS:
                        continue
                elif stack and not is_map:
                    index += 1
                    child = node.below.get(index) if node is not None and node.below else None
                if child is not None:
                    child.value = child.value or position
                if kind in STARTS:
                    stack.append((node, is_map, index))
                    node, is_map, index, child = child, kind is MappingStartEvent, -1, None
                awaiting_key = is_map
        except (yaml.YAMLError, UnicodeError):
            return  # what stands before the error is known


def _plant(root: Wanted, path: Path) -> None:
    for step in path:
        root = root.below.setdefault(step, Wanted())


def _deepest(root: Wanted, path: Path) -> Position | None:
    """The position of the deepest place on the way that was found."""
    found = root.value
    for step in path:
        root = root.below[step]
        found = root.key or root.value or found
    return found


def _name(event: Any) -> str:
    """A key as the composer names it."""
    text: str = event.value
    if event.implicit[0] and event.tag is None:
        return scalars.key_of(text) or text
    return text
