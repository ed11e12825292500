"""A file's bytes into documents, or diagnostics: all of a file's mistakes at once, each with its place. Never raises."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import msgspec

from tiphys.manifests import composing, kinds, shapes, wording
from tiphys.manifests.diagnostics import Diagnostic
from tiphys.manifests.marks import Marks
from tiphys.manifests.source import Source
from tiphys.manifests.wording import Finding
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Document

LISTS = frozenset({"List", *(f"{kind}List" for kind in kinds.STRUCTS)})
BEGIN = "a manifest begins with apiVersion and kind"
MAX_DIAGNOSTICS = 100


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """A document and where its parts stand."""

    document: Document
    marks: Marks
    file: str = ""


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. Documents with errors are left out; `diagnostics` are in the order of the file."""

    documents: tuple[Located, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def parse(data: bytes, file: str, limits: LimitSettings) -> Parsed:
    """Read a manifest file (YAML or JSON, one or more documents).

    Documents without `kind` are ignored as Argo does, with a warning unless they are empty; a `kind: List` is its items.
    """
    if len(data) > limits.file_bytes:
        return Parsed(diagnostics=(too_large(file, data, limits),))
    reader = Reader(Source(data, file))
    with collections_paused():
        for composed in composing.documents(reader.source, limits):
            reader.take(composed)
            del composed  # its values go before the collector looks again
            if len(reader.diagnostics) > MAX_DIAGNOSTICS:
                break
    if not reader.held and not reader.diagnostics:
        return Parsed(diagnostics=(_of_file(file, "the file holds no document", BEGIN),))
    return Parsed(documents=tuple(reader.documents), diagnostics=finished(reader.diagnostics, reader.source))


@contextlib.contextmanager
def collections_paused() -> Iterator[None]:
    """No collections of cyclic garbage: a manifest's values hold no cycles, and looking for them takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def finished(diagnostics: list[Diagnostic], source: Source) -> tuple[Diagnostic, ...]:
    """The diagnostics in the order of the file, with its name and the lines they are about; too many are cut."""
    ordered = sorted(diagnostics, key=lambda diagnostic: (diagnostic.line, diagnostic.column))
    cut = ordered[:MAX_DIAGNOSTICS]
    if len(ordered) > MAX_DIAGNOSTICS:
        if not any(diagnostic.severity is Severity.ERROR for diagnostic in cut):
            cut += [diagnostic for diagnostic in ordered if diagnostic.severity is Severity.ERROR][:1]
        message = "there is more; only the first findings are shown"
        cut.append(Diagnostic(severity=Severity.WARNING, message=message, line=cut[-1].line, column=cut[-1].column))
    return tuple(msgspec.structs.replace(diagnostic, file=source.file, excerpt=source.excerpt(diagnostic.line)) for diagnostic in cut)


def too_large(file: str, data: bytes, limits: LimitSettings) -> Diagnostic:
    """The refusal of a file over the size limit."""
    message = f"the file has {len(data)} bytes; the limit is {limits.file_bytes}"
    return _of_file(file, message, "the bound is the setting limits.file_bytes")


def _of_file(file: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic(severity=Severity.ERROR, message=message, file=file, line=1, column=1, hint=hint)


class Reader:
    """Gathers one file's documents and diagnostics. `held`: whether there was any document that is not empty."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.documents: list[Located] = []
        self.diagnostics: list[Diagnostic] = []
        self.held = False
        self._findings: list[tuple[Marks, Finding]] = []

    def take(self, composed: composing.Composed) -> None:
        """Add a composed YAML document."""
        self.diagnostics += composed.diagnostics
        self.held = self.held or composed.value is not None or composed.failed
        if composed.value is None or composed.failed:
            return
        broken = any(diagnostic.severity is Severity.ERROR for diagnostic in composed.diagnostics)
        marks = Marks(self.source, composed.line)
        if isinstance(composed.value, dict):
            self._document(composed.value, marks, broken=broken)
        else:
            word = wording.WORDS.get(type(composed.value), "value")
            message = f"json: cannot unmarshal {word} into a manifest: a map is expected"
            self._say(marks, Finding(path=(), message=message, hint=BEGIN))
        self._locate(marks)

    def _document(self, value: dict[str, Any], marks: Marks, *, broken: bool) -> None:
        """Convert a map to the document that its `kind` says. `broken`: it has mistakes already, and can only show more."""
        kind, version = value.get("kind"), value.get("apiVersion")
        if isinstance(kind, str) and kind in LISTS and "items" in value:
            self._list(value["items"], marks, broken=broken)
            return
        identity = kinds.judge(value)
        if identity is not None:
            self._say(marks, identity)
            broken = broken or identity.severity is Severity.ERROR
        struct = kinds.STRUCTS.get(kind) if isinstance(kind, str) else None
        if struct is None:
            return
        value["apiVersion"] = version if isinstance(version, str) else ""
        self._drop_status(value, marks)
        found = shapes.check(value, struct)
        self._say(marks, *found)
        if broken or any(finding.severity is Severity.ERROR for finding in found):
            return
        try:
            document = msgspec.convert(value, type=struct)
        except (msgspec.ValidationError, RecursionError) as error:
            self._say(marks, Finding(path=(), message=str(error)))
            return
        self.documents.append(Located(document=document, marks=marks, file=self.source.file))

    def _list(self, items: Any, marks: Marks, *, broken: bool) -> None:
        """A `kind: List`: each item is a document of its own."""
        if not isinstance(items, list):
            if items is not None:
                self._say(marks, Finding(path=("items",), message="items of a List must be a list"))
            return
        for index, item in enumerate(items):
            place = marks.below(("items", index))
            if not isinstance(item, dict):
                self._say(place, Finding(path=(), message="an item of a List must be a map"))
            elif isinstance(item.get("kind"), str) and item["kind"] in LISTS:
                self._say(place, Finding(path=(), message="a List may not hold a List"))
            else:
                self._document(item, place, broken=broken)
            if len(self._findings) > MAX_DIAGNOSTICS:
                return

    def _drop_status(self, value: dict[str, Any], marks: Marks) -> None:
        """A manifest says what is wanted, not what came out: a status that was copied along is left out, with a notice."""
        if value["kind"] in ("Workflow", "CronWorkflow") and value.pop("status", None):
            message = "the status is ignored: a manifest starts anew"
            self._say(marks, Finding(path=("status",), message=message, severity=Severity.NOTICE))

    def _say(self, marks: Marks, *findings: Finding) -> None:
        self._findings += [(marks, finding) for finding in findings]

    def _locate(self, marks: Marks) -> None:
        """Turn the findings of a YAML document into diagnostics, all in one reading."""
        marks.locate(part.prefix + finding.path for part, finding in self._findings)
        for part, finding in self._findings:
            self.diagnostics += located(part, [finding])
        self._findings.clear()


def located(marks: Marks, findings: list[Finding]) -> list[Diagnostic]:
    """The findings with their positions, found in one reading."""
    places = marks.locate(finding.path for finding in findings)
    return [
        Diagnostic(severity=finding.severity, message=finding.message, line=line, column=column, hint=finding.hint)
        for finding in findings
        for line, column in [places[finding.path]]
    ]
