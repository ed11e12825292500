"""Parameters from outside the manifest: `-p NAME=VALUE` and the file of `-f`, as texts by name (semantics 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tiphys.expressions import gojson
from tiphys.manifests import composing, reading
from tiphys.manifests.diagnostics import Diagnostic
from tiphys.manifests.marks import Marks
from tiphys.manifests.source import Source
from tiphys.manifests.wording import WORDS
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Parameter texts by name in the order they were given, and what is wrong with them."""

    values: Mapping[str, str] = {}
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """No errors."""
        return not any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)


def from_arguments(arguments: Sequence[str]) -> Given:
    """The values of `-p` flags: the name ends at the first `=` (`a=b=c` is `b=c`)."""
    values: dict[str, str] = {}
    diagnostics: list[Diagnostic] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            diagnostics.append(_wrong(f"expected parameter of the form: NAME=VALUE. Received: {argument}", "-p NAME=VALUE"))
        elif name in values:
            diagnostics.append(_wrong(f"parameter '{name}' is given twice", "give each -p once"))
        else:
            values[name] = value
    return Given(values=values, diagnostics=tuple(diagnostics))


def from_file(data: bytes, file: str, limits: LimitSettings) -> Given:
    """The values of a `-f` file: one map (YAML or JSON); scalars become their text, maps and lists JSON text."""
    if len(data) > limits.file_bytes:
        return Given(diagnostics=(reading.too_large(file, data, limits),))
    source = Source(data, file)
    diagnostics: list[Diagnostic] = []
    values: dict[str, str] = {}
    for index, document in enumerate(composing.documents(source, limits)):
        diagnostics += document.diagnostics
        if document.failed or document.value is None:
            continue
        marks = Marks(source, document.line)
        if index:
            diagnostics.append(_at(marks, "a file of parameters is one document", "remove the lines from `---` on"))
        elif not isinstance(document.value, dict):
            word = WORDS.get(type(document.value), "value")
            message = f"json: cannot unmarshal {word} into Go value of type map[string]json.RawMessage"
            diagnostics.append(_at(marks, message, "write lines of `name: value`"))
        else:
            values = {name: text_of(value) for name, value in document.value.items()}
        if len(diagnostics) > reading.MAX_DIAGNOSTICS:
            break
    return Given(values=values, diagnostics=reading.finished(diagnostics, source))


def text_of(value: Any) -> str:
    """A value as a parameter's text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else gojson.compact(value)


def _wrong(message: str, hint: str) -> Diagnostic:
    return Diagnostic(severity=Severity.ERROR, message=message, hint=hint)


def _at(marks: Marks, message: str, hint: str) -> Diagnostic:
    line, column = marks.at(())
    return Diagnostic(severity=Severity.ERROR, message=message, line=line, column=column, hint=hint)
