"""What to do about a YAML error: the parser's own words name the place, these name the usual cause."""

import re
from collections.abc import Iterable

import yaml
from yaml.reader import ReaderError

from tiphys.manifests.source import Source

FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
QUOTE_TAG = 'quote text that begins with a template tag: "{{…}}"'
QUOTE = "put the text in quotes"
INDENT = "compare the indentation of this line with the lines above it, and look for an unclosed quote or bracket"

CAUSES = (
    ("mapping values are not allowed", 'a text that holds ": " must be in quotes; or the line above is indented differently'),
    ("did not find expected key", INDENT),
    ("did not find expected '-' indicator", INDENT),
    ("could not find expected ':'", "a key needs a colon and a blank after it; a text of several lines needs `|` or quotes"),
    ("found unexpected end of stream", "a quote or bracket is never closed"),
    ("did not find expected ',' or", "a bracket or brace is not closed, or a comma is missing"),
    ("did not find expected node content", "a value is missing here, or a bracket is not closed"),
    ("did not find expected <document start>", "a second document begins with a line `---`; " + INDENT),
    ("block sequence entries are not allowed", "a list that begins with `-` stands on a line of its own, below its key"),
    ("found unknown escape character", 'in "double quotes" a backslash begins an escape: write \\\\ or use single quotes'),
    ("found undefined tag handle", QUOTE),
)


def of_parser(error: Exception, source: Source, base: int) -> tuple[tuple[int, int], str, str]:
    """Line and column, message and hint of what the YAML parser raised; `base` lines come before what it was given."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "not YAML")
        if mark is not None:
            if error.context_mark is not None and not source.excerpt(mark.line + base + 1).strip():
                mark = error.context_mark  # the end of the file says nothing; where the quote or bracket opened does
            line, column = mark.line + base + 1, mark.column + 1
            if not source.excerpt(line).strip():
                line, column = min((line, column), source.place(len(source.data.rstrip())))
            return (line, column), f"yaml: {problem}", _cause(problem, source.at(line, column), source.excerpt(line))
        return (base + 1, 1), f"yaml: {problem}", ""
    offset = _undecodable(source.data)
    if offset is not None:
        place = source.place(offset)
        byte = source.data[offset]
        hint = "the file is binary" if b"\x00" in source.data[:1024] else "save the file as UTF-8"
        return place, f"not UTF-8 text: byte 0x{byte:02x} at offset {offset}", hint
    if isinstance(error, ReaderError):
        found = FORBIDDEN.search(source.data.decode("utf-8"))
        if found is not None:
            offset = len(found.string[: found.start()].encode())
            letter = f"U+{ord(found.group()):04X}"
            hint = "the file is binary" if found.group() == "\0" else 'in "double quotes" it can be written as an escape such as "\\x07"'
            return source.place(offset), f"yaml: control characters are not allowed: {letter}", hint
    return (base + 1, 1), f"yaml: {error}", ""


def of_key(source: Source, line: int, column: int) -> str:
    """The usual cause of a key that is a map or list."""
    tag = "{{" in (source.at(line, column - 1), source.at(line, column))
    return QUOTE_TAG if tag else "keys are single words or quoted texts"


def of_field(name: str, known: Iterable[str]) -> str:
    """The hint at an unknown field: the known one that was probably meant."""
    import difflib  # noqa: PLC0415  # only manifests with mistakes pay for it

    fields = sorted(known)
    folded = {field.lower(): field for field in fields}
    close = folded.get(name.lower().replace("_", "").replace("-", ""))
    if close is None:
        matches = difflib.get_close_matches(name.lower()[:100], folded, n=1, cutoff=0.7)
        close = folded[matches[0]] if matches else None
    return f'did you mean "{close}"?' if close else ""


def _undecodable(data: bytes) -> int | None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _cause(problem: str, there: str, excerpt: str) -> str:
    if "cannot start any token" in problem:
        match there[:1]:
            case "\t":
                return "YAML does not allow tabs for indentation: use blanks"
            case "%" | "@" | "`":
                return f"a text may not begin with {there[0]}: {QUOTE}"
    if "\t" in excerpt[: len(excerpt) - len(excerpt.lstrip())]:
        return "YAML does not allow tabs for indentation: use blanks"
    if "{{" in excerpt and "'{{" not in excerpt and '"{{' not in excerpt:
        return QUOTE_TAG
    return next((hint for text, hint in CAUSES if text in problem), "")
