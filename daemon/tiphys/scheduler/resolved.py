"""What the call of a step or task is made from, as it is read of the step's or task's text, rendered.

Large values are no part of these texts (`expressions.asides`): all calls of a loop that get a value of megabytes have the same one.
"""

import msgspec
from msgspec import structs

from tiphys.expressions import tags
from tiphys.expressions.asides import LARGE, NOTHING, Asides, may_be_left_out
from tiphys.expressions.chance import Chance
from tiphys.expressions.scope import Scope
from tiphys.expressions.tags import Tagged, Unresolved
from tiphys.spec.parameters import Parameter
from tiphys.spec.templates import Arguments, TemplateRef


class Resolved(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The part of a step or task that its call is made from."""

    template: str = ""
    template_ref: TemplateRef | None = None
    arguments: Arguments | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Resolved).decode


def text_of(resolved: Resolved) -> tuple[str, Asides]:
    """The JSON text, and which values were left out of it."""
    whole = _encode(resolved).decode()
    if len(whole) < LARGE or resolved.arguments is None:
        return whole, NOTHING
    asides = Asides()
    text = _encode(_with(resolved, tuple(_marked(parameter, asides) for parameter in resolved.arguments.parameters))).decode()
    return (text, asides) if asides.exact(text) else (whole, NOTHING)


def written(text: str, left_out: Asides) -> Resolved:
    """What a text says that `text_of` gave."""
    return _read(text, left_out) or _decode(left_out.filled(text))


def without(text: str, names: tuple[str, ...]) -> str:
    """A text of `text_of`, less the arguments of these names, of which none was left out."""
    resolved = _decode(text)
    given = resolved.arguments.parameters if resolved.arguments is not None else ()
    return _encode(_with(resolved, tuple(parameter for parameter in given if parameter.name not in names))).decode()


class Rendered:
    """A text of `text_of` after a render that left out more."""

    __slots__ = ("_asides", "_chance", "_left_out", "_scope", "_tagged", "_unresolved", "text")

    def __init__(self, tagged: Tagged, left_out: Asides, scope: Scope, unresolved: Unresolved, chance: Chance) -> None:
        self._tagged, self._left_out, self._scope, self._unresolved, self._chance = tagged, left_out, scope, unresolved, chance
        self._asides = asides = Asides(left_out.values)
        self.text = tagged.render(scope, unresolved, chance, asides)
        if asides.values and not asides.exact(self.text):
            self._asides, self.text = NOTHING, self._whole()

    def read(self) -> Resolved:
        """What it says."""
        return _read(self.text, self._asides) or _decode(self._whole())

    def read_again(self, tagged: Tagged, scope: Scope, chance: Chance) -> Resolved:
        """What it says, compiled (`tagged`) and rendered once more."""
        found = _read(tagged.render(scope, Unresolved.FAIL, chance), self._asides)
        return found or _decode(tags.compile(self._whole()).render(scope, Unresolved.FAIL, chance))

    def _whole(self) -> str:
        """The text with everything in it."""
        tagged = tags.compile(self._left_out.filled(self._tagged.text)) if self._left_out.values else self._tagged
        return tagged.render(self._scope, self._unresolved, self._chance)


def _read(text: str, left_out: Asides) -> Resolved | None:
    """None: it is not certain what stands where."""
    resolved, values = _decode(text), left_out.values
    if not values:
        return resolved
    given = resolved.arguments.parameters if resolved.arguments is not None else ()
    if not left_out.exact(text) or sum(parameter.value in values for parameter in given) != len(values):
        return None
    return _with(resolved, tuple(structs.replace(one, value=values.get(one.value or "", one.value)) for one in given))


def _with(resolved: Resolved, parameters: tuple[Parameter, ...]) -> Resolved:
    return structs.replace(resolved, arguments=structs.replace(resolved.arguments or Arguments(), parameters=parameters))


def _marked(parameter: Parameter, asides: Asides) -> Parameter:
    if parameter.value is None or len(parameter.value) < LARGE or not may_be_left_out(parameter.value):
        return parameter
    return structs.replace(parameter, value=asides.mark(parameter.value))
