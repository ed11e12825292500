"""What is to become of files by what they hold: work to start, definitions to keep, or nothing, and why. Pure but for time zones' names.

A file that holds a Workflow is work; one that holds only definitions stays. Of a broken file, the kinds it names decide.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from tiphys.manifests import linting, parameters, reading
from tiphys.manifests.diagnostics import Diagnostic, render
from tiphys.manifests.reading import Located
from tiphys.manifests.rules import Definitions
from tiphys.manifests.rules import definitions as defining
from tiphys.manifests.wording import Finding
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity
from tiphys.spec.workflows import (
    ClusterWorkflowTemplate,
    ConfigMap,
    CronWorkflow,
    Document,
    Secret,
    Workflow,
    WorkflowEventBinding,
    WorkflowTemplate,
    overridden,
)

DEFINING = frozenset(kind.__name__ for kind in (WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow, ConfigMap, WorkflowEventBinding))
RUNNING = Workflow.__name__
KIND_LINE = re.compile(rb"""^["']?kind["']?[ \t]*:[ \t]*["']?(\w+)""", re.MULTILINE)
KIND_ANYWHERE = re.compile(rb"""\bkind["']?\s*:\s*["']?(\w+)""")
NOTHING = "the file holds nothing to run and no definition: a Workflow, or one of " + ", ".join(sorted(DEFINING))


@dataclass(frozen=True, kw_only=True)
class Text:
    """A file to be judged. `parameters` are the name and bytes of what lies beside it; `standing`: it gave definitions before;
    `recorded`: it was submitted before, so it was good then, and may not be refused by what is in force now.
    """

    name: str
    data: bytes
    parameters: tuple[str, bytes] | None = None
    standing: bool = False
    recorded: bool = False


@dataclass(frozen=True, kw_only=True)
class Work:
    """Workflows to start, with the documents that are there for them."""

    documents: Sequence[Document]
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Defined:
    """Definitions that stay as long as the file does."""

    documents: Sequence[Document]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Bad:
    """The file will not do. `stays`: it is there to define things, and is waited for to become good."""

    why: str
    stays: bool


Verdict = Work | Defined | Bad


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What files are judged by: the bounds, what lies below every workflow, and the names of time zones, asked for when needed."""

    limits: LimitSettings
    adjust: Callable[[Document], Document] = field(default=lambda document: document)
    timezones: Callable[[], frozenset[str]] = frozenset
    secrets: str = "the secrets directory"

    def judge(self, texts: Sequence[Text], known: Iterable[Document]) -> list[Verdict]:
        """A verdict for each file. `known` are the definitions in force; those of good files among these count too."""
        drafts = [_Draft(text, self) for text in texts]
        zones = self.timezones() if any(b"CronWorkflow" in text.data for text in texts) else None
        force = defining.of(known, zones)
        good = [draft for draft in drafts if draft.defines and draft.ok]
        while good:
            judged = _beside(good, force)
            still = [draft for draft in good if draft.check(judged)]
            if len(still) == len(good):
                break
            good = still
        force = _beside(good, force)
        for draft in drafts:
            if draft.ok and not draft.defines and not draft.text.recorded:
                draft.check(force)
        return [draft.verdict() for draft in drafts]


def _beside(drafts: Sequence["_Draft"], force: Definitions) -> Definitions:
    return linting.together([located for draft in drafts for located in draft.documents], force)


class _Draft:
    """One file on its way to a verdict."""

    def __init__(self, text: Text, judge: Judge) -> None:
        self.text = text
        self._judge = judge
        name = text.name
        found = reading.parse(text.data, name, judge.limits)
        self.documents = found.documents
        self.diagnostics = list(found.diagnostics)
        kinds = {type(located.document).__name__ for located in found.documents}
        if not self.ok:
            kinds |= named(text.data)
        self.works = RUNNING in kinds
        self.defines = not self.works and (text.standing or bool(kinds & DEFINING))
        self.values = self._values() if self.works else {}
        self.diagnostics += [finding for located in found.documents for finding in _secret(located, judge.secrets)]
        if self.ok and not kinds & {RUNNING, *DEFINING}:
            self.diagnostics.append(Diagnostic(severity=Severity.ERROR, message=NOTHING, file=name, line=1, column=1))

    @property
    def ok(self) -> bool:
        return not any(one.severity is Severity.ERROR for one in self.diagnostics)

    def _values(self) -> Mapping[str, str]:
        if self.text.parameters is None:
            return {}
        file, data = self.text.parameters
        given = parameters.from_file(data, file, self._judge.limits)
        self.diagnostics += given.diagnostics
        return given.values

    def check(self, force: Definitions) -> bool:
        """Judge the documents by the rules; whether they are good. Only a good draft is checked (again)."""
        known = linting.together(self.documents, force)
        found: list[Diagnostic] = []
        for located in self.documents:
            document = self._judge.adjust(_given(located.document, self.values))
            submitting = isinstance(document, Workflow)
            found += linting.judged(structs.replace(located, document=document), known, submitting=submitting)
        if any(one.severity is Severity.ERROR for one in found):
            self.diagnostics += found
        return self.ok

    def verdict(self) -> Verdict:
        if not self.ok:
            return Bad(why=self._why(), stays=self.defines)
        documents = [located.document for located in self.documents]
        if self.defines:
            return Defined(documents=documents, digest=digest(self.text.data))
        return Work(documents=documents, parameters=self.values)

    def _why(self) -> str:
        files = [self.text.name, *([self.text.parameters[0]] if self.text.parameters else [])]
        return "\n".join(map(render, linting.ordered(self.diagnostics, files)))


def _given(document: Document, values: Mapping[str, str]) -> Document:
    """A Workflow with these arguments in place of its own, as it will be submitted."""
    return overridden(document, values) if isinstance(document, Workflow) else document


def _secret(located: Located, place: str) -> Sequence[Diagnostic]:
    """The refusal of a Secret: what is taken from the folder is recorded, and nothing secret may be."""
    if not isinstance(located.document, Secret):
        return ()
    name = located.document.metadata.name or "NAME"
    message = f'Secret "{name}" is not taken from here: what is taken is recorded, and a secret must not be'
    hint = f"put each value into a file of its own, {name}/KEY, in {place}"
    return reading.finished(reading.located(located.marks, [Finding(path=("kind",), message=message, hint=hint)]), located.marks.source)


def named(data: bytes) -> set[str]:
    """The kinds that a text names though it cannot be read: those at the beginning of a line, else those anywhere."""
    found = KIND_LINE.findall(data) or KIND_ANYWHERE.findall(data)
    return {kind.decode("ascii", "replace") for kind in found}


def digest(data: bytes) -> str:
    """What tells content from other content."""
    return hashlib.sha256(data).hexdigest()
