"""A flat scope as the nested variables of an expression (semantics 2.5.3).

Only what a program refers to is built, so that a scope of many thousand keys costs an expression nothing. A key that is both a
value and a prefix (`workflow.parameters`) keeps only the nested map.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tiphys.expressions.scope import ABSENT, MISSING, Scope

Path = tuple[str, ...]


class Referring(Protocol):
    """What is known of a program without running it: the access paths in it."""

    @property
    def references(self) -> frozenset[Path]:
        """Every static path, such as `("tasks", "a", "outputs", "result")`."""
        ...

    @property
    def optional(self) -> frozenset[Path]:
        """Those of them that `??` or `?.` guards."""
        ...


def nested(program: Referring, scope: Scope) -> dict[str, object]:
    """The variables that `program` can see of `scope`, as nested maps; what is absent is None, what is missing is not there."""
    tree = _Tree()
    whole: set[Path] = set()
    for path in sorted(program.references, key=len):
        if not any(path[:length] in whole for length in range(1, len(path))):
            whole.add(_place(tree, path, scope))
    return tree.root


def present(path: Path, scope: Scope) -> bool:
    """Whether `scope` knows something at `path`, be it a value, nothing (an absent optional) or names below it."""
    return _known(path, scope) or _inside(path, scope)


def _known(path: Path, scope: Scope) -> bool:
    key = ".".join(path)
    return scope.get(key) is not MISSING or bool(scope.under(key))


def _inside(path: Path, scope: Scope) -> bool:
    """Whether a shorter path holds a map (or a thing with methods, such as a time) in which the rest of `path` is found."""
    for length in range(len(path) - 1, 0, -1):
        value = scope.get(".".join(path[:length]))
        if value is MISSING:
            continue
        for name in path[length:]:
            if not isinstance(value, Mapping):
                return not (value is None or value is ABSENT or isinstance(value, str))
            if name not in value:
                return False
            value = value[name]
        return True
    return False


class _Tree:
    """Nested maps in the making. The maps that are values of the scope are never changed, but copied where names lie below them."""

    def __init__(self) -> None:
        self.root: dict[str, object] = {}
        self._made = {id(self.root)}

    def at(self, path: Iterable[str]) -> dict[str, object]:
        """The map at `path`, made where there is none; text that is in the way gives way to the names below it."""
        current = self.root
        for name in path:
            inner = current.get(name)
            if not isinstance(inner, dict) or id(inner) not in self._made:
                inner = dict(inner) if isinstance(inner, Mapping) else {}
                self._made.add(id(inner))
                current[name] = inner
            current = inner
        return current

    def put(self, path: Path, value: object) -> None:
        """Set the value at `path`."""
        self.at(path[:-1])[path[-1]] = None if value is ABSENT else value


def _place(tree: _Tree, path: Path, scope: Scope) -> Path:
    """Put what `scope` has at `path`, or at the longest shorter path that it knows, into `tree`; gives the path that is done."""
    for length in range(len(path), 0, -1):
        known = path[:length]
        key = ".".join(known)
        found = scope.under(key)
        if not found:
            continue
        if key in found:
            tree.put(known, found[key])
        if length < len(path) and len(found) > (key in found):
            tree.at(known)  # its siblings are there and it is not: nothing, in a map that exists
            return path
        for name in sorted(found):  # a value comes before the names that displace it
            if name != key:
                tree.put((*known, *name[len(key) + 1 :].split(".")), found[name])
        return known
    return path
