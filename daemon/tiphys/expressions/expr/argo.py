"""The functions that Argo adds to expr: asInt, asFloat, jsonpath, toJson (and sprig)."""

from tiphys.expressions.expr import jsonpath, text
from tiphys.expressions.expr.builtins import conversions
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry()
TABLE.add("asInt")(conversions.to_int)
TABLE.add("asFloat")(conversions.to_float)


@TABLE.add("toJson")
def to_json(run: Run, value: object) -> str:
    """Compact JSON."""
    return text.to_json(run, value)


@TABLE.add("jsonpath")
def json_path(run: Run, source: str, path: str) -> object:
    """What `path` finds in the JSON text."""
    return jsonpath.find(run, text.from_json(run, source), path)
