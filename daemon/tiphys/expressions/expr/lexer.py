"""Source text to tokens."""

import re
from typing import Literal

import msgspec

from tiphys.expressions.expr import limits
from tiphys.expressions.expr.faults import Fault

Kind = Literal["Identifier", "Operator", "Bracket", "Number", "String", "EOF"]

WORDS = frozenset({"in", "or", "and", "not", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"})
_TOKEN = re.compile(
    r"""
    (?P<blank> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<number> 0[xX][0-9a-fA-F_]+ | 0[oO][0-7_]+ | 0[bB][01_]+
        | (?: [0-9][0-9_]* (?: \.(?!\.) [0-9_]* )? | \.[0-9][0-9_]* ) (?: [eE][+-]?[0-9_]+ )? )
  | (?P<name> [^\W\d][\w$]* | \$[\w$]* )
  | (?P<quoted> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
  | (?P<raw> `(?:[^`]|``)*` )
  | (?P<bracket> [()\[\]{}] )
  | (?P<operator> \?\. | \?\? | \?: | \.\. | \*\* | && | \|\| | == | != | <= | >= | :: | [#?.*!<>=,;:%+\-^|] | /(?!\*) )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {mark: mark for mark in "\\'\"`?"}
_SURROGATES = range(0xD800, 0xE000)


class Token(msgspec.Struct, frozen=True):
    """One word of the source; `text` of a String has its escapes resolved."""

    kind: Kind
    text: str
    at: int

    def __str__(self) -> str:
        return "EOF" if self.kind == "EOF" else f'{self.kind}("{self.text}")'


def is_name(text: str) -> bool:
    """Whether `text` can stand behind a point."""
    return _NAME.fullmatch(text) is not None


def tokens(source: str) -> list[Token]:
    """The tokens of `source`, closed by one EOF token; raises Fault."""
    if len(source) > limits.MAX_SOURCE:
        reason = f"expression is longer than {limits.MAX_SOURCE} characters"
        raise Fault(reason, 0)
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise _unreadable(source, at)
        if match.lastgroup != "blank":
            found.append(_token(match, found))
            if len(found) > limits.MAX_TOKENS:
                raise Fault("compilation failed: expression exceeds maximum allowed nodes", at)
        at = match.end()
    found.append(Token("EOF", "", max(0, len(source) - 1)))
    return found


def _token(match: re.Match[str], before: list[Token]) -> Token:
    text, at = match.group(), match.start()
    match match.lastgroup:
        case "number":
            rest = match.string[match.end() : match.end() + 1]
            if rest.isalnum() or (rest in {"_", "$"} and rest):
                raise Fault(f'bad number syntax: "{text}{rest}"', match.end())
            return Token("Number", text, at)
        case "name":
            member = bool(before) and before[-1].kind == "Operator" and before[-1].text in {".", "?."}
            return Token("Operator" if text in WORDS and not member else "Identifier", text, at)
        case "quoted":
            return Token("String", _unescape(text[1:-1], at + 1), at)
        case "raw":
            return Token("String", text[1:-1].replace("``", "`"), at)
        case "bracket":
            return Token("Bracket", text, at)
        case _:
            return Token("Operator", text, at)


def _unescape(text: str, at: int) -> str:
    if "\\" not in text:
        return text

    def resolve(match: re.Match[str]) -> str:
        byte, braced, short, long, octal, simple = match.groups()
        if simple is not None:
            if simple not in _SIMPLE:
                raise Fault("invalid char escape", at + match.start() + 1)
            return _SIMPLE[simple]
        code = int(octal, 8) if octal else int(byte or braced or short or long, 16)
        if code > 0x10FFFF or code in _SURROGATES:
            raise Fault("invalid char escape", at + match.start() + 1)
        return chr(code)

    return _ESCAPE.sub(resolve, text)


def _unreadable(source: str, at: int) -> Fault:
    character = source[at]
    if character in "\"'`":
        return Fault("literal not terminated", len(source) - 1)
    if source.startswith("/*", at):
        return Fault("unclosed comment", at)
    return Fault(f"unrecognized character: U+{ord(character):04X} '{character}'", at)
