"""YAML scalars as Argo's parser (sigs.k8s.io/yaml, YAML 1.1) reads them (semantics 2.4, gotcha 14).

`yes`, `on` and `y` are booleans, `0644` is octal, `1e3` is a number; dates and `12:30:45` stay text. Numbers then pass
through JSON: whole floats of 64 bits are integers. Anything a person wrote as text stays that text, letter for letter.
"""

import decimal
import math
import re
import struct

BOOLEANS: dict[str, bool] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
NULLS = frozenset({"", "~", "null", "Null", "NULL"})
NON_FINITE: dict[str, float] = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
WORDS: dict[str, bool | float | None] = {**BOOLEANS, **dict.fromkeys(NULLS), **NON_FINITE}

FIRST = frozenset("+-.0123456789yYnNtTfFoO~")
"""First letters of plain scalars that may be something else than text."""

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
OCTAL = re.compile(r"([-+]?)0[oO]?([0-7]+)")
HEXADECIMAL = re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)")
BINARY = re.compile(r"([-+]?)0[bB]([01]+)")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
SIGNED_BINARY = re.compile(r"0b([-+])([01]+)")
RADICES = ((OCTAL, 8), (HEXADECIMAL, 16), (BINARY, 2), (SIGNED_BINARY, 2))

EXACT = 2**53
INT64 = 2**63
UINT64 = 2**64
EXPONENT_FROM = 6
MAX_DIGITS = 400  # longer numbers are above the largest float

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """A plain (unquoted, untagged) scalar as JSON has it."""
    value = value_of(text)
    return json_number(value) if isinstance(value, float) else value


def value_of(text: str) -> Scalar:
    """The value of a plain scalar, before its way through JSON."""
    if not text or text[0] not in FIRST:
        return text or None
    return number(text) if text[0] in "+-.0123456789" else WORDS.get(text, text)


def number(text: str) -> Scalar:
    """A plain scalar that begins as a number does: one, or text."""
    if text in NON_FINITE:
        return NON_FINITE[text]
    if text[0] == ".":
        return _float(text)
    plain = text.replace("_", "") if "_" in text else text
    if len(plain) > MAX_DIGITS:
        return text
    if INTEGER.fullmatch(plain):
        whole = int(plain)
        return whole if -INT64 <= whole < (UINT64 if plain[0].isdigit() else INT64) else _float(plain)
    for pattern, radix in RADICES:
        if match := pattern.fullmatch(plain):
            whole = int(match[1] + match[2], radix)
            if -INT64 <= whole < (INT64 if match[1] else UINT64):
                return whole
    found = _float(plain)
    return text if isinstance(found, str) else found


def _float(text: str) -> float | str:
    """A decimal float, or `text` where that is none or out of range."""
    if not FLOAT.fullmatch(text):
        return text
    found = float(text)
    return found if math.isfinite(found) else text


def json_number(found: float) -> int | float:
    """A float after its way through JSON: whole ones of 64 bits are integers, with the digits that Go writes."""
    if not found.is_integer() or abs(found) >= INT64:
        return found
    return int(found) if abs(found) <= EXACT else int(decimal.Decimal(repr(found)))


def text_of(value: str | float | bool) -> str:
    """A scalar in a field that takes any scalar (Argo's AnyString): its shortest decimal text, never with an exponent."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) <= EXACT:
        return str(value)
    return fixed(float(value))


def loses_digits(value: object) -> bool:
    """Whether `text_of` rounds: Argo reads these numbers as 64-bit floats."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT and text_of(value) != exact(value)


def exact(value: int) -> str:
    """All digits, also beyond Python's limit on conversions."""
    return format(decimal.Decimal(value), "f")


def fixed(number: float) -> str:
    """Go's `FormatFloat(number, 'f', -1, 64)`: shortest digits that read back as the same float, no exponent."""
    text = format(decimal.Decimal(repr(number)), "f")
    return text.removesuffix(".0") if "." in text else text


def key_of(text: str) -> str | None:
    """A plain key as text, as the YAML to JSON conversion makes it; None where it refuses: null, and what only fits without a sign."""
    return key_text(value_of(text))


def key_text(value: Scalar) -> str | None:
    """The value of a key as text; None where it is refused."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value < INT64 else None
    return short(value)


def short(found: float) -> str:
    """Go's `FormatFloat(found, 'g', -1, 32)`, which go-yaml writes keys with: shortest digits of 32 bits, an exponent from 1e+06 on."""
    try:
        single: float = struct.unpack("<f", struct.pack("<f", found))[0]
    except OverflowError:
        single = math.copysign(math.inf, found)
    if not math.isfinite(single):
        return ".nan" if math.isnan(single) else ".inf" if single > 0 else "-.inf"
    text = next(text for text in (f"{single:.{digits}e}" for digits in range(9)) if digits_of_single(text) == single)
    return text if single and not -4 <= int(text.partition("e")[2]) < EXPONENT_FROM else fixed(float(text))


def digits_of_single(text: str) -> float:
    """The float of 32 bits that `text` reads back as."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", float(text)))[0])
    except OverflowError:
        return math.inf
