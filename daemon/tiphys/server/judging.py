"""Whether what is sent in may run: the rules of manifests, beside the definitions in force in its namespace."""

import functools
import zoneinfo
from collections.abc import Sequence

import anyio.to_thread

from tiphys.manifests import reading, rules
from tiphys.manifests.rules import definitions
from tiphys.server.context import Context
from tiphys.server.problems import Problem
from tiphys.spec.work import Severity
from tiphys.spec.workflows import ClusterWorkflowTemplate, CronWorkflow, Document, Workflow


async def judge(context: Context, documents: Sequence[Document], namespace: str) -> None:
    """Raises Problem with everything that is wrong with the documents."""
    known = context.house.definitions()
    wrong = await anyio.to_thread.run_sync(_wrong, context, list(documents), known, namespace)
    if wrong:
        raise Problem(400, "\n".join(wrong))


def _wrong(context: Context, documents: Sequence[Document], known: Sequence[Document], namespace: str) -> list[str]:
    with reading.collections_paused():
        return _found(context, documents, known, namespace)


def _found(context: Context, documents: Sequence[Document], known: Sequence[Document], namespace: str) -> list[str]:
    near = [one for one in known if isinstance(one, ClusterWorkflowTemplate) or one.metadata.namespace == namespace]
    zones = _timezones() if any(isinstance(one, CronWorkflow) for one in documents) else None
    force = definitions.of([*near, *documents], zones)
    return [
        f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        for document in documents
        for problem in rules.check(context.adjust(document), force, submitting=isinstance(document, Workflow))
        if Severity(problem.severity) is Severity.ERROR
    ]


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
