"""Lint: files into documents and everything that is wrong with them. Documents of one call know each other's templates."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from tiphys.manifests import reading, rules
from tiphys.manifests.diagnostics import Diagnostic
from tiphys.manifests.reading import Located
from tiphys.manifests.rules import Definitions
from tiphys.manifests.rules import definitions as defining
from tiphys.manifests.wording import Finding
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Document


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """What lint found. `documents` are those that could be read; `counts` is how many of each kind they are."""

    diagnostics: tuple[Diagnostic, ...] = ()
    documents: tuple[Located, ...] = ()
    counts: Mapping[str, int] = {}

    @property
    def ok(self) -> bool:
        """No errors."""
        return not any(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)


def lint(
    files: Sequence[tuple[str, bytes]],
    *,
    limits: LimitSettings,
    definitions: Definitions | None = None,
    submitting: bool = False,
    adjust: Callable[[Document], Document] = lambda document: document,
) -> LintReport:
    """Read `files` (name, bytes) and check every document by the rules.

    `definitions` are resources known from elsewhere; those of the files themselves count before them. `submitting`: as at a
    submit, where arguments must have values. `adjust` gives the document to be judged in a document's place. Diagnostics are in the
    order of the files and their lines.
    """
    parsed = [(name, reading.parse(data, name, limits)) for name, data in files]
    documents = tuple(located for _, found in parsed for located in found.documents)
    known = together(documents, definitions)
    diagnostics: list[Diagnostic] = []
    for _, found in parsed:
        diagnostics += found.diagnostics
        for located in found.documents:
            judging = msgspec.structs.replace(located, document=adjust(located.document))
            diagnostics += judged(judging, known, submitting=submitting)
    diagnostics += _defined_twice(documents)
    return LintReport(diagnostics=ordered(diagnostics, [name for name, _ in parsed]), documents=documents, counts=counted(documents))


def _defined_twice(documents: Sequence[Located]) -> Iterator[Diagnostic]:
    """Two definitions of one resource: only the later counts, as applying them one after the other would leave it."""
    first: dict[tuple[str, str, str], Located] = {}
    for located in documents:
        meta = located.document.metadata
        key = (type(located.document).__name__, meta.namespace, meta.name)
        if meta.name and key in first:
            before = first[key]
            line, column = before.marks.at(("metadata", "name"))
            message = f'{key[0]} "{meta.name}" is defined twice: also at {before.file or "<stdin>"}:{line}:{column}'
            finding = Finding(path=("metadata", "name"), message=message, hint="this later one counts", severity=Severity.WARNING)
            yield from reading.finished(reading.located(located.marks, [finding]), located.marks.source)
        first[key] = located


def judged(located: Located, definitions: Definitions, *, submitting: bool) -> tuple[Diagnostic, ...]:
    """What the rules say of one document, with positions."""
    findings = [
        Finding(path=problem.path, message=problem.message, hint=problem.hint, severity=Severity(problem.severity))
        for problem in rules.check(located.document, definitions, submitting=submitting)
    ]
    return reading.finished(reading.located(located.marks, findings), located.marks.source)


def together(documents: Sequence[Located], definitions: Definitions | None) -> Definitions:
    """The definitions among `documents`, and below them those known from elsewhere."""
    own = defining.of(located.document for located in documents)
    if definitions is None:
        return own
    return Definitions(
        workflow_templates={**definitions.workflow_templates, **own.workflow_templates},
        cluster_workflow_templates={**definitions.cluster_workflow_templates, **own.cluster_workflow_templates},
        config_maps={**definitions.config_maps, **own.config_maps},
        timezones=definitions.timezones,
        offline=definitions.offline,
    )


def counted(documents: Sequence[Located]) -> dict[str, int]:
    """How many documents of each kind there are."""
    return dict(Counter(type(located.document).__name__ for located in documents))


def ordered(diagnostics: Sequence[Diagnostic], files: Sequence[str]) -> tuple[Diagnostic, ...]:
    """By file in the order given, then by place."""
    place = {name: index for index, name in reversed(list(enumerate(files)))}
    return tuple(sorted(diagnostics, key=lambda diagnostic: (place[diagnostic.file], diagnostic.line, diagnostic.column)))
