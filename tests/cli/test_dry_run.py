"""`tiphys run --dry-run` from its command line to its exit code."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.played import Played, wired
from tests.cli.test_run import fine
from tiphys.cli import commands

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf}
spec:
  entrypoint: main
  arguments: {parameters: [{name: p, value: one}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: work}
    - - {name: b, template: work, when: "{{steps.a.outputs.result}} == yes"}
  - name: work
    script: {image: x, command: [sh], source: "echo {{workflow.parameters.p}}"}
"""


def dry(tmp_path: Path, *arguments: str, text: str = MANIFEST) -> tuple[int, Played]:
    file = tmp_path / "wf.yaml"
    file.write_text(text)
    played = Played(fine)
    return commands.main(["run", str(file), "--dry-run", *arguments], lambda: wired(played, tmp_path)), played


def test_the_plan_is_told_and_nothing_is_run_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, played = dry(tmp_path, "-p", "p=two")
    assert (code, played.submitted) == (0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["wf.yaml"]
    out = capsys.readouterr().out
    assert "starts first:" in out
    assert "echo two" in out
    assert "{{steps.a.outputs.result}} is open: the end of a" in out


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_machines_read_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, read) -> None:
    assert dry(tmp_path, "-o", form)[0] == 0
    plan = read(capsys.readouterr().out)
    assert plan["first"][0]["name"] == "wf[0].a"
    assert plan["later"][0]["when"]["open"] == {"steps.a.outputs.result": "the end of a"}


def test_several_workflows_are_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = MANIFEST + "---" + MANIFEST.replace("name: wf}", "name: other}")
    assert dry(tmp_path, "-o", "json", text=both)[0] == 0
    assert [plan["workflow"] for plan in json.loads(capsys.readouterr().out)] == ["wf", "other"]


def test_bad_input_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dry(tmp_path, text=MANIFEST.replace("entrypoint: main", "entrypoint: mian"))[0] == 2
    missing = MANIFEST.replace("entrypoint: main", "entrypoint: main\n  artifactRepositoryRef: {key: x}")
    assert dry(tmp_path, text=missing)[0] == 2
    assert "failed to resolve artifact repository" in capsys.readouterr().err
