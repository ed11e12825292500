"""Finds the tags of a struct that cannot be resolved, and where they are written.

Argo judges the JSON text of a whole template or step, not one field after the other: a `{{` may end in another field's `}}`.
The text is scanned so, and only a tag that fails is looked up in the fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tiphys.manifests.rules.problems import Path


def text_of(value: object) -> str:
    """The JSON text of a struct."""
    return msgspec.json.encode(value).decode()


def scan(text: str) -> Iterator[str]:
    """The texts between `{{` and the next `}}`, in order; a last `{{` that never ends gives nothing."""
    start = text.find("{{")
    while start >= 0:
        end = text.find("}}", start + 2)
        if end < 0:
            return
        yield text[start + 2 : end]
        start = text.find("{{", end + 2)


def within_text(tag: str) -> str:
    """The part of a tag, as it stands in JSON text, that is in one field; all of it unless its end was found in another field."""
    quote = tag.find('"')
    while quote > 0 and tag[quote - 1] == "\\":  # an escaped quote is part of the field
        quote = tag.find('"', quote + 1)
    return tag if quote < 0 else tag[:quote]


def has_tag(text: str) -> bool:
    """Whether `text` holds a whole tag of any kind."""
    start = text.find("{{")
    return start >= 0 and text.find("}}", start + 2) >= 0


def filled(text: str, filling: str = "x") -> str:
    """`text` with every tag replaced, to judge the rest of it."""
    parts: list[str] = []
    position = 0
    start = text.find("{{")
    while start >= 0:
        end = text.find("}}", start + 2)
        if end < 0:
            break
        parts += [text[position:start], filling]
        position = end + 2
        start = text.find("{{", position)
    return "".join([*parts, text[position:]])


def unescaped(tag: str) -> str:
    """The tag as it is written in its field, from its JSON text."""
    try:
        return msgspec.json.decode(f'"{within_text(tag)}"', type=str)
    except msgspec.DecodeError:
        return tag


def locate(value: object, wanted: str) -> Path:
    """The path below `value` (a struct) of the first text that holds `wanted`; () where none does."""
    stack: list[tuple[Path, object]] = [((), msgspec.to_builtins(value))]
    while stack:
        path, found = stack.pop()
        if isinstance(found, str):
            if wanted in found:
                return path
        elif isinstance(found, dict):
            stack.extend(((*path, key), item) for key, item in reversed(found.items()))
        elif isinstance(found, list | tuple):
            stack.extend(((*path, index), found[index]) for index in range(len(found) - 1, -1, -1))
    return ()
