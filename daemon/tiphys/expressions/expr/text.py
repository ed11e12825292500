"""Values as text: Go's `%v` and Go's JSON."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo

from tiphys.expressions import durations
from tiphys.expressions.expr import layouts, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

_HTML = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
_LINES = {0x2028: "\\u2028", 0x2029: "\\u2029"}


def shown(run: Run, value: object) -> str:
    """The value as `fmt.Sprintf("%v")` prints it: `[a b]`, `map[k:v]`, `1` for 1.0."""
    values.check_size(run, value)
    return _shown(value)


def _shown(value: object) -> str:
    match value:
        case str():
            return value
        case values.Number():
            return value.label
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return general(value)
        case None:
            return "<nil>"
        case timedelta():
            return durations.go_text(value)
        case datetime():
            return layouts.default(value)
        case tzinfo() | values.Opaque():
            return str(value)
        case bytes() | list() | tuple():
            return f"[{' '.join(_shown(item) for item in value)}]"
        case Mapping():
            return f"map[{' '.join(f'{_shown(key)}:{_shown(value[key])}' for key in sorted(value, key=_shown))}]"
        case _:
            return values.go_type(value)


def general(value: float) -> str:
    """A float in the fewest digits that mean it, with an exponent where it is large or small (Go's `%v`)."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return _digits(value, smallest=-4, largest=21)


def _digits(value: float, smallest: int, largest: int) -> str:
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    mantissa, exponent = f"{value!r}e".split("e")[:2] if "e" in repr(value) else (repr(value), "")
    whole, _, part = mantissa.lstrip("-").partition(".")
    digits = (whole + part).lstrip("0")
    power = int(exponent or 0) + (len(whole) - 1 if whole.strip("0") else -(len(part) - len(part.lstrip("0")) + 1))
    digits = digits.rstrip("0") or "0"
    sign = "-" if value < 0 else ""
    if smallest <= power < largest:
        if power < 0:
            return f"{sign}0.{'0' * (-power - 1)}{digits}"
        if len(digits) <= power + 1:
            return sign + digits + "0" * (power + 1 - len(digits))
        return f"{sign}{digits[: power + 1]}.{digits[power + 1 :]}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"


def to_json(run: Run, value: object, *, indent: str = "", html: bool = True) -> str:
    """The value as Go's encoding/json writes it: sorted keys, `<>&` escaped unless `html` is false, compact unless indented."""
    values.check_size(run, value)
    parts = list(_json(value, html=html, indent=indent, margin="\n"))
    run.copied(sum(map(len, parts)))
    return "".join(parts)


def _json(value: object, *, html: bool, indent: str, margin: str) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(int(value))
        case float():
            yield number(value)
        case str():
            yield quoted(value, html=html)
        case bytes():
            yield quoted(values.base64(value), html=html)
        case datetime():
            yield quoted(layouts.rfc3339(value), html=html)
        case timedelta():
            yield str(values.nanoseconds(value))
        case values.Opaque():
            yield quoted(str(value), html=html)
        case list() | tuple():
            inside = margin + indent if indent else ""
            yield "["
            for index, item in enumerate(value):
                yield ("," if index else "") + inside
                yield from _json(item, html=html, indent=indent, margin=inside)
            yield (margin if indent and value else "") + "]"
        case Mapping():
            inside = margin + indent if indent else ""
            yield "{"
            for index, (key, name) in enumerate(sorted((_shown(key), key) for key in value)):
                yield ("," if index else "") + inside + quoted(key, html=html) + (": " if indent else ":")
                yield from _json(value[name], html=html, indent=indent, margin=inside)
            yield (margin if indent and value else "") + "}"
        case _:
            raise Fault(f"json: unsupported type: {values.go_type(value)}")


def number(value: float) -> str:
    """A float in JSON, as Go writes it: an exponent below 1e-6 and from 1e21."""
    if math.isinf(value) or math.isnan(value):
        raise Fault(f"json: unsupported value: {general(value)}")
    written = _digits(value, smallest=-6, largest=21)
    return written.replace("e-0", "e-")


def quoted(text: str, *, html: bool = True) -> str:
    """A JSON string as Go writes it."""
    written = json.dumps(text, ensure_ascii=False).translate(_LINES)
    written = written.replace("\x7f", "\x7f")
    return written.translate(_HTML) if html else written


def from_json(run: Run, source: str) -> object:
    """JSON text as a value; numbers are floats, as Go's. Raises Fault."""
    run.copied(len(source))
    try:
        value: object = json.loads(source, parse_int=_float, parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise Fault("json: exceeded max depth") from None
    except json.JSONDecodeError as error:
        raise Fault(_wording(source, error)) from None
    values.check_size(run, value)
    return value


def _float(written: str) -> float:
    value = float(written)
    if math.isinf(value):
        raise Fault(f"json: cannot unmarshal number {written[:40]} into Go value of type float64")
    return value


def _constant(written: str) -> object:
    raise Fault(f"invalid character '{written[0]}' looking for beginning of value")


def _wording(source: str, error: json.JSONDecodeError) -> str:
    rest = source[error.pos :].lstrip()
    if not rest:
        return "unexpected end of JSON input"
    if error.msg == "Extra data":
        return f"invalid character '{rest[0]}' after top-level value"
    if error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    return f"invalid character '{rest[0]}' looking for beginning of value"
