"""What is begun after the mould of an attempt before it is what would have been prepared, and ends as if it had been launched."""

import dataclasses
import json
import os
import signal
import socket
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import pytest
from msgspec import structs

from tests.process.orders import RESULT, UID, needs_bwrap, needs_root, opened, order, printed, processes, run, shell, unique_sleep, until
from tests.process.test_deaths import end_daemon_launcher, leaf
from tiphys import manifests
from tiphys.engine.engine import open_engine
from tiphys.executors.process import command, places, pods
from tiphys.executors.process.forms import Form
from tiphys.journal.memory import MemoryJournal
from tiphys.launching import forms
from tiphys.scheduler.records import Manifest, Settled
from tiphys.settings import LimitSettings
from tiphys.spec import work
from tiphys.spec.containers import Container, EnvVar, EnvVarSource, VolumeMount
from tiphys.spec.templates import Template
from tiphys.spec.work import Handle, Outcome, OutcomeKind, WorkOrder
from tiphys.spec.workflows import Workflow


@dataclasses.dataclass
class Course:
    """Remembers what it is told."""

    handle: Handle | None = None
    outcome: Outcome | None = None
    told: list[str] = dataclasses.field(default_factory=list)
    ended: anyio.Event = dataclasses.field(default_factory=anyio.Event)

    def started(self, handle: Handle) -> None:
        self.told.append("started")
        self.handle = handle

    def over(self, outcome: Outcome | None) -> None:
        self.told.append("over")
        self.outcome = outcome
        self.ended.set()


async def begun(executor, asked: WorkOrder) -> Outcome:
    """Begin an attempt and see it to its end."""
    course = Course()
    assert executor.begin(asked, course)
    with anyio.fail_after(20):
        await course.ended.wait()
    assert course.told == ["started", "over"]
    assert course.handle is not None
    return course.outcome or await executor.wait(asked, course.handle)


async def prepared_with_plan(executor, asked: WorkOrder):
    """The place of an attempt and the request as they are made without a mould."""
    pod = pods.pod_of(asked)
    return await executor._requests.prepared(asked, pod, command.words(pod.main.container, executor._images))


async def prepared(executor, asked: WorkOrder) -> dict[str, object]:
    """The request as it is made without a mould."""
    return (await prepared_with_plan(executor, asked))[1]


def as_sent(request: object) -> object:
    """As the launcher reads it."""
    return msgspec.json.decode(msgspec.json.encode(request))


def both_ways(executor, own: dict[str, object], form: Form) -> object:
    """What the launcher makes of a request and its form. What a later launcher needs of it is told as of a request without a form."""
    scratch = executor._requests._scratch
    there = forms.Form(as_sent(form.fields))
    whole = there.filled(as_sent(own), scratch)
    kept, of_whole = (json.loads(f"{{{text}}}") for text in (there.skeleton(as_sent(own), scratch), forms.skeleton(whole)))
    assert kept == of_whole
    return whole


def text(words: str) -> Template:
    return Template(name="step", container=Container(image="a", command=("sh", "-c"), args=(words,)))


VARIED = [
    lambda: shell("exit 1"),
    lambda: order("sh", "-c", "echo", "ä"),
    lambda: shell("true", template=text("true")),
    lambda: shell("true", template=text("x" * 99_000)),
    lambda: shell("true", template=text("ä")),
    lambda: shell("echo $(NAME)"),
    lambda: shell("echo $$ $HOME"),
    lambda: shell("x" * 200_000),
    lambda: order("sh", args=("-c", "exit 1")),
    lambda: shell("true", deadline=datetime(2099, 1, 1, 2, 3, 4, tzinfo=UTC)),
    lambda: shell("true", idempotency_key="same"),
    lambda: shell("true", node_id="wf-" + "n" * 170, id=f"{UID}/wf-" + "n" * 170 + "/0"),
    lambda: shell("true", env=(EnvVar(name="A", value="b"),)),
    lambda: shell("true", env=(EnvVar(name="ARGO_TEMPLATE", value="b"), EnvVar(name="HOME", value="/"))),
    lambda: shell("true", working_dir="/tmp"),
    lambda: shell("true", wanted=RESULT),
    lambda: order("sh", source="exit 1"),
    lambda: order("sh", source="exit 2", env=(EnvVar(name="ARGO_NODE_ID", value="mine"),)),
]


def fillings(executor, cast, first):
    """Orders of the run of `cast` for which its mould serves, each with the request and the form that are filled."""
    for make in (*VARIED, first):
        asked = structs.replace(make(), workflow=cast.workflow)
        found = executor._moulds.fill(asked)
        if found is not None:
            yield asked, found


@pytest.mark.parametrize("first", VARIED)
async def test_a_filled_mould_is_what_would_have_been_prepared(tmp_path, first):
    async with opened(tmp_path, "none", writable=[str(tmp_path / "w")]) as executor:
        cast = first()
        try:
            request = await prepared(executor, cast)
        except command.CommandError:
            return
        executor._moulds.keep(cast, request)
        filled = 0
        for filled, (asked, found) in enumerate(fillings(executor, cast, first), 1):  # noqa: B007 - counted
            for whole in (both_ways(executor, *found), as_sent(found[1].whole(found[0], executor._requests._scratch))):
                assert whole == as_sent(await prepared(executor, asked))
        same = structs.replace(cast, id=f"{cast.workflow.uid}/wf-9/2", node_id="wf-9", attempt=2, pod_name="p", idempotency_key="wf-9")
        own, form = executor._moulds.fill(same)
        assert both_ways(executor, own, form) == as_sent(await prepared(executor, same))
        assert filled >= 1


def in_one_form(request: dict[str, object]) -> dict[str, object]:
    """A request of an isolated attempt, whichever way it says the same."""
    made = dict(request)
    view, binds = list(made.pop("view")), list(made.pop("binds", ()))
    at = view.index("--chdir")
    made["view"] = sorted([*view[:at], *binds, *view[at + 2 :]]), view[at : at + 2]
    state = made["state"]
    made["prepare"] = sorted(map(str, (entry for entry in made["prepare"] if entry[1] != state)))
    return made


@pytest.mark.parametrize("first", VARIED)
@needs_bwrap
@needs_root
async def test_a_filled_mould_of_an_isolated_attempt_is_what_would_have_been_prepared(tmp_path, first):
    async with opened(tmp_path, "full", writable=[str(tmp_path / "w")]) as executor:
        cast = first()
        try:
            plan, request = await prepared_with_plan(executor, cast)
        except command.CommandError:
            return
        assert plan.ground is executor._requests.ground
        executor._moulds.keep(cast, request)
        filled = 0
        for filled, (asked, found) in enumerate(fillings(executor, cast, first), 1):  # noqa: B007 - counted
            wanted = in_one_form(as_sent(await prepared(executor, asked)))
            assert in_one_form(both_ways(executor, *found)) == wanted
            assert in_one_form(as_sent(found[1].whole(found[0], executor._requests._scratch))) == wanted
        assert bool(filled) == (cast.work.container.working_dir in {"", "/"})


@needs_bwrap
@needs_root
async def test_an_isolated_attempt_is_begun_like_one_before_it_and_ends_as_if_it_was_launched(tmp_path):
    seen = 'echo "$ARGO_NODE_ID"; ls -A /run/argo "$HOME" /tmp; stat -c "%a %u" /run/argo; pwd'
    async with opened(tmp_path, "full") as executor:
        first = shell(seen, wanted=RESULT)
        launched = await run(executor, first)
        names = [f"{first.node_id}-{number}" for number in range(3)]
        for name in names:
            asked = structs.replace(first, id=f"{UID}/{name}/0", node_id=name)
            found = await begun(executor, asked)
            assert found.kind is OutcomeKind.SUCCEEDED
            assert found.result == launched.result.replace(first.node_id, name)
        await run(executor, order("sh", source="true", wanted=RESULT))
        asked = order("sh", source="echo of a script; exit 4", wanted=RESULT)
        ended = await begun(executor, asked)
        assert (ended.kind, ended.exit_code, ended.result) == (OutcomeKind.FAILED, 4, "of a script")
        assert executor._link._takes_forms == 2
        assert len(executor._link._wire._forms) == 2


@needs_bwrap
@needs_root
async def test_an_isolated_attempt_finds_nothing_of_what_one_before_it_left(tmp_path):
    leaves = [
        "true",
        "echo 1/2 >$ARGO_PROGRESS_FILE",
        "chmod 777 /run/argo",
        "mkdir /run/argo/below",
        "echo x >/run/argo/.hidden",
        "echo x >/kept; chmod 700 /",
        "chown 65534 /run/argo",
    ]
    looks = 'ls -A /run/argo; stat -c "%a %u %h" /run/argo; test ! -e /kept && stat -c %a /'
    async with opened(tmp_path, "full") as executor:
        await run(executor, shell("true", wanted=RESULT))
        for number, words in enumerate(leaves):
            for kind, asked in (("leaves", shell(words, wanted=RESULT)), ("looks", shell(looks, wanted=RESULT))):
                name = f"wf-{kind}-{number}"
                found = await begun(executor, structs.replace(asked, id=f"{UID}/{name}/0", node_id=name))
                assert found.kind is OutcomeKind.SUCCEEDED, words
                if kind == "looks":
                    assert found.result == "700 0 2\n755", words
                elif "PROGRESS" in words:
                    assert found.progress == "1/2"
        states = executor._directories.states
        assert len(list(states.iterdir())) <= 1
    assert not list(states.iterdir())


@needs_bwrap
@needs_root
async def test_the_state_folder_of_a_step_that_left_nothing_is_the_next_ones(tmp_path):
    async with opened(tmp_path, "full") as executor:
        states = executor._directories.states
        await run(executor, shell("stat -c %i /run/argo", wanted=RESULT))
        numbers = set()
        for number in range(4):
            name = f"wf-{number}"
            asked = structs.replace(shell("stat -c %i /run/argo", wanted=RESULT), id=f"{UID}/{name}/0", node_id=name)
            numbers.add((await begun(executor, asked)).result)
        assert len(numbers) == 1
        assert [str(path.stat().st_ino) for path in states.iterdir()] == list(numbers)


@needs_bwrap
@needs_root
async def test_what_the_host_shows_otherwise_is_asked_for_anew(tmp_path):
    async with opened(tmp_path, "full") as executor:
        await run(executor, shell("true"))
        ground = executor._requests.ground
        executor._requests._look_at(dataclasses.replace(ground))
        assert executor._requests.ground is ground
        assert executor._moulds.fill(shell("true")) is not None
        executor._requests._until = 0.0
        assert not executor.begin(shell("true"), Course())
        executor._requests._look_at(dataclasses.replace(ground, always=(*ground.always, "/opt")))
        assert executor._moulds.fill(shell("true")) is None


async def test_nothing_is_begun_before_one_like_it_was_launched(tmp_path):
    async with opened(tmp_path, "none") as executor:
        assert not executor.begin(shell("true"), Course())
        await run(executor, shell("true"))
        assert not executor.begin(shell("true", template_name="other"), Course())
        assert not executor.begin(shell("true", env=(EnvVar(name="A", value_from=EnvVarSource(field_ref={"fieldPath": "x"})),)), Course())
        assert not executor.begin(shell("true", volume_mounts=(VolumeMount(name="v", mount_path="/v"),)), Course())
        assert not executor.begin(shell("true", deadline=datetime.now(UTC) - timedelta(seconds=1)), Course())
        assert (await begun(executor, shell("true"))).kind is OutcomeKind.SUCCEEDED


async def test_what_was_begun_ends_as_what_was_launched(tmp_path):
    file = tmp_path / "out"
    wanted = work.Wanted(parameters=(work.OutputParameter(name="p", path=str(file)),))
    async with opened(tmp_path, "none") as executor:
        await run(executor, shell("true"))
        ended = await begun(executor, shell("echo hi; exit 3"))
        assert (ended.kind, ended.exit_code, ended.message) == (OutcomeKind.FAILED, 3, "main: Error (exit code 3)")
        assert ended.usage.peak_bytes
        await run(executor, shell("true", wanted=RESULT))
        assert (await begun(executor, shell("echo hi", wanted=RESULT))).result == "hi"
        await run(executor, shell("true", wanted=wanted))
        assert (await begun(executor, shell(f"echo -n 5 >{file}", wanted=wanted))).parameters == {"p": "5"}
        await run(executor, order("sh", source="true", wanted=RESULT))
        asked = order("sh", source="echo of a script", wanted=RESULT)
        assert (await begun(executor, asked)).result == "of a script"
        assert await printed(executor, asked) == "of a script\n"


async def test_what_was_begun_can_be_stopped_and_takes_a_slot(tmp_path):
    seconds = unique_sleep()
    async with opened(tmp_path, "none", parallelism=1) as executor:
        await run(executor, shell("true"))
        course = Course()
        assert executor.begin(shell(f"sleep {seconds}; true"), course)
        assert not executor.begin(shell("true"), Course())
        with anyio.fail_after(10):
            while course.handle is None:
                await anyio.sleep(0.01)
        assert until(lambda: processes(seconds))
        await executor.stop(course.handle, 5.0)
        with anyio.fail_after(10):
            await course.ended.wait()
        assert course.outcome is not None
        assert (course.outcome.kind, course.outcome.exit_code) == (OutcomeKind.STOPPED, 143)
        assert executor.begin(shell("true"), Course())


SAYS = 'echo "$ARGO_NODE_ID $ARGO_POD_NAME $TIPHYS_IDEMPOTENCY_KEY $TIPHYS_ATTEMPT $MORE $ARGO_WORKFLOW_NAME ${ARGO_TEMPLATE:+t} $HOME"'


def fellows(count: int) -> list[WorkOrder]:
    """Orders that differ in their names alone."""
    first = shell(SAYS, wanted=RESULT, env=(EnvVar(name="MORE", value="more"), EnvVar(name="ARGO_POD_NAME", value="mine")))
    names = [f"{first.node_id}-{number}" for number in range(count)]
    return [structs.replace(first, id=f"{UID}/{name}/0", node_id=name, pod_name=f"pod-{name}") for name in names]


def has_said(asked: WorkOrder, outcome: Outcome) -> bool:
    words = (outcome.result or "").split()
    return words[:-1] == [asked.node_id, "mine", asked.node_id, asked.id, "more", "wf", "t"] and "home" in words[-1]


@pytest.mark.parametrize("takes_forms", [1, 0])
async def test_what_attempts_share_is_told_once_to_a_launcher_that_can_be_told(tmp_path, takes_forms):
    first, *others = fellows(6)
    async with opened(tmp_path, "none") as executor:
        executor._link._takes_forms = takes_forms
        await run(executor, first)
        for asked in others:
            assert has_said(asked, await begun(executor, asked))
        assert len(executor._link._wire._forms) == (1 if takes_forms else 0)


async def test_a_later_launcher_is_told_again(tmp_path):
    first, *others = fellows(6)
    async with opened(tmp_path, "none", mode="daemon") as executor:
        await run(executor, first)
        for number, asked in enumerate(others):
            if number == 2:
                os.kill(leaf(tmp_path), signal.SIGKILL)
            assert has_said(asked, await begun(executor, asked))
    end_daemon_launcher(tmp_path)


async def test_of_a_form_that_is_not_known_nothing_starts_and_it_is_told_again(tmp_path):
    first, *others = fellows(3)
    async with opened(tmp_path, "none") as executor:
        directories = executor._directories
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(directories.socket))
            client.sendall(json.dumps([{"op": "spawn", "id": "a/b/0", "key": "a.b.0", "env": {}, "form": 7}]).encode() + b"\n")
            client.settimeout(10)
            assert json.loads(client.recv(4096)) == [{"told": "unknown", "id": "a/b/0"}]
        assert not (directories.root / places.place("a/b/0").group).exists()
        await run(executor, first)
        assert has_said(others[0], await begun(executor, others[0]))
        (known,) = executor._link._wire._forms
        executor._link._wire._forms[known] = 400  # as if the launcher had lost it
        assert has_said(others[1], await begun(executor, others[1]))


LOOP = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: loop}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - name: each
            template: one
            arguments: {parameters: [{name: number, value: "{{item}}"}]}
            withSequence: {count: "6"}
    - name: one
      inputs: {parameters: [{name: number}]}
      outputs: {parameters: [{name: squared, valueFrom: {path: "TOP/{{inputs.parameters.number}}"}}]}
      container:
        image: busybox
        command: [sh, -c]
        args: ["n={{inputs.parameters.number}}; echo -n $((n * n)) > TOP/$n"]
"""


async def test_an_engine_collects_what_attempts_that_it_began_left(tmp_path):
    text = LOOP.replace("TOP", str(tmp_path))
    found = manifests.parse(text.encode(), "loop.yaml", LimitSettings()).documents[0].document
    assert isinstance(found, Workflow)
    async with (
        opened(tmp_path, "none", parallelism=2) as executor,
        open_engine(MemoryJournal(), {"process": executor}, {"process": 2}) as engine,
    ):
        await engine.submit(Manifest(uid=UID, workflow=found, chosen=Settled(executor="process")))
        with anyio.fail_after(30):
            while not engine.phase(UID).completed:
                await anyio.sleep(0.01)
        status = engine.workflow(UID).status
    assert status is not None
    assert status.phase == "Succeeded", [node.message for node in (status.nodes or {}).values()]
    made = {node.display_name: node.outputs for node in (status.nodes or {}).values() if node.template_name == "one"}
    values = {name: [p.value for p in outputs.parameters] for name, outputs in made.items() if outputs is not None}
    assert values == {f"each({n}:{n})": [str(n * n)] for n in range(6)}
