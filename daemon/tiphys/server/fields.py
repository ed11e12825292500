"""The query parameter `fields` prunes an answer: `items.metadata.name,…` keeps these alone, `-items.status.nodes,…` all but these."""

from collections.abc import Sequence
from typing import Any

Path = tuple[str, ...]


def keeps(wanted: str, path: str) -> bool:
    """Whether something at or below `path` stays."""
    if not wanted:
        return True
    here = _path(path)
    excluded, paths = _read(wanted)
    if excluded:
        return not any(_begins(here, one) for one in paths)
    return any(_begins(here, one) or _begins(one, here) for one in paths)


def below(wanted: str, path: str) -> str:
    """The same, about what is at `path`: `metadata,items.spec` below `items` is `spec`. Only for paths that stay."""
    here = _path(path)
    excluded, paths = _read(wanted)
    if not excluded and any(_begins(here, one) for one in paths):
        return ""  # all of it
    inner = [".".join(one[len(here) :]) for one in paths if _begins(one, here) and len(one) > len(here)]
    return ("-" if excluded and inner else "") + ",".join(inner)


def pruned(value: Any, wanted: str) -> Any:
    """The value (as decoded JSON) with only what is wanted; lists are gone through."""
    excluded, paths = _read(wanted)
    return _without(value, paths) if excluded else _only(value, paths)


def _read(wanted: str) -> tuple[bool, list[Path]]:
    return wanted.startswith("-"), [_path(part.strip().removeprefix("-")) for part in wanted.split(",") if part.strip("- ")]


def _path(text: str) -> Path:
    return tuple(text.split("."))


def _begins(long: Path, short: Path) -> bool:
    return long[: len(short)] == short


def _only(value: Any, paths: Sequence[Path]) -> Any:
    if isinstance(value, list):
        return [_only(item, paths) for item in value]
    if not isinstance(value, dict) or () in paths:
        return value
    kept = {}
    for key, inner in value.items():
        below = [path[1:] for path in paths if path[:1] == (key,)]
        if below:
            kept[key] = _only(inner, below)
    return kept


def _without(value: Any, paths: Sequence[Path]) -> Any:
    if isinstance(value, list):
        return [_without(item, paths) for item in value]
    if not isinstance(value, dict) or not paths:
        return value
    kept = {}
    for key, inner in value.items():
        below = [path[1:] for path in paths if path[:1] == (key,)]
        if () not in below:
            kept[key] = _without(inner, below)
    return kept
