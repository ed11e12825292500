"""Values as text: Go's `%v` and Go's JSON, with the work counted."""

import json
import math
import re
from datetime import datetime, tzinfo

from tiphys.expressions import gojson
from tiphys.expressions.expr import layouts, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^"\[\]{},:]+')
_HTML = re.compile(r"\\(u003c|u003e|u0026|.)")
_MARKS = {"u003c": "<", "u003e": ">", "u0026": "&"}


def shown(run: Run, value: object) -> str:
    """The value as `fmt.Sprintf("%v")` prints it: `[a b]`, `map[k:v]`, `1` for 1.0."""
    if isinstance(value, str):
        return value
    if isinstance(value, values.Number):
        return value.label
    if isinstance(value, datetime):
        return layouts.default(value)
    if isinstance(value, tzinfo | values.Opaque):
        return str(value)
    values.check_size(run, value)
    try:
        return gojson.go_format(value)
    except gojson.Unprintable:
        return values.go_type(value)


def to_json(run: Run, value: object, *, indent: str = "", html: bool = True) -> str:
    """The value as Go's encoding/json writes it: sorted keys, `<>&` escaped unless `html` is false, compact unless indented."""
    values.check_size(run, value)
    try:
        written = gojson.compact(str(value) if isinstance(value, values.Opaque) else value)
    except gojson.Unprintable as error:
        raise Fault(str(error)) from None
    run.copied(len(written))
    if not html:
        written = _HTML.sub(lambda match: _MARKS.get(match[1], match[0]), written)
    return _indented(run, written, indent) if indent else written


def _indented(run: Run, written: str, indent: str) -> str:
    """Compact JSON on many lines, as Go's MarshalIndent writes it."""
    parts: list[str] = []
    margin = "\n"
    previous = ""
    for piece in _PIECE.findall(written):
        if piece in "]}":
            margin = margin[: -len(indent)]
            parts.append(piece if previous in "[{" else margin + piece)
        elif piece == ":":
            parts.append(": ")
        elif piece == ",":
            parts.append("," + margin)
        else:
            parts.append(margin + piece if previous and previous in "[{" else piece)
        if piece in "[{":
            margin += indent
        previous = piece
        run.copied(len(parts[-1]) + 16)
    run.copied(sum(map(len, parts)))
    return "".join(parts)


def from_json(run: Run, source: str) -> object:
    """JSON text as a value; numbers are floats, as Go's. Raises Fault."""
    run.copied(len(source))
    try:
        value: object = json.loads(source, parse_int=_float, parse_float=_float, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise Fault(_complaint(source)) from None
    values.check_size(run, value)
    return value


def _complaint(source: str) -> str:
    try:
        gojson.parse(source)
    except gojson.InvalidJSON as error:
        return str(error)
    return "json: exceeded max depth"


def _float(written: str) -> float:
    value = float(written)
    if math.isinf(value):
        raise Fault(f"json: cannot unmarshal number {written[:40]} into Go value of type float64")
    return value


def _constant(written: str) -> object:
    raise ValueError(written)
