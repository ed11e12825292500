"""What is known of workflows that are only in the archive (or also there), as lists need it."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tiphys.engine.house import House, NotThere
from tiphys.journal.protocol import ArchivedRun
from tiphys.scheduler.records import Run
from tiphys.server import pictures, queries
from tiphys.spec.selectors import Selector
from tiphys.spec.status import Phase, WorkflowStatus
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow, WorkflowSpec

STATUS, PERSISTED = "workflows.argoproj.io/workflow-archiving-status", "Persisted"
OURS = frozenset({"workflows.argoproj.io/phase", "workflows.argoproj.io/completed"})


def row(archived: ArchivedRun) -> Run:
    """An archived run as the row that it was, as far as lists ask."""
    return Run(
        uid=archived.uid,
        name=archived.name,
        namespace=archived.namespace,
        phase=Phase(archived.phase),
        created_at=_time(archived.created_at) or datetime.fromtimestamp(0, UTC),
        started_at=_time(archived.started_at),
        finished_at=_time(archived.finished_at),
        labels={**{key: value for key, value in archived.labels.items() if key not in OURS}, STATUS: PERSISTED},
    )


def outline(archived: Run) -> Workflow:
    """What a list shows of an archived run."""
    return Workflow(
        api_version=ARGO_API_VERSION,
        metadata=ObjectMeta(
            name=archived.name,
            namespace=archived.namespace,
            uid=archived.uid,
            creation_timestamp=pictures.rfc3339(archived.created_at),
            resource_version=pictures.version(archived),
            labels=dict(queries.labels(archived)),
        ),
        spec=WorkflowSpec(),  # said, though it is empty: Argo's clients must find one
        status=WorkflowStatus(
            phase=archived.phase,
            started_at=pictures.rfc3339(archived.started_at) if archived.started_at else None,
            finished_at=pictures.rfc3339(archived.finished_at) if archived.finished_at else None,
        ),
    )


async def newest(house: House, namespace: str, name: str) -> str:
    """The uid of the newest archived workflow of a name. Raises NotThere."""

    def look(lines: Iterator[ArchivedRun]) -> str:
        return next((one.uid for one in lines if one.name == name and queries.covers(namespace, one.namespace)), "")

    if not (uid := await house.archive(look)):
        raise NotThere(f'workflows.argoproj.io "{name}" not found')
    return uid


def wanted(labels: Selector) -> bool:
    """Whether a selector leaves anything of the archive: who asks may say that it is not wanted."""
    return all(one.matches({STATUS: PERSISTED}) for one in labels.requirements if one.key == STATUS)


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
