"""Promises of the drop folder, kept before a real directory and a daemon in memory."""

import json
import os
import resource
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from tests.triggers import dropped
from tests.triggers.dropped import CONFIG_MAP, CRON, SECRET, calling, inside, opened, put, read, running, template, until, workflow
from tiphys.triggers import hearing, names
from tiphys.triggers.claims import Claims, NoFolder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of other users, mounts")
NOBODY = 65534


# ------------------------------------------------------------------------------------------------------------ workflows
async def test_a_workflow_file_is_submitted_once_and_lies_among_the_accepted(twin, folder) -> None:
    put(folder, "hello.yaml", workflow())
    drop = opened(twin, folder)
    await drop.settle()
    await drop.settle()
    assert twin.names == ["hello"]
    assert twin.started[0][0] == "drop/hello.yaml"
    assert inside(folder, "accepted") == ["hello.yaml"]
    assert inside(folder, "claimed") == inside(folder, "rejected") == []
    [file] = (folder / "accepted").iterdir()
    assert twin.forgotten == [file.name.split("-")[0]]
    assert not twin.uids
    assert [path.stat().st_mode & 0o777 for path in (folder / "accepted", folder / "claimed", folder / "rejected")] == [0o750] * 3


async def test_the_same_content_dropped_again_is_a_new_run(twin, folder) -> None:
    drop = opened(twin, folder)
    for _ in range(2):
        put(folder, "hello.yaml", workflow())
        await drop.settle()
    assert twin.names == ["hello", "hello"]
    assert inside(folder, "accepted") == ["hello.yaml", "hello.yaml"]


async def test_what_comes_with_a_workflow_is_for_it_alone(twin, folder) -> None:
    put(folder, "both.yml", template() + "---\n" + calling("caller", "library") + "---\n" + CONFIG_MAP)
    await opened(twin, folder).settle()
    assert twin.names == ["caller"]
    assert twin.sources == {}


async def test_json_and_capital_suffixes_are_taken(twin, folder) -> None:
    import yaml

    put(folder, "a.json", json.dumps(yaml.safe_load(workflow("a"))))
    put(folder, "B.YAML", workflow("b"))
    await opened(twin, folder).settle()
    assert sorted(twin.names) == ["a", "b"]


TEMPORARY = [
    ".x.yaml.swp",
    ".#x.yaml",
    "#x.yaml#",
    "x.yaml~",
    "4913",
    "x.tmp",
    "x.yaml.part",
    "x.yaml.Ab3dEf",
    ".x.yaml",
    "#x.yaml",
    "~$x.yaml",
]


async def test_what_editors_leave_for_a_moment_is_not_looked_at(twin, folder) -> None:
    for name in [*TEMPORARY, "notes.txt", "lonely.params.yaml", "x.yaml.txt"]:
        (folder / name).write_text(workflow())
    await opened(twin, folder).settle()
    assert twin.names == []
    assert {path.name for path in folder.iterdir() if path.is_file()} == {*TEMPORARY, "notes.txt", "lonely.params.yaml", "x.yaml.txt"}


# ----------------------------------------------------------------------------------------------------------- parameters
ASKING = "arguments: {parameters: [{name: who}, {name: size, value: '1'}]}\n"


@pytest.mark.parametrize("beside", ["ask.yaml.params.yaml", "ask.params.yaml"])
async def test_parameters_beside_a_workflow_go_with_it(twin, folder, beside) -> None:
    put(folder, beside, "who: world\nlist: [1, 2]\n")
    put(folder, "ask.yaml", workflow("ask", ASKING))
    await opened(twin, folder).settle()
    assert [parameters for _, _, parameters in twin.started] == [{"who": "world", "list": "[1,2]"}]
    assert inside(folder, "accepted") == ["ask.yaml", "ask.yaml.params.yaml"]
    assert not (folder / beside).exists()


async def test_a_missing_parameter_and_a_broken_map_of_them_are_refused(twin, folder) -> None:
    put(folder, "ask.yaml", workflow("ask", ASKING))
    put(folder, "bad.params.yaml", "[1, 2]\n")
    put(folder, "bad.yaml", workflow("bad", ASKING))
    await opened(twin, folder).settle()
    assert twin.names == []
    assert inside(folder, "rejected") == ["ask.yaml", "ask.yaml.why", "bad.yaml", "bad.yaml.params.yaml", "bad.yaml.why"]
    assert "who" in read(folder, "rejected", "ask.yaml.why")
    assert read(folder, "rejected", "bad.yaml.why").startswith("bad.params.yaml:1:1: error: ")


async def test_parameters_that_come_a_moment_late_are_still_in_time(twin, folder) -> None:
    async with running(opened(twin, folder, settle=0.5)):
        await until((folder / "claimed").exists)
        put(folder, "ask.yaml", workflow("ask", ASKING))
        await anyio.sleep(0.1)
        put(folder, "ask.params.yaml", "who: world\n")
        await until(lambda: twin.names == ["ask"])


# ------------------------------------------------------------------------------------------------------------ rejections
async def test_a_bad_workflow_is_rejected_with_every_reason_and_its_place(twin, folder) -> None:
    put(folder, "bad.yaml", workflow("bad").replace("entrypoint: main", "entrypoint: mian"))
    put(folder, "broken.yaml", "kind: Workflow\n  spec: [\n")
    put(folder, "empty.yaml", "")
    put(folder, "other.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: x}\n")
    await opened(twin, folder).settle()
    assert twin.names == []
    assert inside(folder, "rejected") == sorted(f"{name}.yaml{end}" for name in ("bad", "broken", "empty", "other") for end in ("", ".why"))
    why = read(folder, "rejected", "bad.yaml.why")
    assert "bad.yaml:5:" in why
    assert "mian" in why
    assert "put it into the folder again" in why
    assert "holds nothing to run" in read(folder, "rejected", "other.yaml.why")


async def test_what_the_daemon_refuses_is_rejected_with_its_words(twin, folder) -> None:
    twin.unwanted = "sad"
    put(folder, "sad.yaml", workflow("sad"))
    await opened(twin, folder).settle()
    assert "sad cannot be run here" in read(folder, "rejected", "sad.yaml.why")
    assert inside(folder, "claimed") == []


async def test_secrets_are_refused_and_not_quoted_to_the_daemon(twin, folder) -> None:
    put(folder, "secret.yaml", SECRET)
    put(folder, "with.yaml", workflow() + "---\n" + SECRET)
    put(folder, "standing.yaml", template() + "---\n" + SECRET)
    await opened(twin, folder, secrets="/etc/tiphys/secrets").settle()
    assert twin.names == []
    assert twin.sources == {}
    assert inside(folder, "rejected") == ["secret.yaml", "secret.yaml.why", "with.yaml", "with.yaml.why"]
    for why in (read(folder, "rejected", "with.yaml.why"), (folder / "standing.yaml.why").read_text()):
        assert "token/KEY, in /etc/tiphys/secrets" in why
        assert "hush" not in why


async def test_a_file_over_the_limit_is_rejected(twin, folder) -> None:
    put(folder, "large.yaml", workflow() + "#" * 3000)
    await opened(twin, folder, limit=2000).settle()
    assert "the limit is 2000" in read(folder, "rejected", "large.yaml.why")


async def test_a_symbolic_link_is_rejected_and_its_target_left_alone(twin, folder, tmp_path) -> None:
    target = tmp_path / "elsewhere.yaml"
    target.write_text(workflow())
    (folder / "link.yaml").symlink_to(target)
    (folder / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    await opened(twin, folder).settle()
    assert twin.names == []
    assert target.read_text() == workflow()
    assert inside(folder, "rejected") == ["dangling.yaml", "dangling.yaml.why", "link.yaml", "link.yaml.why"]
    assert "symbolic link" in read(folder, "rejected", "link.yaml.why")


async def test_parameters_behind_a_link_are_not_read(twin, folder, tmp_path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("root: hash\n")
    (folder / "a.params.yaml").symlink_to(secret)
    put(folder, "a.yaml", workflow("a"))
    await opened(twin, folder).settle()
    assert "a.params.yaml: error: it is a symbolic link" in read(folder, "rejected", "a.yaml.why")
    assert secret.exists()


async def test_a_hard_link_is_taken(twin, folder, tmp_path) -> None:
    (tmp_path / "kept.yaml").write_text(workflow())
    (folder / "hard.yaml").hardlink_to(tmp_path / "kept.yaml")
    await opened(twin, folder).settle()
    assert twin.names == ["hello"]


async def test_pipes_sockets_and_folders_are_told_once_and_left(twin, folder) -> None:
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.yaml"))
        drop = opened(twin, folder)
        with capture_logs() as logs:
            await drop.settle()
            await drop.settle()
    assert sorted(line["file"] for line in logs if "neither" in line["event"]) == ["folder.yaml", "pipe.yaml", "socket.yaml"]
    assert (folder / "pipe.yaml").exists()


@needs_root
async def test_only_files_of_root_of_the_daemon_and_of_named_owners_are_taken(twin, folder) -> None:
    for name, uid in (("root", 0), ("nobody", NOBODY), ("named", 2)):
        os.chown(put(folder, f"{name}.yaml", workflow(name)), uid, uid)
    with capture_logs() as logs:
        await opened(twin, folder, owners=("bin", "no-such-user")).settle()
    assert sorted(twin.names) == ["named", "root"]
    assert "belongs to nobody" in read(folder, "rejected", "nobody.yaml.why")
    assert [line["user"] for line in logs if "drop.owners" in line["event"]] == ["no-such-user"]


@needs_root
async def test_parameters_of_a_wrong_owner_are_refused(twin, folder) -> None:
    os.chown(put(folder, "a.params.yaml", "x: y\n"), NOBODY, NOBODY)
    put(folder, "a.yaml", workflow("a"))
    await opened(twin, folder).settle()
    assert twin.names == []
    assert "a.params.yaml: error: it belongs to nobody" in read(folder, "rejected", "a.yaml.why")


async def test_nothing_is_taken_from_a_folder_where_anybody_may_replace_files(twin, folder) -> None:
    put(folder, "hello.yaml", workflow())
    folder.chmod(0o777)
    drop = opened(twin, folder)
    with capture_logs() as logs:
        await drop.settle()
        await drop.settle()
    assert twin.names == []
    assert len([line for line in logs if "chmod +t" in line.get("reason", "")]) == 1
    folder.chmod(0o1777)
    await drop.settle()
    assert twin.names == ["hello"]


async def test_a_folder_below_that_leads_elsewhere_is_refused_at_the_start(twin, folder, tmp_path) -> None:
    (tmp_path / "trap").mkdir()
    (folder / "claimed").symlink_to(tmp_path / "trap")
    with pytest.raises(NoFolder, match="claimed is not a folder of this daemon's"):
        await opened(twin, folder).run()


async def test_a_name_of_any_length_and_of_any_bytes_is_taken(twin, folder) -> None:
    put(folder, "n" * 240 + ".yaml", workflow("long"))
    (folder / os.fsdecode(b"odd-\xff\n.yaml")).write_text(workflow("odd"))
    (folder / os.fsdecode(b"def-\xff.yaml")).write_text(template())
    drop = opened(twin, folder)
    await drop.settle()
    await drop.settle()
    assert sorted(twin.names) == ["long", "odd"]
    assert twin.changes == [("define", "drop/def-\\xff.yaml")]


# ------------------------------------------------------------------------------------------------------------ definitions
async def test_definitions_stay_and_follow_their_file(twin, folder) -> None:
    drop = opened(twin, folder)
    for name, text in (("library.yaml", template()), ("sizes.yaml", CONFIG_MAP), ("nightly.yaml", CRON)):
        put(folder, name, text)
    await drop.settle()
    assert sorted(twin.sources) == ["drop/library.yaml", "drop/nightly.yaml", "drop/sizes.yaml"]
    first = twin.sources["drop/library.yaml"]
    put(folder, "library.yaml", template(image="alpine"))
    await drop.settle()
    assert twin.sources["drop/library.yaml"] != first
    (folder / "library.yaml").unlink()
    await drop.settle()
    assert sorted(twin.sources) == ["drop/nightly.yaml", "drop/sizes.yaml"]
    assert [change for change, source in twin.changes if source == "drop/library.yaml"] == ["define", "define", "undefine"]


async def test_after_a_restart_only_differences_are_told(twin, folder) -> None:
    for name in ("same", "changed", "gone"):
        put(folder, f"{name}.yaml", template(name))
    await opened(twin, folder).settle()
    twin.sources["api/other"] = "digest"  # not of this folder
    put(folder, "changed.yaml", template("changed", image="alpine"))
    (folder / "gone.yaml").unlink()
    put(folder, "new.yaml", template("new"))
    twin.changes.clear()
    await opened(twin, folder).settle()
    assert sorted(twin.changes) == [("define", "drop/changed.yaml"), ("define", "drop/new.yaml"), ("undefine", "drop/gone.yaml")]


async def test_bad_definitions_leave_the_former_ones_in_force_until_corrected(twin, folder) -> None:
    drop = opened(twin, folder)
    put(folder, "library.yaml", template())
    await drop.settle()
    before = dict(twin.sources)
    put(folder, "library.yaml", template().replace("container", "kontainer"))
    put(folder, "new.yaml", template("new").replace("container", "kontainer"))
    await drop.settle()
    assert twin.sources == before
    assert "stay in force" in (folder / "library.yaml.why").read_text()
    assert "library.yaml:7:" in (folder / "library.yaml.why").read_text()
    assert "None of its definitions" in (folder / "new.yaml.why").read_text()
    put(folder, "library.yaml", "{")  # names no kind any more, but was a file of definitions
    await drop.settle()
    assert twin.sources == before
    assert inside(folder, "rejected") == []
    put(folder, "library.yaml", template())
    (folder / "new.yaml").unlink()
    await drop.settle()
    assert twin.sources == before
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["library.yaml"]


async def test_a_report_is_not_written_through_a_link(twin, folder, tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "library.yaml.why").symlink_to(victim)
    put(folder, "library.yaml", template().replace("container", "kontainer"))
    await opened(twin, folder).settle()
    assert victim.read_text() == "precious"
    assert "kontainer" in (folder / "library.yaml.why").read_text()


async def test_definitions_that_the_daemon_refuses_say_so(twin, folder) -> None:
    twin.unwanted = "sad"
    put(folder, "sad.yaml", template("sad"))
    await opened(twin, folder).settle()
    assert "sad cannot be run here" in (folder / "sad.yaml.why").read_text()


async def test_files_that_need_each_other_may_come_in_any_order(twin, folder) -> None:
    for number in range(150):  # more than a batch
        put(folder, f"caller-{number}.yaml", calling(f"caller-{number}", "a"))
    put(folder, "a.yaml", dropped.template_calling("a", "b"))
    put(folder, "b.yaml", template("b"))
    await opened(twin, folder).settle()
    assert len(twin.names) == 150
    assert inside(folder, "rejected") == []


async def test_a_workflow_waits_for_definitions_that_are_still_being_judged(twin, folder) -> None:
    drop = opened(twin, folder, settle=0.6, sweep=60)
    await drop.prepare()
    async with running(drop):
        await anyio.sleep(0.1)
        put(folder, "caller.yaml", calling("caller", "a"))
        await anyio.sleep(0.3)
        put(folder, "a.yaml", dropped.template_calling("a", "b"))
        await anyio.sleep(0.4)  # the workflow's time is over, that of what it needs is not
        put(folder, "b.yaml", template("b"))
        await until(lambda: twin.names or inside(folder, "rejected"))
    assert twin.names == ["caller"]


async def test_definitions_that_wait_for_others_are_looked_at_when_those_come(twin, folder) -> None:
    drop = opened(twin, folder)
    put(folder, "a.yaml", dropped.template_calling("a", "b"))
    await drop.settle()
    assert (folder / "a.yaml.why").exists()
    put(folder, "b.yaml", template("b"))
    await drop.settle()
    await drop.settle()
    assert sorted(twin.sources) == ["drop/a.yaml", "drop/b.yaml"]
    assert not (folder / "a.yaml.why").exists()


@pytest.mark.parametrize("running_meanwhile", [True, False])
async def test_a_file_of_definitions_may_be_renamed(twin, folder, running_meanwhile) -> None:
    put(folder, "old.yaml", template())
    if running_meanwhile:
        async with running(opened(twin, folder, sweep=60)):
            await until(lambda: twin.sources)
            (folder / "old.yaml").rename(folder / "new.yaml")
            await until(lambda: list(twin.sources) == ["drop/new.yaml"], 3)
            await until(lambda: not (folder / "new.yaml.why").exists(), 3)
    else:
        await opened(twin, folder).settle()
        (folder / "old.yaml").rename(folder / "new.yaml")
        await opened(twin, folder).settle()
        assert list(twin.sources) == ["drop/new.yaml"]


async def test_a_file_that_goes_while_it_is_put_in_force_is_withdrawn_at_once(twin, folder) -> None:
    define = twin.define

    async def while_it_goes(documents, **more) -> None:
        await anyio.Path(folder / "a.yaml").unlink()
        await anyio.sleep(0.1)  # the kernel's word comes before it is in force
        await define(documents, **more)

    twin.define = while_it_goes
    async with running(opened(twin, folder, sweep=60)):
        await anyio.sleep(0.1)
        put(folder, "a.yaml", template())
        await until(lambda: twin.changes == [("define", "drop/a.yaml"), ("undefine", "drop/a.yaml")], 5)


async def test_the_second_file_with_a_definition_is_told_so_until_the_first_goes(twin, folder) -> None:
    put(folder, "a.yaml", template())
    drop = opened(twin, folder)
    await drop.settle()
    put(folder, "b.yaml", template())
    await drop.settle()
    assert list(twin.sources) == ["drop/a.yaml"]
    assert "is defined by drop/a.yaml already" in (folder / "b.yaml.why").read_text()
    (folder / "a.yaml").unlink()
    await drop.settle()
    assert list(twin.sources) == ["drop/b.yaml"]
    assert not (folder / "b.yaml.why").exists()


async def test_a_file_of_definitions_that_becomes_a_workflow_runs_and_is_withdrawn(twin, folder) -> None:
    drop = opened(twin, folder)
    put(folder, "x.yaml", template("x"))
    await drop.settle()
    put(folder, "x.yaml", workflow("x"))
    await drop.settle()
    await drop.settle()
    assert twin.names == ["x"]
    assert twin.sources == {}


async def test_an_editor_that_replaces_a_file_withdraws_nothing(twin, folder) -> None:
    put(folder, "library.yaml", template())
    async with running(opened(twin, folder, settle=0.3)):
        await until(lambda: "drop/library.yaml" in twin.sources)
        (folder / "library.yaml").rename(folder / "library.yaml~")
        await anyio.sleep(0.1)
        (folder / "library.yaml").write_text(template(image="alpine"))
        await until(lambda: len(twin.changes) == 2)
        assert [change for change, _ in twin.changes] == ["define", "define"]
        (folder / "library.yaml").unlink()
        await until(lambda: len(twin.changes) == 3)


# --------------------------------------------------------------------------------------------------------- while it runs
async def test_a_file_that_was_closed_or_moved_in_is_taken_before_any_sweep(twin, folder) -> None:
    async with running(opened(twin, folder, sweep=60, settle=30)):
        await until((folder / "claimed").exists)
        await anyio.sleep(0.1)
        put(folder, "moved.yaml", workflow("moved"))
        (folder / "closed.yaml").write_text(workflow("closed"))
        await until(lambda: sorted(twin.names) == ["closed", "moved"], 3)


@pytest.mark.parametrize("seen_by", ["the kernel", "the sweep"])
async def test_a_file_that_is_written_slowly_is_taken_whole(twin, folder, seen_by) -> None:
    text = workflow("slow") + "---\n" + workflow("second")  # valid at the half
    half = len(workflow("slow"))

    def write() -> None:
        with (folder / "slow.yaml").open("w") as file:
            for part in (text[:20], text[20:half], text[half:]):
                file.write(part)
                file.flush()
                time.sleep(0.5)

    writer = threading.Thread(target=write)
    writer.start()
    if seen_by == "the kernel":
        async with running(opened(twin, folder)):
            await until(lambda: twin.names)
    else:
        drop = opened(twin, folder)
        while not twin.names:
            await drop.settle()
            await anyio.sleep(0.05)
    writer.join()
    assert twin.names == ["slow", "second"]
    assert inside(folder, "rejected") == []


async def test_a_file_that_changes_while_it_is_waited_for_is_not_taken_early(twin, folder) -> None:
    drop = opened(twin, folder, settle=0.4)
    await drop._prepared()
    for size in range(1, 4):
        (folder / "grows.yaml").write_text(workflow("grows")[: size * 40])
        await drop._sweep()
        await anyio.sleep(0.2)
    assert twin.names == []
    (folder / "grows.yaml").write_text(workflow("grows"))
    await drop.settle()
    assert twin.names == ["grows"]


async def test_without_the_kernels_word_the_sweep_finds_everything(twin, folder) -> None:
    # No watch can be had where no file can be opened; the limit is lifted again when that was noticed.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    drop = opened(twin, folder, sweep=0.2)
    await drop._prepared()
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                await group.start(drop._listen)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert [line["event"] for line in logs] == ["drop folder is only looked through now and then"]
            assert "are used up" in logs[0]["reason"]
            await until(lambda: len(logs) == 2)  # and tried again
            assert logs[1]["event"] == "no longer"
            group.cancel_scope.cancel()


async def test_an_overflow_of_the_kernels_queue_leads_to_a_sweep(twin, folder) -> None:
    drop = opened(twin, folder, sweep=60, settle=0.1)
    async with running(drop):
        await until((folder / "claimed").exists)
        await anyio.sleep(0.2)
        (folder / "hard.yaml").hardlink_to(put(folder, "kept.txt", workflow("hard")))  # the watch does not tell of links
        await anyio.sleep(0.2)
        assert twin.names == []
        drop._note(hearing.Heard())
        await until(lambda: twin.names == ["hard"], 3)


async def test_the_kernels_overflow_is_understood(folder) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the queue is too long to fill it")

    def overflow() -> None:
        for turn in range(limit // 2 + 1):
            (folder / "ab"[turn % 2]).rename(folder / "ab"[1 - turn % 2])

    (folder / "a").write_text("")
    with hearing.listening(folder) as inotify:
        await anyio.to_thread.run_sync(overflow)
        with anyio.fail_after(30):
            async for heard in hearing.heard(inotify):
                if not heard.name:
                    assert not heard.ended
                    break


async def test_a_file_that_stays_open_is_told_and_taken_when_it_is_closed(twin, folder) -> None:
    with capture_logs() as logs:
        async with running(opened(twin, folder, sweep=0.2)):
            await until((folder / "claimed").exists)
            with (folder / "open.yaml").open("w") as file:
                file.write(workflow("open"))
                file.flush()
                await anyio.sleep(1)
                assert twin.names == []
            await until(lambda: twin.names == ["open"])
    assert len([line for line in logs if "writes to it" in line["event"]]) == 1


async def test_a_folder_that_goes_and_comes_is_watched_again_and_withdraws_nothing_meanwhile(twin, folder) -> None:
    put(folder, "library.yaml", template())
    async with running(opened(twin, folder, sweep=0.2)):
        await until(lambda: twin.sources)
        away = folder.rename(folder.with_name("away"))
        await anyio.sleep(0.6)
        assert twin.sources
        away.rename(folder)
        put(folder, "hello.yaml", workflow())
        await until(lambda: twin.names == ["hello"])


# --------------------------------------------------------------------------------------------------------------- troubles
async def test_a_busy_daemon_gets_the_same_claim_again_later(twin, folder) -> None:
    drop = opened(twin, folder)
    twin.busy = True
    for number in range(200):
        put(folder, f"w{number}.yaml", workflow(f"w{number}"))
    with capture_logs() as logs:
        await drop.settle()
        claimed = sorted(path.name for path in (folder / "claimed").iterdir())
        assert 1 <= len(claimed) <= 128  # the rest is left where it is
        asked = twin.submissions
        await drop.settle()
        assert twin.submissions == asked + 1
        assert sorted(path.name for path in (folder / "claimed").iterdir()) == claimed
    assert len([line for line in logs if "wait" in line["event"]]) == 1
    assert inside(folder, "rejected") == []
    twin.busy = False
    await drop.settle()
    assert Counter(twin.names) == Counter({f"w{number}": 1 for number in range(200)})
    assert set(claimed) <= {path.name for path in (folder / "accepted").iterdir()}


async def test_definitions_wait_for_a_busy_daemon_too(twin, folder) -> None:
    drop = opened(twin, folder)
    twin.busy = True
    put(folder, "library.yaml", template())
    await drop.settle()
    assert twin.sources == {}
    assert not (folder / "library.yaml.why").exists()
    twin.busy = False
    await drop.settle()
    assert list(twin.sources) == ["drop/library.yaml"]


@needs_root
async def test_a_full_disk_is_told_once_and_nothing_is_lost(twin, folder) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=24,mode=750", "none", folder], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        drop = opened(twin, folder)
        await drop.settle()
        (folder / "good.yaml").write_text(workflow("good"))
        (folder / "bad.yaml").write_text("kind: Workflow\n")
        (folder / "library.yaml").write_text(template().replace("container", "kontainer"))
        fill = []
        try:
            while True:
                fill.append(folder / f"fill{len(fill)}")
                fill[-1].write_text("")
        except OSError:
            fill.pop()
        with capture_logs() as logs:
            await drop.settle()
            await drop.settle()
        assert twin.names == ["good"]
        assert inside(folder, "claimed") == ["bad.yaml"]
        assert sorted(line["event"] for line in logs if line["log_level"] == "warning") == [
            "files cannot be moved and wait",
            "report not written",
        ]
        for path in fill:
            path.unlink()
        await drop.settle()
        assert inside(folder, "rejected") == ["bad.yaml", "bad.yaml.why"]
        assert (folder / "library.yaml.why").exists()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_what_cannot_be_judged_by_a_mistake_of_ours_refuses_that_file_alone(twin, folder) -> None:
    def adjust(document):
        if document.metadata.name == "poison":
            raise ZeroDivisionError
        return document

    put(folder, "poison.yaml", workflow("poison"))
    put(folder, "hello.yaml", workflow())
    with capture_logs() as logs:
        await opened(twin, folder, adjust=adjust).settle()
    assert {line["file"] for line in logs if "could not be judged" in line["event"] and "file" in line} == {"poison.yaml"}
    assert twin.names == ["hello"]
    assert "ZeroDivisionError" in read(folder, "rejected", "poison.yaml.why")


# ---------------------------------------------------------------------------------------------------------------- crashes
async def claimed(folder: Path, name: str, text: str, parameters: str = ""):
    def claim():
        claims = Claims(folder)
        claims.prepare()
        put(folder, name, text)
        if parameters:
            put(folder, f"{name}.params.yaml", parameters)
        return claims, claims.take(name, f"{name}.params.yaml" if parameters else "")

    return await anyio.to_thread.run_sync(claim)


async def submitted(twin, claim, name: str = "hello") -> None:
    from tiphys.manifests import parse
    from tiphys.settings import LimitSettings

    documents = [located.document for located in parse(workflow(name).encode(), "x", LimitSettings()).documents]
    await twin.submit(documents, key=claim.key, source="drop/hello.yaml", parameters={})


async def test_a_crash_after_the_claim_submits_it_under_its_key(twin, folder) -> None:
    _, claim = await claimed(folder, "hello.yaml", workflow("hello", ASKING), "who: world\n")
    await opened(twin, folder).settle()
    assert twin.names == ["hello"]
    assert twin.started[0][2] == {"who": "world"}
    assert twin.forgotten == [claim.key]
    assert inside(folder, "accepted") == ["hello.yaml", "hello.yaml.params.yaml"]


async def test_a_crash_after_the_submission_moves_the_file_and_starts_nothing(twin, folder) -> None:
    _, claim = await claimed(folder, "hello.yaml", workflow())
    await submitted(twin, claim)
    (folder / "claimed" / claim.file).write_text("spoilt meanwhile")
    await opened(twin, folder).settle()
    assert twin.names == ["hello"]
    assert inside(folder, "accepted") == ["hello.yaml"]
    assert twin.forgotten == [claim.key]


async def test_a_crash_before_the_key_was_forgotten_forgets_it(twin, folder) -> None:
    claims, claim = await claimed(folder, "hello.yaml", workflow())
    await submitted(twin, claim)
    await anyio.to_thread.run_sync(claims.accept, claim)
    await opened(twin, folder).settle()
    assert twin.forgotten == [claim.key]
    assert twin.names == ["hello"]


async def test_a_crash_while_a_file_was_claimed_gives_its_parameters_back(twin, folder) -> None:
    _, claim = await claimed(folder, "hello.yaml", workflow("hello", ASKING), "who: world\n")
    (folder / "claimed" / claim.file).rename(folder / "hello.yaml")  # as if only the parameters had been moved
    await opened(twin, folder).settle()
    assert [parameters for _, _, parameters in twin.started] == [{"who": "world"}]


@pytest.mark.parametrize("part", ["accepted", "rejected"])
async def test_a_crash_while_a_file_was_put_away_brings_its_parameters_after_it(twin, folder, part) -> None:
    _, claim = await claimed(folder, "hello.yaml", workflow(), "who: world\n")
    (folder / "claimed" / claim.file).rename(folder / part / claim.file)
    await opened(twin, folder).settle()
    assert inside(folder, part) == ["hello.yaml", "hello.yaml.params.yaml"]
    assert twin.names == []


async def test_a_crash_while_a_file_was_rejected_rejects_it_again(twin, folder) -> None:
    _, claim = await claimed(folder, "bad.yaml", "kind: Workflow\n")
    (folder / "rejected" / (claim.file + ".why")).write_text("half of a")
    (folder / "claimed" / ".0123456789abcdef").write_text("the other half")
    await opened(twin, folder).settle()
    assert inside(folder, "rejected") == ["bad.yaml", "bad.yaml.why"]
    assert "apiVersion" in read(folder, "rejected", "bad.yaml.why")
    assert list((folder / "claimed").iterdir()) == []


async def test_a_crash_between_the_workflows_of_a_file_starts_the_rest(twin, folder) -> None:
    put(folder, "both.yaml", workflow("first") + "---\n" + calling("second", "library"))
    put(folder, "library.yaml", template())
    twin.dies = True
    with pytest.raises(ExceptionGroup):
        await opened(twin, folder).settle()
    assert twin.names == ["first"]
    twin.dies = False
    (folder / "library.yaml").unlink()  # what was good when it was taken stays good
    await opened(twin, folder).settle()
    assert twin.names == ["first", "second"]
    assert inside(folder, "accepted") == ["both.yaml"]
    assert len(twin.forgotten) == 1


async def test_what_is_not_a_claim_is_left_among_the_claims(twin, folder) -> None:
    (folder / "claimed").mkdir()
    (folder / "claimed" / "README").write_text("mine")
    await opened(twin, folder).settle()
    assert (folder / "claimed" / "README").exists()


async def test_a_file_that_took_anothers_place_while_that_was_claimed_is_judged_by_itself(twin, folder) -> None:
    drop = opened(twin, folder)
    rules = await drop._prepared()
    from tiphys.triggers import candidates

    put(folder, "x.yaml", workflow("judged"))
    put(folder, "y.yaml", workflow("judged-too"))
    both = [candidates.dropped(folder, name) for name in ("x.yaml", "y.yaml")]
    [first, second] = await anyio.to_thread.run_sync(candidates.judge, both, rules, drop._judge, [], {})
    put(folder, "x.yaml", workflow("another"))
    put(folder, "y.yaml", template())
    await drop._taking.take([first, second])
    assert twin.names == []
    await drop.settle()
    assert twin.names == ["another"]
    assert "it holds definitions" in read(folder, "rejected", "y.yaml.why")


async def test_interrupted_at_any_moment_every_file_is_submitted_exactly_once(twin, folder) -> None:
    for number in range(300):
        put(folder, f"w{number}.yaml", workflow(f"w{number}"))
    seconds = 0.02
    while len(list((folder / "accepted").iterdir()) if (folder / "accepted").exists() else []) < 300:
        with anyio.move_on_after(seconds):
            await opened(twin, folder, settle=0.01).run()
        seconds = min(seconds + 0.03, 1.0)
    assert Counter(twin.names) == Counter({f"w{number}": 1 for number in range(300)})
    await opened(twin, folder).settle()
    assert not twin.uids


# ------------------------------------------------------------------------------------------------------------------- many
async def test_two_thousand_files_at_once_are_taken_exactly_once_while_the_loop_stays_awake(twin, folder) -> None:
    stalls = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await anyio.sleep(0.002)
            stalls.append(time.perf_counter() - before - 0.002)

    def drop_all() -> None:
        for number in range(2000):
            put(folder, f"w{number}.yaml", workflow(f"w{number}"))

    async with anyio.create_task_group() as group, running(opened(twin, folder)):
        await until((folder / "claimed").exists)
        group.start_soon(tick)
        began = time.perf_counter()
        await anyio.to_thread.run_sync(drop_all)
        await until(lambda: len(twin.forgotten) == 2000, 100)
        took = time.perf_counter() - began
        group.cancel_scope.cancel()
    print(f"\n2,000 files in {took:.1f} s, largest stall {max(stalls) * 1000:.0f} ms, {twin.most_together} in flight at most")
    assert Counter(twin.names) == Counter({f"w{number}": 1 for number in range(2000)})
    assert len(list((folder / "accepted").iterdir())) == 2000
    assert twin.most_together > 16
    assert sorted(stalls)[-3] < 0.2  # 50 ms at most where nothing else keeps the machine busy, which it may now and then for longer


def test_names_of_manifests() -> None:
    assert [name for name in [*TEMPORARY, "x.params.yaml", "x.why", "x.yaml.why"] if names.is_manifest(name)] == []
    assert all(map(names.is_manifest, ["a.yaml", "a.YML", "a b.json", "ü.yaml", "a.b.yaml"]))


async def test_an_event_binding_stays_in_force_as_long_as_its_file_lies_there(twin, folder) -> None:
    text = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowEventBinding\nmetadata: {name: b}\nspec: {event: {selector: '%s'}}\n"
    put(folder, "good.yaml", text % "true")
    put(folder, "bad.yaml", text % "payload ==")
    drop = opened(twin, folder)
    await drop.settle()
    assert [type(document).__name__ for document in twin.definitions()] == ["WorkflowEventBinding"]
    assert "event selector" in (folder / "bad.yaml.why").read_text()
