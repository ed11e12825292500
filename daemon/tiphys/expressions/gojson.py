"""Values as Go prints them: `encoding/json` text, `%v` text, and the texts of loop items (semantics 2.4, 2.16; gotchas 15, 24).

Numbers that came from JSON text keep their literal (`1.0` stays `1.0`): `parse` gives them as `Number`.
"""

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from tiphys import errors
from tiphys.expressions import durations, scans

DEEPEST: Final = 200
"""How deep lists and maps may be nested in a text that `parse` takes, and in a value that is printed."""

LONGEST_NUMBER: Final = 1_000

_PRINTED_PLAIN: Final = range(-4, 6)
_JSON_PLAIN: Final = range(-6, 21)
"""The powers of ten of floats that are written without an exponent."""

_encode_text = json.JSONEncoder(ensure_ascii=False).encode
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}


class InvalidJSON(errors.TiphysError):
    """The text is not JSON."""


class Unprintable(errors.TiphysError):
    """The value has no JSON form."""


class Number(float):
    """A number that remembers how it was written."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that the JSON literal `text` means."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type["Number"], tuple[str]]:
        return Number, (self.text,)


def parse(text: str) -> Any:
    """The value of a JSON text; numbers with a point or an exponent are `Number`. Raises InvalidJSON in the words of Go's decoder."""
    _check_depth(text)
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJSON(_complaint(error.msg, text, error.pos)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidJSON(str(error)) from error


def compact(value: object) -> str:
    """The value as Go's `json.Marshal` writes it: sorted keys, no blanks, `<`, `>` and `&` escaped. Raises Unprintable."""
    texts: list[str] = []
    _write(value, texts, DEEPEST)
    return "".join(texts)


def safe(text: str) -> str:
    """A JSON text with `<`, `>` and `&` escaped, as Go's `json.Marshal` writes them."""
    return _UNSAFE.sub(_escaped, text) if scans.unsafe(text) else text


def go_format(value: object) -> str:
    """The value as Go's `%v` prints it: `[a b]`, `map[k:v]`, 2.0 as `2`, nothing as `<nil>`. Raises Unprintable."""
    return _formatted(value, DEEPEST)


def item_text(value: object) -> str:
    """What `{{item}}` stands for: text itself, a number or boolean as it was written, a map or list as compact JSON."""
    return value if isinstance(value, str) else compact(value)


def item_fields(value: Mapping[str, object]) -> dict[str, str]:
    """What `{{item.k}}` stands for, for each key: the JSON text of the member, without the quotes (and with the escapes) of text."""
    return {key: _unquoted(compact(member)) for key, member in value.items()}


def item_name(value: object) -> str:
    """The part of a loop child's name that comes from its item: `k:v,k2:v2` for maps, `[a b]` for lists; parentheses are dropped.

    Null is the list that has nothing, `[]`: Argo reads any item as a list first, and null can be one.
    """
    if value is None:
        text = "[]"
    elif isinstance(value, str):
        text = _unquoted(_text(value))
    elif isinstance(value, Mapping):
        text = ",".join(sorted(f"{key}:{member}" for key, member in item_fields(value).items()))
    elif _is_list(value):
        text = "[" + " ".join(_unquoted(compact(member)) for member in _members(value)) + "]"
    else:
        text = _unquoted(compact(value))
    return text.replace("(", "").replace(")", "")


def float_text(number: float) -> str:
    """A float as Go's `%v` prints it: the shortest digits, an exponent from 1e+06 on and below 1e-4."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return _float(number, _PRINTED_PLAIN, two_digits=True)


def _decode(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_int=_integer, parse_constant=_constant)


def _integer(text: str) -> object:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"number with {len(text)} digits")
    return Number(text) if text == "-0" else int(text)


def _constant(name: str) -> object:
    where = "in numeric literal" if name.startswith("-") else "looking for beginning of value"
    raise ValueError(f"invalid character '{name.lstrip('-')[0]}' {where}")


def _check_depth(text: str) -> None:
    depth = 0
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    for match in _BRACKETS.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            if depth > DEEPEST:
                raise InvalidJSON(f"exceeded max depth: more than {DEEPEST} lists and maps inside one another")
        elif bracket in "]}":
            depth -= 1


def _complaint(reason: str, text: str, position: int) -> str:
    """Go's words for what Python's decoder found."""
    where = {
        "Extra data": "after top-level value",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        "Illegal trailing comma before end of object": "looking for beginning of object key string",
        "Illegal trailing comma before end of array": "looking for beginning of value",
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after object key:value pair" if _in_object(text, position) else "after array element",
        "Invalid control character at": "in string literal",
        "Invalid \\escape": "in string escape code",
        "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
    }.get(reason.removesuffix(": "), "looking for beginning of value")
    if reason.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    if reason.startswith("Invalid \\"):
        position += 1
    if reason.startswith("Expecting value"):
        wanted = _LITERALS.get(text[position : position + 1])
        if wanted is not None:
            for offset in range(1, len(wanted)):
                found = text[position + offset : position + offset + 1]
                if not found:
                    return "unexpected end of JSON input"
                if found != wanted[offset]:
                    return f"invalid character {_shown(found)} in literal {wanted} (expecting '{wanted[offset]}')"
    if position >= len(text):
        return "unexpected end of JSON input"
    return f"invalid character {_shown(text[position])} {where}"


def _in_object(text: str, position: int) -> bool:
    open_brackets: list[str] = []
    for match in _BRACKETS.finditer(text, 0, position):
        if match[0] in "[{":
            open_brackets.append(match[0])
        elif match[0] in "]}" and open_brackets:
            open_brackets.pop()
    return bool(open_brackets) and open_brackets[-1] == "{"


def _shown(character: str) -> str:
    if character == "'":
        return r"'\''"
    return "'" + _encode_text(character)[1:-1].replace('\\"', '"') + "'"


def _write(value: object, texts: list[str], depth: int) -> None:
    if isinstance(value, str):
        texts.append(_text(value))
    elif value is None:
        texts.append("null")
    elif isinstance(value, bool):
        texts.append("true" if value else "false")
    elif isinstance(value, int):
        texts.append(_int(value))
    elif isinstance(value, float):
        texts.append(_number(value))
    elif depth == 0:
        raise Unprintable("json: unsupported value: lists and maps are nested too deeply")
    elif isinstance(value, Mapping):
        _write_map(value, texts, depth - 1)
    elif _is_list(value):
        texts.append("[")
        for index, member in enumerate(_members(value)):
            if index:
                texts.append(",")
            _write(member, texts, depth - 1)
        texts.append("]")
    else:
        texts.append(_special(value))


def _write_map(value: Mapping[Any, object], texts: list[str], depth: int) -> None:
    texts.append("{")
    members = {key if isinstance(key, str) else item_text(key): member for key, member in value.items()}
    for index, key in enumerate(sorted(members)):
        if index:
            texts.append(",")
        texts.append(_text(key))
        texts.append(":")
        _write(members[key], texts, depth)
    texts.append("}")


def _text(value: str) -> str:
    return _UNSAFE.sub(_escaped, _encode_text(value))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def _int(value: int) -> str:
    if value.bit_length() > 3 * LONGEST_NUMBER:
        raise Unprintable("json: unsupported value: a number of more than a thousand digits")
    return str(value)


def _number(value: float) -> str:
    if isinstance(value, Number):
        return value.text
    if not math.isfinite(value):
        raise Unprintable(f"json: unsupported value: {float_text(value)}")
    return _float(value, _JSON_PLAIN, two_digits=False)


def _float(value: float, plain: range, *, two_digits: bool) -> str:
    """The shortest decimal digits of a finite float, with an exponent where it is not one of `plain`."""
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    mantissa, exponent = _shortest(abs(value))
    sign = "-" if value < 0 else ""
    if exponent in plain:
        if exponent >= len(mantissa) - 1:
            return sign + mantissa.ljust(exponent + 1, "0")
        if exponent >= 0:
            return f"{sign}{mantissa[: exponent + 1]}.{mantissa[exponent + 1 :]}"
        return f"{sign}0.{'0' * (-exponent - 1)}{mantissa}"
    digits = mantissa[0] + (f".{mantissa[1:]}" if len(mantissa) > 1 else "")
    return f"{sign}{digits}e{'-' if exponent < 0 else '+'}{abs(exponent):0{2 if two_digits else 1}}"


def _shortest(value: float) -> tuple[str, int]:
    """The shortest digits that give `value` back, without a point, and the power of ten of the first of them."""
    digits, _, power = repr(value).partition("e")
    whole, _, part = digits.partition(".")
    joined = (whole + part).lstrip("0")
    exponent = int(power or "0") + (len(whole) - 1 if whole != "0" else -1 - (len(part) - len(part.lstrip("0"))))
    return joined.rstrip("0") or "0", exponent


def _special(value: object) -> str:
    if isinstance(value, datetime):
        return f'"{_rfc3339(value)}"'
    if isinstance(value, timedelta):
        return str(round(value / timedelta(microseconds=1)) * 1000)
    if isinstance(value, bytes | bytearray):
        return f'"{base64.b64encode(value).decode()}"'
    raise Unprintable(f"json: unsupported type: {type(value).__name__}")


def _rfc3339(moment: datetime) -> str:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    text = aware.isoformat()
    head, zone = text[:19], text[26:] if aware.microsecond else text[19:]
    part = f".{aware.microsecond:06}".rstrip("0").rstrip(".")
    return f"{head}{part}{'Z' if zone == '+00:00' else zone}"


def _formatted(value: object, depth: int) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(getattr(value, "label", "")) or _int(value)  # Go's months and weekdays print their names
    if isinstance(value, float):
        return float_text(value)
    if depth == 0:
        raise Unprintable("lists and maps are nested too deeply")
    if isinstance(value, Mapping):
        members = sorted((_formatted(key, depth - 1), _formatted(member, depth - 1)) for key, member in value.items())
        return "map[" + " ".join(f"{key}:{member}" for key, member in members) + "]"
    if isinstance(value, bytes | bytearray):
        return "[" + " ".join(str(byte) for byte in value) + "]"
    if _is_list(value):
        return "[" + " ".join(_formatted(member, depth - 1) for member in _members(value)) + "]"
    if isinstance(value, datetime):
        return _go_time(value)
    if isinstance(value, timedelta):
        return durations.go_text(value)
    raise Unprintable(f"a value of type {type(value).__name__} cannot be printed")


def _go_time(moment: datetime) -> str:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    part = f".{aware.microsecond:06}".rstrip("0").rstrip(".")
    return f"{aware:%Y-%m-%d %H:%M:%S}{part} {aware:%z} {'UTC' if aware.utcoffset() == timedelta() else aware.tzname()}"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _members(value: object) -> Sequence[object]:
    assert isinstance(value, Sequence)
    return value


def _unquoted(text: str) -> str:
    return text[1:-1] if text.startswith('"') else text
