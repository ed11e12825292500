"""Templates and cron workflows in force are shown; a cron workflow runs when somebody wants it to."""

from datetime import UTC, datetime

import anyio

from tests.server.checks_of_definitions import binding, cron, template
from tests.server.serving import served
from tests.server.test_workflows import TEMPLATES
from tiphys.journal.memory import MemoryJournal


async def test_templates_are_listed_and_found(opened):
    async with opened() as served:
        await served.define(TEMPLATES)
        for path, name in (("/workflow-templates/default", "greet"), ("/cluster-workflow-templates", "everywhere")):
            status, found = await served.ask("GET", path)
            assert status == 200
            assert [item["metadata"]["name"] for item in found["items"]] == [name]
            status, one = await served.ask("GET", f"{path}/{name}")
            assert status == 200
            assert one["metadata"]["creationTimestamp"]
            assert one["spec"]["entrypoint"] == "main"
            status, problem = await served.ask("GET", f"{path}/absent")
            assert (status, problem["code"]) == (404, 5)
        assert (await served.ask("GET", "/workflow-templates/other"))[1]["items"] == []
        _, found = await served.ask("GET", "/workflow-templates/-", **{"listOptions.fieldSelector": "metadata.name=absent"})
        assert found["items"] == []


async def test_a_cron_workflow_shows_how_far_it_is(opened):
    following = datetime(2030, 1, 1, 3, tzinfo=UTC)
    async with opened(next_run=lambda cron: following if cron.metadata.name == "nightly" else None) as served:
        await served.define(TEMPLATES)
        _, found = await served.ask("GET", "/cron-workflows/default/nightly")
        assert found["status"] == {
            "active": [],
            "conditions": [],
            "succeeded": 0,
            "failed": 0,
            "phase": "Active",
            "nextScheduledTime": "2030-01-01T03:00:00Z",
        }
        at = datetime(2026, 1, 1, 3, tzinfo=UTC)
        tick = await served.house.tick("default", "nightly", at, "2026-01-01T03:00:00Z")
        await served.until(f"/workflows/default/{tick.workflow}", "Succeeded")
        _, found = await served.ask("GET", "/cron-workflows/default")
        [one] = found["items"]
        assert one["status"]["lastScheduledTime"] == "2026-01-01T03:00:00Z"
        assert one["status"]["succeeded"] == 1


async def test_a_cron_workflow_that_stopped_for_good_carries_a_label_and_its_workflows_say_who_made_it(opened):
    completed, creator = (f"workflows.argoproj.io/{name}" for name in ("cron-workflow-completed", "creator"))
    async with opened() as served:
        made = cron("c")
        made["spec"]["stopStrategy"] = {"expression": "cronworkflow.succeeded > 0"}
        _, found = await served.ask("POST", "/cron-workflows/default", {"cronWorkflow": made})
        tick = await served.house.tick("default", "c", datetime(2026, 1, 1, 3, tzinfo=UTC), "2026-01-01T03:00:00Z")
        ended = await served.until(f"/workflows/default/{tick.workflow}", "Succeeded")
        assert ended["metadata"]["labels"][creator] == found["metadata"]["labels"][creator]
        _, found = await served.ask("GET", "/cron-workflows/default/c")
        assert (found["status"]["phase"], found["metadata"]["labels"][completed]) == ("Stopped", "true")
        del found["spec"]["stopStrategy"]
        assert (await served.ask("PUT", "/cron-workflows/default/c", {"cronWorkflow": found}))[0] == 200
        _, found = await served.ask("GET", "/cron-workflows/default/c")
        assert found["status"]["phase"] == "Active"
        assert completed not in found["metadata"]["labels"]


async def test_a_cron_workflow_runs_when_somebody_wants_it(opened):
    async with opened() as served:
        await served.define(TEMPLATES)
        status, made = await served.ask("POST", "/cron-workflows/default/nightly/run")
        assert status == 200
        assert made["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == "nightly"
        await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded")
        answer = await served.ask("POST", "/cron-workflows/default/absent/run")
        assert answer == (404, {"code": 5, "message": 'cronworkflows.argoproj.io "absent" not found'})


async def test_what_is_made_through_the_api_survives_a_restart(tmp_path):
    journal, kept = MemoryJournal(), {}
    made = {
        "/workflow-templates/default": ("template", template("t")),
        "/cluster-workflow-templates": ("template", template("t", "ClusterWorkflowTemplate")),
        "/cron-workflows/default": ("cronWorkflow", cron("t")),
        "/workflow-event-bindings/default": ("binding", binding("t")),
    }
    async with served(tmp_path / "a.sock", journal=journal) as before:
        for path, (field, body) in made.items():
            kept[path] = await before.ask("POST", path, {field: body})
            assert kept[path][0] == 200
    async with served(tmp_path / "b.sock", journal=journal) as after:
        for path, answer in kept.items():
            assert await after.ask("GET", f"{path}/t") == answer


async def test_two_who_make_the_same_at_once_do_not_both_succeed(opened):
    async with opened() as one:
        statuses = []

        async def make() -> None:
            statuses.append((await one.ask("POST", "/workflow-templates/default", {"template": template()}))[0])

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(make)
        assert sorted(statuses) == [200, 409, 409, 409, 409]
