"""`tiphys lint` from its command line to its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from tests.cli.played import Played, wired
from tests.cli.test_run import CRON, MANIFEST, fine
from tiphys import app
from tiphys.cli import commands
from tiphys.spec.work import Finding, Severity

BROKEN = MANIFEST.replace("entrypoint: main", "entrypoint: mian")


def lint(tmp_path: Path, *arguments: object, supports=None) -> int:
    wiring = wired(Played(fine), tmp_path)
    if supports is not None:
        wiring = structs.replace(wiring, supports=lambda loaded, name: lambda template: supports(name, template))
    return commands.main(["lint", *map(str, arguments)], lambda: wiring)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wf.yaml"
    path.write_text(MANIFEST)
    return path


def test_nothing_is_wrong(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, file, "--offline", "--strict") == 0
    assert capsys.readouterr().out == "✔ no linting errors found!\n"


def test_an_error_has_object_place_excerpt_and_summary(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BROKEN)
    assert lint(tmp_path, file) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}:"
    assert lines[1].startswith('   ✖ in "wf" (Workflow) at 6:')
    assert "mian" in lines[1]
    assert "entrypoint: mian" in lines[2]
    assert lines[3].rstrip().endswith("^")
    assert lines[-1] == "✖ 1 linting error found!"


def test_the_simple_form_is_one_line_each(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BROKEN)
    assert lint(tmp_path, file, "-o", "simple") == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{file}:6:")
    assert "mian" in line


def test_folders_are_searched_and_files_know_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "flows" / "deep"
    folder.mkdir(parents=True)
    template = MANIFEST.replace("kind: Workflow", "kind: WorkflowTemplate").replace("name: wf", "name: lib")
    (folder / "lib.yml").write_text(template)
    (tmp_path / "flows" / "wf.yaml").write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wf}\nspec: {workflowTemplateRef: {name: lib}}\n"
    )
    (tmp_path / "flows" / "notes.txt").write_text("a: [")
    assert lint(tmp_path, tmp_path / "flows") == 0
    (folder / "bad.json").write_text("{")
    assert lint(tmp_path, tmp_path / "flows", "-o", "simple") == 2
    assert "flows/deep/bad.json:" in capsys.readouterr().out


def test_nothing_to_lint_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert lint(tmp_path, empty) == 2
    assert "✖ found nothing to lint in the specified paths, failing..." in capsys.readouterr().out


def test_a_missing_file_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, tmp_path / "none.yaml") == 2
    assert "none.yaml: No such file or directory" in capsys.readouterr().err


def test_no_path_is_bad_usage(tmp_path: Path) -> None:
    assert lint(tmp_path) == 2


@pytest.mark.parametrize(("name", "said"), [("", "the name of a file is empty"), ("n" * 300, "File name too long")])
def test_what_is_no_file_name_is_told(tmp_path: Path, name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, name) == 2
    assert said in capsys.readouterr().err


def test_an_executor_that_there_is_not_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["lint", str(file), "--executor", "docker"], app.wiring) == 2
    assert "there is no executor 'docker'; there are process and scripted" in capsys.readouterr().err


def unable(name: str, template: object) -> list[Finding]:
    return [Finding(severity=Severity.ERROR, field="container.image", message=f"{name} has no images")]


def test_what_the_executor_cannot_do_is_a_warning(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, file, supports=unable) == 0
    out = capsys.readouterr().out
    assert '   ⚠ in "wf" (Workflow) at 10:' in out
    assert "templates.main: process has no images" in out
    assert out.endswith("✔ no linting errors found!\n")


def test_what_a_named_executor_cannot_do_is_an_error(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, file, "--executor", "other", supports=unable) == 2
    assert "templates.main: other has no images" in capsys.readouterr().out


def test_inline_templates_and_schedules_are_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        CRON.replace(
            "container: {image: busybox, command: [echo]}",
            "steps: [[{name: a, inline: {container: {image: busybox, command: [echo]}}}]]",
        )
    )
    seen: list[object] = []
    assert lint(tmp_path, file, supports=lambda name, template: seen.append(template) or []) == 0
    assert [one.container is not None for one in seen] == [False, True]


def test_ten_thousand_brackets_and_aliases_are_refused_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 40_000)
    (tmp_path / "bin.yaml").write_bytes(bytes(range(256)) * 10)
    assert lint(tmp_path, tmp_path / "deep.yaml", tmp_path / "bin.yaml", "-o", "simple") == 2
    out = capsys.readouterr().out
    assert "deep.yaml:1:" in out
    assert "bin.yaml:" in out
    assert "Traceback" not in out


def test_version_needs_no_library(project: Path) -> None:
    """`tiphys --version` answers before anything heavy is imported."""
    code = "import sys; sys.argv = ['tiphys', '--version']; from tiphys import __main__ as m; m.tiphys(); print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(project / "daemon")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines()[0].startswith("tiphys ")
    assert not {"click", "rich", "msgspec", "yaml", "asyncio"} & set(done.stdout.splitlines()[1].split())


@pytest.mark.parametrize("example", sorted(path.name for path in (Path(__file__).parents[2] / "examples").glob("*.yaml")))
def test_the_examples_are_right(project: Path, tmp_path: Path, example: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(tmp_path, project / "examples" / example) == 0, capsys.readouterr().out
    assert capsys.readouterr().out == "✔ no linting errors found!\n"
