"""Plain values against the manifest structs: every mistake of a document in one pass, in Argo's words, with its JSON path.

msgspec stops at the first mistake and names no position, so this walk comes before it. It also does what the typed
conversion cannot: explicit nulls go away (they are as if absent) and scalars in fields that take any scalar become text.
"""

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from tiphys.manifests import scalars, wording
from tiphys.manifests.wording import Chain, Finding, add, mismatch
from tiphys.spec import workflows
from tiphys.spec.work import Severity

INT64 = 2**63

_seen: dict[type, inspect.StructType] = {}
"""What is known of structs that others hold: to have msgspec describe a template again for each struct takes long."""

Check = Callable[[Any, Chain, str, list[Finding]], Any]
"""(value, path, name of the struct that holds it, findings) -> the value as msgspec shall see it."""

Rule = tuple[type | None, Check]
"""The exact type that needs no look (None: there is none), and what looks at everything else."""


def check(value: dict[str, Any], kind: type[msgspec.Struct]) -> list[Finding]:
    """All mistakes of `value`, which is put right in place for msgspec.convert to `kind`."""
    findings: list[Finding] = []
    rule_of_struct(kind)[1](value, None, "", findings)
    return findings


def are_made() -> bool:
    """Whether rules were made before: the first document takes some twenty milliseconds longer."""
    return bool(_seen)


@functools.cache
def rule_of_struct(kind: type[msgspec.Struct]) -> Rule:
    """The rule of one struct class; its fields' rules are made at its first use, since templates hold templates."""
    name = kind.__name__

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is not dict:
            return mismatch(value, chain, holder, wording.go_struct(kind), findings)
        fields, required = _fields(kind)
        nulls: list[str] | None = None
        strangers: list[str] | None = None
        for key, item in value.items():
            rule = fields.get(key)
            if rule is None:
                strangers = strangers or []
                strangers.append(key)
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
        for key in strangers or ():
            _stranger(value, key, kind, chain, findings)
        for key in required:
            if key not in value:
                add(findings, chain, f'missing required field "{wording.shown((*wording.path_of(chain), key))}"', "")
        return value

    return None, walk


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[dict[str, Rule], frozenset[str]]:
    """The rules of a struct's fields by their JSON names, and the names that must be there."""
    info = _seen.get(kind) or inspect.type_info(kind)
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
            _seen.setdefault(cls, kind)
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
    empties: dict[type, Callable[[], Any]] = {inspect.StructType: dict, inspect.VarTupleType: list}
    empty = empties.get(type(item_type), str)
    target = f"[]{wording.go(item_type)}"

    def walk(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
        if value.__class__ is not list:
            return mismatch(value, chain, holder, target, findings)
        for index, item in enumerate(value):
            if item.__class__ is exact:
                continue
            if item is None and rule is not ANYTHING:
                value[index] = empty()
            value[index] = look(value[index], (chain, index), holder, findings)
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
                value[key] = "" if rule in (TEXT, ANY_SCALAR) else {}
            value[key] = look(value[key], (chain, key), holder, findings)
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
    """Text, or a scalar that the controller's decoder takes for its text where strict decoding refuses it: a warning."""
    if value.__class__ is str:
        return value
    if isinstance(value, (dict, list)):
        return mismatch(value, chain, holder, "string", findings)
    text = scalars.exact(value) if value.__class__ is int else scalars.text_of(value)
    message = f'the {wording.WORDS[value.__class__]} is read as the text "{text[: wording.MAX_SHOWN]}"'
    add(findings, chain, message, wording.conversion(value, "string"), Severity.WARNING)
    return text


def _any_scalar(value: Any, chain: Chain, holder: str, findings: list[Finding]) -> Any:
    if isinstance(value, (dict, list)):
        return mismatch(value, chain, holder, "v1alpha1.AnyString", findings)
    text = scalars.text_of(value)
    if scalars.loses_digits(value):
        hint = f'write it in quotes to keep every digit: "{scalars.exact(value)[: wording.MAX_SHOWN]}"'
        add(findings, chain, f"the number is read as {text}", hint, Severity.WARNING)
    return text


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


def _stranger(value: dict[str, Any], key: str, kind: type[msgspec.Struct], chain: Chain, findings: list[Finding]) -> None:
    """A key that `kind` does not have.

    Another case of a known one is read as that (the controller's decoder does), with a warning; one of metadata is left out
    with a warning, as a cluster does; anything else is an error.
    """
    fields, _ = _fields(kind)
    item = value.pop(key)
    meant = next((name for name in fields if name.lower() == key.lower()), None)
    if meant is not None and meant not in value:
        add(findings, (chain, key), f'the field "{key}" is read as "{meant}"', f'write it as "{meant}"', Severity.WARNING)
        if item is not None:
            value[meant] = fields[meant][1](item, (chain, key), kind.__name__, findings)
    elif kind is workflows.ObjectMeta:
        message = f'unknown field "{wording.shown(wording.path_of((chain, key)))}" is ignored'
        add(findings, (chain, key), message, wording.known(key, kind, fields), Severity.WARNING)
    else:
        wording.unknown(key, kind, (chain, key), fields, findings)
