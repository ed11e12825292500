"""`tiphys run` from its command line to its exit code, on an engine that plays."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
import yaml

from tests.cli.played import Change, Played, wired
from tests.cli.samples import node
from tiphys.cli import commands
from tiphys.scheduler import events
from tiphys.spec.parameters import Parameter, ValueFrom
from tiphys.spec.templates import Inputs, Outputs
from tiphys.spec.workflows import ConfigMap, Workflow

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf}
spec:
  entrypoint: main
  arguments: {parameters: [{name: a, value: "1"}, {name: b, value: "2"}]}
  templates:
    - name: main
      container: {image: busybox, command: [echo, "{{workflow.parameters.a}}"]}
"""
TEMPLATE = MANIFEST.replace("kind: Workflow", "kind: WorkflowTemplate").replace("name: wf", "name: lib")
CRON = """
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedules: ["1 1 * * *"]
  workflowMetadata: {labels: {team: blue}}
  workflowSpec:
    entrypoint: main
    templates: [{name: main, container: {image: busybox, command: [echo]}}]
"""


async def fine(engine: Played, uid: str):
    yield engine.put(uid, node("wf", phase="Pending", took=None))
    yield engine.put(uid, node("wf", phase="Running", took=None))
    yield engine.put(uid, node("wf"), "Succeeded")
    yield Change(None, engine.held[uid].status.phase)


async def bad(engine: Played, uid: str):
    yield engine.put(uid, node("wf", "DAG", "Running", took=None))
    yield engine.put(uid, node("wf.a", phase="Failed", boundary="wf", message="Error (exit code 3)"))
    yield engine.put(uid, node("wf", "DAG", "Failed", message="child 'wf-1' failed"), "Failed", "child 'wf-1' failed")
    yield Change(None, engine.held[uid].status.phase)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wf.yaml"
    path.write_text(MANIFEST)
    return path


def run(engine: Played, tmp_path: Path, *arguments: object) -> int:
    return commands.main(["run", *map(str, arguments)], lambda: wired(engine, tmp_path))


def test_a_run_that_succeeds(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Played(fine, notices=["steps share this machine's files"])
    assert run(engine, tmp_path, file) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == "notice: steps share this machine's files"
    assert re.search(r"\d\d:\d\d:\d\d  ●  Running    wf\n", out)
    assert re.search(r"\d\d:\d\d:\d\d  ✔  Succeeded  wf  4s\n", out)
    assert "Pending" not in out
    assert " ✔ wf  work      wf       4s" in out
    assert "✔ wf Succeeded in " in out


def test_a_run_that_fails_says_which_step_why_and_where(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = "".join(f"line {number}\n" for number in range(50)).encode() + b"validation failed\n"
    engine = Played(bad, written={node("wf.a").id: written}, folders={node("wf.a").id: tmp_path})
    assert run(engine, tmp_path, file) == 1
    out = capsys.readouterr().out
    report = out[out.index("✖ wf Failed") :]
    assert "child 'wf-1' failed" in report.splitlines()[0]
    assert "✖ a: Error (exit code 3)" in report
    assert "node      wf.a" in report
    assert "template  work" in report
    log = tmp_path / "state" / "runs" / "wf" / "logs" / f"{node('wf.a').id}.log"
    assert f"log       {log}\n" in report
    assert log.read_bytes() == written
    assert f"folder    {tmp_path}\n" in report
    assert "│ validation failed" in report
    assert "│ line 31\n" in report
    assert "│ line 30\n" not in report
    state = tmp_path / "state" / "runs" / "wf"
    assert f"tiphys run {file} --state {state} --retry" in report


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_result_alone_is_on_standard_output(file: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(bad), tmp_path, file, "-o", form) == 1
    out, err = capsys.readouterr()
    workflow = json.loads(out) if form == "json" else yaml.safe_load(out)
    assert workflow["kind"] == "Workflow"
    assert workflow["apiVersion"] == "argoproj.io/v1alpha1"
    assert workflow["status"]["phase"] == "Failed"
    assert workflow["status"]["nodes"]["wf"]["displayName"] == "wf"
    assert "✖ a: Error (exit code 3)" in err


def test_the_name_alone(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(fine), tmp_path, file, "-o", "name", "--name", "other") == 0
    assert capsys.readouterr().out == "other\n"


def test_the_wide_form(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(fine), tmp_path, file, "-o", "wide") == 0
    out = capsys.readouterr().out
    assert out.startswith("Name:                wf\nNamespace:           default\n")
    assert "RESOURCESDURATION  NODENAME" in out


def test_parameters_the_new_ones_first(file: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("b: from file\nlist: [1, {x: z}]\na: lost\n")
    engine = Played(fine)
    assert run(engine, tmp_path, file, "-p", "a=x=y", "-f", tmp_path / "p.yaml", "--entrypoint", "main") == 0
    (submitted,) = engine.submitted
    assert [(one.name, one.value) for one in submitted.spec.arguments.parameters] == [
        ("b", "from file"),
        ("list", '[1,{"x":"z"}]'),
        ("a", "x=y"),
    ]


def test_support_documents_come_along(tmp_path: Path) -> None:
    file = tmp_path / "wf.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n---" + MANIFEST)
    engine = Played(fine)
    assert run(engine, tmp_path, file) == 0
    assert [type(document) for document in engine.submitted] == [ConfigMap, Workflow]


def test_a_template_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(TEMPLATE)
    engine = Played(fine)
    assert run(engine, tmp_path, file) == 0
    workflow = engine.submitted[-1]
    assert re.fullmatch(r"lib-[a-z0-9]{5}", workflow.metadata.name)
    assert workflow.spec.workflow_template_ref.name == "lib"
    assert workflow.metadata.labels == {"workflows.argoproj.io/workflow-template": "lib"}


def test_a_schedule_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(CRON)
    engine = Played(fine)
    assert run(engine, tmp_path, file) == 0
    workflow = engine.submitted[-1]
    assert re.fullmatch(r"nightly-[a-z0-9]{5}", workflow.metadata.name)
    assert workflow.metadata.labels == {"team": "blue", "workflows.argoproj.io/cron-workflow": "nightly"}
    assert workflow.metadata.annotations["workflows.argoproj.io/scheduled-time"].endswith("Z")
    assert workflow.spec.entrypoint == "main"


def test_all_workflows_of_a_file_run_and_json_is_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(MANIFEST + "---" + MANIFEST.replace("name: wf", "name: second"))

    async def both(engine: Played, uid: str):
        yield engine.put(uid, phase="Succeeded")

    assert run(Played(both), tmp_path, file, "-o", "json") == 0
    assert [one["metadata"]["name"] for one in json.loads(capsys.readouterr().out)] == ["wf", "second"]
    assert run(Played(both), tmp_path, file, "--name", "one") == 2


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("a: [", (), ":1:"),
        (MANIFEST.replace("entrypoint: main", "entrypoint: mian"), (), "mian"),
        (MANIFEST, ("-p", "novalue"), "expected parameter of the form: NAME=VALUE. Received: novalue"),
        (MANIFEST, ("-f", "/nonexistent.yaml"), "/nonexistent.yaml: No such file or directory"),
        (MANIFEST, ("--retry",), "there is no run of wf to retry"),
        (MANIFEST, ("--frobnicate",), "No such option"),
        (MANIFEST, ("-o", "xml"), "'xml'"),
        (CRON.split("---", maxsplit=1)[0].replace("entrypoint: main", "entrypoint: ''"), (), "entrypoint"),
        (MANIFEST, ("--name", "../elsewhere"), 'metadata.name: Invalid value: "../elsewhere"'),
        (MANIFEST.replace("{name: wf}", "{name: ../../etc}"), (), 'metadata.name: Invalid value: "../../etc"'),
        (MANIFEST, ("--metrics", "/nonexistent/metrics"), "--metrics: /nonexistent/metrics: its folder is not there"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", (), "there is nothing to run"),
    ],
)
def test_bad_input_is_told_and_nothing_is_kept(tmp_path: Path, text: str, arguments: tuple[str, ...], said: str, capsys) -> None:
    file = tmp_path / "wf.yaml"
    file.write_text(text)
    engine = Played(fine)
    assert run(engine, tmp_path, file, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert engine.submitted == []
    assert not list((tmp_path / "state").glob("runs/*"))


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(fine), tmp_path, tmp_path / "none.yaml") == 2
    assert "none.yaml: No such file or directory" in capsys.readouterr().err


def test_what_the_engine_rejects_is_told_and_not_kept(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(fine, reject="wf.yaml:9:7: no"), tmp_path, file) == 2
    assert capsys.readouterr().err == "wf.yaml:9:7: no\n"
    assert not list((tmp_path / "state").glob("runs/*"))


def test_a_kept_state_goes_on_where_it_was(file: Path, tmp_path: Path) -> None:
    first = Played(bad)
    assert run(first, tmp_path, file, "--state", tmp_path / "kept") == 1
    second = Played(fine, held=first.held)
    assert run(second, tmp_path, file, "--state", tmp_path / "kept") == 0
    assert second.submitted == []
    assert second.wishes == []


def test_retry_goes_on_from_the_last_run_of_the_name(file: Path, tmp_path: Path) -> None:
    first = Played(bad)
    assert run(first, tmp_path, file) == 1
    second = Played(fine, held=first.held)
    assert run(second, tmp_path, file, "--retry") == 0
    assert second.wishes == [events.Retry()]
    assert [path.name for path in (tmp_path / "state" / "runs").iterdir()] == ["wf"]


def test_a_second_run_of_a_name_has_a_state_of_its_own(file: Path, tmp_path: Path) -> None:
    assert run(Played(fine), tmp_path, file) == 0
    assert run(Played(fine), tmp_path, file) == 0
    assert sorted(path.name for path in (tmp_path / "state" / "runs").iterdir()) == ["wf", "wf.2"]


def test_a_refused_verb_is_told_at_the_end(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Played(bad)
    assert run(first, tmp_path, file) == 1
    capsys.readouterr()
    assert run(Played(fine, held=first.held, refuse="Cannot retry a workflow in phase Running"), tmp_path, file, "--retry") == 1
    assert capsys.readouterr().err == "tiphys: Cannot retry a workflow in phase Running\n"
    assert (tmp_path / "state" / "runs" / "wf").is_dir()


def interrupted(times: int):
    """A workflow that sends its own process Ctrl-C some times, and ends when it is asked to."""

    async def piece(engine: Played, uid: str):
        yield engine.put(uid, node("wf", phase="Running", took=None))
        for _ in range(times):
            await anyio.sleep(0.01)  # the receiver of signals is there
            asked = engine.asked
            os.kill(os.getpid(), signal.SIGINT)
            await asked.wait()
        yield engine.put(uid, node("wf", phase="Failed"), "Failed", "Stopped with strategy 'Stop'")

    return piece


def test_ctrl_c_stops(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Played(interrupted(1))
    assert run(engine, tmp_path, file) == 130
    assert engine.wishes == [events.Stop()]
    assert "exit handlers run" in capsys.readouterr().out


def test_ctrl_c_twice_terminates(file: Path, tmp_path: Path) -> None:
    engine = Played(interrupted(2))
    assert run(engine, tmp_path, file) == 130
    assert engine.wishes == [events.Stop(), events.Terminate()]


def test_ctrl_c_a_third_time_leaves(file: Path, tmp_path: Path) -> None:
    async def deaf(engine: Played, uid: str):
        yield engine.put(uid, node("wf", phase="Running", took=None))
        for _ in range(3):
            await anyio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    assert run(Played(deaf), tmp_path, file) == 130


def test_a_suspended_node_without_a_terminal_says_how_to_go_on(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def waits(engine: Played, uid: str):
        yield engine.put(uid, node("wf", "Suspend", "Running", took=None))
        await anyio.sleep(0.01)
        asked = engine.asked
        os.kill(os.getpid(), signal.SIGUSR1)
        await asked.wait()
        yield engine.put(uid, node("wf", "Suspend"), "Succeeded")

    engine = Played(waits)
    assert run(engine, tmp_path, file) == 0
    assert engine.wishes == [events.Resume()]
    assert f"`kill -USR1 {os.getpid()}` resumes it" in capsys.readouterr().out


def test_output_of_steps_comes_with_its_nodes_name_and_before_the_steps_end(file: Path, tmp_path: Path, capsys) -> None:
    async def writes(engine: Played, uid: str):
        key = node("wf").id
        yield engine.put(uid, node("wf", phase="Running", took=None))
        engine.written[key] = b"one\ntw"
        await anyio.sleep(0.1)
        engine.written[key] = b"one\ntwo\nthree"
        yield engine.put(uid, node("wf"), "Succeeded")

    assert run(Played(writes), tmp_path, file, "--log") == 0
    out = capsys.readouterr().out
    assert "wf: one\nwf: two\nwf: three\n" in out
    assert out.index("wf: three") < out.index("✔  Succeeded  wf")


def test_outputs_of_the_workflow_are_shown(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import msgspec

    async def gives(engine: Played, uid: str):
        change = engine.put(uid, node("wf"), "Succeeded")
        flow = engine.held[uid]
        status = msgspec.structs.replace(flow.status, outputs=Outputs(parameters=(Parameter(name="warm", value="2 of 5"),)))
        engine.held[uid] = msgspec.structs.replace(flow, status=status)
        yield change

    assert run(Played(gives), tmp_path, file) == 0
    assert "    warm: 2 of 5\n" in capsys.readouterr().out


@pytest.mark.parametrize("where", [("--state", "taken/below"), ()], ids=["named", "its-own-place"])
def test_state_that_cannot_be_kept_is_told(file: Path, tmp_path: Path, where: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ("taken" if where else "state")).write_text("a file where a folder is wanted")
    assert run(Played(fine), tmp_path, file, *(word.replace("taken", str(tmp_path / "taken")) for word in where)) == 78
    said = capsys.readouterr().err
    assert "cannot keep state here: Not a directory; name another place" in said


@pytest.mark.parametrize("name", ["", "n" * 300])
def test_what_is_no_file_name_is_told(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Played(fine), tmp_path, name) == 2
    assert ("the name of a file is empty" if not name else "File name too long") in capsys.readouterr().err


def test_a_run_outlives_those_who_watch_it(file: Path, tmp_path: Path) -> None:
    """`tiphys run … | head -1` carries the workflow to its end, and says in its exit code how that was."""
    ours = f"its.run(its.Played(its.bad), its.Path({str(tmp_path)!r}), {str(file)!r})"
    program = f"import sys; from tests.cli import test_run as its; sys.exit({ours})"
    reading, writing = os.pipe()
    os.close(reading)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, env=environ, text=True, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, "")


def test_another_process_may_not_use_the_same_state(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tiphys.cli import keeping

    with keeping.claimed(tmp_path / "kept"):
        assert run(Played(fine), tmp_path, file, "--state", tmp_path / "kept") == 78
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_supplied_values_know_their_choices() -> None:
    from tiphys.cli import asking

    waiting = node(
        "wf",
        "Suspend",
        "Running",
        inputs=Inputs(
            parameters=(
                Parameter(name="decision", default="no", enum=("yes", "no")),
                Parameter(name="place", value='{"name": "place", "enum": ["here", "there"]}'),
            )
        ),
        outputs=Outputs(
            parameters=(
                Parameter(name="decision", value_from=ValueFrom(supplied={})),
                Parameter(name="place", value_from=ValueFrom(supplied={})),
                Parameter(name="free", value_from=ValueFrom(supplied={}, default="x")),
                Parameter(name="set", value="1", value_from=ValueFrom(supplied={})),
            )
        ),
    )
    assert [(one.name, one.default, one.choices) for one in asking.wanted(waiting)] == [
        ("decision", "no", ("yes", "no")),
        ("place", "here", ("here", "there")),
        ("free", "x", ()),
    ]


async def test_a_question_is_asked_until_it_is_answered() -> None:
    from tiphys.cli import asking

    lines = iter(["maybe", "yes", "what", ""])
    written: list[str] = []

    async def read() -> str | None:
        return next(lines)

    waiting = node(
        "wf",
        "Suspend",
        "Running",
        inputs=Inputs(parameters=(Parameter(name="d", enum=("yes", "no")),)),
        outputs=Outputs(parameters=(Parameter(name="d", value_from=ValueFrom(supplied={})),)),
    )
    assert await asking.ask(waiting, written.append, read) == asking.Answer(values={"d": "yes"})
    assert "  it must be one of yes, no\n" in written
