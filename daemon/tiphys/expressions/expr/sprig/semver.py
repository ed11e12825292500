"""Semantic versions and their constraints, as Sprig's semver and semverCompare understand them."""

from collections.abc import Callable
from functools import total_ordering
from typing import NamedTuple

from tiphys.expressions import lazily
from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Bound, Function, Registry

TABLE = Registry("sprig.")
_VERSION = lazily.compiled(
    r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?(?:\+([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
)
_PART = r"v?(?:[0-9]{1,18}|[xX*])(?:\.(?:[0-9]{1,18}|[xX*])){0,2}(?:-[0-9A-Za-z\-.]+)?(?:\+[0-9A-Za-z\-.]+)?"
_RANGE = lazily.compiled(rf"\s*({_PART})\s+-\s+({_PART})\s*")
_CONSTRAINT = lazily.compiled(rf"\s*(=|==|!=|>|<|>=|=>|<=|=<|~|~>|\^|)\s*({_PART})\s*")
_WILD = {"x", "X", "*"}
Numbers = tuple[int, int, int]


@total_ordering
class Version(values.Opaque):
    """One version; ordered as semantic versions are."""

    go = "*semver.Version"

    def __init__(self, written: str, numbers: Numbers, prerelease: str, metadata: str) -> None:
        self.written = written
        self.numbers = numbers
        self.prerelease = prerelease
        self.metadata = metadata

    def __str__(self) -> str:
        made = ".".join(map(str, self.numbers))
        return made + (f"-{self.prerelease}" if self.prerelease else "") + (f"+{self.metadata}" if self.metadata else "")

    def _key(self) -> tuple[Numbers, tuple[object, ...]]:
        identifiers: list[object] = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")]
        return self.numbers, (0, *identifiers) if self.prerelease else (1,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key() == other._key()

    def __lt__(self, other: "Version") -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def member(self, name: str) -> Bound | None:
        """The method of that name."""
        method = _METHODS.get(name)
        return Bound(method, self) if method is not None else None


_METHODS: dict[str, Function] = {}


def _method(name: str, body: Callable[[Version], object]) -> None:
    def method(version: object) -> object:
        assert isinstance(version, Version)
        return body(version)

    _METHODS[name] = Function(name, method)


_method("Major", lambda version: version.numbers[0])
_method("Minor", lambda version: version.numbers[1])
_method("Patch", lambda version: version.numbers[2])
_method("Prerelease", lambda version: version.prerelease)
_method("Metadata", lambda version: version.metadata)
_method("Original", lambda version: version.written)
_method("String", str)


def parse(written: str) -> Version:
    """The version; missing numbers are 0. Raises Fault."""
    match = _VERSION.fullmatch(written) if len(written) < 256 else None
    if match is None:
        raise Fault("Invalid Semantic Version")
    major, minor, patch, prerelease, metadata = match.groups()
    return Version(written, (int(major), int(minor or 0), int(patch or 0)), prerelease or "", metadata or "")


class Bounds(NamedTuple):
    """One comparison: an operator, a version, and how many of its numbers were written."""

    operator: str
    version: Version
    given: int

    def allows(self, version: Version) -> bool:
        """Whether the version satisfies it; a prerelease does only where the constraint has one too."""
        if version.prerelease and not self.version.prerelease and self.operator != "!=":
            return False
        low, given = self.version, self.given
        if given == 0:
            return self.operator not in {"!=", ">", "<"}
        match self.operator:
            case "" | "=" | "==":
                return version == low if given == 3 else low <= version and version.numbers[:given] == low.numbers[:given]
            case "!=":
                return version != low if given == 3 else version.numbers[:given] != low.numbers[:given]
            case ">":
                return version > low if given == 3 else version.numbers[:given] > low.numbers[:given]
            case "<":
                return version < low
            case ">=" | "=>":
                return version >= low
            case "<=" | "=<":
                return version <= low if given == 3 else version.numbers[:given] <= low.numbers[:given]
            case "~" | "~>":
                fixed = min(given, 2)
                return version >= low and version.numbers[:fixed] == low.numbers[:fixed]
            case _:
                fixed = next((index + 1 for index, number in enumerate(low.numbers) if number), given)
                return version >= low and version.numbers[: min(fixed, 3)] == low.numbers[: min(fixed, 3)]


def _bounds(operator: str, written: str) -> Bounds:
    core, _, _metadata = written.removeprefix("v").partition("+")
    core, dash, prerelease = core.partition("-")
    numbers = core.split(".")
    given = next((index for index, number in enumerate(numbers) if number in _WILD), len(numbers))
    filled = [*numbers[:given], *["0"] * (3 - given)]
    return Bounds(operator, parse(".".join(filled) + dash + prerelease), given)


def _group(written: str) -> list[Bounds]:
    found: list[Bounds] = []
    at = 0
    while at < len(written):
        ranged, single = _RANGE.match(written, at), _CONSTRAINT.match(written, at)
        if ranged is not None:
            found += [_bounds(">=", ranged[1]), _bounds("<=", ranged[2])]
            at = ranged.end()
        elif single is not None:
            found.append(_bounds(single[1], single[2]))
            at = single.end()
        else:
            raise Fault(f"improper constraint: {written[:200]}")
        at += written[at : at + 1] == ","
    if not found:
        raise Fault(f"improper constraint: {written[:200]}")
    return found


@TABLE.add("semver")
def _semver(written: str) -> Version:
    return parse(written)


@TABLE.add("semverCompare")
def _semver_compare(constraint: str, written: str) -> bool:
    if len(constraint) > 4096:
        raise Fault("improper constraint: too long")
    groups = [_group(part) for part in constraint.split("||")]
    version = parse(written)
    return any(all(bounds.allows(version) for bounds in group) for group in groups)
