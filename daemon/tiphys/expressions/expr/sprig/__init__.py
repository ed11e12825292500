"""The functions of Sprig v3 under `sprig.`, with Go templates' order of arguments."""

from tiphys.expressions.expr.functions import Registry

TABLE = Registry("sprig.")
