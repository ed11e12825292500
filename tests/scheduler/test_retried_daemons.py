"""A retry of what needs a daemon: the daemon is started again, and what failed in a nested template is gone on with beside it."""

import pytest

from tests.scheduler.hall import Hall
from tiphys.scheduler import events
from tiphys.spec import work

WORK = {"container": {"image": "any", "command": ["work"]}}
TESTS = [{"name": "t", "template": "leaf"}, {"name": "u", "template": "leaf"}, {"name": "v", "template": "leaf", "depends": "u"}]
AROUND = {
    "dag": {"dag": {"tasks": [{"name": "db", "template": "db"}, {"name": "test", "template": "test", "depends": "db"}]}},
    "steps": {"steps": [[{"name": "db", "template": "db"}], [{"name": "test", "template": "test"}]]},
}


def up(hall: Hall, run: str) -> None:
    """The daemon is ready."""
    node = next(one for one in hall.nodes(run) if one.display_name == "db")
    same = {"at": hall.now, "uid": run, "node_id": node.id, "attempt": node.attempt}
    hall.tell(events.Started(handle=work.Handle(executor="house", text="db"), **same))
    hall.tell(events.Reported(report=work.Report(ready=True, ip="1.2.3.4"), **same))


def ended(hall: Hall, run: str, name: str, kind: work.OutcomeKind = work.OutcomeKind.SUCCEEDED) -> None:
    """A step has ended."""
    hall.ran(run, next(one for one in hall.nodes(run) if one.display_name == name), kind)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("order", ["first", "last"])
def test_what_failed_inside_is_gone_on_with_to_its_end(around: str, order: str) -> None:
    hall = Hall()
    inner = {"name": "test", "dag": {"tasks": TESTS, "failFast": False}}
    templates = [{"name": "leaf", **WORK}, {"name": "db", "daemon": True, **WORK}, inner, {"name": "main", **AROUND[around]}]
    run = hall.submit(entrypoint="main", templates=templates)
    up(hall, run)
    ended(hall, run, "t", work.OutcomeKind.FAILED)
    ended(hall, run, "u", work.OutcomeKind.FAILED)
    ended(hall, run, "db", work.OutcomeKind.STOPPED)
    assert hall.phase(run) == "Failed"
    hall.ask(run, events.Retry())
    if order == "first":
        up(hall, run)
    for name in "utv":
        ended(hall, run, name)
    if order == "last":
        up(hall, run)
    ended(hall, run, "db", work.OutcomeKind.STOPPED)
    assert hall.phase(run) == "Succeeded"
    assert sorted(one.display_name for one in hall.nodes(run) if one.type == "Pod") == ["db", "t", "u", "v"]
