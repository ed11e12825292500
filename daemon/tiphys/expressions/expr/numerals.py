"""Number literals."""

import math

from tiphys.expressions.expr import tree
from tiphys.expressions.expr.faults import Fault

_LARGEST = (1 << 63) - 1


def node(text: str, at: int) -> tree.Integer | tree.Float:
    """The literal `text` (decimal, 0x, 0o, 0b, with underscores, point or exponent); raises Fault."""
    digits = text.replace("_", "").lower()
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    if base == 10 and any(mark in digits for mark in ".e"):
        return _float(digits, at)
    try:
        value = int(digits[2:] if base != 10 else digits.lstrip("0")[:25] or "0", base)
    except ValueError:
        raise Fault(f'invalid integer literal: "{text}"', at) from None
    if value > _LARGEST:
        raise Fault("integer literal is too large", at)
    return tree.Integer(value, at)


def _float(digits: str, at: int) -> tree.Float:
    try:
        value = float(digits)
    except ValueError:
        raise Fault(f'invalid float literal: "{digits}"', at) from None
    if math.isinf(value):
        raise Fault(f'invalid float literal: "{digits}"', at)
    return tree.Float(value, at)


def decimal(text: str) -> int | None:
    """The whole number that Go's `strconv.Atoi` reads in `text`, or None."""
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    value = int(digits.lstrip("0")[:25] or "0")
    if text[0] == "-":
        value = -value
    return value if -_LARGEST - 1 <= value <= _LARGEST else None


def real(text: str) -> float | None:
    """The float that Go's `strconv.ParseFloat` reads in `text`, or None (for what is out of range too)."""
    if not text or text != text.strip() or not text.isascii() or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isinf(value) and "n" not in text.lower() else value
