"""What a step's command line and environment are."""

import pytest

from tests.process.orders import RESULT, everywhere, opened, order, processes, run, shell, unique_sleep, until
from tiphys.executors.process import command
from tiphys.secrets import Secrets
from tiphys.settings import ImageEntry
from tiphys.spec.containers import EnvFromSource, EnvSource, EnvVar, EnvVarSource
from tiphys.spec.parameters import KeySelector
from tiphys.spec.work import OutcomeKind
from tiphys.spec.workflows import ConfigMap, ObjectMeta, Secret

SECRETS = Secrets(
    [
        Secret(api_version="v1", metadata=ObjectMeta(name="keys", namespace="default"), string_data={"token": "T0P", "user": "me"}),
        ConfigMap(api_version="v1", metadata=ObjectMeta(name="conf", namespace="default"), data={"mode": "fast", "not a name": "x"}),
    ]
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("a $$ b", "a $ b"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text, expanded):
    assert command.expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("busybox:1.36", "busybox:1.36"),
        ("docker.io/library/busybox:1.36", "busybox"),
        ("busybox", "docker.io/library/busybox"),
        ("docker.io/a/b:v1", "a/b:v1"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b"),
        ("a/b@sha256:0123", "a/b"),
        ("a/b:v1@sha256:0123", "a/b:v1"),
    ],
)
def test_an_image_is_found_with_its_tag_then_without(asked, known):
    entry = ImageEntry(cmd=("x",))
    assert command.image_entry(asked, {known: entry, "other": ImageEntry()}) is entry


def test_a_tag_wins_over_no_tag_and_another_image_is_not_taken():
    exact, bare = ImageEntry(cmd=("1",)), ImageEntry(cmd=("2",))
    assert command.image_entry("a:v1", {"a": bare, "a:v1": exact}) is exact
    assert command.image_entry("ba:v1", {"a": bare}) is None
    assert command.image_entry("localhost:5000/a", {"localhost": bare}) is None


def secret(name: str, key: str, *, optional: bool = False) -> EnvVarSource:
    return EnvVarSource(secret_key_ref=KeySelector(name=name, key=key, optional=optional))


def field(path: str) -> EnvVarSource:
    return EnvVarSource(field_ref={"fieldPath": path})


@everywhere
async def test_variables_come_from_all_their_sources(tmp_path, isolation):
    env = (
        EnvVar(name="PLAIN", value="p"),
        EnvVar(name="REFERS", value="$(PLAIN)-$(C_mode)-$(LATER)"),
        EnvVar(name="LATER", value="l"),
        EnvVar(name="TOKEN", value_from=secret("keys", "token")),
        EnvVar(name="CONF", value_from=EnvVarSource(config_map_key_ref=KeySelector(name="conf", key="mode"))),
        EnvVar(name="ABSENT", value_from=secret("keys", "nothing", optional=True)),
        EnvVar(name="POD", value_from=field("metadata.name")),
        EnvVar(name="TEAM", value_from=field("metadata.labels['team']")),
    )
    sources = (
        EnvFromSource(prefix="C_", config_map_ref=EnvSource(name="conf")),
        EnvFromSource(secret_ref=EnvSource(name="keys")),
        EnvFromSource(secret_ref=EnvSource(name="nobody", optional=True)),
    )
    script = "echo $PLAIN $REFERS $TOKEN $CONF ${ABSENT-unset} $POD $TEAM $C_mode $user"
    script += " $ARGO_WORKFLOW_NAME $ARGO_NODE_ID $TIPHYS_IDEMPOTENCY_KEY $SETTING"
    async with opened(tmp_path, isolation, secrets=SECRETS, env={"SETTING": "s"}) as executor:
        asked = shell(script, env=env, env_from=sources, wanted=RESULT, idempotency_key="node-key")
        outcome = await run(executor, asked)
    expected = f"p p-fast-$(LATER) T0P fast unset {asked.pod_name} a fast me wf {asked.node_id} node-key s"
    assert outcome.result == expected


@everywhere
async def test_a_secret_may_be_any_bytes(tmp_path, isolation):
    secrets = Secrets([Secret(api_version="v1", metadata=ObjectMeta(name="keys", namespace="default"), data={"raw": "//79/A=="})])
    env = (EnvVar(name="RAW", value_from=secret("keys", "raw")),)
    async with opened(tmp_path, isolation, secrets=secrets) as executor:
        outcome = await run(executor, order("python3", "-c", "import os; print(os.environb[b'RAW'])", env=env, wanted=RESULT))
        refused = await run(executor, order("echo", "$(RAW)", env=env))
    assert outcome.result.startswith("b'\\xff"), outcome
    assert refused.kind is OutcomeKind.ERROR
    assert "not UTF-8" in refused.message


@everywhere
async def test_the_environment_is_clean(tmp_path, isolation, monkeypatch):
    monkeypatch.setenv("TIPHYS_TEST_LEAK", "leak")
    monkeypatch.setenv("TIPHYS_TEST_HANDED", "handed")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    async with opened(tmp_path, isolation, env_from=("TIPHYS_TEST_HANDED", "TIPHYS_TEST_NOT_SET")) as executor:
        outcome = await run(executor, shell("env; test -d $HOME && touch $HOME/x && echo home is mine", wanted=RESULT))
    lines = outcome.result.splitlines()
    assert "TIPHYS_TEST_HANDED=handed" in lines
    assert "TZ=Europe/Berlin" in lines
    assert "home is mine" in lines
    assert not [line for line in lines if "LEAK" in line or "TIPHYS_TEST_NOT_SET" in line]


@everywhere
@pytest.mark.parametrize(
    ("env", "why"),
    [
        (EnvVar(name="X", value_from=secret("keys", "nothing")), "does not have the key 'nothing'"),
        (EnvVar(name="X", value_from=secret("nobody", "key")), "nobody"),
        (EnvVar(name="X", value_from=field("status.podIPs")), "status.podIPs"),
        (EnvVar(name="X", value_from=EnvVarSource(resource_field_ref={"resource": "limits.cpu"})), "environment variable X"),
        (EnvVar(name="X", value="a\0b"), "NUL"),
    ],
)
async def test_a_value_that_cannot_be_had_is_an_error_that_names_it(tmp_path, isolation, env, why):
    async with opened(tmp_path, isolation, secrets=SECRETS) as executor:
        outcome = await run(executor, shell("true", env=(env,)))
    assert outcome.kind is OutcomeKind.ERROR
    assert why in outcome.message


@everywhere
async def test_a_secret_is_on_no_command_line_and_in_no_file(tmp_path, isolation):
    seconds, value = unique_sleep(), f"T0P-{unique_sleep()}"
    secrets = Secrets([Secret(api_version="v1", metadata=ObjectMeta(name="keys", namespace="default"), string_data={"token": value})])
    async with opened(tmp_path, isolation, secrets=secrets) as executor:
        asked = shell(
            f"sleep {seconds}", env=(EnvVar(name="LD_TOKEN", value_from=secret("keys", "token")), EnvVar(name="TOKEN", value="$(LD_TOKEN)"))
        )
        handle = await executor.launch(asked)
        assert until(lambda: processes(seconds))
        from pathlib import Path

        said = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
        assert value.encode() not in said
        files = [path for top in (tmp_path, executor._directories.runtime) for path in top.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if value.encode() in path.read_bytes()]
        await executor.stop(handle, 0.1)
        await executor.wait(asked, handle)


@everywhere
async def test_a_step_finds_its_programs_by_the_path_it_is_given(tmp_path, isolation):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mine").write_text("#!/bin/sh\necho mine")
    (tools / "mine").chmod(0o755)
    async with opened(tmp_path, isolation, visible=(tools,)) as executor:
        assert (await run(executor, order("mine", env=(EnvVar(name="PATH", value=f"{tools}:/bin"),), wanted=RESULT))).result == "mine"
