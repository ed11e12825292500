"""The base of every manifest struct: frozen, keyword-only, camelCase on the wire, unknown fields refused (Argo's strict parsing)."""

from typing import Annotated, Any, dataclass_transform

import msgspec


def camel(name: str) -> str:
    """Python's `active_deadline_seconds` as JSON's `activeDeadlineSeconds`; a trailing underscore (keywords) is dropped."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Object(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename=camel, gc=False):
    """A JSON object of the manifest language. What is read of JSON or YAML has no cycles: the collector need not look at it."""


JSON = Any
"""A JSON value that the engine hands on without looking inside."""

type_any_scalar = {"any_scalar": True}
AnyString = Annotated[str, msgspec.Meta(extra=type_any_scalar)]
"""Text that a manifest may also write as a number or boolean; the parser turns those into their shortest text (Argo's AnyString)."""

IntOrString = int | str
"""A number, or text that may hold template tags."""
