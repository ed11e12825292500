"""Lint and run judge a workflow with the setting `workflow_defaults` below it, as it will be when it runs."""

from collections.abc import Callable

from msgspec import structs

from tiphys.configuration import Configuration
from tiphys.manifests import defaults
from tiphys.scheduler import effective
from tiphys.spec.workflows import Document, ObjectMeta, Workflow

CALLED = {"templates": (), "entrypoint": "", "arguments": None, "on_exit": "", "hooks": None}
"""Fields that the WorkflowTemplate a workflow refers to may give: the defaults are below that, and so are not put above it."""


def over_defaults(loaded: Configuration) -> Callable[[Document], Document]:
    """What makes a document as it is with the defaults; other documents than Workflows stay. Raises InvalidSettings."""
    below = defaults.read(loaded.settings.workflow_defaults, loaded.settings.limits)

    def made(document: Document) -> Document:
        if below is None or not isinstance(document, Workflow):
            return document
        spec = structs.replace(below.spec, **CALLED) if document.spec.workflow_template_ref is not None else below.spec
        return structs.replace(document, metadata=_labelled(document.metadata, below.metadata), spec=effective.merged(document.spec, spec))

    return made


def _labelled(own: ObjectMeta, below: ObjectMeta) -> ObjectMeta:
    labels = {**(below.labels or {}), **(own.labels or {})}
    annotations = {**(below.annotations or {}), **(own.annotations or {})}
    return structs.replace(own, labels=labels or None, annotations=annotations or None)
