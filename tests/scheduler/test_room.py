"""What has waited for a lock asks again for room: neither a workflow's parallelism nor its suspension is passed by on the way in."""

from typing import Any

from tests.scheduler.hall import Hall, config_map
from tiphys.scheduler import events, explaining
from tiphys.spec.status import Phase

SEMAPHORE = {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}
LOCKED = {"name": "leaf", "synchronization": SEMAPHORE, "container": {"image": "any", "command": ["work"]}}
LOOP = {"name": "main", "steps": [[{"name": "each", "template": "leaf", "withSequence": {"count": "3"}}]]}


def submit(hall: Hall, **spec: Any) -> str:
    """A workflow of three nodes, each of which needs one of the semaphore's three places."""
    return hall.submit(entrypoint="main", templates=[LOCKED, LOOP], **spec)


def opened() -> Hall:
    hall = Hall()
    hall.define(config_map("limits", most="3"), source="limits.yaml")
    return hall


def active(hall: Hall, uid: str) -> int:
    return sum(node.type == "Pod" and not node.phase.fulfilled and not node.waiting_for for node in hall.nodes(uid))


def end_one(hall: Hall, uid: str) -> None:
    node = next(node for node in hall.nodes(uid) if node.type == "Pod" and not node.phase.fulfilled and not node.waiting_for)
    hall.ran(uid, node)


def test_nodes_that_get_their_locks_together_still_go_one_at_a_time() -> None:
    hall = opened()
    first, second = submit(hall), submit(hall, parallelism=1)
    assert (active(hall, first), active(hall, second)) == (3, 0)
    for ended in range(3):
        end_one(hall, first)
        assert active(hall, second) == 1, ended
    for left in (1, 1, 0):
        end_one(hall, second)
        assert active(hall, second) == left
    assert hall.phase(second) is Phase.SUCCEEDED


def test_after_a_restart_too() -> None:
    hall = opened()
    first, second = submit(hall), submit(hall, parallelism=1)
    for _ in range(3):
        end_one(hall, first)
    hall.reload()
    assert active(hall, second) == 1
    hall.end(second)
    assert hall.phase(second) is Phase.SUCCEEDED


def test_a_suspended_workflow_takes_no_lock_until_it_is_resumed() -> None:
    hall = opened()
    first, second = submit(hall), submit(hall)
    hall.ask(second, events.Suspend())
    hall.end(first)
    assert active(hall, second) == 0
    waiting = next(node for node in hall.nodes(second) if node.waiting_for)
    told = explaining.explain_node(hall.state, second, waiting.id, hall.now)
    assert "the workflow is suspended: until that changes it takes no lock, free or not" in str(told)
    hall.ask(second, events.Resume())
    assert active(hall, second) == 3
    hall.end(second)
    assert hall.phase(second) is Phase.SUCCEEDED
