"""Retry of what is only in the archive: it is there again under its name, with what succeeded, and goes on with the rest."""

from typing import Any

from tests.scheduler.hall import Hall
from tiphys.scheduler import decision, events
from tiphys.spec import work
from tiphys.spec.status import Phase

LEAF = {"name": "leaf", "container": {"image": "any", "command": ["work"]}, "inputs": {"parameters": [{"name": "p", "default": "0"}]}}
GIVES = {
    **LEAF,
    "name": "gives",
    "outputs": {"parameters": [{"name": "out", "globalName": "told", "valueFrom": {"path": "/p"}}]},
}


def step(name: str, template: str = "leaf", value: str = "{{workflow.parameters.p}}") -> dict[str, Any]:
    """A step with the parameter p."""
    return {"name": name, "template": template, "arguments": {"parameters": [{"name": "p", "value": value}]}}


MAIN = {"name": "main", "steps": [[step("a", "gives")], [step("b")], [step("c", value="{{workflow.outputs.parameters.told}}")]]}
SPEC: dict[str, Any] = {
    "entrypoint": "main",
    "onExit": "leaf",
    "templates": [MAIN, LEAF, GIVES],
    "arguments": {"parameters": [{"name": "p", "value": "1"}]},
}


def ended(hall: Hall, uid: str, display_name: str, kind: work.OutcomeKind = work.OutcomeKind.SUCCEEDED) -> None:
    """The attempt of a node ends."""
    [node] = [node for node in hall.nodes(uid) if node.display_name == display_name and not node.phase.fulfilled]
    handle = work.Handle(executor="hall", text=f"{uid}/{node.id}")
    hall.tell(events.Started(at=hall.now, uid=uid, node_id=node.id, attempt=node.attempt, handle=handle))
    parameters = {"out": "given"} if display_name == "a" else {}
    outcome = work.Outcome(kind=kind, exit_code=int(kind != "succeeded"), parameters=parameters)
    hall.tell(events.Exited(at=hall.now, uid=uid, node_id=node.id, attempt=node.attempt, outcome=outcome))


def failed_and_deleted(hall: Hall, **more: Any) -> str:
    """A run of which `a` succeeded and `b` failed, that was deleted; its uid."""
    uid = hall.submit("wf", labels={"team": "red"}, **{**SPEC, **more})
    ended(hall, uid, "a")
    ended(hall, uid, "b", work.OutcomeKind.FAILED)
    ended(hall, uid, "wf.onExit")
    assert hall.phase(uid) is Phase.FAILED
    hall.clock(seconds=5)
    assert hall.ask(uid, events.Delete()) == ""
    assert uid not in hall.state.runs
    return uid


def phases(hall: Hall, uid: str) -> dict[str, str]:
    """The phases of pods by display name."""
    return {node.display_name: str(node.phase) for node in hall.nodes(uid) if node.type == "Pod"}


def test_what_succeeded_is_kept_and_the_rest_is_made_anew() -> None:
    hall = Hall()
    old = failed_and_deleted(hall)
    assert hall.revive(old, "new") == ""
    run = hall.run("new")
    assert (run.name, run.phase, run.labels["team"], run.created_at) == ("wf", Phase.RUNNING, "red", hall.now)
    assert phases(hall, "new") == {"a": "Succeeded", "b": "Pending"}
    assert {node.id for node in hall.nodes("new")} <= {node.id for node in hall.rows.remains[old].nodes}
    assert hall.state.runs["new"].manifest.uid == "new"
    ended(hall, "new", "b")
    [c] = [node for node in hall.nodes("new") if node.display_name == "c"]
    assert c.inputs is not None
    assert c.inputs.parameters[0].value == "given", "what the run had given as a whole is still known"
    ended(hall, "new", "c")
    ended(hall, "new", "wf.onExit")
    assert hall.phase("new") is Phase.SUCCEEDED


def test_it_is_retried_once_and_again_when_it_is_gone_again() -> None:
    hall = Hall()
    old = failed_and_deleted(hall)
    assert hall.revive(old, "new") == ""
    assert hall.revive(old, "new") == "a workflow with the uid new is there already"
    assert hall.revive(old, "other") == "Workflow already exists on cluster, use argo retry wf instead"
    assert list(hall.state.runs) == ["new"]
    hall.ask("new", events.Terminate())
    hall.end("new", work.OutcomeKind.STOPPED)
    assert hall.ask("new", events.Delete()) == ""
    assert hall.revive("new", "third") == ""
    assert phases(hall, "third") == {"a": "Succeeded", "b": "Pending"}


def test_a_run_that_succeeded_is_retried_from_named_nodes_alone() -> None:
    hall = Hall()
    uid = hall.submit("wf", **SPEC)
    for name in ("a", "b", "c", "wf.onExit"):
        ended(hall, uid, name)
    assert hall.ask(uid, events.Delete()) == ""
    assert hall.revive(uid, "new") == "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector"
    [b] = [node.id for node in hall.rows.remains[uid].nodes if node.display_name == "b"]
    assert hall.revive(uid, "new", events.Retry(restart=(b,), parameters={"p": "2"})) == ""
    assert phases(hall, "new") == {"a": "Succeeded", "b": "Pending"}
    [again] = [node for node in hall.nodes("new") if node.display_name == "b"]
    assert again.inputs is not None
    assert again.inputs.parameters[0].value == "2"


def test_it_waits_for_its_place_and_its_lock_as_others_do_and_goes_on_after_a_crash() -> None:
    hall = Hall(parallelism=1)
    old = failed_and_deleted(hall, synchronization={"mutexes": [{"name": "m"}]})
    other = hall.submit("other")
    assert hall.revive(old, "new") == ""
    assert hall.phases() == {"other": "Running", "wf": "postponed"}
    hall.reload()
    hall.end(other)
    assert hall.phases() == {"other": "Succeeded", "wf": "Running"}
    assert phases(hall, "new") == {"a": "Succeeded", "b": "Pending"}
    hall.reload()
    ended(hall, "new", "b")
    assert phases(hall, "new")["b"] == "Succeeded"


def test_no_attempt_has_the_identity_of_another() -> None:
    hall = Hall()
    old = failed_and_deleted(hall)
    known = {(old, node.id, node.attempt) for node in hall.rows.remains[old].nodes}
    hall.commands = []
    assert hall.revive(old, "new") == ""
    launches = {(one.uid, one.node_id, one.attempt) for one in hall.commanded(decision.Launch)}
    assert launches
    assert not launches & known
