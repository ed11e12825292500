"""Pods on this host: containers that share a place, in Argo's order, and what is heard of them meanwhile."""

import contextlib
import os
import socket

import anyio
import msgspec
import pytest

from tests.process import orders
from tests.process.orders import everywhere, needs_bwrap, opened, run, shell
from tiphys.executors.process import pods
from tiphys.executors.process.command import CommandError
from tiphys.secrets import Secrets
from tiphys.spec import work
from tiphys.spec.artifacts import S3, Artifact
from tiphys.spec.containers import Volume
from tiphys.spec.templates import Template
from tiphys.spec.work import ContainerPhase, OutcomeKind
from tiphys.spec.workflows import ConfigMap, Secret


def sh(name: str, script: str, **fields) -> dict:
    """A container that runs a shell command."""
    return {"name": name, "image": "x", "command": ["sh", "-c", script], **fields}


def pod(wanted: work.Wanted = work.Wanted(), volumes: tuple[Volume, ...] = (), daemon: bool = False, **template) -> work.WorkOrder:  # noqa: B008
    """An order for a template given as JSON."""
    decoded = msgspec.convert({"name": "t", **template}, Template)
    asked = orders.order("unused", wanted=wanted)
    return msgspec.structs.replace(asked, work=work.PodWork(template=decoded, volumes=volumes), template=decoded, daemon=daemon)


WORK = Volume(name="work", empty_dir={})
MOUNT = {"name": "work", "mountPath": "/mnt/work"}


@everywhere
async def test_containers_wait_for_what_they_depend_on_and_share_one_place(tmp_path, isolation):
    place = "/tmp/shared" if isolation == "full" else str(tmp_path / "shared")
    wanted = work.Wanted(result=True, parameters=(work.OutputParameter(name="all", path=place),))
    asked = pod(
        wanted,
        containerSet={
            "containers": [
                sh("a", f"sleep .3; echo a >> {place}; echo not the result"),
                sh("b", f"echo b >> {place}", dependencies=["a"]),
                sh("main", f"echo main >> {place}; cat {place}", dependencies=["a", "b"]),
            ]
        },
    )
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, asked)
    assert (outcome.kind, outcome.message, outcome.exit_code) == (OutcomeKind.SUCCEEDED, "", 0)
    assert (outcome.result, outcome.parameters) == ("a\nb\nmain", {"all": "a\nb\nmain"})
    assert [(one.name, one.phase, one.exit_code) for one in outcome.containers] == [
        ("a", ContainerPhase.SUCCEEDED, 0),
        ("b", ContainerPhase.SUCCEEDED, 0),
        ("main", ContainerPhase.SUCCEEDED, 0),
    ]
    a, b, main = outcome.containers
    assert a.ended_at <= b.started_at <= b.ended_at <= main.started_at


@everywhere
async def test_a_container_that_fails_keeps_those_that_depend_on_it_from_running_and_fails_the_pod(tmp_path, isolation):
    containers = [sh("a", "exit 3"), sh("b", "echo never", dependencies=["a"]), sh("c", "sleep .2")]
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, pod(containerSet={"containers": containers}))
    assert (outcome.kind, outcome.message, outcome.exit_code) == (OutcomeKind.FAILED, "a: Error (exit code 3)", None)
    assert [(one.phase, one.exit_code) for one in outcome.containers] == [
        (ContainerPhase.FAILED, 3),
        (ContainerPhase.ERROR, 64),
        (ContainerPhase.SUCCEEDED, 0),
    ]


@everywhere
async def test_a_container_of_a_set_is_run_again_inside_the_pod(tmp_path, isolation):
    count = "/tmp/count" if isolation == "full" else str(tmp_path / "count")
    script = f"echo x >> {count}; test $(wc -l < {count}) -ge 3"
    again = {"retries": 3, "duration": "10ms"}
    async with opened(tmp_path, isolation) as executor:
        enough = await run(executor, pod(containerSet={"containers": [sh("main", script)], "retryStrategy": again}))
        orders_left = pod(containerSet={"containers": [sh("main", "exit 7")], "retryStrategy": {"retries": 2}})
        too_few = await run(executor, orders_left)
    assert enough.kind is OutcomeKind.SUCCEEDED
    assert (too_few.kind, too_few.message) == (OutcomeKind.FAILED, "main: Error (exit code 7)")


@everywhere
async def test_init_containers_come_first_and_a_failing_one_is_the_end(tmp_path, isolation):
    place = "/tmp/made" if isolation == "full" else str(tmp_path / "made")
    before = [sh("one", f"echo 1 > {place}"), sh("two", f"echo 2 >> {place}")]
    good = pod(work.Wanted(result=True), container=sh("", f"cat {place}"), initContainers=before)
    bad = pod(container=sh("", "echo never"), initContainers=[sh("one", "exit 5"), sh("two", "echo never")])
    async with opened(tmp_path, isolation) as executor:
        assert (await run(executor, good)).result == "1\n2"
        outcome = await run(executor, bad)
    assert (outcome.kind, outcome.message) == (OutcomeKind.FAILED, "one: Error (exit code 5)")


@everywhere
async def test_sidecars_end_with_the_main_container(tmp_path, isolation):
    marker = f"sidecar-{os.getpid()}-{isolation}"
    beside = [{"name": "s", "image": "x", "command": ["sh", "-c", "while :; do sleep 1; done", marker]}]
    stubborn = [sh("s", "trap '' TERM; while :; do sleep .1; done")]
    async with opened(tmp_path, isolation, grace_seconds=0.5) as executor:
        outcome = await run(executor, pod(container=sh("", "sleep .2"), sidecars=beside))
        assert (outcome.kind, outcome.message, outcome.exit_code) == (OutcomeKind.SUCCEEDED, "", 0)
        assert not orders.processes(marker)
        asked = msgspec.structs.replace(pod(container=sh("", "sleep .2"), sidecars=stubborn), grace_seconds=0.5)
        assert (await run(executor, asked)).kind is OutcomeKind.SUCCEEDED
        failing = await run(executor, pod(container=sh("", "sleep .3"), sidecars=[sh("s", "exit 4")]))
        both = await run(executor, pod(container=sh("", "sleep .3; exit 2"), sidecars=[sh("s", "exit 4")]))
    assert (failing.kind, failing.message, failing.exit_code) == (OutcomeKind.FAILED, "s: Error (exit code 4)", 0)
    assert (both.kind, both.message, both.exit_code) == (OutcomeKind.FAILED, "main: Error (exit code 2)", 2)


@everywhere
async def test_a_command_that_is_not_there_fails_its_container_with_64(tmp_path, isolation):
    missing = {"name": "main", "image": "img", "command": ["no-such-program"]}
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, pod(containerSet={"containers": [missing]}))
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message.startswith('main: Error (exit code 64): exec: "no-such-program": executable file not found in $PATH')


@everywhere
async def test_stopping_a_pod_ends_all_its_containers(tmp_path, isolation):
    marker = f"pod-{os.getpid()}-{isolation}"
    containers = [{"name": name, "image": "x", "command": ["sh", "-c", "sleep 60", marker]} for name in ("a", "main")]
    containers.append(sh("later", "echo never", dependencies=["a"]))
    asked = pod(containerSet={"containers": containers})
    async with opened(tmp_path, isolation) as executor:
        handle = await executor.launch(asked)
        assert await anyio.to_thread.run_sync(lambda: orders.until(lambda: len(orders.processes(marker)) >= 2))
        await executor.stop(handle, 5.0)
        outcome = await executor.wait(asked, handle)
    assert outcome.kind is OutcomeKind.STOPPED
    assert not orders.processes(marker)
    phases = {one.name: one.phase for one in outcome.containers}
    assert phases["later"] in {ContainerPhase.PENDING, ContainerPhase.ERROR}


async def heard(executor, wanted: int) -> list[work.Report]:
    """The next reports of an executor."""
    found = []
    with anyio.fail_after(20):
        async with contextlib.aclosing(executor.reports()) as reports:
            async for _, report in reports:
                found.append(report)
                if len(found) == wanted:
                    break
    return found


@everywhere
async def test_a_daemon_without_a_probe_is_ready_as_soon_as_it_runs(tmp_path, isolation):
    asked = msgspec.structs.replace(shell("sleep 60"), daemon=True)
    async with opened(tmp_path, isolation) as executor:
        handle = await executor.launch(asked)
        assert await heard(executor, 1) == [work.Report(ready=True, ip="127.0.0.1")]
        await executor.stop(handle, 0.1)
        assert (await executor.wait(asked, handle)).kind is OutcomeKind.STOPPED


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@everywhere
@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket", "exec"])
async def test_a_daemon_with_a_readiness_probe_is_ready_when_that_says_so(tmp_path, isolation, kind):
    port = free_port()
    answers = {
        "httpGet": {"path": "/", "port": "web"},
        "tcpSocket": {"port": port},
        "exec": {"command": ["sh", "-c", f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"]},
    }
    probe = {kind: answers[kind], "periodSeconds": 1, "timeoutSeconds": 5}
    server = f"sleep .7; cd /usr/share; exec python3 -m http.server {port} --bind 127.0.0.1"
    main = sh("", server, readinessProbe=probe, ports=[{"name": "web", "containerPort": port}])
    asked = pod(container=main, daemon=True)
    async with opened(tmp_path, isolation) as executor:
        handle = await executor.launch(asked)
        (report,) = await heard(executor, 1)
        assert report.ready
        with socket.create_connection(("127.0.0.1", port), 1):
            pass
        await executor.stop(handle, 1.0)
        await executor.wait(asked, handle)


async def test_a_pod_is_found_again_by_the_next_daemon_with_its_containers(tmp_path):
    asked = pod(containerSet={"containers": [sh("a", "sleep .6; exit 3"), sh("main", "sleep 1; echo late > /dev/null")]})
    async with opened(tmp_path, "none", mode="daemon") as executor:
        await executor.launch(asked)
    async with opened(tmp_path, "none", mode="daemon") as executor:
        handle = await executor.adopt(asked, None)
        assert handle is not None
        outcome = await executor.wait(asked, handle)
    assert (outcome.kind, outcome.message, outcome.exit_code) == (OutcomeKind.FAILED, "a: Error (exit code 3)", 0)
    assert [one.exit_code for one in outcome.containers] == [3, 0]


@everywhere
async def test_progress_is_heard_while_a_step_runs_and_at_its_end(tmp_path, isolation):
    asked = shell("echo 1/4 > $ARGO_PROGRESS_FILE; sleep 4; printf '2/4\\n4/4\\n' > $ARGO_PROGRESS_FILE")
    wrong = shell("echo many > $ARGO_PROGRESS_FILE")
    async with opened(tmp_path, isolation) as executor:
        handle = await executor.launch(asked)
        assert await heard(executor, 1) == [work.Report(progress="1/4")]
        assert (await executor.wait(asked, handle)).progress == "4/4"
        assert (await run(executor, wrong)).progress == ""
    assert not list((tmp_path / "attempts").rglob("*.state"))


@needs_bwrap
async def test_config_maps_and_secrets_are_read_only_files_that_are_gone_afterwards(tmp_path):
    head = {"apiVersion": "v1"}
    documents = [
        msgspec.convert({**head, "metadata": {"name": "conf"}, "data": {"a.txt": "one\n", "b.txt": "two"}}, ConfigMap),
        msgspec.convert({**head, "metadata": {"name": "pass"}, "stringData": {"token": "s3cr3t"}}, Secret),
    ]
    namespace = {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}
    known = (
        Volume(name="conf", config_map={"name": "conf", "items": [{"key": "a.txt", "path": "deep/a"}]}),
        Volume(name="pass", secret={"secretName": "pass", "defaultMode": 0o400}),
        Volume(name="all", projected={"sources": [{"configMap": {"name": "conf"}}, {"downwardAPI": namespace}]}),
        Volume(name="none", config_map={"name": "gone", "optional": True}),
    )
    mounts = [
        {"name": "conf", "mountPath": "/etc/conf"},
        {"name": "pass", "mountPath": "/secret/token", "subPath": "token"},
        {"name": "all", "mountPath": "/all"},
        {"name": "none", "mountPath": "/none"},
    ]
    script = (
        "cat /etc/conf/deep/a /secret/token; echo; cat /all/b.txt /all/ns; ls /none;"
        " (echo x > /all/b.txt) 2>/dev/null || echo read-only; stat -c %a /secret/token"
    )
    asked = pod(work.Wanted(result=True), known, container=sh("", script, volumeMounts=mounts))
    lost = pod(
        volumes=(Volume(name="v", secret={"secretName": "lost"}),),
        container=sh("", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
    )
    async with opened(tmp_path, "full", secrets=Secrets(documents), runtime=tmp_path / "run") as executor:
        outcome = await run(executor, asked)
        assert outcome.result == "one\ns3cr3t\ntwodefaultread-only\n400"
        assert not list((tmp_path / "run").rglob("*.volumes"))
        outcome = await run(executor, lost)
    assert outcome.kind is OutcomeKind.ERROR
    assert "lost" in outcome.message


@needs_bwrap
async def test_every_container_of_a_pod_sees_the_volumes_of_all(tmp_path):
    template = {
        "container": sh("", "cat /mnt/work/x", volumeMounts=[MOUNT]),
        "initContainers": [sh("i", "echo from-init > /data/x", volumeMounts=[{"name": "work", "mountPath": "/data"}])],
    }
    async with opened(tmp_path, "full") as executor:
        assert (await run(executor, pod(work.Wanted(result=True), (WORK,), **template))).result == "from-init"


def test_two_volumes_at_one_path_of_one_pod_are_refused():
    one, two = ({"name": name, "mountPath": "/x"} for name in ("a", "b"))
    template = {"container": sh("", "true", volumeMounts=[one]), "sidecars": [sh("s", "true", volumeMounts=[two])]}
    with pytest.raises(CommandError, match="share one place"):
        pods.mounted(list(pods.parts(msgspec.convert({"name": "t", **template}, Template))))


@pytest.mark.parametrize(
    ("text", "found"), [("1/2\n", "1/2"), ("1/2\n2/2", "2/2"), ("", ""), ("3/2", ""), ("0/0", ""), ("a/b", ""), ("-1/2", ""), ("1", "")]
)
def test_progress_is_the_last_line_of_two_numbers(text, found):
    assert pods.progress(text) == found


async def test_a_spoilt_state_file_says_nothing():
    assert pods.state("{") == pods.State()
    assert pods.state('{"containers": [{"name": 1}]}') == pods.State()


@everywhere
async def test_each_container_of_a_set_leaves_a_log_of_its_own_if_logs_are_archived(tmp_path, isolation):
    logs = {name: Artifact(name=f"{name}-logs", s3=S3(key=f"wf/{name}.log")) for name in ("a", "main", "never")}
    containers = [sh("a", "echo from a; echo and a >&2"), sh("main", "echo from main"), sh("never", "echo x", dependencies=["main", "bad"])]
    containers.insert(0, sh("bad", "exit 1"))
    asked = pod(work.Wanted(result=True, container_logs=logs), containerSet={"containers": containers})
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, asked)
        text = await orders.printed(executor, asked)
    assert [artifact.name for artifact in outcome.artifacts] == ["a-logs", "main-logs"]
    saved = {path.name: path.read_text() for path in (tmp_path / "artifacts").rglob("*.log")}
    assert sorted(saved["a.log"].splitlines()) == ["and a", "from a"]
    assert saved["main.log"] == "from main\n"
    assert outcome.result == "from main"
    assert {"from a", "and a", "from main"} <= set(text.splitlines())


@everywhere
async def test_daemons_that_are_up_keep_no_slot(tmp_path, isolation):
    daemons = [msgspec.structs.replace(shell("sleep 60"), daemon=True) for _ in range(2)]
    async with opened(tmp_path, isolation, parallelism=2) as executor:
        handles = [await executor.launch(daemon) for daemon in daemons]
        assert all(report.ready for report in await heard(executor, 2))
        with anyio.fail_after(10):
            assert (await run(executor, shell("true"))).kind is OutcomeKind.SUCCEEDED
        for handle in handles:
            await executor.stop(handle, 0.1)
        for daemon, handle in zip(daemons, handles, strict=True):
            await executor.wait(daemon, handle)
