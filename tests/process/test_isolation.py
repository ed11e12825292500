"""What a step under full isolation must not be able to do, as root too; and what its private view gives it."""

import os
from pathlib import Path

import anyio
import pytest

from tests.process.orders import RESULT, needs_bwrap, needs_root, opened, order, printed, run, shell
from tiphys.executors.process import IsolationRefused
from tiphys.spec import work
from tiphys.spec.artifacts import S3, ArchiveStrategy, Artifact, NoneStrategy
from tiphys.spec.containers import EnvVar, Volume, VolumeMount
from tiphys.spec.work import OutcomeKind

pytestmark = needs_bwrap


async def said(tmp_path, script: str, **fields) -> str:
    """What a script prints under full isolation."""
    settings = {name: fields.pop(name) for name in ("writable", "visible", "hidden", "env", "env_from", "python") if name in fields}
    async with opened(tmp_path, "full", **settings) as executor:
        outcome = await run(executor, shell(script, wanted=RESULT, **fields))
    assert outcome.kind in {OutcomeKind.SUCCEEDED, OutcomeKind.FAILED}, outcome
    return outcome.result


@needs_root
@pytest.mark.parametrize(
    "attempt",
    [
        "mount -o remount,rw /usr",
        "mount -o remount,rw,bind /etc",
        "mount -t tmpfs none /mnt",
        "umount /usr",
        "touch /usr/tiphys-was-here",
        "touch /etc/tiphys-was-here",
        "cat /proc/sys/kernel/hostname > /proc/sys/kernel/hostname",
        "hostname tiphys-was-here",
        "echo b > /proc/sysrq-trigger",
        "echo '|/bin/true' > /proc/sys/kernel/core_pattern",
        "echo 1 > /proc/irq/default_smp_affinity",
        "mknod /tmp/disk b 8 0",
        "chroot / mount -o remount,rw /usr",
        "nsenter -t 1 -m touch /usr/tiphys-was-here",
        "unshare -m mount -o remount,rw /usr",
        "modprobe dummy",
        "date -s 2001-01-01",
    ],
)
async def test_root_cannot(tmp_path, attempt):
    assert await said(tmp_path, f"if ({attempt}) >/dev/null 2>&1; then echo did; else echo denied; fi") == "denied"
    assert not Path("/usr/tiphys-was-here").exists()
    assert not Path("/etc/tiphys-was-here").exists()


@needs_root
async def test_root_finds_nothing_of_the_kernel_that_it_may_write(tmp_path):
    """Aside from its own processes' files; mtrr asks for SYS_ADMIN at each write, pressure takes only triggers."""
    search = "find /proc /sys -not -path '/proc/[0-9]*' -not -path '/proc/pressure/*' -not -path /proc/mtrr"
    search += " -type f -perm /222 -writable 2>/dev/null"
    assert await said(tmp_path, search) == ""


async def test_what_a_step_writes_elsewhere_never_reaches_the_host(tmp_path):
    name = f"tiphys-test-{tmp_path.name}"
    places = [f"/tmp/{name}", f"/var/tmp/{name}", f"/opt/{name}", f"/{name}", str(tmp_path / name)]
    await said(tmp_path, "; ".join(f"mkdir -p $(dirname {place}); echo x > {place}" for place in places))
    assert not [place for place in places if Path(place).exists()]


@needs_root
async def test_a_host_file_that_a_step_changes_stays_as_it_was(tmp_path):
    folder = Path("/opt", f"tiphys-test-{tmp_path.name}")
    folder.mkdir()
    try:
        (folder / "file").write_text("host")
        assert await said(tmp_path, f"echo step > {folder}/file; cat {folder}/file") == "step"
        assert (folder / "file").read_text() == "host"
        assert await said(tmp_path, f"cat {folder}/file") == "host"
        fresh = folder / "fresh"
        fresh.write_text("changed")
        fresh.rename(folder / "file")
        assert await said(tmp_path, f"cat {folder}/file") == "changed"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


async def test_what_the_host_changes_between_two_steps_is_seen_by_the_second(tmp_path):
    folder = Path("/var/tmp", f"tiphys-test-{tmp_path.name}")
    folder.mkdir()
    file = folder / "file"
    try:
        async with opened(tmp_path, "full") as executor:
            for text in ("one", "two", "three"):
                (folder / "new").write_text(text)
                (folder / "new").rename(file)
                assert (await run(executor, order("cat", str(file), wanted=RESULT))).result == text
                (folder / f"also-{text}").touch()
                assert f"also-{text}" in (await run(executor, order("ls", str(folder), wanted=RESULT))).result
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


async def test_a_step_finds_nothing_of_another_steps_files(tmp_path):
    async with opened(tmp_path, "full") as executor:
        await run(executor, shell("echo secret > /tmp/x; mkdir /data; echo y > /data/y; chmod 777 /; echo z > $HOME/z"))
        asked = shell("ls /tmp /data $HOME 2>&1; stat -c %a /", wanted=RESULT)
        assert "secret" not in (seen := (await run(executor, asked)).result)
        assert "x" not in seen.split()
        assert "z" not in seen.split()
        assert seen.endswith("755")


async def test_parallel_steps_write_the_same_path(tmp_path):
    wanted = work.Wanted(parameters=(work.OutputParameter(name="n", path="/tmp/num"),))
    got = {}
    async with opened(tmp_path, "full") as executor:

        async def one(number: int) -> None:
            outcome = await run(executor, shell(f"echo {number} > /tmp/num; sleep 0.1", wanted=wanted))
            got[number] = outcome.parameters["n"]

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(one, number)
    assert got == {number: str(number) for number in range(6)}


async def test_the_state_and_the_secrets_are_hidden_wherever_they_are(tmp_path):
    state, secrets, home = tmp_path / "state", Path("/etc", f"tiphys-test-{os.getpid()}"), Path.home() / ".tiphys-test"
    made = [state]
    state.mkdir()
    (state / "journal.db").write_text("x")
    if os.geteuid() == 0:
        for folder in (secrets, home):
            folder.mkdir()
            (folder / "key").write_text("TOP")
            made.append(folder)
    try:
        seen = await said(
            tmp_path,
            f"find {' '.join(map(str, made))} {tmp_path}/attempts -type f; ls -A /run /home 2>&1",
            hidden=made,
            visible=(Path.home(),),
        )
        assert "journal" not in seen
        assert "key" not in seen
        assert ".sock" not in seen
    finally:
        for folder in made[1:]:
            (folder / "key").unlink()
            folder.rmdir()


async def test_run_and_homes_are_hidden_unless_shown(tmp_path):
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("there")
    assert await said(tmp_path, f"ls -A {Path.home()} /run | grep -v : | grep -v argo; cat {shown}/file 2>&1 | grep there; true") == ""
    assert await said(tmp_path, f"cat {shown}/file; touch {shown}/new 2>/dev/null || echo read-only", visible=(shown,)) == "thereread-only"


async def test_writable_paths_are_the_hosts_and_are_made(tmp_path):
    place = tmp_path / "volumes" / "deep"
    assert await said(tmp_path, f"echo x > {place}/x; cat {place}/x", writable=(str(place),)) == "x"
    assert (place / "x").read_text() == "x\n"


async def test_outputs_below_a_writable_path_are_read_from_the_host(tmp_path):
    place = tmp_path / "volumes"
    wanted = work.Wanted(parameters=(work.OutputParameter(name="p", path=f"{place}/p"),))
    async with opened(tmp_path, "full", writable=(str(place),)) as executor:
        assert (await run(executor, shell(f"echo v > {place}/p", wanted=wanted))).parameters == {"p": "v"}


async def test_a_step_sees_its_own_processes_only_and_few_rights(tmp_path):
    assert await said(tmp_path, "ls /proc | grep -c '^[0-9]'") in {"3", "4", "5"}
    rights = int(await said(tmp_path, "awk '/CapEff/ {print $2}' /proc/self/status"), 16)
    for number in (12, 16, 17, 19, 21, 27):  # NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, MKNOD
        assert not rights & 1 << number
    if os.geteuid() == 0:
        assert await said(tmp_path, "touch /tmp/x; chown 1234 /tmp/x; stat -c %u /tmp/x") == "1234"


async def test_the_hosts_network_is_the_steps(tmp_path):
    assert await said(tmp_path, "readlink /proc/self/ns/net") == str(Path("/proc/self/ns/net").readlink())


async def test_a_links_target_decides_nothing_outside(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("TOP")
    wanted = work.Wanted(
        parameters=(
            work.OutputParameter(name="file", path="/out/file", default="none"),
            work.OutputParameter(name="below", path="/out/folder/secret", default="none"),
            work.OutputParameter(name="own", path="/out/own/x", default="none"),
        )
    )
    async with opened(tmp_path, "full", hidden=(tmp_path,)) as executor:
        outcome = await run(
            executor,
            shell(
                f"mkdir /out /real; ln -s {secret} /out/file; ln -s {tmp_path} /out/folder; echo o > /real/x; ln -s /real /out/own",
                wanted=wanted,
            ),
        )
    assert outcome.parameters["below"] == "none"
    assert outcome.parameters["own"] == "o"
    assert "TOP" not in str(outcome)


async def test_inputs_may_lie_in_system_directories(tmp_path):
    tool = Artifact(name="tool", path="/usr/local/bin/tiphys-tool", mode=0o755, s3=S3(key="tool"))
    wanted = work.Wanted(
        artifacts=(
            work.OutputArtifact(artifact=Artifact(name="t", path="/t", archive=ArchiveStrategy(none=NoneStrategy()), s3=S3(key="tool"))),
        )
    )
    async with opened(tmp_path, "full") as executor:
        await run(executor, shell("printf '#!/bin/sh\\necho tool ran' > /t", wanted=wanted))
        got = await run(executor, order("tiphys-tool", inputs=(work.InputArtifact(artifact=tool),), wanted=RESULT))
    assert got.result == "tool ran", got
    assert not Path("/usr/local/bin/tiphys-tool").exists()


async def test_outputs_may_lie_in_system_directories_and_in_the_image(tmp_path):
    wanted = work.Wanted(
        parameters=(work.OutputParameter(name="new", path="/etc/tiphys-new"), work.OutputParameter(name="old", path="/usr/lib/os-release"))
    )
    async with opened(tmp_path, "full") as executor:
        outcome = await run(executor, shell("echo n > /etc/tiphys-new", wanted=wanted))
    assert outcome.parameters["new"] == "n"
    assert outcome.parameters["old"] == Path("/usr/lib/os-release").read_text().removesuffix("\n")


@needs_root
async def test_a_folder_of_the_host_that_a_step_adds_to_comes_out_whole(tmp_path):
    folder = Path("/opt", f"tiphys-test-{tmp_path.name}")
    folder.mkdir()
    (folder / "host").write_text("h")
    (folder / "gone").write_text("g")
    wanted = work.Wanted(artifacts=(work.OutputArtifact(artifact=Artifact(name="f", path=str(folder), s3=S3(key="f.tgz"))),))
    try:
        async with opened(tmp_path, "full") as executor:
            sent = await run(executor, shell(f"echo s > {folder}/step; rm {folder}/gone", wanted=wanted))
            assert sent.kind is OutcomeKind.SUCCEEDED, sent
            back = work.InputArtifact(artifact=Artifact(name="f", path="/back", s3=S3(key="f.tgz")))
            assert (await run(executor, shell("ls /back | xargs", inputs=(back,), wanted=RESULT))).result == "host step"
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


async def test_python_is_there_wherever_only_python3_is(tmp_path):
    assert await said(tmp_path, "PATH=/argo/bin:/usr/bin:/bin; command -v python; python -c 'print(6 * 7)'") == "/argo/bin/python\n42"


async def test_the_dynamic_loader_of_bwrap_is_out_of_a_steps_reach(tmp_path):
    marker = tmp_path / "loaded"
    async with opened(tmp_path, "full") as executor:
        asked = shell(
            "echo $LD_PRELOAD",
            env=(
                EnvVar(name="LD_PRELOAD", value=f"{marker}/evil.so"),
                EnvVar(name="LD_DEBUG", value="libs"),
                EnvVar(name="LD_DEBUG_OUTPUT", value=str(marker)),
            ),
            wanted=RESULT,
        )
        outcome = await run(executor, asked)
    assert outcome.result == f"{marker}/evil.so"
    assert not list(tmp_path.glob("loaded*"))


async def test_volumes_are_the_attempts_own_or_the_runs(tmp_path):
    empty = Volume(name="scratch", empty_dir={})
    claim = Volume(name="work", persistent_volume_claim={"claimName": "wf-work"})
    mounts = (VolumeMount(name="scratch", mount_path="/scratch"), VolumeMount(name="work", mount_path="/mnt/work", sub_path="a"))
    wanted = work.Wanted(result=True, parameters=(work.OutputParameter(name="p", path="/scratch/p"),))
    async with opened(tmp_path, "full") as executor:
        script = "ls /scratch /mnt/work | grep -v : | xargs; echo v > /scratch/p; touch /mnt/work/w"
        first = await run(executor, shell(script, volumes=(empty, claim), volume_mounts=mounts, wanted=wanted))
        second = await run(executor, shell(script, volumes=(empty, claim), volume_mounts=mounts, wanted=wanted))
        foreign = Volume(name="work", persistent_volume_claim={"claimName": "somebody-elses"})
        refused = await run(executor, shell("true", volumes=(foreign,), volume_mounts=mounts[1:]))
    assert (first.result, first.parameters) == ("", {"p": "v"})
    assert (second.result, second.parameters) == ("w", {"p": "v"})
    assert refused.kind is OutcomeKind.ERROR
    assert "somebody-elses" in refused.message


async def test_full_isolation_that_is_not_possible_is_refused_and_auto_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IsolationRefused, match="bubblewrap"):
        async with opened(tmp_path, "full"):
            pass
    async with opened(tmp_path, "auto") as executor:
        assert "without isolation" in executor.notices[0]


async def test_the_composed_root_does_the_same_where_overlays_are_not_allowed(tmp_path, monkeypatch):
    from tiphys.executors.process import opening

    async def no_overlay(_link, plain):
        return plain, None

    monkeypatch.setattr(opening, "_overlay", no_overlay)
    place = f"/mnt/tiphys-{tmp_path.name}/out"
    wanted = work.Wanted(
        result=True, parameters=(work.OutputParameter(name="p", path=f"{place}/p"), work.OutputParameter(name="t", path="/tmp/t"))
    )
    kept = Artifact(name="a", path="/data/in", archive=ArchiveStrategy(none=NoneStrategy()), s3=S3(key="wf/a"))
    async with opened(tmp_path, "full", hidden=(tmp_path / "hidden",)) as executor:
        assert executor._fence.mask == ""
        sent = await run(
            executor, shell("mkdir /data; echo in > /data/in", wanted=work.Wanted(artifacts=(work.OutputArtifact(artifact=kept),)))
        )
        assert sent.kind is OutcomeKind.SUCCEEDED, sent
        script = f"mkdir -p {place}; echo v > {place}/p; echo t > /tmp/t;"
        script += " touch /usr/x 2>/dev/null || echo denied; cat /data/in; ls /run | grep -v argo; cd; pwd"
        asked = shell(script, inputs=(work.InputArtifact(artifact=kept),), wanted=wanted)
        outcome = await run(executor, asked)
        assert outcome.kind is OutcomeKind.SUCCEEDED, (outcome, await printed(executor, asked))
        wanted = work.Wanted(
            parameters=(work.OutputParameter(name="old", path="/usr/lib/os-release"), work.OutputParameter(name="new", path="/usr/new"))
        )
        image = await run(executor, shell("echo n > /usr/new", wanted=wanted))
        script_outcome = await run(executor, order("python", source="print(open('/argo/staging/script').read()[:5])", wanted=RESULT))
    assert image.parameters["old"] == Path("/usr/lib/os-release").read_text().removesuffix("\n")
    assert image.parameters["new"] == "n"
    assert (outcome.result, outcome.parameters) == ("denied\nin\n/argo/home", {"p": "v", "t": "t"})
    assert script_outcome.result == "print"
    assert not Path(place).exists()


@pytest.mark.parametrize("path", ["/scratch/deep/down", "/scratch"])
async def test_a_working_directory_in_a_volume_is_made_there(tmp_path, path):
    empty, mount = Volume(name="scratch", empty_dir={}), VolumeMount(name="scratch", mount_path="/scratch")
    assert await said(tmp_path, "pwd; touch made", working_dir=path, volumes=(empty,), volume_mounts=(mount,)) == path


async def test_a_working_directory_in_a_claim_stays_for_the_next_step(tmp_path):
    claim = Volume(name="work", persistent_volume_claim={"claimName": "wf-work"})
    given = {"volumes": (claim,), "volume_mounts": (VolumeMount(name="work", mount_path="/mnt/work"),)}
    async with opened(tmp_path, "full") as executor:
        await run(executor, shell("touch here", working_dir="/mnt/work/a/b", **given))
        assert (await run(executor, shell("cd /mnt/work; find . -type f", wanted=RESULT, **given))).result == "./a/b/here"
