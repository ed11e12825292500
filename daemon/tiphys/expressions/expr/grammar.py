"""The words of the expr language: operators with their strength, and which builtins take predicates."""

from typing import Literal, NamedTuple


class Operator(NamedTuple):
    """A binary operator: it binds its operands as strongly as `power` says."""

    power: int
    right: bool = False


BINARY = {
    "|": Operator(0),
    "||": Operator(10),
    "or": Operator(10),
    "&&": Operator(15),
    "and": Operator(15),
    **{name: Operator(20) for name in ("==", "!=", "<", ">", ">=", "<=", "in", "matches", "contains", "startsWith", "endsWith")},
    "..": Operator(25),
    "+": Operator(30),
    "-": Operator(30),
    "*": Operator(60),
    "/": Operator(60),
    "%": Operator(60),
    "**": Operator(100, right=True),
    "^": Operator(100, right=True),
    "??": Operator(500),
}
UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
SPELLINGS = {"or": "||", "and": "&&", "not": "!", "^": "**"}
"""Operators with two spellings, and the one kept in the tree."""
NEGATABLE = frozenset({"in", "matches", "contains", "startsWith", "endsWith"})
"""What may follow a `not`."""
CHAINED = frozenset({"<", ">", ">=", "<="})
"""Comparisons that may be chained: `a < b < c` is `a < b && b < c`."""

Argument = Literal["value", "predicate", "predicate?", "value?"]
PREDICATES: dict[str, tuple[Argument, ...]] = {
    **dict.fromkeys(
        ("all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "groupBy"), ("value", "predicate")
    ),
    "count": ("value", "predicate?"),
    "sum": ("value", "predicate?"),
    "sortBy": ("value", "predicate", "value?"),
    "reduce": ("value", "predicate", "value?"),
}
"""Builtins that evaluate an argument once for each element."""
