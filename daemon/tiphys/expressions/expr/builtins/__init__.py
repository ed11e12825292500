"""The builtins of the expr language that take values only (those with predicates: predicates.py)."""

from tiphys.expressions.expr.builtins import conversions, lists, numbers, texts, times
from tiphys.expressions.expr.functions import Registry

TABLE = Registry()
for _module in (conversions, texts, times, numbers, lists):
    TABLE.take(_module.TABLE)
