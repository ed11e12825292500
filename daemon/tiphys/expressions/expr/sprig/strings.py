"""Sprig's functions on texts. Positions count the bytes of UTF-8, as Go's."""

import re

from tiphys.expressions.expr.builtins import texts
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run
from tiphys.expressions.expr.sprig import casts, spelling

TABLE = Registry("sprig.")
_BLANKS = " \t\n\v\f\r\x85\xa0"


@TABLE.add("trim")
def _trim(source: str) -> str:
    return source.strip(_BLANKS)


@TABLE.add("trimAll", "trimall")
def _trim_all(cutset: str, source: str) -> str:
    return source.strip(cutset) if cutset else source


@TABLE.add("trimSuffix")
def _trim_suffix(suffix: str, source: str) -> str:
    return source.removesuffix(suffix)


@TABLE.add("trimPrefix")
def _trim_prefix(prefix: str, source: str) -> str:
    return source.removeprefix(prefix)


@TABLE.add("upper")
def _upper(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.upper()


@TABLE.add("lower")
def _lower(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.lower()


@TABLE.add("title")
def _title(run: Run, source: str) -> str:
    run.copied(len(source))
    return re.sub(r"(?<![\w])[^\W\d_]", lambda match: match.group().title(), source)


@TABLE.add("untitle")
def _untitle(run: Run, source: str) -> str:
    run.copied(len(source))
    return re.sub(r"(?<!\S)\S", lambda match: match.group().lower(), source)


@TABLE.add("repeat")
def _repeat(run: Run, count: int, source: str) -> str:
    if count < 0:
        raise Fault("strings: negative Repeat count")
    return texts.repeat(run, source, count)


@TABLE.add("substr")
def _substr(run: Run, start: int, end: int, source: str) -> str:
    raw = source.encode()
    run.copied(len(raw))
    if start < 0:
        first, last = 0, end
    elif end < 0 or end > len(raw):
        first, last = start, len(raw)
    else:
        first, last = start, end
    if not 0 <= first <= last <= len(raw):
        raise Fault(f"runtime error: slice bounds out of range [{first}:{last}] with length {len(raw)}")
    return raw[first:last].decode("utf-8", "replace")


@TABLE.add("trunc")
def _trunc(run: Run, count: int, source: str) -> str:
    raw = source.encode()
    run.copied(len(raw))
    if count < 0 and len(raw) + count > 0:
        raw = raw[len(raw) + count :]
    elif 0 <= count < len(raw):
        raw = raw[:count]
    return raw.decode("utf-8", "replace")


@TABLE.add("abbrev")
def _abbrev(width: int, source: str) -> str:
    if width < 4 or len(source) <= width:
        return source
    return f"{source[: width - 3]}..."


@TABLE.add("abbrevboth")
def _abbrev_both(left: int, right: int, source: str) -> str:
    if right < 4 or (left > 0 and right < 7) or len(source) <= right:
        return source
    room = right - 3
    offset = min(left, len(source))
    if len(source) - offset < room:
        offset = len(source) - room
    if offset <= 4:
        return f"{source[:room]}..."
    if offset + room < len(source):
        return f"...{_abbrev(room, source[offset:])}"
    return f"...{source[len(source) - room :]}"


@TABLE.add("nospace")
def _nospace(run: Run, source: str) -> str:
    run.copied(len(source))
    return re.sub(r"\s+", "", source)


@TABLE.add("initials")
def _initials(run: Run, source: str) -> str:
    run.copied(len(source))
    return "".join(word[0] for word in source.split())


@TABLE.add("wrap")
def _wrap(run: Run, width: int, source: str) -> str:
    return _wrap_with(run, width, "\n", source)


@TABLE.add("wrapWith")
def _wrap_with(run: Run, width: int, separator: str, source: str) -> str:
    width = max(width, 1)
    parts: list[str] = []
    at = 0
    while len(source) - at > width:
        if source[at] == " ":
            at += 1
            continue
        space = source.rfind(" ", at, at + width + 1)
        end = space if space >= at else at + width
        parts.append(source[at:end])
        run.made(len(parts))
        at = end + (space >= at)
    parts.append(source[at:])
    run.copied(len(source) + len(separator) * len(parts))
    return separator.join(parts)


@TABLE.add("contains")
def _contains(part: str, source: str) -> bool:
    return part in source


@TABLE.add("hasPrefix")
def _has_prefix(prefix: str, source: str) -> bool:
    return source.startswith(prefix)


@TABLE.add("hasSuffix")
def _has_suffix(suffix: str, source: str) -> bool:
    return source.endswith(suffix)


@TABLE.add("quote")
def _quote(run: Run, *parts: object) -> str:
    return " ".join(spelling.quoted(casts.string(run, part)) for part in parts if part is not None)


@TABLE.add("squote")
def _squote(run: Run, *parts: object) -> str:
    return " ".join(f"'{casts.string(run, part)}'" for part in parts if part is not None)


@TABLE.add("cat")
def _cat(run: Run, *parts: object) -> str:
    made = [casts.string(run, part) for part in parts if part is not None]
    run.copied(sum(map(len, made)))
    return " ".join(made)


@TABLE.add("indent")
def _indent(run: Run, width: int, source: str) -> str:
    if width < 0:
        raise Fault("strings: negative Repeat count")
    pad = texts.repeat(run, " ", width)
    return pad + texts.replace(run, source, "\n", f"\n{pad}")


@TABLE.add("nindent")
def _nindent(run: Run, width: int, source: str) -> str:
    return "\n" + _indent(run, width, source)


@TABLE.add("replace")
def _replace(run: Run, old: str, new: str, source: str) -> str:
    return texts.replace(run, source, old, new)


@TABLE.add("plural")
def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


@TABLE.add("snakecase")
def _snakecase(run: Run, source: str) -> str:
    run.copied(len(source) * 2)
    return spelling.joined(source, "_")


@TABLE.add("kebabcase")
def _kebabcase(run: Run, source: str) -> str:
    run.copied(len(source) * 2)
    return spelling.joined(source, "-")


@TABLE.add("camelcase")
def _camelcase(run: Run, source: str) -> str:
    run.copied(len(source) * 2)
    return spelling.pascal(source)


@TABLE.add("swapcase")
def _swapcase(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.swapcase()


@TABLE.add("toString")
def _to_string(run: Run, value: object) -> str:
    return casts.string(run, value)


@TABLE.add("split")
def _split(run: Run, separator: str, source: str) -> dict[str, object]:
    return _numbered(texts.split(run, source, separator))


@TABLE.add("splitn")
def _splitn(run: Run, separator: str, count: int, source: str) -> dict[str, object]:
    return _numbered(texts.split(run, source, separator, count))


def _numbered(parts: list[str]) -> dict[str, object]:
    return {f"_{index}": part for index, part in enumerate(parts)}


@TABLE.add("splitList")
def _split_list(run: Run, separator: str, source: str) -> list[str]:
    return texts.split(run, source, separator)


@TABLE.add("join")
def _join(run: Run, separator: str, parts: object) -> str:
    return texts.join(run, casts.strings(run, parts), separator)


@TABLE.add("toStrings")
def _to_strings(run: Run, parts: object) -> list[str]:
    return casts.strings(run, parts)


@TABLE.add("sortAlpha")
def _sort_alpha(run: Run, parts: object) -> list[str]:
    return sorted(casts.strings(run, parts))


@TABLE.add("hello")
def _hello() -> str:
    return "Hello!"


@TABLE.add("fail")
def _fail(message: str) -> object:
    raise Fault(message)
