"""Which documents a manifest file may hold, and what is said of the others."""

from typing import Any

from tiphys.manifests import advice
from tiphys.manifests.wording import Finding
from tiphys.spec import workflows
from tiphys.spec.work import Severity
from tiphys.spec.workflows import Document

STRUCTS: dict[str, type[Document]] = {
    kind.__name__: kind
    for kind in (
        workflows.Workflow,
        workflows.WorkflowTemplate,
        workflows.ClusterWorkflowTemplate,
        workflows.CronWorkflow,
        workflows.ConfigMap,
        workflows.WorkflowEventBinding,
        workflows.Secret,
    )
}
CORE = frozenset({"ConfigMap", "Secret"})
UNUSED = frozenset(
    {"WorkflowTaskSet", "WorkflowTaskResult", "WorkflowArtifactGCTask", "EventBus", "EventSource", "Sensor"}
    | {"Application", "ApplicationSet", "AppProject", "Rollout", "AnalysisRun", "AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment"}
)
"""Kinds of argoproj.io that a file may hold and that nothing here acts on."""

ARGO_GROUP = workflows.ARGO_API_VERSION.split("/")[0]


def judge(value: dict[str, Any]) -> Finding | None:
    """What is wrong with a document's kind or apiVersion; a warning where the document is merely none of ours."""
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind is None or kind == "":
        return _without_kind(value)
    if not isinstance(kind, str):
        return Finding(path=("kind",), message="kind must be text", hint=_known(""))
    if version is None or version == "":
        return Finding(path=("kind",), message="apiVersion is required", hint=f"write apiVersion: {_version(kind)}")
    if not isinstance(version, str):
        return Finding(path=("apiVersion",), message="apiVersion must be text", hint=f"write apiVersion: {_version(kind)}")
    if kind in STRUCTS:
        message, hint = f'unknown apiVersion "{version}" of {kind}', f"write apiVersion: {_version(kind)}"
        return None if version == _version(kind) else Finding(path=("apiVersion",), message=message, hint=hint)
    if kind not in UNUSED and (_ours(version) or kind.lower() in {known.lower() for known in STRUCTS}):
        return Finding(path=("kind",), message=f'unknown kind "{kind}"', hint=_known(kind))
    message = f"{kind} ({version}) is not run here: the document is ignored"
    return Finding(path=("kind",), message=message, severity=Severity.WARNING)


def _without_kind(value: dict[str, Any]) -> Finding:
    """Argo ignores a document without a kind; one that is plainly meant for it is refused rather than lost."""
    misspelt = next((key for key in value if key.lower() == "kind"), "")
    hint = f'the field is called "kind", not "{misspelt}"' if misspelt else _known("")
    if misspelt or _ours(str(value.get("apiVersion"))):
        return Finding(path=(misspelt,) if misspelt else (), message="kind is required", hint=hint)
    return Finding(path=(), message="the document has no kind and is ignored", hint=hint, severity=Severity.WARNING)


def _ours(version: str) -> bool:
    return version.split("/", maxsplit=1)[0] == ARGO_GROUP


def _version(kind: str) -> str:
    return workflows.CORE_API_VERSION if kind in CORE else workflows.ARGO_API_VERSION


def _known(kind: str) -> str:
    return advice.of_field(kind, STRUCTS) or "one of " + ", ".join(STRUCTS)
