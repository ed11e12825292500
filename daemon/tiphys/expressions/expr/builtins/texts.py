"""The builtins on texts. Positions count the bytes of UTF-8, as Go's."""

from collections.abc import Sequence

from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


@TABLE.add("trim")
def _trim(source: str, cutset: str = " \t\n\v\f\r\x85\xa0") -> str:
    return source.strip(cutset) if cutset else source


@TABLE.add("trimPrefix")
def _trim_prefix(source: str, prefix: str = " ") -> str:
    return source.removeprefix(prefix)


@TABLE.add("trimSuffix")
def _trim_suffix(source: str, suffix: str = " ") -> str:
    return source.removesuffix(suffix)


@TABLE.add("upper")
def _upper(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.upper()


@TABLE.add("lower")
def _lower(run: Run, source: str) -> str:
    run.copied(len(source))
    return source.lower()


@TABLE.add("split")
def split(run: Run, source: str, separator: str, limit: int = -1) -> list[str]:
    """The parts between the separators (its characters if there is none), `limit` at most."""
    run.copied(len(source))
    run.made(source.count(separator) + 1)
    if limit == 0:
        return []
    if separator:
        return source.split(separator, limit - 1 if limit > 0 else -1)
    return list(source) if limit < 0 or limit >= len(source) else [*source[: limit - 1], source[limit - 1 :]]


@TABLE.add("splitAfter")
def _split_after(run: Run, source: str, separator: str, limit: int = -1) -> list[str]:
    parts = split(run, source, separator, limit)
    return [part + separator for part in parts[:-1]] + parts[-1:]


@TABLE.add("replace")
def replace(run: Run, source: str, old: str, new: str, limit: int = -1) -> str:
    """The text with `new` for each `old`, or for the first `limit`."""
    count = len(source) + 1 if not old else source.count(old)
    if limit >= 0:
        count = min(count, limit)
    run.copied(len(source))
    run.copied(len(source) + count * max(0, len(new) - len(old)))
    return source.replace(old, new, count)


@TABLE.add("repeat")
def repeat(run: Run, source: str, count: object) -> str:
    """The text `count` times."""
    times = values.integer(count)
    if times < 0:
        raise Fault(f"invalid argument for repeat (expected positive integer, got {times})")
    run.copied(len(source) * times)
    return source * times


@TABLE.add("join")
def join(run: Run, items: Sequence[object], separator: str = "") -> str:
    """The texts with the separator between them."""
    parts: list[str] = []
    for item in items:
        if not isinstance(item, str):
            raise Fault(f"invalid argument for join (expected array of strings, got an element of type {values.go_type(item)})")
        parts.append(item)
    run.copied(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


@TABLE.add("indexOf")
def _index_of(source: str, part: str) -> int:
    return _bytes_before(source, source.find(part))


@TABLE.add("lastIndexOf")
def _last_index_of(source: str, part: str) -> int:
    return _bytes_before(source, source.rfind(part))


def _bytes_before(source: str, index: int) -> int:
    return index if index < 0 or source.isascii() else len(source[:index].encode())


@TABLE.add("hasPrefix")
def _has_prefix(source: str, prefix: str) -> bool:
    return source.startswith(prefix)


@TABLE.add("hasSuffix")
def _has_suffix(source: str, suffix: str) -> bool:
    return source.endswith(suffix)
