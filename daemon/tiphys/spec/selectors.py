"""Kubernetes' label selectors: which objects `argo list -l …` and a notification's `selector` mean.

The language is the one of Kubernetes' API: requirements with commas between them, all of which must hold:
`key=value`, `key==value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, `key`, `!key`, `key>1`, `key<1`. An absent value is
the empty one; `!=` and `notin` hold for objects without the label.
"""

import enum
import re
from collections.abc import Mapping
from typing import NamedTuple, assert_never

import msgspec

from tiphys.errors import TiphysError

LONGEST_NAME, LONGEST_PREFIX = 63, 253
LARGEST_NUMBER = 2**63
VALUE_RULE = f"at most {LONGEST_NAME} letters, digits, '-', '_', '.', the first and the last a letter or digit"
NAME_RULE = f"{VALUE_RULE}; before it, if need be, a DNS name and '/'"
_TOKEN = re.compile(r"[ \t\r\n]*(?P<text>==|!=|[=!<>(),]|[^ \t\r\n=!<>(),]+|$)")
_NAME = re.compile(r"[A-Za-z0-9](?:[-._A-Za-z0-9]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NUMBER = re.compile(r"[+-]?[0-9]+")
_SIGNS = frozenset({"", "==", "!=", "=", "!", "<", ">", "(", ")", ","})


class SelectorError(TiphysError):
    """The text is not a label selector; the message names the place, `column` (from 1) gives it."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


class Operator(enum.StrEnum):
    """How a requirement compares."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "!"
    GREATER = ">"
    LESS = "<"


_OPERATORS = {
    "=": Operator.IN,
    "==": Operator.IN,
    "in": Operator.IN,
    "!=": Operator.NOT_IN,
    "notin": Operator.NOT_IN,
    ">": Operator.GREATER,
    "<": Operator.LESS,
}


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement; `=` and `!=` are `in` and `notin` with one value."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels keep it."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.GREATER | Operator.LESS:
                return value is not None and self._compares(value)
            case _:
                assert_never(self.operator)

    def _compares(self, value: str) -> bool:
        number = _number(value)
        limit = _number(next(iter(self.values)))
        if number is None or limit is None:
            return False
        return number > limit if self.operator is Operator.GREATER else number < limit


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """A selector that was read; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels keep every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def labels_match(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether `labels` match the selector text; raises SelectorError. For many objects, read it once with `parse_selector`."""
    return parse_selector(selector).matches(labels)


def parse_selector(text: str) -> Selector:
    """The selector that `text` means; empty text matches everything. Raises SelectorError."""
    return _Parser(text).selector()


class _Token(NamedTuple):
    text: str
    column: int

    @property
    def is_word(self) -> bool:
        return self.text not in _SIGNS


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [_Token(found["text"], found.start("text") + 1) for found in _TOKEN.finditer(text)]
        self._tokens.append(_Token("", len(text) + 1))
        self._next = 0

    def selector(self) -> Selector:
        found: list[Requirement] = []
        if not self._ahead.text:
            return Selector()
        while True:
            found.append(self._requirement())
            end = self._take()
            if not end.text:
                return Selector(requirements=tuple(found))
            if end.text != ",":
                raise _unexpected(end, "a comma or the end")

    @property
    def _ahead(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += bool(token.text)
        return token

    def _requirement(self) -> Requirement:
        if self._ahead.text == "!":
            self._take()
            return Requirement(key=self._key(), operator=Operator.ABSENT)
        key = self._key()
        if self._ahead.text in {"", ","}:
            return Requirement(key=key, operator=Operator.EXISTS)
        sign = self._take()
        if sign.text not in _OPERATORS:
            raise _unexpected(sign, "one of =, ==, !=, in, notin, <, >")
        operator = _OPERATORS[sign.text]
        if sign.text in {"in", "notin"}:
            return Requirement(key=key, operator=operator, values=self._list())
        values = {self._single(number=operator in {Operator.GREATER, Operator.LESS})}
        return Requirement(key=key, operator=operator, values=frozenset(values))

    def _key(self) -> str:
        token = self._take()
        if not token.is_word:
            raise _unexpected(token, "a label's name")
        if not is_key(token.text):
            raise SelectorError(f"{token.text!r} is not a label's name: {NAME_RULE}", token.column)
        return token.text

    def _single(self, *, number: bool) -> str:
        token = self._ahead
        if number and _number(token.text) is None:
            raise _unexpected(token, "a whole number")
        if token.text in {"", ","}:
            return ""
        return self._value()

    def _list(self) -> frozenset[str]:
        opened = self._take()
        if opened.text != "(":
            raise _unexpected(opened, "'('")
        values: set[str] = set()
        while True:
            values.add(self._value() if self._ahead.is_word else "")
            end = self._take()
            if end.text == ")":
                return frozenset(values)
            if end.text != ",":
                raise _unexpected(end, "',' or ')'")

    def _value(self) -> str:
        token = self._take()
        if not token.is_word:
            raise _unexpected(token, "a value")
        if not _is_name(token.text):
            raise SelectorError(f"{token.text!r} is not a label's value: {VALUE_RULE}", token.column)
        return token.text


def is_key(text: str) -> bool:
    """Whether a label may be called so."""
    prefix, slash, name = text.rpartition("/")
    return _is_name(name) and (not slash or _is_prefix(prefix))


def is_value(text: str) -> bool:
    """Whether a label may have this value."""
    return not text or _is_name(text)


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def _is_prefix(text: str) -> bool:
    return len(text) <= LONGEST_PREFIX and _PREFIX.fullmatch(text) is not None


def _number(text: str) -> int | None:
    """A whole number of 64 bits; None: the text is not one."""
    if len(text) > LONGEST_NAME or not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if -LARGEST_NUMBER <= number < LARGEST_NUMBER else None


def _unexpected(token: _Token, wanted: str) -> SelectorError:
    found = f"found {token.text!r}" if token.text else "the selector ends here"
    return SelectorError(f"{found}, expected {wanted}", token.column)
