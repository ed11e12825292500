"""A file's bytes into documents, or diagnostics: all of a file's mistakes at once, each with its place. Never raises."""

from typing import Any

import msgspec

from tiphys.manifests import advice, composing, shapes, wording
from tiphys.manifests.diagnostics import Diagnostic
from tiphys.manifests.marks import Marks
from tiphys.manifests.source import Source
from tiphys.manifests.wording import Finding
from tiphys.settings import LimitSettings
from tiphys.spec import workflows
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Document

KINDS: dict[str, type[Document]] = {
    kind.__name__: kind
    for kind in (
        workflows.Workflow,
        workflows.WorkflowTemplate,
        workflows.ClusterWorkflowTemplate,
        workflows.CronWorkflow,
        workflows.ConfigMap,
        workflows.Secret,
    )
}
CORE = frozenset({"ConfigMap", "Secret"})
UNUSED = frozenset(
    {"WorkflowEventBinding", "WorkflowTaskSet", "WorkflowTaskResult", "WorkflowArtifactGCTask", "EventBus", "EventSource", "Sensor"}
    | {"Application", "ApplicationSet", "AppProject", "Rollout", "AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment"}
)
"""Kinds of argoproj.io that a file may hold and that nothing here acts on."""

ARGO_GROUP = workflows.ARGO_API_VERSION.split("/")[0]
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
    for composed in composing.documents(reader.source, limits):
        reader.take(composed)
        if len(reader.diagnostics) > MAX_DIAGNOSTICS:
            break
    if not reader.held and not reader.diagnostics:
        return Parsed(diagnostics=(_of_file(file, "the file holds no document", "a manifest begins with apiVersion and kind"),))
    return Parsed(documents=tuple(reader.documents), diagnostics=finished(reader.diagnostics, reader.source))


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

    def take(self, composed: composing.Composed) -> None:
        """Add a composed YAML document."""
        self.diagnostics += composed.diagnostics
        self.held = self.held or composed.value is not None or composed.failed
        broken = any(diagnostic.severity is Severity.ERROR for diagnostic in composed.diagnostics)
        if composed.value is None or composed.failed:
            return
        marks = Marks(self.source, composed.line)
        if not isinstance(composed.value, dict):
            word = wording.WORDS.get(type(composed.value), "value")
            hint = "a manifest begins with apiVersion and kind"
            message = f"json: cannot unmarshal {word} into a manifest: a map is expected"
            self._report(marks, [Finding(path=(), message=message, hint=hint)])
            return
        self._document(composed.value, marks, broken=broken)

    def _document(self, value: dict[str, Any], marks: Marks, *, broken: bool) -> None:
        """Convert a map to the document that its `kind` says. `broken`: it has mistakes already, and can only show more."""
        kind, version = value.get("kind"), value.get("apiVersion")
        if kind == "List" and "items" in value:
            self._list(value, marks, broken=broken)
            return
        if kind is None or kind == "":
            message = "the document has no kind and is ignored"
            self._report(marks, [Finding(path=(), message=message, hint=_kind_hint(value), severity=Severity.WARNING)])
            return
        findings = _identity(kind, version)
        if findings:
            self._report(marks, findings)
        struct = KINDS.get(kind) if isinstance(kind, str) else None
        if struct is None:
            return
        self._drop_status(value, marks)
        found = shapes.check(value, struct)
        self._report(marks, found)
        if broken or any(finding.severity is Severity.ERROR for finding in findings + found):
            return
        try:
            document = msgspec.convert(value, type=struct)
        except (msgspec.ValidationError, RecursionError) as error:
            self._report(marks, [Finding(path=(), message=str(error), hint="")])
            return
        self.documents.append(Located(document=document, marks=marks, file=self.source.file))

    def _list(self, value: dict[str, Any], marks: Marks, *, broken: bool) -> None:
        """A `kind: List`: each item is a document of its own."""
        items = value["items"]
        if not isinstance(items, list):
            if items is not None:
                self._report(marks, [Finding(path=("items",), message="items of a List must be a list")])
            return
        for index, item in enumerate(items):
            place = Marks(self.source, marks.start, (*marks.prefix, "items", index))
            if not isinstance(item, dict):
                self._report(place, [Finding(path=(), message="an item of a List must be a map")])
            elif item.get("kind") == "List":
                self._report(place, [Finding(path=(), message="a List may not hold a List")])
            else:
                self._document(item, place, broken=broken)
            if len(self.diagnostics) > MAX_DIAGNOSTICS:
                return

    def _drop_status(self, value: dict[str, Any], marks: Marks) -> None:
        """A manifest says what is wanted, not what came out: a status that was copied along is left out, with a notice."""
        if value["kind"] not in ("Workflow", "CronWorkflow") or "status" not in value:
            return
        if value.pop("status"):
            message = "the status is ignored: a manifest starts anew"
            self._report(marks, [Finding(path=("status",), message=message, severity=Severity.NOTICE)])

    def _report(self, marks: Marks, findings: list[Finding]) -> None:
        self.diagnostics += located(marks, findings)


def located(marks: Marks, findings: list[Finding]) -> list[Diagnostic]:
    """The findings with their positions, found in one reading."""
    if not findings:
        return []
    places = marks.locate(finding.path for finding in findings)
    return [
        Diagnostic(severity=finding.severity, message=finding.message, line=line, column=column, hint=finding.hint)
        for finding in findings
        for line, column in [places[finding.path]]
    ]


def _identity(kind: Any, version: Any) -> list[Finding]:
    """What is wrong with a document's kind and apiVersion."""
    if not isinstance(kind, str):
        return [Finding(path=("kind",), message="kind must be text", hint="one of " + ", ".join(KINDS))]
    if version is None or version == "":
        return [Finding(path=("kind",), message="apiVersion is required", hint=f"write apiVersion: {_version(kind)}")]
    if not isinstance(version, str):
        return [Finding(path=("apiVersion",), message="apiVersion must be text", hint=f"write apiVersion: {_version(kind)}")]
    if kind in KINDS:
        wrong = Finding(
            path=("apiVersion",), message=f'unknown apiVersion "{version}" of {kind}', hint=f"write apiVersion: {_version(kind)}"
        )
        return [] if version == _version(kind) else [wrong]
    ours = version.split("/")[0] == ARGO_GROUP
    close = advice.of_field(kind, KINDS)
    if kind not in UNUSED and (ours or kind.lower() in {known.lower() for known in KINDS}):
        return [Finding(path=("kind",), message=f'unknown kind "{kind}"', hint=close or "one of " + ", ".join(KINDS))]
    message = f"{kind} ({version}) is not run here: the document is ignored"
    return [Finding(path=("kind",), message=message, hint=close, severity=Severity.WARNING)]


def _version(kind: str) -> str:
    return workflows.CORE_API_VERSION if kind in CORE else workflows.ARGO_API_VERSION


def _kind_hint(value: dict[str, Any]) -> str:
    wrong = next((key for key in value if key.lower() == "kind"), "")
    return f'the field is called "kind", not "{wrong}"' if wrong else "a manifest begins with apiVersion and kind"
