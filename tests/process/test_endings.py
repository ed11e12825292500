"""How steps end, and what comes out of them: the same with and without isolation."""

import pwd
from datetime import UTC, datetime, timedelta

import pytest
from blockbuster import blockbuster_ctx

from tests.process.orders import RESULT, UID, everywhere, needs_root, opened, order, printed, processes, run, shell, unique_sleep, until
from tiphys.errors import InvalidSettings
from tiphys.settings import ImageEntry
from tiphys.spec import work
from tiphys.spec.artifacts import S3, ArchiveStrategy, Artifact, NoneStrategy
from tiphys.spec.containers import EnvVar
from tiphys.spec.work import OutcomeKind

pytestmark = everywhere


async def test_exit_zero_succeeds_and_times_and_usage_are_known(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, order("python3", "-c", "b = b'x' * 60_000_000\nfor _ in range(3_000_000): pass"))
    assert (outcome.kind, outcome.exit_code, outcome.message) == (OutcomeKind.SUCCEEDED, 0, "")
    assert outcome.usage.cpu_seconds > 0.05
    assert outcome.usage.peak_bytes > 60_000_000
    assert timedelta(0) < outcome.ended_at - outcome.started_at < timedelta(seconds=60)


async def test_a_failure_has_its_code_in_argos_words(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, shell("exit 3"))
    assert (outcome.kind, outcome.exit_code, outcome.message) == (OutcomeKind.FAILED, 3, "main: Error (exit code 3)")


async def test_death_by_signal_is_128_and_the_signal(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, order("python3", "-c", "import os; os.kill(os.getpid(), 9)"))
    assert (outcome.kind, outcome.exit_code, outcome.message) == (OutcomeKind.FAILED, 137, "main: Error (exit code 137)")


async def test_a_stop_is_seen_as_143(tmp_path, isolation):
    seconds = unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        asked = shell(f"sleep {seconds}; true")
        handle = await executor.launch(asked)
        assert until(lambda: processes(seconds))
        await executor.stop(handle, 30.0)
        outcome = await executor.wait(asked, handle)
        assert not processes(seconds)
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.STOPPED, 143)


async def test_a_step_that_ignores_sigterm_is_killed_after_the_grace(tmp_path, isolation):
    seconds = unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        asked = shell(f"trap '' TERM; echo ready; while :; do sleep {seconds}; done")
        handle = await executor.launch(asked)
        assert until(lambda: processes(seconds))
        begin = datetime.now(UTC)
        await executor.stop(handle, 0.5)
        outcome = await executor.wait(asked, handle)
        assert not processes(seconds)
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.STOPPED, 137)
    assert timedelta(seconds=0.4) < outcome.ended_at - begin < timedelta(seconds=10)


async def test_a_handler_of_sigterm_runs_to_its_end(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell("trap 'echo cleaned; exit 7' TERM; echo ready; while :; do sleep 0.05; done", wanted=RESULT)
        handle = await executor.launch(asked)
        assert [piece async for piece in first(executor.logs(handle, follow=True))]
        await executor.stop(handle, 30.0)
        outcome = await executor.wait(asked, handle)
    assert (outcome.kind, outcome.exit_code, outcome.result) == (OutcomeKind.STOPPED, 7, "ready\ncleaned")


async def first(pieces):
    async for piece in pieces:
        yield piece
        return


async def test_a_deadline_ends_the_step_with_its_message_and_no_code(tmp_path, isolation):
    seconds = unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        asked = shell(f"sleep {seconds}", deadline=datetime.now(UTC) + timedelta(seconds=0.6), deadline_message="Pod was active too long")
        outcome = await run(executor, asked)
        assert not processes(seconds)
        late = await run(executor, shell("true", deadline=datetime.now(UTC) - timedelta(seconds=1), deadline_message="over"))
    assert (outcome.kind, outcome.exit_code, outcome.message) == (OutcomeKind.FAILED, None, "Pod was active too long")
    assert outcome.ended_at - outcome.started_at < timedelta(seconds=10)
    assert (late.kind, late.message) == (OutcomeKind.FAILED, "over")


async def test_nothing_is_left_behind_by_children_that_went_to_the_background(tmp_path, isolation):
    plain, other, double = unique_sleep(), unique_sleep(), unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(
            executor,
            shell(
                f"sleep {plain} & setsid sleep {other} & (setsid sh -c 'sleep {double} & exit 0' &) ; sleep 0.2; echo done",
                wanted=RESULT,
            ),
        )
        assert outcome.result == "done"
        assert until(lambda: not processes(plain) and not processes(other) and not processes(double))


async def test_a_child_that_hides_its_mark_is_not_left_behind(tmp_path, isolation):
    seconds = unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        await run(executor, shell(f"env -i setsid sleep {seconds} & sleep 0.2"))
        assert until(lambda: not processes(seconds))


async def test_leaving_the_executor_stops_what_runs(tmp_path, isolation):
    seconds = unique_sleep()
    async with opened(tmp_path, isolation) as executor:
        await executor.launch(shell(f"sleep {seconds}"))
        assert until(lambda: processes(seconds))
    assert until(lambda: not processes(seconds))


async def test_launching_twice_finds_the_first(tmp_path, isolation):
    file = tmp_path / "count"
    async with opened(tmp_path, isolation, writable=(str(tmp_path),)) as executor:
        asked = shell(f"echo x >> {file}; sleep 0.2")
        first, second = await executor.launch(asked), await executor.launch(asked)
        assert first == second
        assert (await executor.wait(asked, second)).kind is OutcomeKind.SUCCEEDED
        executor._plans.clear()
        again = await executor.launch(asked)
        assert (await executor.wait(asked, again)).kind is OutcomeKind.SUCCEEDED
    assert file.read_text() == "x\n"


async def test_a_command_that_is_not_there_says_that_the_image_was_not_used(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, order("no-such-program", "--help"))
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.FAILED, 64)
    assert outcome.message.startswith('main: Error (exit code 64): exec: "no-such-program": executable file not found in $PATH; ')
    assert "image 'alpine:3.20' was not used" in outcome.message
    assert outcome.message.endswith("Install the command on this machine")


async def test_a_file_that_cannot_be_executed_is_exit_64(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, order("/etc/passwd"))
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.FAILED, 64)


async def test_without_a_command_the_images_setting_gives_it(tmp_path, isolation):
    images = {"docker.io/argoproj/say:v2": ImageEntry(entrypoint=("echo", "said"), cmd=("default",)), "busybox": ImageEntry(cmd=("sh",))}
    async with opened(tmp_path, isolation, images=images) as executor:
        plain = await run(executor, order(image="argoproj/say:v2", wanted=RESULT))
        args = await run(executor, order(image="docker.io/argoproj/say:v2", args=("hi",), wanted=RESULT))
        untagged = await run(executor, order(image="docker.io/library/busybox:1.36", args=("sh", "-c", "echo $0", "me"), wanted=RESULT))
        unknown = await run(executor, order(image="what/is:this"))
    assert (plain.result, args.result, untagged.result) == ("said default", "said hi", "me")
    assert unknown.kind is OutcomeKind.ERROR
    assert "what/is:this" in unknown.message


async def test_only_stdout_is_the_result_and_the_log_has_both_in_order(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell("echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three; echo", wanted=RESULT)
        outcome = await run(executor, asked)
        assert await printed(executor, asked) == "one\ntwo\nthree\n\n"
    assert outcome.result == "one\nthree\n"


async def test_stdout_and_stderr_can_be_opened_by_name_without_losing_what_was_printed(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell("echo one; echo two > /dev/stdout; echo three > /dev/stderr; echo four")
        assert (await run(executor, asked)).kind is OutcomeKind.SUCCEEDED
        assert await printed(executor, asked) == "one\ntwo\nthree\nfour\n"


async def test_the_result_is_the_last_256_kib_and_the_log_is_whole(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = order("python3", "-c", "print('a' * 100_000 + 'b' * (256 * 1024))", wanted=RESULT)
        outcome = await run(executor, asked)
        assert outcome.result == "b" * (256 * 1024)
        assert await printed(executor, asked) == "a" * 100_000 + "b" * (256 * 1024) + "\n"


async def test_a_log_over_its_limit_is_cut_from_the_front(tmp_path, isolation):
    limit = 512 * 1024
    async with opened(tmp_path, isolation, log_limit_bytes=limit) as executor:
        asked = order("python3", "-c", "for i in range(400_000): print(f'{i:09}')")
        await run(executor, asked)
        text = await printed(executor, asked)
    assert text.endswith("000399999\n")
    assert limit * 0.7 < len(text) < limit * 1.4


async def test_a_log_is_followed_while_it_grows(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell("for i in 1 2 3; do echo $i; sleep 0.15; done")
        assert await printed(executor, asked, follow=True) == "1\n2\n3\n"


async def test_output_parameters_are_read_and_defaults_stand_in(tmp_path, isolation):
    place = tmp_path / "out"
    wanted = work.Wanted(
        parameters=(
            work.OutputParameter(name="there", path=f"{place}/there"),
            work.OutputParameter(name="default", path=f"{place}/missing", default="stand-in"),
        )
    )
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, shell(f"mkdir -p {place}; printf 'value\\n\\n' > {place}/there", wanted=wanted))
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert outcome.parameters == {"there": "value\n", "default": "stand-in"}


async def test_a_missing_output_makes_a_success_an_error_and_leaves_a_failure_failed(tmp_path, isolation):
    wanted = work.Wanted(parameters=(work.OutputParameter(name="p", path="/nowhere/p"),))
    async with opened(tmp_path, isolation) as executor:
        good, bad = await run(executor, shell("true", wanted=wanted)), await run(executor, shell("exit 4", wanted=wanted))
    assert good.kind is OutcomeKind.ERROR
    assert "/nowhere/p" in good.message
    assert (bad.kind, bad.message) == (OutcomeKind.FAILED, "main: Error (exit code 4)")


async def test_outputs_of_a_step_that_failed_are_kept(tmp_path, isolation):
    file = tmp_path / "p"
    wanted = work.Wanted(parameters=(work.OutputParameter(name="p", path=str(file)),))
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, shell(f"echo kept > {file}; exit 1", wanted=wanted))
    assert (outcome.kind, outcome.parameters) == (OutcomeKind.FAILED, {"p": "kept"})


async def test_artifacts_go_out_and_come_in_again(tmp_path, isolation):
    place = tmp_path / "w"
    kept = Artifact(name="a", path=f"{place}/out", archive=ArchiveStrategy(none=NoneStrategy()), s3=S3(key="wf/a"))
    folder = Artifact(name="f", path=f"{place}/folder", s3=S3(key="wf/f.tgz"))
    wanted = work.Wanted(artifacts=(work.OutputArtifact(artifact=kept), work.OutputArtifact(artifact=folder)))
    async with opened(tmp_path, isolation) as executor:
        sent = await run(
            executor, shell(f"mkdir -p {place}/folder/sub; echo 1 > {place}/out; echo 2 > {place}/folder/sub/x", wanted=wanted)
        )
        assert sent.kind is OutcomeKind.SUCCEEDED, sent
        assert [artifact.name for artifact in sent.artifacts] == ["a", "f"]
        inputs = tuple(
            work.InputArtifact(artifact=Artifact(name=name, path=path, s3=S3(key=key)))
            for name, path, key in (("a", f"{place}/in", "wf/a"), ("f", f"{place}/got/deep", "wf/f.tgz"))
        )
        got = await run(executor, shell(f"cat {place}/in {place}/got/deep/sub/x", inputs=inputs, wanted=RESULT))
    assert got.result == "1\n2"


async def test_the_log_can_be_saved_as_an_artifact(tmp_path, isolation):
    wanted = work.Wanted(logs=Artifact(name="main-logs", s3=S3(key="wf/main.log")))
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, shell("echo out; echo err >&2", wanted=wanted))
        assert [artifact.name for artifact in outcome.artifacts] == ["main-logs"]
        back = work.InputArtifact(artifact=Artifact(name="l", path=f"{tmp_path}/l", s3=S3(key="wf/main.log")))
        assert (await run(executor, order("cat", f"{tmp_path}/l", inputs=(back,), wanted=RESULT))).result == "out\nerr"


async def test_a_script_gets_its_file_as_the_last_argument(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = order("python", "-u", source="import sys, os\nprint(len(sys.argv), os.access(sys.argv[0], os.X_OK))", wanted=RESULT)
        assert (await run(executor, asked)).result == "1 True"


async def test_the_working_directory_is_made_and_used(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        made = await run(executor, order("pwd", working_dir=f"{tmp_path}/deep/down", wanted=RESULT))
        there = await run(executor, order("pwd", working_dir="/usr/bin", wanted=RESULT))
        default = await run(executor, order("pwd", wanted=RESULT))
    assert (made.result, there.result, default.result) == (f"{tmp_path}/deep/down", "/usr/bin", "/")


async def test_relative_output_paths_start_at_the_working_directory(tmp_path, isolation):
    wanted = work.Wanted(parameters=(work.OutputParameter(name="p", path="here/p"),))
    async with opened(tmp_path, isolation) as executor:
        outcome = await run(executor, shell("mkdir here; echo v > here/p", working_dir=f"{tmp_path}/cwd", wanted=wanted))
    assert outcome.parameters == {"p": "v"}


async def test_arguments_too_large_are_refused_by_name_with_a_way_out(tmp_path, isolation):
    big = "x" * 131_072
    async with opened(tmp_path, isolation) as executor:
        by_argument = await run(executor, order("echo", big))
        by_variable = await run(executor, order("true", env=(EnvVar(name="BIG", value=big),)))
        many = await run(executor, order("echo", *["y" * 120_000] * 30))
        fits = await run(executor, order("echo", "x" * 131_071))
    assert by_argument.kind is by_variable.kind is many.kind is OutcomeKind.ERROR
    assert "argument 1 of the command" in by_argument.message
    assert "131073 bytes" in by_argument.message
    assert "artifact" in by_argument.message
    assert "environment variable BIG" in by_variable.message
    assert "3600" in many.message
    assert fits.kind is OutcomeKind.SUCCEEDED


@needs_root
async def test_steps_run_as_the_user_of_the_setting(tmp_path, isolation):
    tmp_path.chmod(0o755)
    script = (
        "id -u; id -g; touch $HOME/x && touch /tmp/tiphys-test-$TIPHYS_ATTEMPT_NAME && echo mine; touch /etc/x 2>/dev/null || echo denied"
    )
    script += "; echo err > /dev/stderr; python3 -c 'import os; print(os.environ[\"USER\"])'; rm -f /tmp/tiphys-test-$TIPHYS_ATTEMPT_NAME"
    env = (EnvVar(name="TIPHYS_ATTEMPT_NAME", value=tmp_path.name),)
    async with opened(tmp_path, isolation, user="nobody") as executor:
        outcome = await run(executor, shell(script, env=env, wanted=RESULT))
        source = await run(executor, order("sh", source="id -u", working_dir="/tmp", wanted=RESULT))
    assert outcome.result.splitlines()[2:] == ["mine", "denied", "nobody"]
    assert outcome.result.splitlines()[0] == str(pwd.getpwnam("nobody").pw_uid)
    assert source.result == outcome.result.splitlines()[0]


async def test_the_event_loop_is_never_blocked(tmp_path, isolation):
    wanted = work.Wanted(result=True, parameters=(work.OutputParameter(name="p", path=f"{tmp_path}/p"),))
    with blockbuster_ctx():
        async with opened(tmp_path, isolation) as executor:
            source = f"open('{tmp_path}/p', 'w').write('v'); print('x' * 100_000)"
            asked = order("python", source=source, working_dir=str(tmp_path), wanted=wanted)
            outcome = await run(executor, asked)
            assert outcome.parameters == {"p": "v"}
            assert await printed(executor, asked)
            await executor.remove(asked.id)


async def test_a_user_that_is_not_there_is_a_mistake_in_the_settings(tmp_path, isolation):
    with pytest.raises(InvalidSettings, match="no-such-user"):
        async with opened(tmp_path, isolation, user="no-such-user"):
            pass


async def test_a_removed_attempt_leaves_no_files(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = order("python3", "-c", f"open('/var/tmp/tiphys-test-left-{tmp_path.name}', 'w').write('x'); print('y' * 200_000)")
        try:
            await run(executor, asked)
            assert await printed(executor, asked)
            await executor.remove(asked.id)
            left = {path.name for path in (tmp_path / "attempts" / UID).iterdir()}
            assert left <= {"journal", "output"}
            await executor.remove_run(UID)
            assert not (tmp_path / "attempts" / UID).exists()
        finally:
            from pathlib import Path

            Path(f"/var/tmp/tiphys-test-left-{tmp_path.name}").unlink(missing_ok=True)


async def test_many_at_once_all_end_and_no_more_than_allowed_run(tmp_path, isolation):
    import anyio

    outcomes = []
    async with opened(tmp_path, isolation, parallelism=3, writable=(f"{tmp_path}/shared",)) as executor:
        script = f"cd {tmp_path}/shared; touch $0; ls | wc -l; sleep 0.05; rm $0"

        async def one(number: int) -> None:
            outcomes.append(await run(executor, order("sh", "-c", script, f"n{number}", wanted=RESULT)))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.SUCCEEDED] * 20
    assert max(int(outcome.result) for outcome in outcomes) <= 3
