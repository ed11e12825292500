"""`withSequence` to loop items: texts, in order (gotchas 25 and 27). It runs after substitution and never makes more than a bound."""

import re
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from typing import Final, overload

from tiphys import errors
from tiphys.expressions.durations import quoted
from tiphys.spec.templates import Sequence

MOST_ITEMS: Final = 1_000_000
MOST_TEXT: Final = 64_000_000
MOST_WIDTH: Final = 10_000
MOST_FORMAT: Final = 1_000

_INTEGER = re.compile(r"[+-]?[0-9]+")
_BARE = re.compile(r"[0-9]+")
_DIRECTIVE = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<early>\[[^\]]*\])?(?P<width>[0-9]*)(?:(?P<dot>\.)(?P<precision>[0-9]*))?(?P<index>\[[^\]]*\])?(?P<verb>.?)",
    re.DOTALL,
)
_BASES: Final = {"b": 2, "o": 8, "O": 8, "d": 10, "v": 10, "x": 16, "X": 16}
_PREFIXES: Final = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}
_ESCAPED: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}


class InvalidSequence(errors.TiphysError):
    """The sequence cannot be expanded."""


class Numbers(Listed[str]):
    """Whole numbers as texts, each made when it is asked for: of a hundred thousand a loop needs one at a time."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return [str(number) for number in self._numbers[index]] if isinstance(index, slice) else str(self._numbers[index])

    def __iter__(self) -> Iterator[str]:
        return map(str, self._numbers)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Listed) and not isinstance(other, str) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a list


def expand(sequence: Sequence) -> Listed[str]:
    """The items of `sequence`: `count` numbers from `start` (default 0), or all from `start` to `end`, downwards where end is smaller.

    Each is printed with `format` (Go's printf, default `%d`). A count of 0, or below, gives none. Raises InvalidSequence in Argo's
    words for text that is no number, and where the items would not fit into memory.
    """
    start = 0 if sequence.start is None else _number(sequence.start)
    if sequence.end is not None and sequence.count is not None:
        raise InvalidSequence("only one of count or end can be defined in withSequence")
    if sequence.end is not None:
        end = _number(sequence.end)
        numbers = range(start, end + 1) if start <= end else range(start, end - 1, -1)
    elif sequence.count is not None:
        numbers = range(start, start + max(0, _number(sequence.count)))
    else:
        raise InvalidSequence("neither end nor count was specified in withSequence")
    length = abs(numbers.stop - numbers.start)
    if length > MOST_ITEMS:
        raise InvalidSequence(f"withSequence would make {length} items; the most is {MOST_ITEMS}")
    form = sequence.format or "%d"
    if len(form) > MOST_FORMAT:
        raise InvalidSequence(f"withSequence format of {len(form)} characters; the most is {MOST_FORMAT}")
    if form == "%d":
        return Numbers(numbers)
    texts: list[str] = []
    size = 0
    for number in numbers:
        texts.append(printf(form, number))
        size += len(texts[-1])
        if size > MOST_TEXT:
            raise InvalidSequence(f"withSequence would make more than {MOST_TEXT} characters of items")
    return texts


def printf(form: str, number: int) -> str:
    """Go's `fmt.Sprintf(form, number)`, with its marks for what is wrong: `%!s(int=5)`, `%!d(BADINDEX)`, `%!(EXTRA int=5)`."""
    texts: list[str] = []
    used = reordered = False
    position = 0
    while True:
        at = form.find("%", position)
        if at < 0:
            break
        texts.append(form[position:at])
        directive = _DIRECTIVE.match(form, at)
        assert directive is not None
        position = directive.end()
        verb = directive["verb"]
        index = directive["early"] or directive["index"]
        misplaced = directive["early"] and (directive["width"] or directive["dot"] or directive["index"])
        reordered = reordered or index is not None
        if not verb:
            texts.append("%!(NOVERB)")
        elif verb == "%":
            texts.append("%")
        elif index is not None and (misplaced or index != "[1]"):
            texts.append(f"%!{verb}(BADINDEX)")
        elif used and index is None:
            texts.append(f"%!{verb}(MISSING)")
        else:
            used = True
            texts.append(_formatted(directive, number))
    texts.append(form[position:])
    if not used and not reordered:
        texts.append(f"%!(EXTRA int={number})")
    return "".join(texts)


def _formatted(directive: re.Match[str], number: int) -> str:
    verb, flags = directive["verb"], directive["flags"]
    width = _bounded(directive["width"])
    precision = None if directive["dot"] is None else _bounded(directive["precision"])
    if verb in {"c", "q", "U"}:
        return _padded(_character(verb, number, sharp="#" in flags), width, flags)
    base = _BASES.get(verb)
    if base is None:
        return f"%!{verb}(int={number})"
    digits = _digits(abs(number), base)
    if precision is not None:
        digits = "" if precision == 0 and number == 0 else digits.rjust(precision, "0")
        flags = flags.replace("0", "")
        if not digits:
            return " " * width
    prefix = _PREFIXES.get(verb, "") if "#" in flags else "0o" if verb == "O" else ""
    if prefix == "0" and digits.startswith("0"):
        prefix = ""
    sign = "-" if number < 0 else "+" if "+" in flags else " " if " " in flags else ""
    if "0" in flags and "-" not in flags:
        digits = digits.rjust(width - len(sign), "0")  # Go's zeros go between the sign and a prefix that does not count
    text = sign + prefix + digits
    return _padded(text.upper() if verb == "X" else text, width, flags)


def _padded(text: str, width: int, flags: str) -> str:
    return text.ljust(width) if "-" in flags else text.rjust(width)


def _character(verb: str, number: int, *, sharp: bool) -> str:
    valid = 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    if verb == "U":
        text = f"U+{number & (2**64 - 1):04X}"
        return f"{text} '{chr(number)}'" if sharp and valid and chr(number).isprintable() else text
    character = chr(number) if valid else "�"
    if verb == "c":
        return character
    if character in _ESCAPED:
        return f"'{_ESCAPED[character]}'"
    if character.isprintable():
        return f"'{character}'"
    code = ord(character)
    return f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'" if code < 0x10000 else f"'\\U{code:08x}'"


def _digits(number: int, base: int) -> str:
    return {2: f"{number:b}", 8: f"{number:o}", 10: str(number), 16: f"{number:x}"}[base]


def _bounded(text: str) -> int:
    if len(text) > 9 or int(text or "0") > MOST_WIDTH:
        raise InvalidSequence(f"withSequence format has a width of more than {MOST_WIDTH}")
    return int(text or "0")


def _number(value: int | str) -> int:
    """A whole number as Go's `strconv.Atoi` reads it."""
    text = str(value) if isinstance(value, int) else value
    if not _INTEGER.fullmatch(text):
        raise InvalidSequence(f"strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise InvalidSequence(f"strconv.Atoi: parsing {quoted(text)}: value out of range")
    return int(text)
