"""Types, and values of one type from those of another."""

import base64
import binascii

from tiphys.expressions.expr import numerals, text, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry, given_text
from tiphys.expressions.expr.runs import Run

TABLE = Registry()


@TABLE.add("len")
def _len(value: object) -> int:
    if isinstance(value, str | bytes) or values.is_array(value) or values.is_map(value):
        return len(value)
    raise Fault(f"invalid argument for len (type {values.go_type(value)})")


@TABLE.add("type")
def _type(value: object) -> str:
    return values.expr_type(value)


@TABLE.add("int")
def to_int(value: object) -> int:
    """`int(x)`: a number cut towards zero, or a decimal text."""
    if isinstance(value, str):
        parsed = numerals.decimal(value)
        if parsed is None:
            raise Fault(f"invalid operation: int({value[:100]})")
        return parsed
    return values.integer(value)


@TABLE.add("float")
def to_float(value: object) -> float:
    """`float(x)`: a number, or its text."""
    if isinstance(value, str):
        parsed = numerals.real(value)
        if parsed is None:
            raise Fault(f"invalid operation: float({value[:100]})")
        return parsed
    if values.is_number(value):
        return float(value)
    raise Fault(f"invalid operation: float({values.go_type(value)})")


@TABLE.add("string")
def _string(run: Run, value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return text.shown(run, value)


@TABLE.add("toJSON")
def _to_json(run: Run, value: object) -> str:
    return text.to_json(run, value, indent="  ")


@TABLE.add("fromJSON")
def _from_json(run: Run, source: str) -> object:
    return text.from_json(run, source)


@TABLE.add("toBase64")
def _to_base64(run: Run, value: object) -> str:
    raw = value if isinstance(value, bytes) else given_text("toBase64", value).encode()
    run.copied(len(raw) * 4 // 3)
    return base64.b64encode(raw).decode()


@TABLE.add("fromBase64")
def _from_base64(run: Run, source: str) -> str:
    run.copied(len(source))
    try:
        return base64.b64decode(source.replace("\n", "").replace("\r", ""), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise Fault("illegal base64 data") from None
