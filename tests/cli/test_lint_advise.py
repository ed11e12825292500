"""`tiphys lint --advise`: notices with a fix, at the place they are about, and no failure."""

from pathlib import Path

import pytest

from tests.cli.test_lint import lint

RISKY = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: risky}
spec:
  entrypoint: main
  arguments: {parameters: [{name: list, value: "[1]"}]}
  templates:
    - name: main
      steps:
        - - name: each
            template: say
            arguments: {parameters: [{name: who, value: "{{item}}"}]}
            withParam: "{{workflow.parameters.list}}"
    - name: say
      inputs: {parameters: [{name: who}]}
      retryStrategy: {retryPolicy: Always}
      script:
        image: alpine
        command: [sh]
        source: echo {{inputs.parameters.who}}
"""
GOOD = (
    RISKY.replace("  entrypoint: main", "  entrypoint: main\n  parallelism: 4\n  activeDeadlineSeconds: 60")
    .replace("retryPolicy: Always", "retryPolicy: Always, limit: 2")
    .replace(
        "source: echo {{inputs.parameters.who}}", 'env: [{name: WHO, value: "{{inputs.parameters.who}}"}]\n        source: echo "$WHO"'
    )
)


def simple(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *options: str) -> list[str]:
    file = tmp_path / "wf.yaml"
    file.write_text(text)
    assert lint(tmp_path, file, "-o", "simple", *options) == 0
    return [line.removeprefix(f"{file}:") for line in capsys.readouterr().out.splitlines()]


def test_each_risk_is_a_notice_at_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = simple(tmp_path, capsys, RISKY, "--advise")
    assert [(line.split(":")[0], line.split(": ")[1]) for line in said] == [(n, "notice") for n in ("10", "14", "16", "20")], said


def test_a_good_manifest_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simple(tmp_path, capsys, GOOD, "--advise") == []


def test_without_the_option_there_is_no_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simple(tmp_path, capsys, RISKY) == []
