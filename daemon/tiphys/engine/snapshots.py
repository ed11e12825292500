"""What a submission takes along of the definitions in force: those it can reach, as they are now. Others may change under it."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tiphys.spec.workflows import ClusterWorkflowTemplate, Document, Workflow, WorkflowSpec, WorkflowTemplate

Resource = WorkflowTemplate | ClusterWorkflowTemplate


def reachable(submitted: Iterable[Workflow], own: Sequence[Document], known: Iterable[Document], namespace: str) -> list[Document]:
    """The templates among `known` that the workflows, or the templates that came with them, can call, directly or not.

    A reference with tags in its name may mean any of them. Templates that came along go before those of the same name.
    """
    given = {_key(document) for document in own if isinstance(document, Resource)}
    found: list[Document] = []
    for workflow in submitted:
        home = workflow.metadata.namespace or namespace
        seen = [document for document in known if isinstance(document, Resource) and _is_seen(document, home)]
        candidates = {_key(document): document for document in seen if _key(document) not in given}
        todo: list[WorkflowSpec] = [workflow.spec, *(document.spec for document in own if isinstance(document, Resource))]
        while todo and candidates:
            for key in dict.fromkeys(_wanted(todo.pop(), candidates)):
                document = candidates.pop(key)
                todo.append(document.spec)
                if document not in found:
                    found.append(document)
    return found


def _is_seen(document: Resource, namespace: str) -> bool:
    return isinstance(document, ClusterWorkflowTemplate) or document.metadata.namespace == namespace


def _key(document: Resource) -> tuple[bool, str]:
    return isinstance(document, ClusterWorkflowTemplate), document.metadata.name


def _wanted(spec: WorkflowSpec, candidates: dict[tuple[bool, str], Resource]) -> Iterator[tuple[bool, str]]:
    """The candidates that a spec refers to."""
    for name, cluster in _references(msgspec.to_builtins(spec)):
        if "{{" in name:
            yield from [key for key in candidates if key[0] == cluster]
        elif (cluster, name) in candidates:
            yield cluster, name


def _references(value: object) -> Iterator[tuple[str, bool]]:
    if isinstance(value, dict):
        for key in ("templateRef", "workflowTemplateRef"):
            reference = value.get(key)
            if isinstance(reference, dict):
                yield str(reference.get("name", "")), bool(reference.get("clusterScope"))
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)
