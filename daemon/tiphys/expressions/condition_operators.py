"""What the operators of `when` conditions do to numbers, texts, booleans and lists (semantics 2.6.2). The complaints are govaluate's."""

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from tiphys.expressions import gojson

if TYPE_CHECKING:
    import re2

LEVELS: Final = {
    ",": 0,
    **dict.fromkeys(("?", ":", "??"), 1),
    "||": 2,
    "&&": 3,
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "=~", "!~", "in"), 4),
    **dict.fromkeys(("&", "|", "^"), 5),
    **dict.fromkeys(("<<", ">>"), 6),
    **dict.fromkeys(("+", "-"), 7),
    **dict.fromkeys(("*", "/", "%"), 8),
    "**": 9,
}
"""How tightly each binary operator binds; all of them group from the left."""

PREFIX_LEVEL: Final = 10

_WORD: Final = 2**64
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_PATTERN_BYTES: Final = 8 << 20


class Refused(Exception):
    """An operator cannot work on what it was given."""


def skips(symbol: str, left: object) -> bool:
    """Whether an operator knows its result from its left side alone."""
    match symbol:
        case "&&" | "?":
            return left is False
        case "||":
            return left is True
        case ":" | "??":
            return left is not None
        case _:
            return False


def skipped(symbol: str, left: object) -> object:
    """That result."""
    return None if symbol == "?" else left


def prefix(symbol: str, value: object) -> object:
    """The result of `-`, `!` or `~`; raises Refused."""
    if symbol == "!" and isinstance(value, bool):
        return not value
    if symbol != "!" and _is_number(value):
        return -value if symbol == "-" else float(~_int64(value))
    raise Refused(f"Value '{printed(value)}' cannot be used with the prefix '{symbol}'")


def apply(symbol: str, left: object, right: object) -> object:
    """The result of a binary operator; raises Refused."""
    match symbol:
        case "==":
            return equal(left, right)
        case "!=":
            return not equal(left, right)
        case "&&" | "||":
            return _logical(symbol, left, right)
        case "?":
            if not isinstance(left, bool):
                raise _refuse(left, "ternary operator", symbol, "a bool")
            return right
        case ":" | "??":
            return right
        case ",":
            if not isinstance(left, list):
                return [left, right]
            left.append(right)  # nobody else holds it
            return left
        case "in":
            return _contained(left, right)
        case "=~" | "!~":
            return _matches(left, right, symbol) is (symbol == "=~")
        case "<" | ">" | "<=" | ">=":
            if not (_is_number(left) and _is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
                raise _refuse(left, "comparator", symbol, "a number")
            return _COMPARISONS[symbol](left, right)
        case "+" if isinstance(left, str) or isinstance(right, str):
            return printed(left) + printed(right)
        case _:
            if not _is_number(left):
                raise _refuse(left, "modifier", symbol, "a number")
            if not _is_number(right):
                raise _refuse(right, "modifier", symbol, "a number")
            return _arithmetic(symbol, left, right)


def equal(left: object, right: object) -> bool:
    """Equality that is strict about types: a number is never equal to a text or a boolean."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right


def printed(value: object) -> str:
    """A value as Go prints it."""
    try:
        return gojson.go_format(value)
    except gojson.Unprintable:
        return "[…]"


def _refuse(value: object, what: str, symbol: str, kind: str) -> Refused:
    return Refused(f"Value '{printed(value)}' cannot be used with the {what} '{symbol}', it is not {kind}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, float)


def _logical(symbol: str, left: object, right: object) -> bool:
    if not isinstance(left, bool):
        raise _refuse(left, "logical operator", symbol, "a bool")
    if not isinstance(right, bool):
        raise _refuse(right, "logical operator", symbol, "a bool")
    return left and right if symbol == "&&" else left or right


def _contained(left: object, right: object) -> bool:
    if not isinstance(right, list):
        raise _refuse(right, "comparator", "in", "a number")
    if isinstance(left, list):
        raise Refused("a list cannot be looked for with the comparator 'in'")
    return any(equal(left, member) for member in right)


def _matches(left: object, right: object, symbol: str) -> bool:
    for value in (left, right):
        if not isinstance(value, str):
            raise _refuse(value, "comparator", symbol, "a number")
    return pattern(str(right)).search(str(left)) is not None


def pattern(text: str) -> "re2._Regexp":
    """The regular expression (RE2, which is linear in the text); raises Refused."""
    import re2  # noqa: PLC0415 - 2.5 MB that most runs never need

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES
    try:
        return re2.compile(text, options)
    except re2.error as error:
        detail = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise Refused(f"Unable to compile regexp pattern '{text}': error parsing regexp: {detail}") from None


def _arithmetic(symbol: str, left: float, right: float) -> float:
    try:
        match symbol:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
            case "**":
                return math.pow(left, right)
            case _:
                return _bitwise(symbol, left, right)
    except ZeroDivisionError:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
    except OverflowError:
        return math.inf if left > 0 or right % 2 == 0 else -math.inf
    except ValueError:  # fmod by 0, a root of a negative number, 0 to a negative power
        return math.inf if symbol == "**" and left == 0 else math.nan


def _bitwise(symbol: str, left: float, right: float) -> float:
    match symbol:
        case "&":
            return float(_int64(left) & _int64(right))
        case "|":
            return float(_int64(left) | _int64(right))
        case "^":
            return float(_int64(left) ^ _int64(right))
    shift = _int64(right) % _WORD
    if shift >= 64:
        return 0.0
    bits = _int64(left) % _WORD
    return float((bits << shift) % _WORD if symbol == "<<" else bits >> shift)


def _int64(value: float) -> int:
    """A number as the machine's 64-bit integer; what does not fit is the smallest of them, as on amd64."""
    if math.isfinite(value) and -(2**63) <= value < 2**63:
        return int(value)
    return -(2**63)
