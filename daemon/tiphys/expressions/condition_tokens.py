"""The tokens of `when` conditions, and which may follow which (semantics 2.6.2). The complaints are govaluate's."""

import enum
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from tiphys.expressions import condition_moments, gojson


class Kind(enum.Enum):
    """The kinds of tokens; the names show up in complaints."""

    UNKNOWN = "UNKNOWN"
    PREFIX = "PREFIX"
    NUMERIC = "NUMERIC"
    BOOLEAN = "BOOLEAN"
    STRING = "STRING"
    TIME = "TIME"
    VARIABLE = "VARIABLE"
    ACCESSOR = "ACCESSOR"
    SEPARATOR = "SEPARATOR"
    COMPARATOR = "COMPARATOR"
    LOGICALOP = "LOGICALOP"
    MODIFIER = "MODIFIER"
    TERNARY = "TERNARY"
    CLAUSE = "CLAUSE"
    CLAUSE_CLOSE = "CLAUSE_CLOSE"


class Token(NamedTuple):
    """A token: its kind, its value (text, number, boolean, or the parts of an accessor) and where it begins."""

    kind: Kind
    value: str | float | bool | tuple[str, ...]
    at: int


class Unreadable(Exception):
    """The text does not follow the grammar."""

    def __init__(self, reason: str, at: int) -> None:
        self.reason = reason
        self.at = at
        super().__init__(reason)


PREFIXES: Final = frozenset({"-", "!", "~"})
_OPERATORS: Final = {
    **dict.fromkeys(("+", "-", "*", "/", "%", "**", "&", "|", "^", ">>", "<<"), Kind.MODIFIER),
    **dict.fromkeys(("&&", "||"), Kind.LOGICALOP),
    **dict.fromkeys(("==", "!=", ">", ">=", "<", "<=", "=~", "!~"), Kind.COMPARATOR),
    **dict.fromkeys(("?", ":", "??"), Kind.TERNARY),
}

_VALUES: Final = frozenset({Kind.NUMERIC, Kind.BOOLEAN, Kind.STRING, Kind.TIME, Kind.VARIABLE, Kind.ACCESSOR, Kind.CLAUSE})
_AFTER_VALUE: Final = frozenset(
    {Kind.MODIFIER, Kind.COMPARATOR, Kind.LOGICALOP, Kind.CLAUSE_CLOSE, Kind.TERNARY, Kind.SEPARATOR},
)
_FIRST: Final = _VALUES | {Kind.PREFIX}
_NEXT: Final = {
    Kind.UNKNOWN: _FIRST,
    Kind.CLAUSE: _FIRST | {Kind.CLAUSE_CLOSE},
    Kind.CLAUSE_CLOSE: _AFTER_VALUE,
    **dict.fromkeys((Kind.NUMERIC, Kind.BOOLEAN, Kind.STRING, Kind.VARIABLE), _AFTER_VALUE),
    Kind.TIME: _AFTER_VALUE - {Kind.TERNARY},
    Kind.ACCESSOR: _AFTER_VALUE | {Kind.CLAUSE},
    Kind.MODIFIER: (_FIRST | {Kind.CLAUSE_CLOSE}) - {Kind.TIME},
    Kind.COMPARATOR: _FIRST | {Kind.CLAUSE_CLOSE},
    Kind.LOGICALOP: _FIRST | {Kind.CLAUSE_CLOSE},
    Kind.PREFIX: (_VALUES | {Kind.CLAUSE_CLOSE}) - {Kind.STRING, Kind.TIME},
    Kind.TERNARY: _FIRST | {Kind.SEPARATOR},
    Kind.SEPARATOR: _FIRST,
}
_LAST: Final = frozenset({Kind.CLAUSE_CLOSE, Kind.NUMERIC, Kind.BOOLEAN, Kind.STRING, Kind.TIME, Kind.VARIABLE, Kind.ACCESSOR})

_BLANK = re.compile(r"\s*")
_NUMBER = re.compile(r"0x(?P<hex>[0-9a-fA-F]*)|(?P<number>[\d.]+)")
_WORD = re.compile(r"[^\W_][\w.]*(?:\\.[\w.]*)*", re.DOTALL)
_BRACKET = re.compile(r"\[(?P<name>[^\]\\]*(?:\\.[^\]\\]*)*)\]", re.DOTALL)
_QUOTED = re.compile(r"""['"](?P<text>[^'"\\]*(?:\\.[^'"\\]*)*)['"]""", re.DOTALL)
_SYMBOL = re.compile(r"""(?:[^\w\s()\[\]'"\\]+|_+|\\.)+""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MOST_HEX: Final = 16
_MOST_TOKENS: Final = 20_000


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; raises Unreadable."""
    found: list[Token] = []
    position = _end(_BLANK, text, 0)
    while position < len(text):
        token, position = _token(text, position, found[-1].kind if found else Kind.UNKNOWN)
        found.append(token)
        if len(found) > _MOST_TOKENS:
            raise Unreadable(f"more than {_MOST_TOKENS} words and signs", token.at)
        position = _end(_BLANK, text, position)
    depth = sum((token.kind is Kind.CLAUSE) - (token.kind is Kind.CLAUSE_CLOSE) for token in found)
    if depth:
        at = next(token.at for token in reversed(found) if token.kind in {Kind.CLAUSE, Kind.CLAUSE_CLOSE})
        raise Unreadable("Unbalanced parenthesis", at)
    return found


def check(found: Sequence[Token], length: int) -> None:
    """Raise Unreadable where a token may not follow the one before it, or the last may not be the last."""
    state, last = Kind.UNKNOWN, "<nil>"
    for token in found:
        if token.kind not in _NEXT[state]:
            if state is Kind.VARIABLE and token.kind is Kind.CLAUSE:
                raise Unreadable(f"Undefined function {last}", token.at)
            following = f"{token.kind.value} [{shown(token)}]"
            raise Unreadable(f"Cannot transition token types from {state.value} [{last}] to {following}", token.at)
        state, last = token.kind, shown(token)
    if state not in _LAST:
        raise Unreadable("Unexpected end of expression", length)


def shown(token: Token) -> str:
    """The token's value as Go prints it in a complaint."""
    match token.value:
        case bool():
            return "true" if token.value else "false"
        case tuple():
            return "[" + " ".join(token.value) + "]"
        case float():
            return gojson.float_text(token.value)
        case text:
            return str(ord(text)) if token.kind in {Kind.CLAUSE, Kind.CLAUSE_CLOSE} else text


def _token(text: str, at: int, before: Kind) -> tuple[Token, int]:
    character = text[at]
    if character.isdecimal() or character == ".":
        return _number(text, at)
    if character == ",":
        return Token(Kind.SEPARATOR, ",", at), at + 1
    if character == "[":
        bracket = _BRACKET.match(text, at)
        if bracket is None:
            raise Unreadable("Unclosed parameter bracket", at)
        return Token(Kind.VARIABLE, _plain(bracket["name"]), at), bracket.end()
    if character.isalpha():
        return _word(text, at)
    if character in "'\"":
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise Unreadable("Unclosed string literal", at)
        value = _plain(quoted["text"])
        moment = condition_moments.seconds(value)
        return Token(Kind.STRING, value, at) if moment is None else Token(Kind.TIME, moment, at), quoted.end()
    if character in "()":
        return Token(Kind.CLAUSE if character == "(" else Kind.CLAUSE_CLOSE, character, at), at + 1
    return _operator(text, at, before)


def _number(text: str, at: int) -> tuple[Token, int]:
    match = _NUMBER.match(text, at)
    assert match is not None
    digits = match["hex"]
    if digits is not None:
        if not digits or len(digits.lstrip("0")) > _MOST_HEX:
            raise Unreadable(f"Unable to parse hex value '{digits}' to uint64\n", at)
        return Token(Kind.NUMERIC, float(int(digits, 16)), at), match.end()
    try:
        return Token(Kind.NUMERIC, float(match["number"]), at), match.end()
    except ValueError:
        raise Unreadable(f"Unable to parse numeric value '{match['number']}' to float64\n", at) from None


def _word(text: str, at: int) -> tuple[Token, int]:
    match = _WORD.match(text, at)
    assert match is not None
    word = _plain(match[0])
    if word in {"true", "false"}:
        return Token(Kind.BOOLEAN, word == "true", at), match.end()
    if word in {"in", "IN"}:
        return Token(Kind.COMPARATOR, "in", at), match.end()
    if word.find(".") > 0:
        if word.endswith("."):
            raise Unreadable(f"Hanging accessor on token '{word}'", at)
        return Token(Kind.ACCESSOR, tuple(word.split(".")), at), match.end()
    return Token(Kind.VARIABLE, word, at), match.end()


def _operator(text: str, at: int, before: Kind) -> tuple[Token, int]:
    match = _SYMBOL.match(text, at)
    symbol = _plain(match[0]) if match is not None else text[at]
    if match is not None:
        if symbol in PREFIXES and Kind.PREFIX in _NEXT[before]:
            return Token(Kind.PREFIX, symbol, at), match.end()
        kind = _OPERATORS.get(symbol)
        if kind is not None:
            return Token(kind, symbol, at), match.end()
    raise Unreadable(f"Invalid token: '{symbol}'", at)


def _plain(text: str) -> str:
    """`text` without the backslashes that protect what follows them."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match is not None else position
