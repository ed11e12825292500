"""YAML scalars as Argo's parser (sigs.k8s.io/yaml, YAML 1.1) reads them (semantics 2.4, gotcha 14).

`yes`, `on` and `y` are booleans, `0644` is octal, `1e3` is a number; dates and `12:30:45` stay text. Numbers then pass
through JSON: whole floats up to 2^53 are integers. Anything a person wrote as text stays that text, letter for letter.
"""

import decimal
import math
import re

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
RADICES = ((OCTAL, 8), (HEXADECIMAL, 16), (BINARY, 2))

EXACT = 2**53
INT64 = 2**63
UINT64 = 2**64
MAX_DIGITS = 400  # longer numbers are above the largest float

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted, untagged) scalar."""
    if not text:
        return None
    if text[0] not in FIRST:
        return text
    if text in WORDS:
        return WORDS[text]
    if text[0] in "+-.0123456789":
        number = _number(text)
        return text if number is None else number
    return text


def _number(text: str) -> int | float | None:
    """`text` as a number, or None."""
    if text[0] == ".":
        return _float(text)
    plain = text.replace("_", "") if "_" in text else text
    if len(plain) > MAX_DIGITS:
        return None
    if INTEGER.fullmatch(plain):
        whole = int(plain)
        return whole if -INT64 <= whole < UINT64 else _float(plain)
    for pattern, radix in RADICES:
        if match := pattern.fullmatch(plain):
            whole = int(match[1] + match[2], radix)
            return whole if -INT64 <= whole < UINT64 else None
    return _float(plain)


def _float(text: str) -> int | float | None:
    """A decimal float as JSON shows it, or None where `text` is none or out of range."""
    if not FLOAT.fullmatch(text):
        return None
    number = float(text)
    return json_number(number) if math.isfinite(number) else None


def json_number(number: float) -> int | float:
    """A float after its way through JSON: whole ones up to 2^53 are integers."""
    return int(number) if number.is_integer() and abs(number) <= EXACT else number


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


def key_text(value: Scalar) -> str | None:
    """A map key as text, as the YAML to JSON conversion does; None where it refuses (null)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return exact(value)
    return fixed(value)
