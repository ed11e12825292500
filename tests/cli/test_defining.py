"""Definitions are made, changed, paused and removed from the command line; backfills and copies of artifacts."""

import json

import pytest
import yaml
from structlog.testing import capture_logs

from tests.cli.test_client import file, place, terminal  # noqa: F401 (fixtures)
from tests.server.serving import workflow
from tests.server.test_workflows import TEMPLATES


@pytest.fixture(autouse=True)
def quiet():
    """The server is in this process: what it logs is not what the command prints."""
    with capture_logs():
        yield


GREET, EVERYWHERE, NIGHTLY = TEMPLATES.split("---")


def test_templates_are_created_changed_and_deleted(terminal, place):  # noqa: F811
    path = file(place, TEMPLATES, "all.yaml")
    out, err = terminal.ends("template", "create", path, code=0)
    assert out.startswith("Name:                greet\nNamespace:           default\nCreated: ")
    assert "left out, because this is for a WorkflowTemplate: ClusterWorkflowTemplate, CronWorkflow" in err
    assert terminal.ends("template", "create", file(place, GREET), code=1)[1].endswith('"greet" already exists\n')
    changed = file(place, GREET.replace("value: you", "value: us"), "changed.yaml")
    assert terminal.says("template", "update", changed, "-o", "name") == "greet\n"
    shown = json.loads(terminal.says("template", "get", "greet", "-o", "json"))
    assert shown["spec"]["arguments"]["parameters"] == [{"name": "who", "value": "us"}]
    absent = file(place, GREET.replace("name: greet", "name: absent"))
    assert terminal.ends("template", "update", absent, code=1)[1].endswith('"absent" not found\n')
    wrong = file(place, GREET.replace("entrypoint: main", "entrypoint: mian"))
    assert 'did you mean "main"?' in terminal.ends("template", "create", wrong, code=2)[1]
    assert "1 linting error found!" in terminal.ends("template", "lint", wrong, code=2)[0]
    assert "no linting errors found!" in terminal.says("template", "lint", changed)
    assert "found nothing to lint" in terminal.ends("cluster-template", "lint", changed, code=2)[0]
    assert (
        terminal.ends("cluster-template", "create", changed, code=2)[1] == "tiphys: no ClusterWorkflowTemplate found in the given files\n"
    )
    assert terminal.says("cluster-template", "create", file(place, EVERYWHERE), "-o", "name") == "everywhere\n"
    assert terminal.says("cluster-template", "delete", "everywhere") == "ClusterWorkflowTemplate 'everywhere' deleted\n"
    assert terminal.says("template", "delete", "--all") == "WorkflowTemplate 'greet' deleted\n"
    assert terminal.says("template", "delete", "--all") == "No resources found\n"
    assert "or --all" in terminal.ends("template", "delete", code=2)[1]


def test_cron_workflows_are_made_otherwise_than_in_their_file_and_paused(terminal, place):  # noqa: F811
    path = file(place, NIGHTLY)
    typed = ("--name", "hourly", "--schedule", "0 * * * *", "-p", "a=1", "-l", "team=x")
    assert terminal.says("cron", "create", path, *typed).startswith("Name:                          hourly\n")
    made = yaml.safe_load(terminal.says("cron", "get", "hourly", "-o", "yaml"))
    assert (made["spec"]["schedules"], made["metadata"]["labels"]["team"]) == (["0 * * * *"], "x")
    assert made["spec"]["workflowSpec"]["arguments"]["parameters"] == [{"name": "a", "value": "1"}]
    assert terminal.says("cron", "suspend", "hourly") == "CronWorkflow 'hourly' suspended\n"
    assert "Suspended:                     true" in terminal.says("cron", "get", "hourly")
    assert terminal.says("cron", "resume", "hourly") == "CronWorkflow 'hourly' resumed\n"
    assert "Suspended:                     false" in terminal.says("cron", "get", "hourly")
    assert terminal.ends("cron", "suspend", "absent", code=1)[1].endswith('"absent" not found\n')
    assert terminal.says("cron", "delete", "hourly") == "CronWorkflow 'hourly' deleted\n"


def test_a_backfill_starts_each_missed_tick_once(terminal, place):  # noqa: F811
    terminal.says("cron", "create", file(place, NIGHTLY.replace("schedules:", "timezone: UTC\n  schedules:")))
    typed = ("cron", "backfill", "nightly", "--start", "2024-02-28", "--end", "2024-03-01T03:00:00Z")
    out = terminal.says(*typed, "--format", "RFC3339")
    assert out == "".join(
        f"Created nightly-backfill-2024{day}030000 for 2024-{day[:2]}-{day[2:]}T03:00:00Z\n" for day in ("0228", "0229", "0301")
    )
    terminal.until("nightly-backfill-20240301030000", "Succeeded")
    made = json.loads(terminal.says("get", "nightly-backfill-20240229030000", "-o", "json"))
    assert made["spec"]["arguments"]["parameters"] == [{"name": "cronScheduleTime", "value": "2024-02-29T03:00:00Z"}]
    assert made["spec"]["synchronization"] == {"mutexes": [{"name": "nightly-backfill"}]}
    assert made["metadata"]["annotations"]["workflows.argoproj.io/scheduled-time"] == "2024-02-29T03:00:00Z"
    assert "workflows.argoproj.io/cron-workflow" not in made["metadata"]["labels"]
    assert terminal.says(*typed).count("is there already\n") == 3
    out = terminal.says(*typed, "--name", "again", "--parallel")
    assert out.startswith("Created again-20240228030000 for ")
    made = json.loads(terminal.says("get", "again-20240228030000", "-o", "json"))
    assert "synchronization" not in made["spec"]
    assert made["spec"]["arguments"]["parameters"][0]["value"] == "Wed, 28 Feb 2024 03:00:00 UTC"
    assert "more than 2 workflows" in terminal.ends(*typed, "--maxworkflowcount", "2", code=2)[1]
    assert "--start is 'soon'" in terminal.ends("cron", "backfill", "nightly", "--start", "soon", code=2)[1]
    early = ("--start", "2024-03-01", "--end", "2024-03-01T02:00:00Z")
    assert terminal.says("cron", "backfill", "nightly", *early) == "There is no suitable scheduling time.\n"


def test_workflows_are_chosen_by_their_labels(terminal, place):  # noqa: F811
    suspended = workflow(suspend=True)
    for name in ("a", "b", "c"):
        terminal.says("submit", file(place, suspended), "--name", name, "-l", f"team={'x' if name < 'c' else 'y'}")
    assert sorted(terminal.says("stop", "-l", "team=x", "--dry-run").splitlines()) == [
        "workflow a stopped (dry-run)",
        "workflow b stopped (dry-run)",
    ]
    assert sorted(terminal.says("terminate", "-l", "team=x").splitlines()) == ["workflow a terminated", "workflow b terminated"]
    assert terminal.says("list", "-o", "name", "--running") == "c\n"
    assert terminal.says("resubmit", "-l", "team=x", "-o", "name").count("\n") == 2
    assert "Give a name" in terminal.ends("retry", code=2)[1]
    moment = "2026-01-02T15:04:05Z"
    out = terminal.says("submit", file(place, suspended), "--name", "d", "--scheduled-time", moment, "-o", "yaml")
    assert yaml.safe_load(out)["metadata"]["annotations"]["workflows.argoproj.io/scheduled-time"] == moment
    assert "--scheduled-time is" in terminal.ends("submit", file(place, suspended), "--scheduled-time", "soon", code=2)[1]


def test_files_are_found_by_patterns(terminal, place):  # noqa: F811
    for name in ("one", "two"):
        folder = place / "deep" / name
        folder.mkdir(parents=True)
        (folder / "wf.yaml").write_text(yaml.safe_dump(workflow(name)))
    assert terminal.says("submit", "deep/*/wf.y?ml", "-o", "name") == "one\ntwo\n"
    assert terminal.ends("submit", "deep/*.json", code=2)[1] == "tiphys: deep/*.json: no file matches\n"
