"""JSONPath: `$.a.b[0]`, `$['a']`, `$..name`, `$.*`, slices, unions and `[?(@.x == 'y')]`.

A definite path gives the value, any other the list of what it finds.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tiphys.expressions import lazily
from tiphys.expressions.expr import numerals, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

Pick = Callable[[Run, object], Iterator[object]]
_LONGEST = 4096
_DOT = lazily.compiled(r"\.(?P<deep>\.)?(?:(?P<any>\*)|(?P<name>[^.\[\]'\"()*?,\s][^.\[\]'\"()*?,]*))?")
_SLICE = lazily.compiled(r"\s*(-?\d{0,9})\s*:\s*(-?\d{0,9})\s*(?::\s*(-?\d{0,9})\s*)?")
_NUMBER = lazily.compiled(r"\s*(-?\d{1,9})\s*")
_QUOTED = lazily.compiled(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*""")
_FILTER = lazily.compiled(
    r"""\?\(?\s*(?P<left>@[^\s=!<>~)]*)\s*(?:(?P<test>==|!=|<=|>=|<|>)\s*(?P<right>'[^']*'|"[^"]*"|-?\d+(?:\.\d+)?|true|false|null))?\s*\)?"""
)


class Step(NamedTuple):
    """One segment of a path: what it picks, its text, and whether it can find only one value."""

    pick: Pick
    text: str
    definite: bool


def find(run: Run, value: object, path: str) -> object:
    """What `path` finds in `value`; raises Fault where a definite path leads nowhere or the path is malformed."""
    found: list[object] = [value]
    definite = True
    for step in steps(path):
        before, found = found, []
        for part in before:
            for item in step.pick(run, part):
                run.spend(1)
                found.append(item)
        definite = definite and step.definite
        if definite and not found:
            key = step.text.strip("[].'")
            raise Fault(f"key error: {key} not found in object (path {path})")
    return found[0] if definite else found


@functools.lru_cache(maxsize=256)
def steps(path: str) -> tuple[Step, ...]:
    """The segments of a path; raises Fault."""
    if len(path) > _LONGEST:
        raise Fault("jsonpath: the path is too long")
    at = 1 if path[:1] in {"$", "@"} else 0
    rest = path if at else "." + path
    made: list[Step] = []
    while at < len(rest):
        step, at = _bracket(rest, at) if rest[at] == "[" else _dot(rest, at)
        made.append(step)
    return tuple(made)


def _dot(path: str, at: int) -> tuple[Step, int]:
    match = _DOT.match(path, at)
    if match is None or not (match["deep"] or match["any"] or match["name"]):
        raise Fault(f"jsonpath: unexpected {path[at : at + 20]!r} at {at} in path {path}")
    shown, end = match.group(), match.end()
    if match["any"]:
        pick: Pick = _children
    elif match["name"]:
        pick = _keys((match["name"].strip(),))
    elif path[end : end + 1] == "[":
        inner, end = _bracket(path, end)
        pick, shown = inner.pick, shown + inner.text
    else:
        raise Fault(f"jsonpath: unexpected end of path {path}")
    return (Step(_everywhere(pick), shown, definite=False) if match["deep"] else Step(pick, shown, not match["any"])), end


def _bracket(path: str, at: int) -> tuple[Step, int]:
    inside = at + 1
    if path[inside : inside + 1] == "?":
        match = _FILTER.match(path, inside)
        if match is not None and path[match.end() : match.end() + 1] == "]":
            return Step(_filtered(match), path[at : match.end() + 1], definite=False), match.end() + 1
        raise Fault(f"jsonpath: filter not understood in path {path}")
    if path[inside : inside + 2] == "*]":
        return Step(_children, "[*]", definite=False), inside + 2
    match = _SLICE.match(path, inside)
    if match is not None and path[match.end() : match.end() + 1] == "]":
        return Step(
            _sliced([int(part) if part else None for part in match.groups()]), path[at : match.end() + 1], definite=False
        ), match.end() + 1
    return _union(path, at)


def _union(path: str, at: int) -> tuple[Step, int]:
    keys: list[str | int] = []
    end = at + 1
    while True:
        quoted, number = _QUOTED.match(path, end), _NUMBER.match(path, end)
        if quoted is not None:
            keys.append(re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2]))
            end = quoted.end()
        elif number is not None:
            keys.append(int(number[1]))
            end = number.end()
        else:
            raise Fault(f"jsonpath: unexpected {path[end : end + 20]!r} at {end} in path {path}")
        mark = path[end : end + 1]
        end += 1
        if mark == "]":
            return Step(_keys(tuple(keys)), path[at:end], len(keys) == 1), end
        if mark != ",":
            raise Fault(f"jsonpath: missing ] in path {path}")


def _keys(keys: Sequence[str | int]) -> Pick:
    def pick(_run: Run, value: object) -> Iterator[object]:
        for key in keys:
            if values.is_map(value):
                if key in value:
                    yield value[key]
            elif values.is_array(value):
                index = key if isinstance(key, int) else numerals.decimal(key)
                if index is not None and -len(value) <= index < len(value):
                    yield value[index]

    return pick


def _children(_run: Run, value: object) -> Iterator[object]:
    if values.is_map(value):
        yield from value.values()
    elif values.is_array(value):
        yield from value


def _everywhere(pick: Pick) -> Pick:
    def deep(run: Run, value: object) -> Iterator[object]:
        pending: list[object] = [value]
        while pending:
            part = pending.pop()
            run.spend(1)
            yield from pick(run, part)
            pending.extend(reversed(list(_children(run, part))))

    return deep


def _sliced(bounds: Iterable[int | None]) -> Pick:
    cut = slice(*bounds)

    def pick(_run: Run, value: object) -> Iterator[object]:
        if values.is_array(value) and cut.step != 0:
            yield from value[cut]

    return pick


def _filtered(match: re.Match[str]) -> Pick:
    path, test, right = match["left"], match["test"], match["right"]
    wanted = _constant(right) if right is not None else None
    inner = steps(path)

    def holds(run: Run, value: object) -> bool:
        found: list[object] = [value]
        for step in inner:
            found = [item for part in found for item in step.pick(run, part)]
        if test is None:
            return bool(found)
        return any(_compared(run, item, test, wanted) for item in found)

    def pick(run: Run, value: object) -> Iterator[object]:
        for item in _children(run, value):
            run.spend(1)
            if holds(run, item):
                yield item

    return pick


def _constant(written: str) -> object:
    if written[0] in "'\"":
        return written[1:-1]
    words: dict[str, object] = {"true": True, "false": False, "null": None}
    return words[written] if written in words else float(written)


def _compared(run: Run, left: object, test: str, right: object) -> bool:
    match test:
        case "==":
            return values.equal(run, left, right)
        case "!=":
            return not values.equal(run, left, right)
        case _:
            comparable = (values.is_number(left) and values.is_number(right)) or (isinstance(left, str) and isinstance(right, str))
            return comparable and _ordered(left, test, right)


def _ordered(left: object, test: str, right: object) -> bool:
    tests: dict[str, bool] = {
        "<": left < right,  # type: ignore[operator]  # both numbers or both texts
        ">": left > right,  # type: ignore[operator]  # both numbers or both texts
        "<=": left <= right,  # type: ignore[operator]  # both numbers or both texts
        ">=": left >= right,  # type: ignore[operator]  # both numbers or both texts
    }
    return tests.get(test, False)
