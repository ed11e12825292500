"""Every wait ends when its cause does: who waits for locks before others in a queue is not in their way when it gives up or goes on."""

from typing import Any

from tests.scheduler.hall import Hall, config_map
from tiphys.scheduler import decision, events, records
from tiphys.spec import work
from tiphys.spec.status import Phase


def _needs(*names: str, **more: Any) -> dict[str, Any]:
    """A workflow of one step that needs mutexes, or places of semaphores (of two letters)."""
    keys = [{"configMapKeyRef": {"name": "limits", "key": name}} for name in names if len(name) == 2]
    sync = {"mutexes": [{"name": name} for name in names if len(name) == 1], "semaphores": keys}
    leaf = {"name": "leaf", "container": {"image": "any", "command": ["work"]}, "synchronization": sync, **more}
    return {"templates": [leaf]}


def _launched(hall: Hall) -> list[str]:
    return [command.uid for command in hall.commanded(decision.Launch)]


def test_who_is_behind_one_that_gives_up_is_let_in() -> None:
    hall = Hall()
    holder = hall.submit(**_needs("a"))
    first = hall.submit(**_needs("a", "b", timeout="5s"))
    second = hall.submit(**_needs("b"))  # nobody holds b, but it is not its turn
    assert _launched(hall) == [holder]
    hall.clock(seconds=6)
    assert hall.phase(first) is Phase.FAILED
    assert _launched(hall) == [second]


def test_who_is_behind_one_that_is_stopped_is_let_in() -> None:
    hall = Hall()
    holder = hall.submit(**_needs("a"))
    first = hall.submit(**_needs("a", "b"))
    second = hall.submit(**_needs("b"))
    assert _launched(hall) == [holder]
    hall.ask(first, events.Stop())
    assert _launched(hall) == [second]


def test_who_is_behind_a_workflow_that_gives_up_is_let_in() -> None:
    hall = Hall()
    whole = {"mutexes": [{"name": "a"}, {"name": "b"}]}
    holder = hall.submit(synchronization={"mutexes": [{"name": "a"}]})
    first = hall.submit(synchronization=whole)
    second = hall.submit(synchronization={"mutexes": [{"name": "b"}]})
    assert _launched(hall) == [holder]
    hall.ask(first, events.Stop())
    assert hall.phase(first) is Phase.FAILED
    assert _launched(hall) == [second]


def test_a_semaphore_with_places_left_lets_in_the_next_when_the_first_has_its_locks() -> None:
    hall = Hall()
    hall.define(config_map("limits", xx="2"))
    holder = hall.submit(**_needs("a"))
    first = hall.submit(**_needs("a", "xx"))
    second = hall.submit(**_needs("xx"))
    assert _launched(hall) == [holder]
    hall.end(holder)
    assert _launched(hall) == [first, second]


def test_a_step_of_a_run_that_is_being_ended_does_not_wait_for_the_locks_of_others() -> None:
    hall = Hall()
    step = {"name": "leaf", "container": {"image": "any", "command": ["work"]}}
    locked = {**step, "name": "locked", "synchronization": {"mutexes": [{"name": "a"}]}}
    tasks = [{"name": "one", "template": "leaf"}, {"name": "two", "template": "locked"}]
    templates = [step, locked, {"name": "main", "parallelism": 1, "dag": {"tasks": tasks}}]
    hall.submit(**_needs("a"))
    run = hall.submit(entrypoint="main", templates=templates)
    hall.ask(run, events.Stop())
    two = next(node for node in hall.nodes(run) if node.name.endswith(".two"))
    assert (two.phase, two.waiting_for) == (Phase.FAILED, "")


def test_an_exit_handler_that_waits_goes_on_when_its_suspended_run_is_stopped() -> None:
    hall = Hall()
    step = {"name": "leaf", "container": {"image": "any", "command": ["work"]}}
    locked = {**step, "name": "locked", "synchronization": {"mutexes": [{"name": "a"}]}}
    holder = hall.submit(**_needs("a"))
    run = hall.submit(templates=[step, locked], onExit="locked")
    hall.ran(run, hall.nodes(run)[0])
    assert [node.waiting_for for node in hall.nodes(run)] == ["", "default/Mutex/a"]
    hall.ask(run, events.Suspend())
    hall.end(holder)
    hall.commanded(decision.Launch)
    hall.ask(run, events.Stop())
    assert _launched(hall) == [run]


def test_nothing_is_begun_in_a_loop_whose_hook_could_not_be_made() -> None:
    hall = Hall()
    needs = {"name": "needs", "inputs": {"parameters": [{"name": "x"}]}, "container": {"image": "any", "command": ["work"]}}
    hook = {"seen": {"template": "needs", "expression": "tasks['k'].status == 'Running'"}}
    task = {"name": "k", "template": "leaf", "withItems": [1, 2], "hooks": hook}
    step = {"name": "leaf", "container": {"image": "any", "command": ["work"]}}
    run = hall.submit(entrypoint="main", templates=[step, needs, {"name": "main", "dag": {"tasks": [task]}}])
    assert hall.phase(run) is Phase.ERROR
    assert not hall.commanded(decision.Launch)


def test_a_request_that_runs_is_timed_out_after_a_restart_too() -> None:
    hall = Hall()
    uid = hall.submit(templates=[{"name": "leaf", "http": {"url": "http://any"}, "timeout": "9s"}])
    node = hall.nodes(uid)[0]
    handle = work.Handle(executor="hall", text=node.id)
    hall.tell(events.Started(at=hall.now, uid=uid, node_id=node.id, attempt=node.attempt, handle=handle))
    hall.reload()
    hall.clock(seconds=10)
    assert hall.phase(uid) is Phase.FAILED
    assert hall.commanded(decision.StopAttempt)


def test_a_success_that_is_retried_is_none() -> None:
    hall = Hall()
    labels = {"workflows.argoproj.io/workflow-template": "t"}
    uid = hall.submit(labels=labels)
    hall.end(uid)
    assert hall.state.shared.succeeded
    hall.ask(uid, events.Retry(restart=(hall.nodes(uid)[0].id,)))
    assert not hall.state.shared.succeeded


def test_a_mutex_that_its_first_waiter_cannot_use_yet_goes_to_the_next() -> None:
    """The first wants another lock too, whose holder waits for this very mutex: nobody else would ever let it go on."""
    hall = Hall()
    leaf = {"container": {"image": "any", "command": ["work"]}}
    held = {"steps": [[{"name": "before", "template": "leaf"}], [{"name": "inner", "template": "y"}]]}
    templates = [
        {"name": "leaf", **leaf},
        {"name": "y", **leaf, "synchronization": {"mutexes": [{"name": "y"}]}},
        {"name": "both", **leaf, "synchronization": {"mutexes": [{"name": "z"}, {"name": "y"}]}},
        {"name": "z", **held, "synchronization": {"mutexes": [{"name": "z"}]}},
        {"name": "main", "steps": [[{"name": name, "template": name} for name in ("y", "z", "both")]]},
    ]
    run = hall.submit(entrypoint="main", templates=templates)

    def at(name: str) -> records.Node:
        return next(node for node in hall.nodes(run) if node.display_name == name)

    hall.ran(run, at("before"))
    assert [at(name).waiting_for for name in ("both", "inner")] == ["default/Mutex/z", "default/Mutex/y"]
    hall.ran(run, at("y"))
    assert (at("inner").waiting_for, at("inner").holding) == ("", ("default/Mutex/y",))
    hall.ran(run, at("inner"))
    hall.ran(run, at("both"))
    assert hall.phase(run) is Phase.SUCCEEDED
