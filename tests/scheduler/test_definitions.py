"""What is in force is what the sources say now; what goes with a definition goes, what hangs on it is told."""

from tests.scheduler.hall import CRON, Hall, config_map, cron, template
from tiphys.scheduler import decision, items
from tiphys.spec.status import Phase
from tiphys.spec.workflows import ClusterWorkflowTemplate


def keys(hall: Hall) -> set[str]:
    return set(hall.state.shared.registry.definitions)


def test_the_definitions_of_a_source_are_those_it_was_last_seen_with() -> None:
    hall = Hall()
    assert not hall.define(template("a"), template("b"))
    assert hall.commanded(decision.Refresh)
    assert not hall.define(template("b"), config_map("c"))
    assert keys(hall) == {"WorkflowTemplate/default/b", "ConfigMap/default/c"}
    hall.reload()
    assert keys(hall) == {"WorkflowTemplate/default/b", "ConfigMap/default/c"}
    assert hall.state.shared.registry.template("default", "b") == template("b")
    assert hall.state.shared.registry.template("other", "b") is None
    assert hall.state.shared.registry.config_map("default", "c") == config_map("c")
    assert not hall.define()
    assert keys(hall) == set()
    assert hall.state.shared.registry.template("default", "b") is None


def test_sources_do_not_touch_each_other() -> None:
    hall = Hall()
    hall.define(template("a"), source="one")
    hall.define(template("b"), source="two")
    hall.define(source="one")
    assert keys(hall) == {"WorkflowTemplate/default/b"}
    assert [found.source for found in hall.there(items.Definition)] == ["two"]


def test_a_name_belongs_to_one_source() -> None:
    hall = Hall()
    hall.define(template("a"), source="one")
    assert hall.define(template("b"), template("a"), source="two") == 'WorkflowTemplate "a" is defined by one already'
    assert keys(hall) == {"WorkflowTemplate/default/a"}
    assert not hall.define(template("a", "other"), source="two")
    assert hall.define(template("x"), template("x"), source="three") == "three defines something twice"


def test_cluster_templates_have_no_namespace() -> None:
    hall = Hall()
    shared = ClusterWorkflowTemplate(api_version="argoproj.io/v1alpha1", metadata=template("a").metadata, spec=template("a").spec)
    hall.define(shared, template("a"))
    assert keys(hall) == {"ClusterWorkflowTemplate//a", "WorkflowTemplate/default/a"}
    assert hall.state.shared.registry.cluster_template("a") == shared


def test_a_cron_workflow_that_is_removed_takes_its_children_along() -> None:
    hall = Hall()
    hall.define(cron("every"), cron("other"))
    done, running = hall.submit(labels={CRON: "every"}), hall.submit(labels={CRON: "every"})
    stays, elsewhere = hall.submit(labels={CRON: "other"}), hall.submit(namespace="else", labels={CRON: "every"})
    hall.end(done)
    hall.define(cron("other"))
    assert done not in hall.state.runs
    assert hall.run(running).deleting
    assert {command.uid for command in hall.commanded(decision.StopAttempt)} == {running}
    hall.end(running)
    assert set(hall.state.runs) == {stays, elsewhere}
    assert [status.name for status in hall.there(items.Cron)] == ["other"]
    assert not [tick for tick in hall.there(items.Tick) if tick.name == "every"]


def test_a_cron_workflow_that_is_as_it_was_keeps_its_status_and_another_one_loses_its_error() -> None:
    hall = Hall()
    stop = {"expression": "cronworkflow.failed > 0"}
    hall.define(cron("every", stopStrategy=stop))
    broken = items.Cron(namespace="default", name="every", stopped=True, failed=1, error="why", error_kind="SpecError")
    hall.rows.take(decision.ItemPut(item=broken))
    hall.reload()
    hall.define(cron("every", stopStrategy=stop), template("new"))
    assert hall.there(items.Cron) == [broken]
    hall.define(cron("every", stopStrategy=stop, suspend=True))
    (status,) = hall.there(items.Cron)
    assert (status.stopped, status.failed, status.error, status.error_kind) == (True, 1, "", "")
    hall.define(cron("every"))
    (status,) = hall.there(items.Cron)
    assert (status.stopped, status.failed) == (False, 1)


SEMAPHORE = {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}


def test_another_limit_of_a_semaphore_lets_waiting_workflows_in() -> None:
    hall = Hall()
    hall.define(config_map("limits", most="1"))
    runs = [hall.submit(synchronization=SEMAPHORE) for _ in range(4)]
    assert [hall.phase(uid) for uid in runs] == ["Running", "Pending", "Pending", "Pending"]
    hall.define(config_map("limits", most="3"))
    assert [hall.phase(uid) for uid in runs] == ["Running", "Running", "Running", "Pending"]
    hall.define(config_map("limits", most="1"))
    assert [hall.phase(uid) for uid in runs] == ["Running", "Running", "Running", "Pending"]
    hall.end(runs[0])
    assert hall.phase(runs[3]) is Phase.PENDING


def test_a_limit_that_goes_while_it_is_in_use_lets_others_wait_until_it_is_there_again() -> None:
    for lost in ((), (config_map("limits", most="0"),), (config_map("limits", most="many"),)):
        hall = Hall()
        hall.define(config_map("limits", most="1"))
        runs = [hall.submit(synchronization=SEMAPHORE) for _ in range(2)]
        hall.define(*lost)
        hall.end(runs[0])
        runs.append(hall.submit(synchronization=SEMAPHORE))
        assert [hall.phase(uid) for uid in runs] == ["Succeeded", "Pending", "Pending"]
        assert hall.run(runs[2]).message == "Failed to get semaphore limit for default/ConfigMap/limits/most"
        hall.define(config_map("limits", most="2"))
        assert [hall.phase(uid) for uid in runs] == ["Succeeded", "Running", "Running"]


def test_a_limit_that_is_missing_at_first_use_is_an_error() -> None:
    hall = Hall()
    uid = hall.submit(synchronization=SEMAPHORE)
    assert hall.phase(uid) is Phase.FAILED
    assert "failed to initialize semaphore default/ConfigMap/limits/most with limit" in hall.run(uid).message
