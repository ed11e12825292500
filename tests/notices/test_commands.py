"""Commands, real ones: what they get, how their end is judged, and that none outlives its timeout."""

import json
import sys
import time

import pytest

from tests.notices.told import PAYLOAD, notice, senders
from tiphys.notices.errors import SendFailed
from tiphys.settings import NotificationEntry

pytestmark = pytest.mark.asyncio

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "AWS_SECRET_ACCESS_KEY": "hidden"}


def shell(script: str, **settings) -> NotificationEntry:
    return NotificationEntry(command=("sh", "-c", script), **settings)


async def failure(entry: NotificationEntry) -> SendFailed:
    async with senders(entry, environment=ENVIRONMENT) as made:
        with pytest.raises(SendFailed) as caught:
            await made.send(notice())
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_command_gets_the_json_on_standard_input(tmp_path) -> None:
    async with senders(shell(f"cat > {tmp_path}/heard"), environment=ENVIRONMENT) as made:
        await made.send(notice())
    assert json.loads((tmp_path / "heard").read_text()) == PAYLOAD


async def test_a_command_sees_only_the_variables_meant_for_it(tmp_path) -> None:
    program = f"import json, os; json.dump(dict(os.environ), open({str(tmp_path / 'seen')!r}, 'w'))"
    async with senders(NotificationEntry(command=(sys.executable, "-I", "-c", program)), environment=ENVIRONMENT) as made:
        await made.send(notice())
    seen = json.loads((tmp_path / "seen").read_text())
    seen.pop("LC_CTYPE", None)
    assert seen == {
        "PATH": ENVIRONMENT["PATH"],
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "TIPHYS_NOTICE_ID": "uid-1/Failed/1",
        "TIPHYS_WORKFLOW": "wf",
        "TIPHYS_NAMESPACE": "default",
        "TIPHYS_PHASE": "Failed",
    }


async def test_arguments_are_not_for_a_shell(tmp_path) -> None:
    async with senders(NotificationEntry(command=("touch", f"{tmp_path}/$HOME;x")), environment=ENVIRONMENT) as made:
        await made.send(notice())
    assert (tmp_path / "$HOME;x").exists()


async def test_a_command_that_does_not_read_is_fine() -> None:
    async with senders(shell("exit 0"), environment=ENVIRONMENT) as made:
        await made.send(notice(message="x" * 100_000, labels={f"label-{number}": "x" * 60 for number in range(5000)}))


async def test_an_exit_code_is_told_with_the_last_line() -> None:
    error = await failure(shell("echo ignored; echo first >&2; echo 'no such  mailbox' >&2; exit 3"))
    assert str(error) == "command sh: exit code 3: no such mailbox"
    assert error.transient


async def test_exit_code_75_asks_to_be_called_later() -> None:
    error = await failure(shell("exit 75"))
    assert str(error) == "command sh: exit code 75 (try again later)"
    assert error.transient


async def test_a_signal_is_told() -> None:
    error = await failure(shell("kill -TERM $$"))
    assert str(error) == "command sh: killed by signal 15"
    assert error.transient


async def test_endless_talk_is_bounded_and_one_line() -> None:
    error = await failure(shell("yes | head -c 3000000 >&2; head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"))
    assert len(str(error)) < 400


async def test_a_timeout_kills_the_whole_group(tmp_path) -> None:
    beat = tmp_path / "beat"
    error = await failure(shell(f"trap '' TERM; (while :; do date +%N > {beat}; sleep 0.05; done) & wait", timeout_seconds=1.5))
    assert str(error) == "command sh: not done within 1.5 s"
    assert error.transient
    time.sleep(0.1)
    left = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == left


async def test_what_a_command_leaves_running_neither_delays_nor_dies(tmp_path) -> None:
    left = f"(while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/later) &"
    async with senders(shell(f"{left} exit 0", timeout_seconds=60), environment=ENVIRONMENT) as made:
        await made.send(notice())  # it holds standard error open and ends only now
    (tmp_path / "go").touch()
    deadline = time.monotonic() + 10
    while not (tmp_path / "later").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_program_that_is_missing_may_be_installed_later() -> None:
    error = await failure(NotificationEntry(command=("no-such-program",)))
    assert str(error) == "command no-such-program: it cannot be started: No such file or directory"
    assert error.transient


async def test_a_notification_to_nowhere_is_refused() -> None:
    error = await failure(NotificationEntry())
    assert str(error) == "notification: the settings give none of url, topic, queue, function, command"
    assert not error.transient
