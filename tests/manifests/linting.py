"""One document of YAML through the parser and the rules."""

import re

from tiphys import manifests
from tiphys.manifests import rules
from tiphys.manifests.rules import definitions
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity

PLACE = re.compile(r" \(\d+:\d+\)$")
HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: test}}\n"


def found(text: str, *, submitting: bool = False, timezones: frozenset[str] | None = None) -> list[rules.Problem]:
    """The problems of the last document of `text`; those before it are its definitions. Without apiVersion it is a Workflow's spec."""
    if "apiVersion:" not in text:
        text = HEAD.format(kind="Workflow") + "spec:\n" + "\n".join(f"  {line}" for line in text.splitlines())
    parsed = manifests.parse(text.encode(), "test.yaml", LimitSettings())
    assert [diagnostic.message for diagnostic in parsed.diagnostics if diagnostic.severity is Severity.ERROR] == []
    documents = [located.document for located in parsed.documents]
    return rules.check(documents[-1], definitions.of(documents, timezones), submitting=submitting)


def errors(text: str, **options) -> list[str]:
    """The messages of the errors, without the columns of expressions."""
    return [PLACE.sub("", problem.message) for problem in found(text, **options) if problem.severity is Severity.ERROR]


def warnings(text: str, **options) -> list[str]:
    """The messages of the warnings."""
    return [problem.message for problem in found(text, **options) if problem.severity is Severity.WARNING]


def places(text: str, **options) -> dict[str, str]:
    """Path and message of each problem, the path written with slashes."""
    return {"/".join(map(str, problem.path)): problem.message for problem in found(text, **options)}
