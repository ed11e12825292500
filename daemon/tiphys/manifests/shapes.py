"""Plain values against the manifest structs: every mistake of a document in one pass, in Argo's words, with its JSON path.

msgspec stops at the first mistake and names no position, so this walk comes before it. It also does what the typed
conversion cannot: explicit nulls go away (they are as if absent) and scalars in fields that take any scalar become text.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from tiphys.manifests import advice, scalars
from tiphys.spec import containers, templates
from tiphys.spec.work import Severity

Path = tuple[str | int, ...]
INT64 = 2**63
MAX_FINDINGS = 100
MAX_SHOWN = 60
WORDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake. `at_key`: the place is the key at the end of `path`, not its value."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    at_key: bool = True


Chain = tuple[Any, str | int] | None
"""A path as a linked list, so that walking down costs one small tuple."""

Check = Callable[[Any, Chain, str, list[Finding]], Any]
"""(value, path, name of the struct that holds it, findings) -> the value as msgspec shall see it."""

Rule = tuple[type | None, Check]
"""The exact type that needs no look (None: there is none), and what looks at everything else."""


def check(value: dict[str, Any], kind: type[msgspec.Struct]) -> list[Finding]:
    """All mistakes of `value`, which is put right in place for msgspec.convert to `kind`."""
    findings: list[Finding] = []
    rule_of_struct(kind)[1](value, None, "", findings)
    return findings


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


@functools.cache
def rule_of_struct(kind: type[msgspec.Struct]) -> Rule:
    """The rule of one struct class; its fields' rules are made at its first use, since templates hold templates."""
    made: list[tuple[dict[str, Rule], frozenset[str]]] = []
    name = kind.__name__

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is not dict:
            return mismatch(value, chain, holder, _go_struct(kind), findings)
        if not made:
            made.append(_fields(kind))
        fields, required = made[0]
        nulls: list[str] | None = None
        for key, item in value.items():
            rule = fields.get(key)
            if rule is None:
                _unknown(key, kind, (chain, key), fields, findings)
            elif item.__class__ is rule[0]:
                continue
            elif item is None:
                nulls = nulls or []
                nulls.append(key)
            else:
                new = rule[1](item, (chain, key), name, findings)
                if new is not item:
                    value[key] = new
        for key in nulls or ():
            del value[key]
        for key in required:
            if key not in value:
                _add(findings, chain, f'missing required field "{shown((*path_of(chain), key))}"', "")
        return value

    return None, walk


def _fields(kind: type[msgspec.Struct]) -> tuple[dict[str, Rule], frozenset[str]]:
    """The rules of a struct's fields by their JSON names, and the names that must be there."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = {field.encode_name: _rule(field.type) for field in info.fields}
    if info.tag_field:
        fields[info.tag_field] = TEXT
    return fields, frozenset(field.encode_name for field in info.fields if field.required)


def _rule(kind: inspect.Type) -> Rule:
    """The rule of a field's type."""
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            return ANY_SCALAR if extra and extra.get("any_scalar") else _rule(inner)
        case inspect.UnionType(types=types):
            rest = [part for part in types if not isinstance(part, inspect.NoneType)]
            return _rule(rest[0]) if len(rest) == 1 else _number_or_text(rest)
        case inspect.StructType(cls=cls):
            return rule_of_struct(cls)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return _list(_rule(item), item)
        case inspect.DictType(value_type=item):
            return _map(_rule(item))
        case inspect.StrType() | inspect.EnumType():
            return TEXT
        case inspect.IntType():
            return INTEGER
        case inspect.BoolType():
            return BOOLEAN
        case inspect.FloatType():
            return FLOAT
        case _:
            return ANYTHING


def _list(rule: Rule, item_type: inspect.Type) -> Rule:
    """A list whose items follow `rule`; a null item is an empty one, as in Go."""
    exact, look = rule
    empty: Callable[[], Any] = dict if isinstance(item_type, inspect.StructType) else list if isinstance(item_type, inspect.VarTupleType) else str
    target = f"[]{_go(item_type)}"

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is not list:
            return mismatch(value, chain, holder, target, findings)
        for index, item in enumerate(value):
            if item.__class__ is exact:
                continue
            if item is None and rule is not ANYTHING:
                value[index] = item = empty()
            new = look(item, (chain, index), holder, findings)
            if new is not item:
                value[index] = new
        return value

    return None, walk


def _map(rule: Rule) -> Rule:
    exact, look = rule

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is not dict:
            return mismatch(value, chain, holder, "map[string]", findings)
        for key, item in value.items():
            if item.__class__ is exact:
                continue
            if item is None and rule is not ANYTHING:
                value[key] = item = "" if rule in (TEXT, ANY_SCALAR) else {}
            new = look(item, (chain, key), holder, findings)
            if new is not item:
                value[key] = new
        return value

    return None, walk


def _number_or_text(types: list[inspect.Type]) -> Rule:
    fractions = any(isinstance(part, inspect.FloatType) for part in types)

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is int or value.__class__ is str or (fractions and value.__class__ is float):
            return value
        return mismatch(value, chain, holder, "intstr.IntOrString", findings)

    return str, walk


def _text(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    return value if value.__class__ is str else mismatch(value, chain, holder, "string", findings)


def _any_scalar(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    if isinstance(value, (dict, list)):
        return mismatch(value, chain, holder, "v1alpha1.AnyString", findings)
    if scalars.loses_digits(value):
        text = scalars.text_of(value)
        hint = f'write it in quotes to keep every digit: "{scalars.exact(value)[:MAX_SHOWN]}"'
        findings.append(Finding(path=path_of(chain), message=f"the number is read as {text}", hint=hint, severity=Severity.WARNING))
    return scalars.text_of(value)


def _integer(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    if value.__class__ is int and -INT64 <= value < INT64:
        return value
    return mismatch(value, chain, holder, "int64", findings)


def _boolean(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    return value if value.__class__ is bool else mismatch(value, chain, holder, "bool", findings)


def _float(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    return value if value.__class__ in (int, float) else mismatch(value, chain, holder, "float64", findings)


def _anything(value: Any, _chain: Chain, _holder: str, _findings: list[Finding]) -> Any:
    return value


TEXT: Rule = (str, _text)
ANY_SCALAR: Rule = (str, _any_scalar)
INTEGER: Rule = (None, _integer)
BOOLEAN: Rule = (bool, _boolean)
FLOAT: Rule = (float, _float)
ANYTHING: Rule = (None, _anything)


def mismatch(value: Any, chain: Chain, holder: str, target: str, findings: list[Finding]) -> Any:
    """Note a value of the wrong type, in the words of Go's JSON decoder."""
    path = path_of(chain)
    word = WORDS.get(value.__class__, "value")
    if word == "number" and target in ("int64", "intstr.IntOrString"):
        word += f" {scalars.text_of(value)[:MAX_SHOWN]}"
    group = _steps_group(path)
    if group is not None and len(path) == group + 1:
        message = f"json: cannot unmarshal {word} into Go value of type []map[string]interface {{}}"
        hint = "a group of steps is a list: write `- - name: …`"
    else:
        inside = path if group is None else path[group + 2 :]
        names = ".".join(step for step in inside if isinstance(step, str))
        message = f"json: cannot unmarshal {word} into Go struct field {holder}.{names} of type {target}"
        hint = _conversion(value, target)
    _add(findings, chain, message, hint)
    return value


def _conversion(value: Any, target: str) -> str:
    """How to write `value` so that it fits."""
    if target in ("string", "v1alpha1.AnyString"):
        if isinstance(value, (dict, list)):
            text = msgspec.json.encode(value).decode()
            return f"write it as JSON text in quotes: '{text}'" if len(text) <= MAX_SHOWN else "write it as JSON text in quotes, or with `|`"
        return f'write it in quotes: "{scalars.text_of(value)[:MAX_SHOWN]}"'
    if isinstance(value, str) and target in ("int64", "float64", "bool"):
        return "write it without quotes" if value[:1] != "{" else "a template tag cannot stand in this field: it takes a literal value only"
    if target.startswith("[]") and not isinstance(value, list):
        return "a list is expected here: begin each item with `- `"
    if not isinstance(value, dict) and (target.startswith(("v1", "map["))):
        return "a map is expected here: write `key: value` lines below it"
    return ""


def _unknown(key: str, kind: type[msgspec.Struct], chain: Chain, fields: dict[str, Rule], findings: list[Finding]) -> None:
    """Note a field that `kind` does not have, in Argo's words (inside a step: those of its own decoder)."""
    path = path_of(chain)
    if _steps_group(path) is not None:
        message = f'json: unknown field "{key}"'
    else:
        message = f'strict decoding error: unknown field "{shown(path)}"'
    hint = advice.of_field(key, fields)
    if not hint and key in ("true", "false"):
        hint = "YAML reads an unquoted yes, no, on, off, y or n as a boolean"
    if not hint:
        owners = sorted(owner for owner, inner in _inner(kind).items() if key in inner)
        hint = f'"{key}" is a field of {", ".join(owners)}' if owners else f"known fields: {', '.join(sorted(fields))}"
    _add(findings, chain, message, hint)


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
        if path[index] == "steps" and isinstance(path[index + 1], int) and (index == 0 or path[index - 1] != "parameters"):
            return index
    return None


def _add(findings: list[Finding], chain: Chain, message: str, hint: str) -> None:
    if len(findings) <= MAX_FINDINGS:
        findings.append(Finding(path=path_of(chain), message=message, hint=hint))


def _go(kind: inspect.Type) -> str:
    """A type's name in Go's messages."""
    match kind:
        case inspect.StructType(cls=cls):
            return _go_struct(cls)
        case inspect.VarTupleType(item_type=inspect.StructType(cls=templates.WorkflowStep)):
            return "v1alpha1.ParallelSteps"
        case inspect.VarTupleType(item_type=item):
            return f"[]{_go(item)}"
        case inspect.StrType() | inspect.Metadata():
            return "string"
        case inspect.DictType():
            return "map[string]interface {}"
        case inspect.FloatType():
            return "float64"
        case _:
            return "v1alpha1.Item"


def _go_struct(kind: type[msgspec.Struct]) -> str:
    group = "v1" if kind.__module__ == containers.__name__ else "v1alpha1"
    return f"{group}.{kind.__name__}"
