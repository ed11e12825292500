"""Sprig's encodings, digests, paths and regular expressions."""

import base64
import binascii
import hashlib
import posixpath
import re
import zlib
from collections.abc import Callable, Iterator

from tiphys.expressions.expr import patterns
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry("sprig.")

# --- encodings and digests


@TABLE.add("b64enc")
def _b64enc(run: Run, source: str) -> str:
    run.copied(len(source) * 2)
    return base64.b64encode(source.encode()).decode()


@TABLE.add("b64dec")
def _b64dec(run: Run, source: str) -> str:
    return _decode(run, source, 64, lambda text: base64.b64decode(text, validate=True))


@TABLE.add("b32enc")
def _b32enc(run: Run, source: str) -> str:
    run.copied(len(source) * 2)
    return base64.b32encode(source.encode()).decode()


@TABLE.add("b32dec")
def _b32dec(run: Run, source: str) -> str:
    return _decode(run, source, 32, base64.b32decode)


def _decode(run: Run, source: str, base: int, decode: Callable[[str], bytes]) -> str:
    """The decoded text; for what is none the error's text, as Sprig gives it."""
    run.copied(len(source))
    text = source.replace("\n", "").replace("\r", "")
    try:
        return decode(text).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        allowed = r"[A-Za-z0-9+/]*" if base == 64 else r"[A-Z2-7]*"
        good = re.match(allowed, text)
        return f"illegal base{base} data at input byte {good.end() if good else 0}"


@TABLE.add("sha1sum")
def _sha1sum(run: Run, source: str) -> str:
    run.copied(len(source))
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@TABLE.add("sha256sum")
def _sha256sum(run: Run, source: str) -> str:
    run.copied(len(source))
    return hashlib.sha256(source.encode()).hexdigest()


@TABLE.add("sha512sum")
def _sha512sum(run: Run, source: str) -> str:
    run.copied(len(source))
    return hashlib.sha512(source.encode()).hexdigest()


@TABLE.add("adler32sum")
def _adler32sum(run: Run, source: str) -> str:
    run.copied(len(source))
    return str(zlib.adler32(source.encode()))


# --- paths


@TABLE.add("base", "osBase")
def _base(path: str) -> str:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


@TABLE.add("dir", "osDir")
def _dir(path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return _clean(head + slash)


@TABLE.add("clean", "osClean")
def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned.replace("//", "/", 1) if cleaned.startswith("//") else cleaned


@TABLE.add("ext", "osExt")
def _ext(path: str) -> str:
    name = path.rpartition("/")[2]
    _, point, extension = name.rpartition(".")
    return point + extension if point else ""


@TABLE.add("isAbs", "osIsAbs")
def _is_abs(path: str) -> bool:
    return path.startswith("/")


# --- regular expressions


def _matches(run: Run, pattern: str, source: str, limit: int = -1) -> Iterator[re.Match[str]]:
    """The matches from left to right, without empty ones right behind another."""
    end, count = -1, 0
    for match in patterns.compiled(run, pattern, source).finditer(source):
        if 0 <= limit <= count:
            return
        run.spend(4)
        if match.start() == match.end() == end:
            continue
        end, count = match.end(), count + 1
        yield match


@TABLE.add("regexMatch", "mustRegexMatch")
def _regex_match(run: Run, pattern: str, source: str) -> bool:
    return patterns.search(run, pattern, source)


@TABLE.add("regexFind", "mustRegexFind")
def _regex_find(run: Run, pattern: str, source: str) -> str:
    return next((match.group() for match in _matches(run, pattern, source)), "")


@TABLE.add("regexFindAll", "mustRegexFindAll")
def _regex_find_all(run: Run, pattern: str, source: str, limit: int) -> list[str]:
    return [match.group() for match in _matches(run, pattern, source, limit)]


@TABLE.add("regexReplaceAll", "mustRegexReplaceAll")
def _regex_replace_all(run: Run, pattern: str, source: str, replacement: str) -> str:
    return _replaced(run, pattern, source, lambda match: _expanded(match, replacement))


@TABLE.add("regexReplaceAllLiteral", "mustRegexReplaceAllLiteral")
def _regex_replace_all_literal(run: Run, pattern: str, source: str, replacement: str) -> str:
    return _replaced(run, pattern, source, lambda _match: replacement)


def _replaced(run: Run, pattern: str, source: str, make: Callable[[re.Match[str]], str]) -> str:
    parts: list[str] = []
    at = 0
    for match in _matches(run, pattern, source):
        parts += [source[at : match.start()], make(match)]
        run.copied(len(parts[-1]))
        at = match.end()
    parts.append(source[at:])
    run.copied(sum(map(len, parts)))
    return "".join(parts)


_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


def _expanded(match: re.Match[str], replacement: str) -> str:
    """`$1`, `${1}`, `$name` and `$$` in a replacement; an unknown group is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, replacement)


@TABLE.add("regexSplit", "mustRegexSplit")
def _regex_split(run: Run, pattern: str, source: str, limit: int) -> list[str]:
    if limit == 0:
        return []
    if pattern and not source:
        return [""]
    parts: list[str] = []
    at = end = 0
    for match in _matches(run, pattern, source, limit):
        if limit > 0 and len(parts) == limit - 1:
            break
        end = match.start()
        if match.end() != 0:
            parts.append(source[at:end])
        at = match.end()
    return [*parts, source[at:]] if end != len(source) else parts


@TABLE.add("regexQuoteMeta", "mustRegexQuoteMeta")
def _regex_quote_meta(run: Run, source: str) -> str:
    run.copied(len(source))
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", source)
