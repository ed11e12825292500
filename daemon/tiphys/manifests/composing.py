"""YAML events into plain values, with every bound against hostile input checked before anything is built.

The C parser is safe at any depth as long as only its events are read (its own composing is recursive and crashes at about
40,000 nested brackets), so depth, size and alias expansion are counted here, event by event, without recursion.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import msgspec
import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from tiphys.errors import TiphysError
from tiphys.manifests import advice, scalars
from tiphys.manifests.diagnostics import Diagnostic
from tiphys.manifests.source import Source
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity

CONTAINER_WEIGHT = 6  # an empty map costs the memory of several short texts, and may become a struct of fifty fields
MAX_DUPLICATES = 100
TAG = "tag:yaml.org,2002:"
NO_KEY = object()
MERGE = object()
KINDS = {"null": type(None), "bool": bool, "int": int, "float": float}


class Composed(msgspec.Struct):
    """One YAML document: its value, where it starts, what is wrong with it. `value` is None where an error stopped it."""

    value: Any
    line: int
    diagnostics: list[Diagnostic]
    failed: bool = False


class Stop(TiphysError):
    """A document that cannot be read further."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def events(data: bytes) -> Callable[[], Event | None]:
    """The parser of `data`: each call gives the next event. It is libyaml's where PyYAML has it."""
    loader = yaml.CLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return cast("Callable[[], Event | None]", loader(data).get_event)


def documents(source: Source, limits: LimitSettings) -> Iterator[Composed]:
    """The documents of a file. After one that is not YAML, reading goes on at the next line that starts with `---`."""
    composer = Composer(source, limits)
    while not composer.ended:
        yield from composer.documents()


class Composer:
    """Reads a file's events; the counts of size and alias expansion are the whole file's."""

    def __init__(self, source: Source, limits: LimitSettings) -> None:
        self.ended = False
        self._source = source
        self._limits = limits
        self._start = 0
        self._base = 0
        self._merges: list[Any] = []
        self._weight = 0
        self._expanded = 0
        self._duplicates = 0
        self._names: dict[str, str] = {}
        self._diagnostics: list[Diagnostic] = []
        self._get = events(source.data)

    def documents(self) -> Iterator[Composed]:
        """The documents up to the end, or up to the first that cannot be read, that one included."""
        line = self._base + 1
        try:
            while True:
                event = self._get()
                if event is None or event.__class__ is StreamEndEvent:
                    self.ended = True
                    return
                if event.__class__ is DocumentStartEvent:
                    line, _ = self._place(event)
                    yield Composed(self._document(), line, self._taken())
        except Stop as stop:
            self._diagnostics.append(stop.diagnostic)
        except (yaml.YAMLError, UnicodeError) as error:
            at, message, hint = advice.of_parser(error, self._source, self._base)
            self._diagnostics.append(Diagnostic(severity=Severity.ERROR, message=message, line=at[0], column=at[1], hint=hint))
        self._skip(self._diagnostics[-1].line)
        yield Composed(None, line, self._taken(), failed=True)

    def _taken(self) -> list[Diagnostic]:
        taken, self._diagnostics = self._diagnostics, []
        return taken

    def _skip(self, line: int) -> None:
        """Go on at the first `---` after `line`, or end."""
        start = self._source.data.find(b"\n---", max(self._source.offset(line) - 1, self._start))
        if start < 0 or self._weight > self._limits.nodes or self._expanded > self._limits.aliases:
            self.ended = True
            return
        self._start = start + 1
        self._base = self._source.place(start + 1)[0] - 1
        self._get = events(self._source.data[start + 1 :])

    def _document(self) -> Any:
        """The value of the document whose start was just read: one flat loop, for this is where a large file's time goes."""
        get, names, first = self._get, self._names, scalars.FIRST
        max_weight, max_depth = self._limits.nodes, self._limits.nesting
        weight = self._weight
        anchors: dict[str, Any] = {}
        stack: list[tuple[Any, Any, Any]] = []
        container: Any = None
        append: Any = None  # the open list's own; None inside a map
        key: Any = None  # of the open map; NO_KEY where one is awaited
        root: Any = None
        while True:
            event: Any = get()
            kind = event.__class__
            if kind is ScalarEvent:
                weight += 1
                if weight > max_weight:
                    self._too_large(event)
                text = event.value
                plain = event.implicit[0]  # and so untagged
                if key is NO_KEY:
                    if plain and (not text or text[0] in first or text == "<<"):
                        key = self._key(event, text)
                    elif event.tag is None:
                        key = names.setdefault(text, text)
                    else:
                        key = self._tagged_key(event)
                    if event.anchor is not None:
                        anchors[event.anchor] = text
                    if key in container:
                        self._duplicate(event, key)
                    continue
                if not plain:
                    value = text if event.tag is None else self._number(event, self._tagged(event))
                elif text and text[0] not in first:
                    value = text
                else:
                    value = self._number(event, scalars.value_of(text))
                if event.anchor is not None:
                    anchors[event.anchor] = value
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                weight += CONTAINER_WEIGHT
                if weight > max_weight:
                    self._too_large(event)
                if key is NO_KEY:
                    self._stop(event, "a map key must be text", advice.of_key(self._source, *self._place(event)))
                if len(stack) >= max_depth:
                    self._stop(event, f"nested deeper than {max_depth} levels", "the bound is the setting limits.nesting")
                if event.tag is not None:
                    self._container_tag(event)
                stack.append((container, append, key))
                if kind is MappingStartEvent:
                    container, append, key = {}, None, NO_KEY
                else:
                    container, key = [], None
                    append = container.append
                if event.anchor is not None:
                    anchors[event.anchor] = container
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value = container
                if append is None and MERGE in value:
                    self._merge(value)
                container, append, key = stack.pop()
            elif kind is AliasEvent:
                value = self._alias(event, anchors, stack, container)
                if key is NO_KEY:
                    if isinstance(value, (dict, list)):
                        self._stop(event, "a map key must be text", "")
                    key = self._name(event, value)
                    if key in container:
                        self._duplicate(event, key)
                    continue
            elif kind is DocumentEndEvent:
                self._weight = weight + CONTAINER_WEIGHT
                return root
            else:
                continue
            if append is not None:
                append(value)
            elif stack:
                container[key] = value
                key = NO_KEY
            else:
                root = value

    def _place(self, event: Any) -> tuple[int, int]:
        """Line and column of an event, from 1."""
        mark = event.start_mark
        return mark.line + self._base + 1, mark.column + 1

    def _note(self, event: Any, severity: Severity, message: str, hint: str = "") -> None:
        line, column = self._place(event)
        self._diagnostics.append(Diagnostic(severity=severity, message=message, line=line, column=column, hint=hint))

    def _stop(self, event: Any, message: str, hint: str) -> NoReturn:
        line, column = self._place(event)
        raise Stop(Diagnostic(severity=Severity.ERROR, message=message, line=line, column=column, hint=hint))

    def _too_large(self, event: Any) -> NoReturn:
        self._weight = self._limits.nodes + 1
        hint = f"the bound is the setting limits.nodes; a list or map counts {CONTAINER_WEIGHT}"
        self._stop(event, f"the file holds more than {self._limits.nodes} values", hint)

    def _number(self, event: Any, value: scalars.Scalar) -> scalars.Scalar:
        """`value` as JSON has it, or 0 and an error where JSON has no word for it."""
        if not isinstance(value, float):
            return value
        if math.isfinite(value):
            return scalars.json_number(value)
        shown = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        self._note(event, Severity.ERROR, f"json: unsupported value: {shown}", f'write it in quotes if it is text: "{event.value}"')
        return 0

    def _duplicate(self, event: Any, key: Any) -> None:
        """A key that its map has already (Argo's wording); the last one is kept, and the document is refused."""
        self._duplicates += 1
        if self._duplicates <= MAX_DUPLICATES:
            shown = "<<" if key is MERGE else key
            hint = "each key may stand once in a map: remove or rename one of them"
            self._note(event, Severity.ERROR, f'key "{shown}" already set in map', hint)

    def _key(self, event: Any, text: str) -> Any:
        """The name of a plain key that may be something else than text."""
        if text == "<<":
            self._merges.append(event)
            return MERGE
        return self._name(event, scalars.value_of(text))

    def _tagged_key(self, event: Any) -> Any:
        """The name of a key with a tag such as `!!int`."""
        if event.value == "<<" and event.tag == TAG + "merge":
            return self._key(event, event.value)
        return self._name(event, self._tagged(event))

    def _name(self, event: Any, value: scalars.Scalar) -> str:
        name = scalars.key_text(value)
        if name is None:
            kind = "null" if value is None else "uint64"
            self._stop(event, f"unsupported map key of type: {kind}", f'write the key in quotes: "{"null" if value is None else value}"')
        return self._names.setdefault(name, name)

    def _tagged(self, event: Any) -> scalars.Scalar:
        """A scalar with a tag such as `!!str`."""
        text: str = event.value
        tag: str = event.tag.removeprefix(TAG)
        match tag:
            case "!" | "str" | "timestamp" | "merge":
                return text
            case "binary":
                self._note(event, Severity.ERROR, "!!binary is not supported", "leave the tag out and keep the base64 text")
                return text
            case "null" | "bool" | "int" | "float":
                value = scalars.value_of(text)
                if tag == "float" and type(value) is int and value < scalars.INT64:
                    value = float(value)
                if type(value) is not KINDS[tag]:
                    self._stop(event, f"cannot decode `{text[:80]}` as a !!{tag}", "correct the value, or leave the tag out")
                return value
            case _:
                self._note(event, Severity.WARNING, f"the tag {event.tag} means nothing here and is ignored")
                return text

    def _container_tag(self, event: Any) -> None:
        if event.tag not in (TAG + "map", TAG + "seq", "!"):
            self._note(event, Severity.WARNING, f"the tag {event.tag} means nothing here and is ignored")

    def _alias(self, event: Any, anchors: dict[str, Any], stack: list[tuple[Any, Any, Any]], container: Any) -> Any:
        """A copy of what the alias stands for, within the bounds of expansion and depth."""
        if event.anchor not in anchors:
            self._stop(event, f"unknown anchor '{event.anchor}' referenced", f"no &{event.anchor} stands before it in this document")
        value = anchors[event.anchor]
        if not isinstance(value, (dict, list)):
            self._expand(event)
            return value
        if value is container or any(value is outer for outer, _, _ in stack):
            self._stop(event, f"anchor '{event.anchor}' value contains itself", "")
        return self._copy(event, value, self._limits.nesting - len(stack))

    def _copy(self, event: Any, value: Any, depth: int) -> Any:
        """A deep copy; `depth` is how much further it may nest."""
        self._expand(event)
        if not isinstance(value, (dict, list)):
            return value
        if depth <= 0:
            self._stop(event, f"nested deeper than {self._limits.nesting} levels", "the bound is the setting limits.nesting")
        if isinstance(value, dict):
            return {name: self._copy(event, item, depth - 1) for name, item in value.items()}
        return [self._copy(event, item, depth - 1) for item in value]

    def _expand(self, event: Any) -> None:
        self._expanded += 1
        if self._expanded > self._limits.aliases:
            self._stop(event, f"aliases expand to more than {self._limits.aliases} values", "the bound is the setting limits.aliases")

    def _merge(self, container: dict[Any, Any]) -> None:
        """Apply `<<`: the map's own keys win, then earlier maps of the list."""
        event = self._merges.pop()
        merged = container.pop(MERGE)
        for source in merged if isinstance(merged, list) else [merged]:
            if not isinstance(source, dict):
                message = "map merge requires map or sequence of maps as the value"
                self._note(event, Severity.ERROR, message, "`<<` takes *an_alias of a map, or a list of them")
                return
            for name, value in source.items():
                container.setdefault(name, value)
