"""Lint across files: what is given knows each other, and `--offline` names what is not given."""

from pathlib import Path

import pytest

from tests.cli.test_lint import lint

CALLER = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: caller}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: a
        templateRef: {name: library, template: say}
        arguments: {parameters: [{name: text, value: hello}]}
"""
LIBRARY = """\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: library}
spec:
  templates:
  - name: say
    inputs: {parameters: [{name: text}, {name: volume}]}
    container: {image: x, command: [say]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "flows"
    made.mkdir()
    (made / "a-caller.yaml").write_text(CALLER)
    return made


def test_arguments_are_checked_against_templates_of_other_files(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "z-library.yaml").write_text(LIBRARY)
    assert lint(tmp_path, folder, "-o", "simple") == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}/a-caller.yaml:11:")
    assert "inputs.parameters.volume was not supplied" in line


def test_what_is_not_given_is_an_error(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, folder, "-o", "simple") == 2
    assert "template reference library.say not found" in capsys.readouterr().out


def test_offline_names_what_it_could_not_see(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.yaml").write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: b}\n"
        "spec: {workflowTemplateRef: {name: whole, clusterScope: true}}\n"
    )
    assert lint(tmp_path, folder, "-o", "simple", "--offline") == 0
    out = capsys.readouterr().out
    assert 'notice: could not see WorkflowTemplate "library": what refers to it was not checked' in out
    assert 'notice: could not see ClusterWorkflowTemplate "whole": what refers to it was not checked' in out


def test_offline_refuses_a_template_that_a_given_file_lacks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "library.yaml").write_text(LIBRARY.replace("name: say", "name: sing"))
    assert lint(tmp_path, folder, "-o", "simple", "--offline") == 2
    assert "template reference library.say not found" in capsys.readouterr().out


def test_one_resource_in_two_files_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(LIBRARY)
    assert lint(tmp_path, tmp_path / "one.yaml", tmp_path / "two.yaml", "-o", "simple") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f'{tmp_path}/two.yaml:3:12: warning: WorkflowTemplate "library" is defined twice: also at {tmp_path}/one.yaml:3:12'


def test_hidden_files_are_left_out_of_a_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "library.yaml").write_text(LIBRARY.replace(", {name: volume}", ""))
    (folder / ".#draft.yaml").write_text("{")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.yaml").write_text("{")
    assert lint(tmp_path, folder) == 0
