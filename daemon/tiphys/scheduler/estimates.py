"""How long a run and its nodes will take: as long as in the last run from the same template that succeeded (semantics 2.22)."""

from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Run
from tiphys.scheduler.state import RunState, origin


def of_run(draft: Draft) -> None:
    """Note which run is looked at, and how long it took."""
    found = _before(draft)
    if found is not None:
        draft.change_run(estimated_from=found.run.uid, estimated_seconds=seconds(found.run))


def of_node(draft: Draft, name: str) -> int:
    """How long the node of the same path took then, in seconds; 0: not known."""
    found = _before(draft) if draft.run.estimated_from else None
    if found is None or found.run.uid != draft.run.estimated_from:
        return 0
    node = found.nodes.get(found.ids.get(found.run.name + name[len(draft.run.name) :], ""))
    if node is None or node.started_at is None or node.finished_at is None:
        return 0
    return int((node.finished_at - node.started_at).total_seconds())


def seconds(run: Run) -> int:
    """How long a run took."""
    return int((run.finished_at - run.started_at).total_seconds()) if run.finished_at and run.started_at else 0


def _before(draft: Draft) -> RunState | None:
    ends = draft.state.shared.succeeded.get(origin(draft.run.namespace, draft.run.labels))
    return ends[-1][2] if ends else None
