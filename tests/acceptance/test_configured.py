"""What an operator says once in the settings, and every workflow gets: defaults, limits of semaphores, artifact repositories."""

import dataclasses
import json

import pytest
import yaml

from tests.acceptance import clouds
from tests.acceptance.house import Ended, House

HEAD = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "wf-"}}


def container(*command: str) -> dict:
    return {"container": {"image": "x", "command": list(command)}}


def shell(text: str) -> dict:
    return container("sh", "-c", text)


def ran(home: House, spec: dict, *more: dict, settings: dict | None = None, verb: str = "run") -> Ended:
    """`tiphys VERB` of a workflow with further documents before it."""
    file = home.top / "wf.yaml"
    file.write_text("\n---\n".join(yaml.safe_dump(document) for document in (*more, {**HEAD, "spec": spec})))
    there = dataclasses.replace(home, settings=settings or {})
    return there.tiphys(verb, str(file), *(["-o", "json"] if verb == "run" else []))


DEFAULTS = {
    "workflow_defaults": {
        "metadata": {"labels": {"team": "ours", "given": "by-default"}},
        "spec": {
            "entrypoint": "main",
            "onExit": "bye",
            "arguments": {"parameters": [{"name": "a", "value": "default-a"}, {"name": "b", "value": "default-b"}]},
            "templates": [{"name": "bye", **shell("true")}],
        },
    }
}


def test_defaults_are_below_every_workflow(home: House) -> None:
    main = {"name": "main", "script": {"image": "x", "command": ["sh"], "source": "echo {{workflow.labels.team}}"}}
    main["outputs"] = {"parameters": [{"name": "all", "value": "{{workflow.parameters.a}} {{workflow.parameters.b}}", "globalName": "all"}]}
    spec = {"arguments": {"parameters": [{"name": "b", "value": "own-b"}]}, "templates": [main]}
    done = ran(home, spec, settings=DEFAULTS)
    assert done.code == 0, done.err
    workflow = done.workflow
    assert workflow["metadata"]["labels"]["team"] == "ours"
    values = {parameter["name"]: parameter["value"] for parameter in workflow["spec"]["arguments"]["parameters"]}
    assert values == {"a": "default-a", "b": "own-b"}
    assert any(node["displayName"].endswith(".onExit") for node in workflow["status"]["nodes"].values())


def test_lint_knows_the_defaults(home: House) -> None:
    spec = {"templates": [{"name": "main", **container("echo", "{{workflow.labels.team}}", "{{workflow.parameters.a}}")}]}
    assert ran(home, spec, settings=DEFAULTS, verb="lint").code == 0
    without = ran(home, spec, verb="lint")
    assert without.code == 2
    assert "spec.entrypoint is required" in without.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"specs": {}}, "has metadata and spec, not specs"),
        ({"spec": {"entrypiont": "x"}}, "entrypiont"),
        ({"spec": {"parallelism": "many"}}, "parallelism"),
    ],
)
def test_wrong_defaults_are_told_and_nothing_is_run(home: House, given: dict, said: str) -> None:
    done = ran(home, {"entrypoint": "main", "templates": [{"name": "main", **shell("true")}]}, settings={"workflow_defaults": given})
    assert done.code == 2
    assert "the setting workflow_defaults" in done.err
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("semaphore", [{"database": {"key": "both"}}, {"configMapKeyRef": {"name": "limits", "key": "both"}}])
def test_limits_of_semaphores_come_from_settings(home: House, semaphore: dict) -> None:
    step = {"name": "step", "synchronization": {"semaphores": [semaphore]}, **shell("sleep 1")}
    main = {"name": "main", "steps": [[{"name": "s", "template": "step", "withSequence": {"count": "4"}}]]}
    done = ran(home, {"entrypoint": "main", "templates": [main, step]}, settings={"semaphores": {"both": 2, "default/limits/both": 2}})
    assert done.code == 0, done.err
    nodes = [node for node in done.workflow["status"]["nodes"].values() if node["type"] == "Pod"]
    assert len({node["finishedAt"] for node in nodes}) > 1
    assert done.seconds > 2
    lost = ran(home, {"entrypoint": "main", "templates": [main, step]})
    assert lost.code == 1
    assert "failed to initialize semaphore" in lost.workflow["status"]["message"] + json.dumps(lost.workflow["status"]["nodes"])


REPOSITORIES = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "artifact-repositories"},
    "data": {"mine": "s3: {bucket: my-bucket, endpoint: 'localhost:1', insecure: true, keyFormat: 'deep/{{workflow.name}}'}"},
}


def test_a_workflow_names_its_artifact_repository(home: House) -> None:
    spec = {
        "entrypoint": "main",
        "artifactRepositoryRef": {"key": "mine"},
        "templates": [{"name": "main", **shell("true")}],
    }
    done = ran(home, spec, REPOSITORIES)
    assert done.code == 0, done.err
    shown = done.workflow["status"]["artifactRepositoryRef"]
    assert (shown["configMap"], shown["key"], shown["namespace"]) == ("artifact-repositories", "mine", "default")
    assert shown["artifactRepository"]["s3"]["bucket"] == "my-bucket"
    assert ran(home, spec, settings={"artifacts": {"repositories": {"mine": {"s3": {"bucket": "b", "endpoint": "e"}}}}}).code == 0
    unknown = ran(home, spec)
    assert unknown.code == 2
    assert (
        'failed to resolve artifact repository: failed to find artifact repository ref "default/artifact-repositories#mine"' in unknown.err
    )
    gcs = ran(home, spec, {**REPOSITORIES, "data": {"mine": "gcs: {bucket: b}"}})
    assert gcs.code == 2
    assert "s3 repositories can be used here" in gcs.err


def test_key_only_artifacts_go_to_the_repository_that_is_named(home: House) -> None:
    bucket = {
        "bucket": "named",
        "insecure": True,
        "accessKeySecret": {"name": "c", "key": "a"},
        "secretKeySecret": {"name": "c", "key": "s"},
        "createBucketIfNotPresent": {},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}, "stringData": {"a": "x", "s": "y"}}
    make = {"name": "make", **shell("echo one > /tmp/o"), "outputs": {"artifacts": [{"name": "o", "path": "/tmp/o"}]}}
    take = {"name": "take", "inputs": {"artifacts": [{"name": "i", "path": "/tmp/i"}]}, **shell("grep one /tmp/i")}
    given = [{"name": "i", "from": "{{steps.make.outputs.artifacts.o}}"}]
    second = {"name": "take", "template": "take", "arguments": {"artifacts": given}}
    main = {"name": "main", "steps": [[{"name": "make", "template": "make"}], [second]]}
    spec = {"entrypoint": "main", "artifactRepositoryRef": {"key": "mine"}, "templates": [main, make, take]}
    with clouds.cloud() as sky:
        repository = {"s3": {**bucket, "endpoint": sky.address.removeprefix("http://")}}
        done = ran(home, spec, secret, {**REPOSITORIES, "data": {"mine": json.dumps(repository)}})
    assert done.code == 0, done.err
    (made,) = [node for node in done.workflow["status"]["nodes"].values() if node["displayName"] == "make"]
    assert made["outputs"]["artifacts"][0]["s3"]["bucket"] == "named"


@pytest.mark.parametrize(
    ("strategy", "fails", "kept"),
    [("", False, False), ("", True, True), ("OnWorkflowCompletion", True, False), ("OnWorkflowSuccess", True, True)],
)
def test_claims_go_when_the_workflow_says_so(home: House, strategy: str, fails: bool, kept: bool) -> None:
    if home.isolation == "none":
        pytest.skip("volumes need isolation")
    step = shell("echo x > /work/x" + ("; exit 1" if fails else ""))
    step["container"]["volumeMounts"] = [{"name": "work", "mountPath": "/work"}]
    claim = {"metadata": {"name": "work"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    spec = {"entrypoint": "main", "volumeClaimTemplates": [claim], "templates": [{"name": "main", **step}]}
    if strategy:
        spec["volumeClaimGC"] = {"strategy": strategy}
    done = ran(home, spec)
    assert done.code == (1 if fails else 0)
    files = list((home.top / "state").rglob("claims/*/x"))
    shown = done.workflow["status"].get("persistentVolumeClaims")
    assert (len(files), shown is not None) == ((1, True) if kept else (0, False))
