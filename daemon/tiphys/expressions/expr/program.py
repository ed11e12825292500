"""Expressions ready to run, kept for the next time the same text comes."""

import functools
from collections.abc import Mapping
from typing import Literal

from tiphys.expressions import errors
from tiphys.expressions.chance import Chance
from tiphys.expressions.expr import builtins, compiler, parser, predicates, references, tree, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

BUILTINS = frozenset(builtins.TABLE) | predicates.NAMES
_KEPT = 1024
_KEPT_LENGTH = 8192


class Program:
    """One expression: its tree, what it reads, and its code. Immutable."""

    __slots__ = ("_code", "_slots", "optional", "references", "source", "tree")

    def __init__(self, source: str, node: tree.Node) -> None:
        self.source = source
        self.tree = node
        self._code, self._slots = compiler.compile_tree(node)
        self.references, self.optional = references.paths(node)

    def run(self, env: Mapping[str, object], chance: Chance, functions: Literal["argo", "plain"] = "argo") -> object:
        """The value with these variables (None for an unknown one); raises ExpressionError.

        `functions`: "argo" has asInt, asFloat, jsonpath, toJson and sprig besides the builtins, "plain" only these.
        """
        run = Run(env, chance, self._slots, self.source, argo=functions == "argo")
        try:
            value = self._code(run)
            values.check_size(run, value)
        except Fault as fault:
            raise errors.ExpressionError(self.source, fault.at, fault.reason) from None
        except RecursionError:
            raise errors.ExpressionError(self.source, 0, "expression is nested too deeply") from None
        return value

    def holds(self, env: Mapping[str, object], chance: Chance, functions: Literal["argo", "plain"] = "argo") -> bool:
        """Whether the condition is true with these variables, all of which must be in `env`; what is wrong is said as Argo says it.

        Raises ExpressionError for a name that nobody knows, ConditionError where it cannot be evaluated or gives no boolean.
        """
        for root in sorted({path[0] for path in self.references} - set(env)):
            raise errors.ExpressionError(self.source, _first(self.tree, root), f"unknown name {root}")
        try:
            value = self.run(env, chance, functions)
        except errors.ExpressionError as error:
            if error.reason.startswith("unknown name "):
                raise
            raise errors.ConditionError(f"unable to evaluate expression '{self.source}': {error}") from error
        if not isinstance(value, bool):
            raise errors.ConditionError(f"unable to cast expression result '{value}' to bool")
        return value


def _first(node: tree.Node, name: str) -> int:
    """Where `name` stands first in the expression."""
    places = [_first(child, name) for child in tree.children(node)]
    own = [node.at] if isinstance(node, tree.Name) and node.name == name else []
    return min((at for at in (*own, *places) if at >= 0), default=-1)


def compile(source: str) -> Program:  # noqa: A001 - used qualified, as re.compile is
    """The program of `source`; raises ExpressionError."""
    return _kept(source) if len(source) <= _KEPT_LENGTH else _compiled(source)


def parse(source: str) -> tree.Node:
    """The syntax tree of `source`; raises ExpressionError."""
    try:
        return parser.parse(source, BUILTINS)
    except Fault as fault:
        raise errors.ExpressionError(source, fault.at, fault.reason) from None
    except RecursionError:
        raise errors.ExpressionError(source, 0, "expression is nested too deeply") from None


def _compiled(source: str) -> Program:
    node = parse(source)
    try:
        return Program(source, node)
    except Fault as fault:
        raise errors.ExpressionError(source, fault.at, fault.reason) from None
    except RecursionError:
        raise errors.ExpressionError(source, 0, "expression is nested too deeply") from None


_kept = functools.lru_cache(maxsize=_KEPT)(_compiled)
