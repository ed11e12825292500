"""`tiphysd check`, `backup` and `restore` as they are typed: what they print, and which code they end with."""

import os
import shutil
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.care import states
from tiphys import configuration
from tiphys.care.commands import SUBCOMMANDS, SUMMARIES
from tiphys.configuration import Configuration
from tiphys.journal import opening


@dataclass(frozen=True)
class Machine:
    """What the daemon's entry hands over."""

    home: Path
    explicit: Path | None = None
    root: bool = False
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})

    def load(self) -> Configuration:
        return configuration.load(self.explicit, self.environ, self.home)


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "settings.yaml").write_text(f"state_directory: {tmp_path / 'state'}\ndaemon: {{socket: {tmp_path / 'api.sock'}}}\n")
    return Machine(tmp_path, tmp_path / "settings.yaml")


def run(machine, capsys, name, *arguments):
    code = SUBCOMMANDS[name](list(map(str, arguments)), machine)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_every_command_has_a_summary():
    assert SUBCOMMANDS.keys() == SUMMARIES.keys()


def test_check_of_a_good_state_ends_with_0(machine, capsys, tmp_path):
    states.filled(tmp_path / "state")
    code, out, _ = run(machine, capsys, "check")
    assert code == 0, out
    assert f"ok       settings: {tmp_path / 'settings.yaml'}" in out
    assert "3 workflows, 12 nodes, 7 events" in out
    assert all(line.startswith(("ok ", "warning ", "error ", "         cure: ")) for line in out.splitlines())
    code, out, _ = run(machine, capsys, "check", "--quiet")
    assert (code, "ok  " in out) == (0, False)


def test_check_while_a_daemon_works_and_listens(machine, capsys, tmp_path):
    with states.writing(tmp_path / "state") as process, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api.sock"))
        listener.listen()
        code, out, _ = run(machine, capsys, "check")
        assert code == 0, out
        assert f"the daemon (process {process.pid}) listens" in out
        assert process.poll() is None


def test_check_names_a_stale_socket_a_wrong_clock_and_a_missing_bubblewrap_with_their_cures(machine, capsys, tmp_path):
    states.filled(tmp_path / "state", at=datetime.now(UTC) + timedelta(days=3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api.sock"))
    bare = Machine(machine.home, machine.explicit, environ={"PATH": str(tmp_path)})
    code, out, _ = run(bare, capsys, "check")
    assert code == 1
    lines = out.splitlines()
    for cause, cure in (
        ("it is stale, nobody listens", "or `rm "),
        ("the newest entry of the journal is of", "timedatectl set-ntp true"),
        ("bubblewrap is missing", "apt install bubblewrap"),
    ):
        (number,) = [number for number, line in enumerate(lines) if cause in line]
        assert lines[number + 1].startswith("         cure: ")
        assert cure in lines[number + 1]


def test_check_of_a_damaged_journal_ends_with_78(machine, capsys, tmp_path):
    states.changed(states.filled(tmp_path / "state"), "UPDATE nodes SET sum = 1")
    code, out, _ = run(machine, capsys, "check")
    assert code == 78
    assert "error    journal " in out


def test_check_of_wrong_settings_ends_with_1(machine, capsys, tmp_path):
    (tmp_path / "settings.yaml").write_text("daemno: {}\nexecutor: [a]\n")
    code, out, _ = run(machine, capsys, "check")
    assert code == 1
    assert "settings.yaml:1:1" in out
    assert "settings.yaml:2:11" in out


def test_a_copy_goes_out_and_back(machine, capsys, tmp_path):
    path = states.filled(tmp_path / "state")
    expected = states.loaded(path)
    code, out, _ = run(machine, capsys, "backup", tmp_path / "copy.db")
    assert code == 0
    assert f"a verified copy of the journal (version {opening.VERSION}, 3 workflows, 12 nodes, 7 events" in out
    assert "artifacts, the drop folder and settings are not part of it" in out
    code, _, error = run(machine, capsys, "backup", tmp_path / "copy.db")
    assert (code, "--force" in error) == (1, True)
    shutil.rmtree(tmp_path / "state")
    code, out, _ = run(machine, capsys, "restore", tmp_path / "copy.db")
    assert code == 0
    assert "What happened after the copy was made is unknown to it" in out
    assert "are adopted" in out
    assert states.loaded(path) == expected
    code, out, _ = run(machine, capsys, "restore", tmp_path / "copy.db")
    assert "The one before is kept as " in out


def test_restore_under_a_daemon_and_of_a_bad_copy_end_with_78(machine, capsys, tmp_path):
    states.filled(tmp_path / "state")
    run(machine, capsys, "backup", tmp_path / "copy.db")
    with states.writing(tmp_path / "state") as process:
        code, _, error = run(machine, capsys, "restore", tmp_path / "copy.db")
        assert (code, f"in use by process {process.pid}" in error) == (78, True)
    states.changed(tmp_path / "copy.db", "UPDATE nodes SET sum = 1")
    code, _, error = run(machine, capsys, "restore", tmp_path / "copy.db")
    assert (code, "the copy is damaged" in error) == (78, True)


def test_another_state_directory_can_be_named(machine, capsys, tmp_path):
    states.filled(tmp_path / "other", runs=1)
    code, out, _ = run(machine, capsys, "check", "--state", tmp_path / "other", "--socket", tmp_path / "other.sock")
    assert (code, "1 workflow, 4 nodes" in out) == (0, True)


@pytest.mark.parametrize("name", sorted(SUBCOMMANDS))
def test_help_tells_the_exit_codes(name, machine, capsys):
    with pytest.raises(SystemExit) as ended:
        run(machine, capsys, name, "--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "Exit codes: 0 " in said
    assert "--state DIR" in said
