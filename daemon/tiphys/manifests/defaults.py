"""The setting `workflow_defaults`: what lies below every workflow, read as strictly as a manifest (semantics 2.17)."""

from collections.abc import Mapping

import msgspec

from tiphys.errors import InvalidSettings
from tiphys.manifests import reading
from tiphys.settings import LimitSettings
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Workflow

WHERE = "the setting workflow_defaults"


def read(given: Mapping[str, object], limits: LimitSettings) -> Workflow | None:
    """A Workflow that has only what the setting says; None: it says nothing. Raises InvalidSettings that lists every mistake."""
    if not given:
        return None
    unknown = [name for name in given if name not in {"metadata", "spec"}]
    if unknown:
        raise InvalidSettings(f"{WHERE} has metadata and spec, not {', '.join(unknown)}")
    try:
        text = msgspec.json.encode({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", **given}, enc_hook=str)
    except TypeError as error:
        raise InvalidSettings(f"{WHERE}: {error}") from error
    parsed = reading.parse(text, WHERE, limits)
    wrong = [diagnostic.message for diagnostic in parsed.diagnostics if diagnostic.severity is Severity.ERROR]
    if wrong:
        raise InvalidSettings("\n".join(f"{WHERE}: {message}" for message in wrong))
    document = parsed.documents[0].document
    assert isinstance(document, Workflow)
    return document
