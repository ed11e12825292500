"""The functions of Sprig v3 under `sprig.`, with Go templates' order of arguments."""

from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.sprig import chances, codecs, dates, dicts, lists, numbers, semver, strings

TABLE = Registry("sprig.")
for _module in (strings, numbers, lists, dicts, dates, codecs, semver, chances):
    TABLE.take(_module.TABLE)
