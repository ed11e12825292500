"""The names of templates, steps, tasks, parameters and artifacts: present, well formed, unique (semantics 2.24)."""

import re
from collections.abc import Callable, Iterable, Iterator

MAX_FIELD = 128
MAX_OBJECT = 63
MAX_CRON = 52

_FIELD = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_OBJECT = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9.]*")
_PARAMETER = re.compile(r"[-a-zA-Z0-9_]+")
_FIELD_FAULT = (
    "name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character (e.g. My-name1-2, 123-NAME)"
)
_PARAMETER_FAULT = "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-' e.g. my_param_1, MY-PARAM-1"

_OBJECT_FAULT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com')"
)


def object_fault(name: str) -> str:
    """What is wrong with the name of a whole document, of which folders are made; "" where nothing is, or where there is none.

    Argo leaves this to Kubernetes. Capital letters and a `-` at the end, which only Kubernetes minds, are let pass here.
    """
    return "" if not name or _OBJECT.fullmatch(name) else _OBJECT_FAULT


def field_fault(name: str) -> str:
    """What is wrong with the name of a template, step, task or container; "" where nothing is."""
    well_formed = _FIELD.fullmatch(name)
    if len(name) <= MAX_FIELD:
        return "" if well_formed else _FIELD_FAULT
    long = f"must be no more than {MAX_FIELD} characters"
    return long if well_formed else f"{long};{_FIELD_FAULT}"


def parameter_fault(name: str) -> str:
    """What is wrong with the name of a parameter or artifact; "" where nothing is."""
    return "" if _PARAMETER.fullmatch(name) else _PARAMETER_FAULT


def faults(names: Iterable[str], fault: Callable[[str], str]) -> Iterator[tuple[int, str]]:
    """The index of each bad name and what is wrong, such as `[1].name 'a' is not unique`."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name:
            yield index, f"[{index}].name is required"
        elif wrong := fault(name):
            yield index, f"[{index}].name: '{name}' is invalid: {wrong}"
        elif name in seen:
            yield index, f"[{index}].name '{name}' is not unique"
        seen.add(name)


def too_long(kind: str, name: str, limit: int) -> str:
    """The message for a document whose name exceeds `limit`; "" where it does not."""
    if len(name) <= limit:
        return ""
    return f'{kind} name "{name}" must not be more than {limit} characters long (currently {len(name)})'
