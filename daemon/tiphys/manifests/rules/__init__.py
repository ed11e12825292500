"""The rules of the manifest language: all that is wrong with a document, the first problem being the one that Argo would name.

`check` looks at one document beside the definitions it may refer to. Rules speak Argo's words (semantics 2.24) and know nothing of
files, lines and columns: a problem's place is a JSON path.
"""

from typing import assert_never

from tiphys.manifests.rules import bindings
from tiphys.manifests.rules import workflows as documents
from tiphys.manifests.rules.definitions import Definitions
from tiphys.manifests.rules.problems import Path, Problem
from tiphys.spec import workflows

__all__ = ["Definitions", "Path", "Problem", "check"]


def check(document: workflows.Document, definitions: Definitions, *, submitting: bool = False) -> list[Problem]:
    """The problems of `document`: errors in Argo's order, then warnings. `submitting` asks for a value of every argument, as a run does."""
    match document:
        case workflows.Workflow():
            return documents.workflow(document, definitions, submitting=submitting)
        case workflows.WorkflowTemplate() | workflows.ClusterWorkflowTemplate():
            return documents.template(document, definitions, submitting=submitting)
        case workflows.CronWorkflow():
            return documents.cron(document, definitions)
        case workflows.WorkflowEventBinding():
            return bindings.binding(document, definitions)
        case workflows.ConfigMap() | workflows.Secret():
            return []  # what it must look like is the decoder's business
        case _:
            assert_never(document)
