"""Sprig's functions on maps, and its JSON.

`set`, `unset` and `merge` change the map that an expression made itself (a Dict); a map that came from outside is copied first, so
that evaluating has no effect beyond its value.
"""

from collections.abc import Mapping

from tiphys.expressions.expr import text, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run
from tiphys.expressions.expr.sprig import casts, urls

TABLE = Registry("sprig.")


class Dict(dict[object, object]):
    """A map made by this evaluation."""


def _own(run: Run, value: Mapping[object, object]) -> Dict:
    if isinstance(value, Dict):
        return value
    run.made(len(value))
    return Dict(value)


@TABLE.add("dict")
def _dict(run: Run, *parts: object) -> Dict:
    made = Dict()
    for index in range(0, len(parts), 2):
        made[casts.string(run, parts[index])] = parts[index + 1] if index + 1 < len(parts) else ""
    return made


@TABLE.add("get")
def _get(source: Mapping[object, object], key: str) -> object:
    return source.get(key, "")


@TABLE.add("set")
def _set(run: Run, source: Mapping[object, object], key: str, value: object) -> Dict:
    made = _own(run, source)
    made[key] = value
    return made


@TABLE.add("unset")
def _unset(run: Run, source: Mapping[object, object], key: str) -> Dict:
    made = _own(run, source)
    made.pop(key, None)
    return made


@TABLE.add("hasKey")
def _has_key(source: Mapping[object, object], key: str) -> bool:
    return key in source


@TABLE.add("pluck")
def _pluck(key: str, *sources: dict[object, object]) -> list[object]:
    return [source[key] for source in sources if key in source]


@TABLE.add("keys")
def _keys(run: Run, *sources: dict[object, object]) -> list[object]:
    run.made(sum(map(len, sources)))
    return [key for source in sources for key in source]


@TABLE.add("values")
def _values(run: Run, source: Mapping[object, object]) -> list[object]:
    run.made(len(source))
    return list(source.values())


@TABLE.add("pick")
def _pick(source: Mapping[object, object], *keys: str) -> Dict:
    return Dict({key: source[key] for key in keys if key in source})


@TABLE.add("omit")
def _omit(run: Run, source: Mapping[object, object], *keys: str) -> Dict:
    run.made(len(source))
    return Dict({key: value for key, value in source.items() if key not in keys})


@TABLE.add("merge", "mustMerge")
def _merge(run: Run, target: Mapping[object, object], *sources: dict[object, object]) -> Dict:
    made = _own(run, target)
    for source in sources:
        _fill(run, made, source, overwrite=False)
    return made


@TABLE.add("mergeOverwrite", "mustMergeOverwrite")
def _merge_overwrite(run: Run, target: Mapping[object, object], *sources: dict[object, object]) -> Dict:
    made = _own(run, target)
    for source in sources:
        _fill(run, made, source, overwrite=True)
    return made


def _fill(run: Run, target: Dict, source: Mapping[object, object], *, overwrite: bool, depth: int = 0) -> None:
    if depth > 100:
        raise Fault("value is nested too deeply")
    run.made(len(source) * 8)
    for key, value in list(source.items()):
        old = target.get(key)
        if values.is_map(old) and values.is_map(value) and old:
            inner = _own(run, old)
            target[key] = inner
            _fill(run, inner, value, overwrite=overwrite, depth=depth + 1)
        elif key not in target or casts.empty(old) or (overwrite and not casts.empty(value)):
            target[key] = value


@TABLE.add("dig")
def _dig(*parts: object) -> object:
    if len(parts) < 3:
        raise Fault("dig needs at least three arguments")
    *path, fallback, current = parts
    for key in path:
        if not values.is_map(current):
            raise Fault(f"interface conversion: interface {{}} is {values.go_type(current)}, not map[string]interface {{}}")
        if not isinstance(key, str):
            raise Fault(f"interface conversion: interface {{}} is {values.go_type(key)}, not string")
        if key not in current:
            return fallback
        current = current[key]
    return current


@TABLE.add("deepCopy", "mustDeepCopy")
def _deep_copy(run: Run, value: object) -> object:
    values.check_size(run, value)
    return _copy(value)


def _copy(value: object) -> object:
    if values.is_map(value):
        return Dict({key: _copy(item) for key, item in value.items()})
    if values.is_array(value):
        return [_copy(item) for item in value]
    return value


@TABLE.add("toJson", "mustToJson")
def _to_json(run: Run, value: object) -> str:
    return text.to_json(run, value)


@TABLE.add("toPrettyJson", "mustToPrettyJson")
def _to_pretty_json(run: Run, value: object) -> str:
    return text.to_json(run, value, indent="  ")


@TABLE.add("toRawJson", "mustToRawJson")
def _to_raw_json(run: Run, value: object) -> str:
    return text.to_json(run, value, html=False)


@TABLE.add("fromJson")
def _from_json(run: Run, source: str) -> object:
    """What cannot be read is nil; so it is in Sprig."""
    try:
        return text.from_json(run, source)
    except Fault:
        run.spend(0)
        return None


@TABLE.add("mustFromJson")
def _must_from_json(run: Run, source: str) -> object:
    return text.from_json(run, source)


@TABLE.add("urlParse")
def _url_parse(source: str) -> dict[str, object]:
    return dict(urls.parse(source))


@TABLE.add("urlJoin")
def _url_join(parts: Mapping[object, object]) -> str:
    return urls.join({name: str(parts[name]) for name in urls.PARTS if parts.get(name)})
