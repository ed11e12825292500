"""Which names in the drop folder are manifests, and what belongs to a manifest by its name. Pure."""

import os
from collections.abc import Iterator
from pathlib import PurePath

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
PARAMETERS = ".params.yaml"
WHY = ".why"
SOURCES = "drop/"
LONGEST = 200
"""Bytes of a name that are kept beside a claim's id; the file system allows 255 for all of it."""


def is_manifest(name: str) -> bool:
    """Whether a file of this name is looked at. Hidden ones, parameters, reports and what editors and copying programs make while they
    work are not: their names begin with a dot or `#`, or end otherwise than a manifest's.
    """
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith((".", "#", "~$")) and not is_parameters(name)


def is_parameters(name: str) -> bool:
    """Whether it is a map of parameters for a manifest."""
    return name.lower().endswith(PARAMETERS)


def parameters_of(name: str) -> Iterator[str]:
    """The names that a manifest's parameters may have, the first that is there counts: of the whole name, or without its suffix."""
    yield name + PARAMETERS
    yield PurePath(name).stem + PARAMETERS


def manifests_of(parameters: str) -> Iterator[str]:
    """The manifests that a map of parameters may be for."""
    stem = parameters[: -len(PARAMETERS)]
    yield stem
    for suffix in sorted(SUFFIXES):
        yield stem + suffix


def shown(name: str) -> str:
    """The name as text that can be stored and printed, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def source(name: str) -> str:
    """What the definitions of a file are known by."""
    return SOURCES + shown(name)


def fitting(name: str) -> str:
    """The end of a name that is too long to have an id before it."""
    while len(os.fsencode(name)) > LONGEST:
        name = name[1:]
    return name
