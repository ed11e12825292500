"""Access to a part of a value: an element, a key, a method of a time or a duration."""

from collections.abc import Sequence

from tiphys.expressions.expr import methods, values
from tiphys.expressions.expr.faults import Fault


def fetch(whole: object, part: object) -> object:
    """`whole[part]`; raises Fault in expr's words."""
    if values.is_map(whole):
        try:
            return whole.get(part)
        except TypeError:
            raise Fault(f"cannot use {values.go_type(part)} as a key of a map") from None
    if values.is_array(whole) or isinstance(whole, bytes):
        if isinstance(part, str):
            raise Fault(f"cannot fetch {part} from {values.go_type(whole)}")
        return _element(whole, values.integer(part))
    if isinstance(whole, str) and values.is_number(part):
        return _element(whole.encode(), values.integer(part))
    if isinstance(part, str):
        method = methods.find(whole, part)
        if method is not None:
            return method
    raise Fault(f"cannot fetch {shown(part)} from {values.go_type(whole)}")


def shown(part: object) -> str:
    """The key as the error names it."""
    return str(part) if isinstance(part, str | int | float) and not isinstance(part, bool) else values.go_type(part)


def _element(whole: Sequence[object] | bytes, index: int) -> object:
    size = len(whole)
    place = index + size if index < 0 else index
    if not 0 <= place < size:
        raise Fault(f"index out of range: {index} (array length is {size})")
    return whole[place]
