"""Functions that expressions call: Python functions whose annotations say which Go types they take."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple, TypeVar, get_origin

from tiphys.expressions.expr import values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

Fn = TypeVar("Fn", bound=Callable[..., object])
Check = tuple[Callable[[object], bool], str]

_CHECKS: dict[object, Check | None] = {
    object: None,
    str: (lambda value: isinstance(value, str), "string"),
    int: (values.is_int, "int"),
    float: (values.is_number, "float64"),
    bool: (lambda value: isinstance(value, bool), "bool"),
    list: (values.is_array, "[]interface {}"),
    Sequence: (values.is_array, "[]interface {}"),
    dict: (values.is_map, "map[string]interface {}"),
    Mapping: (values.is_map, "map[string]interface {}"),
    datetime: (lambda value: isinstance(value, datetime), "time.Time"),
    timedelta: (lambda value: isinstance(value, timedelta), "time.Duration"),
    tzinfo: (lambda value: isinstance(value, tzinfo), "*time.Location"),
}


def given_text(name: str, value: object) -> str:
    """`value` as an argument of `name` that has to be a string; raises Fault."""
    if isinstance(value, str):
        return value
    raise Fault(f"cannot use {values.go_type(value)} as argument (type string) to call {name}")


class Function:
    """A callable of expressions; checks count and types of its arguments, which are learnt at its first call: there are hundreds."""

    __slots__ = ("_body", "_checks", "_is_known", "_least", "_most", "_rest", "_wants_run", "name")

    def __init__(self, name: str, body: Callable[..., object]) -> None:
        self.name = name
        self._body = body
        self._checks: list[Check | None] = []
        self._rest: Check | None = None
        self._least, self._most, self._wants_run = 0, 0, False
        self._is_known = False

    def learn(self) -> None:
        """See what the arguments are. Several threads may do so at once: what they find is the same, and put in place whole."""
        checks: list[Check | None] = []
        least, most = 0, 0
        for parameter in inspect.signature(self._body).parameters.values():
            if parameter.annotation is Run:
                self._wants_run = True
                continue
            check = _CHECKS[get_origin(parameter.annotation) or parameter.annotation]
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._rest, most = check, 1 << 30
                continue
            checks.append(check)
            most += 1
            least += parameter.default is parameter.empty
        self._checks, self._least, self._most = checks, least, most
        self._is_known = True

    def __call__(self, run: Run, arguments: Sequence[object]) -> object:
        """Calls it; raises Fault in expr's words."""
        if not self._is_known:
            self.learn()
        count = len(arguments)
        if count < self._least:
            raise Fault(f"not enough arguments to call {self.name}")
        if count > self._most:
            raise Fault(f"too many arguments to call {self.name}")
        for index, value in enumerate(arguments):
            check = self._checks[index] if index < len(self._checks) else self._rest
            if check is not None and not check[0](value):
                raise Fault(f"cannot use {values.go_type(value)} as argument (type {check[1]}) to call {self.name}")
        run.steps -= 1
        return self._body(run, *arguments) if self._wants_run else self._body(*arguments)


class Bound(NamedTuple):
    """A method: a function with its first argument."""

    function: Function
    value: object

    def __call__(self, run: Run, arguments: Sequence[object]) -> object:
        """Calls it with the further arguments; raises Fault in expr's words."""
        return self.function(run, [self.value, *arguments])


class Registry:
    """Functions by name, filled by decorating them."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._functions: dict[str, Function] = {}

    def add(self, *names: str) -> Callable[[Fn], Fn]:
        """Makes the decorated function callable by `names`."""

        def register(body: Fn) -> Fn:
            for name in names:
                self._functions[name] = Function(self._prefix + name, body)
            return body

        return register

    def take(self, other: "Registry") -> None:
        """Adds another registry's functions."""
        for name in other:
            self._functions[name] = other._functions[name]  # noqa: SLF001 - its own kind

    def get(self, name: str) -> Function | None:
        """The function of that name."""
        return self._functions.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __contains__(self, name: Any) -> bool:
        return name in self._functions
