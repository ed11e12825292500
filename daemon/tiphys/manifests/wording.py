"""How mistakes of shape are said: in the words of Go's decoders, as Argo prints them, with what to do about it."""

import functools
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from tiphys.manifests import advice, scalars
from tiphys.spec import containers, templates
from tiphys.spec.work import Severity

Path = tuple[str | int, ...]
MAX_FINDINGS = 100
MAX_SHOWN = 60
MAX_LISTED = 12
GROUP_ITEM = 3  # `steps`, the group's index, the step's index
WORDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake at a JSON path."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR


Chain = tuple[Any, str | int] | None
"""A path as a linked list, so that walking down costs one small tuple."""


def path_of(chain: Chain) -> Path:
    """The chain as a JSON path from the root."""
    steps: list[str | int] = []
    while chain is not None:
        chain, step = chain
        steps.append(step)
    return tuple(reversed(steps))


def shown(path: Path) -> str:
    """`spec.templates[0].contaner`, as Argo prints paths."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def mismatch(value: Any, chain: Chain, holder: str, target: str, findings: list[Finding]) -> Any:
    """Note a value of the wrong type, in the words of Go's JSON decoder."""
    path = path_of(chain)
    word = WORDS.get(value.__class__, "value")
    if word == "number" and target in ("int64", "intstr.IntOrString"):
        word += f" {scalars.text_of(value)[:MAX_SHOWN]}"
    group = _steps_group(path)
    if group is not None and len(path) <= group + GROUP_ITEM:
        whole = len(path) < group + GROUP_ITEM
        message = f"json: cannot unmarshal {word} into Go value of type {'[]' * whole}map[string]interface {{}}"
        hint = "a group of steps is a list of maps: write `- - name: …`"
    else:
        inside = path if group is None else path[group + GROUP_ITEM :]
        names = ".".join(step for step in inside if isinstance(step, str))
        message = f"json: cannot unmarshal {word} into Go struct field {holder}.{names} of type {target}"
        hint = conversion(value, target)
    add(findings, chain, message, hint)
    return value


def conversion(value: Any, target: str) -> str:
    """How to write `value` so that it fits."""
    if target in ("string", "v1alpha1.AnyString"):
        if isinstance(value, (dict, list)):
            text = msgspec.json.encode(value).decode()
            return "write it as JSON text in quotes" + (f": '{text}'" if len(text) <= MAX_SHOWN else ", or with `|`")
        return "write it in quotes if text is meant"
    if isinstance(value, str) and target in ("int64", "float64", "bool"):
        return "write it without quotes" if value[:1] != "{" else "a template tag cannot stand in this field: it takes a literal value only"
    if target.startswith("[]") and not isinstance(value, list):
        return "a list is expected here: begin each item with `- `"
    if not isinstance(value, dict) and (target.startswith(("v1", "map["))):
        return "a map is expected here: write `key: value` lines below it"
    return ""


def unknown(key: str, kind: type[msgspec.Struct], chain: Chain, fields: Iterable[str], findings: list[Finding]) -> None:
    """Note a field that `kind` does not have, in Argo's words (inside a step: those of its own decoder)."""
    path = path_of(chain)
    in_step = _steps_group(path) is not None
    message = f'json: unknown field "{key}"' if in_step else f'strict decoding error: unknown field "{shown(path)}"'
    add(findings, chain, message, known(key, kind, fields))


def known(key: str, kind: type[msgspec.Struct], fields: Iterable[str]) -> str:
    """The hint at an unknown field."""
    if key in ("true", "false"):
        return "YAML reads an unquoted yes, no, on, off, y or n as a boolean"
    if hint := advice.of_field(key, fields):
        return hint
    owners = sorted(owner for owner, inner in _inner(kind).items() if key in inner)
    if owners:
        return f'"{key}" is a field of {", ".join(owners)}'
    names = sorted(fields)
    return f"known fields: {', '.join(names)}" if len(names) <= MAX_LISTED else ""


@functools.cache
def _inner(kind: type[msgspec.Struct]) -> dict[str, frozenset[str]]:
    """The struct fields of `kind` with the names of their own fields."""
    found: dict[str, frozenset[str]] = {}
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        parts = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        for part in parts:
            if isinstance(part, inspect.StructType):
                found[field.encode_name] = frozenset(inner.encode_name for inner in part.fields)
    return found


def _steps_group(path: Path) -> int | None:
    """Where in `path` the innermost `steps` of a template stands, if the path goes below one of its groups."""
    for index in range(len(path) - 2, -1, -1):
        if path[index] == "steps" and isinstance(path[index + 1], int):
            return index
    return None


def add(findings: list[Finding], chain: Chain, message: str, hint: str, severity: Severity = Severity.ERROR) -> None:
    """Note a finding; past the bound only the first error, so that a bad document never looks good."""
    if len(findings) < MAX_FINDINGS or (severity is Severity.ERROR and not any(found.severity is Severity.ERROR for found in findings)):
        findings.append(Finding(path=path_of(chain), message=message, hint=hint, severity=severity))


def go(kind: inspect.Type) -> str:
    """A type's name in Go's messages."""
    match kind:
        case inspect.StructType(cls=cls):
            return go_struct(cls)
        case inspect.VarTupleType(item_type=inspect.StructType(cls=templates.WorkflowStep)):
            return "v1alpha1.ParallelSteps"
        case inspect.VarTupleType(item_type=item):
            return f"[]{go(item)}"
        case inspect.StrType() | inspect.Metadata():
            return "string"
        case inspect.DictType():
            return "map[string]interface {}"
        case inspect.FloatType():
            return "float64"
        case _:
            return "v1alpha1.Item"


def go_struct(kind: type[msgspec.Struct]) -> str:
    """A struct's name in Go's messages: Kubernetes' own are `v1`."""
    group = "v1" if kind.__module__ == containers.__name__ else "v1alpha1"
    return f"{group}.{kind.__name__}"
