"""The expr language (v1.17) as Argo uses it: `expr.compile(text).run(variables, chance)`."""

from tiphys.expressions.expr.program import Program, compile, parse  # noqa: A004 - used qualified, as re.compile is

__all__ = ["Program", "compile", "parse"]
