"""Directories, sockets, clock, units and settings that are not as a daemon needs them are named, each with its cure."""

import codecs
import os
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.care import states
from tiphys import configuration
from tiphys.care import checking, clock, configured, directories, listening, owner, places, units
from tiphys.care.finding import Severity
from tiphys.care.host import Host
from tiphys.configuration import Configuration
from tiphys.executors.process import places as launchers
from tiphys.settings import DaemonSettings, DropSettings, NotificationEntry, ProcessSettings, Settings

ME = owner.user(os.geteuid(), os.getegid())
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")


def severities(found):
    return [one.severity for one in found]


def only(found):
    """The one finding, which is not well and has a cure."""
    (one,) = found
    assert one.severity is not Severity.OK, one
    assert one.cure
    return one


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


# ------------------------------------------------------------------------------------------------------------ sockets


def listener(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_no_daemon_and_no_socket_is_well(tmp_path):
    assert severities(listening.control(tmp_path / "api.sock", None)) == [Severity.OK]


def test_a_stale_socket_is_named_with_its_cure(tmp_path):
    path = tmp_path / "api.sock"
    listener(path).close()
    found = only(listening.control(path, None))
    assert found.severity is Severity.WARNING
    assert "it is stale, nobody listens" in found.what
    assert f"rm {path}" in found.cure
    assert path.exists()
    found = only(listening.control(path, 77))
    assert found.severity is Severity.ERROR
    assert "although the daemon (process 77) runs" in found.what
    assert "systemctl restart" in found.cure


def test_a_live_daemon_listens_at_its_socket(tmp_path):
    with listener(tmp_path / "api.sock"):
        (found,) = listening.control(tmp_path / "api.sock", 77)
        assert (found.severity, "the daemon (process 77) listens" in found.what) == (Severity.OK, True)


def test_a_listener_that_does_not_have_the_state_is_told_apart(tmp_path):
    with listener(tmp_path / "api.sock"):
        found = only(listening.control(tmp_path / "api.sock", None))
    assert found.severity is Severity.WARNING
    assert f"process {os.getpid()} listens there" in found.what


def test_a_daemon_without_a_socket_and_a_file_in_its_place_are_errors(tmp_path):
    assert "there is no socket" in only(listening.control(tmp_path / "api.sock", 77)).what
    (tmp_path / "api.sock").write_text("")
    assert "no socket is in its place" in only(listening.control(tmp_path / "api.sock", None)).what


def test_the_launchers_socket_is_looked_for_where_the_daemon_has_it(state, tmp_path):
    attempts = state / "attempts"
    made = launchers.directories(attempts, None)
    try:
        assert "none runs" in listening.launcher(state, {}, ME, Host())[0].what
        with listener(made.socket):
            (found,) = listening.launcher(state, {}, ME, Host())
            assert (found.severity, str(made.socket) in found.what) == (Severity.OK, True)
        found = only(listening.launcher(state, {}, ME, Host()))
        assert "is stale" in found.what
        made.runtime.chmod(0o755)
        found = only(listening.launcher(state, {}, ME, Host()))
        assert (found.severity, f"chmod 700 {made.runtime}" in found.cure) == (Severity.ERROR, True)
    finally:
        subprocess.run(["rm", "-rf", str(made.runtime)], check=True)


def test_a_services_launcher_that_is_not_there_is_started_by_systemd(state, tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    found = only(listening.launcher(state, {"TIPHYS_LAUNCHER_RUNTIME": str(runtime)}, ME, Host()))
    assert "none answers" in found.what
    assert "systemctl start tiphys-launcher" in found.cure


# ------------------------------------------------------------------------------------------------------------ the clock


def test_a_right_clock_is_well():
    assert severities(clock.check(None, Host())) == [Severity.OK]
    now = datetime.now(UTC)
    assert severities(clock.check(now + timedelta(seconds=50), Host(now=now))) == [Severity.OK]


def test_a_clock_from_before_this_program_is_named():
    found = only(clock.check(None, Host(now=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))))
    assert found.severity is Severity.ERROR
    assert "it says 1970-01-01 00:05:00 UTC, and this program was not made before 2025" in found.what
    assert "timedatectl set-ntp true" in found.cure


def test_a_clock_from_before_the_installation_is_named(tmp_path):
    file = tmp_path / "program.py"
    file.touch()
    now = datetime.now(UTC)
    assert severities(clock.check(None, Host(program=file, now=now - timedelta(days=1)))) == [Severity.OK]
    found = only(clock.check(None, Host(program=file, now=max(now - timedelta(days=30), clock.FIRST_RELEASE))))
    assert "this program's files are of" in found.what


def test_a_journal_from_the_future_is_named_with_what_the_daemon_would_do():
    now = datetime.now(UTC)
    found = only(clock.check(now + timedelta(days=1, hours=2), Host(now=now)))
    assert found.severity is Severity.ERROR
    assert "1 day, 2:00:00 later" in found.what
    assert "comes up to 1 day, 2:00:00 late" in found.what
    assert "timedatectl set-ntp true" in found.cure


# ------------------------------------------------------------------------------------------------------------ directories


def test_a_good_state_directory_is_well(state):
    assert severities(directories.state(state, ME, Host())) == [Severity.OK]


@pytest.mark.parametrize(("mode", "severity"), [(0o755, Severity.WARNING), (0o711, Severity.WARNING), (0o777, Severity.ERROR)])
def test_a_state_directory_that_everybody_gets_into_is_told(mode, severity, state):
    state.chmod(mode)
    found = only(directories.state(state, ME, Host()))
    assert (found.severity, found.cure) == (severity, f"`chmod o-rwx {state}`")


def test_a_state_directory_that_is_not_there_or_no_directory_is_told(tmp_path):
    assert only(directories.state(tmp_path / "a" / "b", ME, Host())).severity is Severity.WARNING
    (tmp_path / "file").touch()
    assert "no directory" in only(directories.state(tmp_path / "file", ME, Host())).what


@pytest.mark.parametrize(("kind", "severity"), [("nfs4", Severity.ERROR), ("tmpfs", Severity.WARNING), ("ext4", Severity.OK)])
def test_the_kind_of_file_system_counts(kind, severity, tmp_path):
    folder = tmp_path / "a state"
    folder.mkdir(mode=0o700)
    mounts = tmp_path / "mountinfo"
    escaped = str(folder).replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {escaped} rw shared:5 - {kind} server:/x rw\n")
    assert severities(directories.state(folder, ME, Host(mounts=mounts))) == [severity]


def test_the_file_system_here_is_known(tmp_path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True).stdout.strip()
    assert Host().file_system(tmp_path).removesuffix("fs")[:3] == kind[:3]


@root
def test_what_the_daemons_user_may_not_write_is_an_error(state):
    os.chown(state, 65534, 65534)
    whose = owner.of_state(state)
    (state / "drop").mkdir(mode=0o755)
    state.parent.chmod(0o711)
    found = [one for one in directories.others(state, Settings(), whose) if one.severity is Severity.ERROR]
    assert found
    assert all("may not write there" in one.what or "cannot make it" in one.what for one in found)
    assert any(f"chown {whose.name}" in one.cure for one in found)


def test_little_room_is_told(state):
    def space(least):
        return directories.space(state, Settings(daemon=DaemonSettings(low_disk_bytes=least)))

    free = os.statvfs(state).f_bavail * os.statvfs(state).f_frsize
    assert severities(space(1)) == [Severity.OK]
    assert only(space(int(free * 0.8))).severity is Severity.WARNING
    found = only(space(2 * free))
    assert (found.severity, "no new work is taken" in found.what) == (Severity.ERROR, True)


def test_run_folders_of_unknown_workflows_are_counted(state):
    for name in ("known", "lost1", "lost2"):
        (state / "attempts" / name).mkdir(parents=True)
    (state / "attempts" / ".states").mkdir()
    (state / "attempts" / "lost1" / "output").write_bytes(b"x" * 300_000)
    names = directories.run_folders(state)
    found = only(directories.runs(state, names, frozenset({"known"}), ME))
    assert found.severity is Severity.WARNING
    assert "2 folders" in found.what
    assert "(lost1, lost2)" in found.what
    assert "293." in found.what or "296." in found.what or "KiB" in found.what
    assert severities(directories.runs(state, names, frozenset({"known", "lost1", "lost2"}), ME)) == [Severity.OK]
    assert severities(directories.runs(state, names, None, ME)) == [Severity.OK]


@root
def test_run_folders_that_are_not_the_daemons_are_an_error(state):
    (state / "attempts" / "run").mkdir(parents=True)
    os.chown(state, 65534, 65534)
    os.chown(state / "attempts", 65534, 65534)
    state.parent.chmod(0o711)
    found = directories.runs(state, directories.run_folders(state), frozenset({"run"}), owner.of_state(state))
    assert only(found).severity is Severity.ERROR


@root
def test_who_is_neither_the_daemons_user_nor_root_is_told_to_be(state):
    path = states.filled(state)
    state.parent.chmod(0o711)
    os.seteuid(65534)
    try:
        found = checking.check(Configuration(settings=Settings(), file=None), state, state / "api.sock", {})
        assert severities(found) == [Severity.OK, Severity.ERROR]
    finally:
        os.seteuid(0)
    assert "tiphysd check" in found[1].cure
    assert path.exists()


@root
def test_a_look_that_is_not_allowed_says_so_and_the_others_go_on(state, tmp_path):
    """The daemon's user may not even see the drop folder that the settings name."""
    os.chown(state, 65534, 65534)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = Settings(drop=DropSettings(directory=str(closed / "drop")))
    for folder in (tmp_path, *(above for above in tmp_path.parents if above.name.startswith(("pytest-", "popen-")))):
        folder.chmod(folder.stat().st_mode | 0o011)
    checking.check(Configuration(settings=settings, file=None), state, state / "api.sock", {})  # what it needs is imported by root
    codecs.lookup("ascii")
    os.seteuid(65534)
    try:
        found = checking.check(Configuration(settings=settings, file=None), state, state / "api.sock", {})
    finally:
        os.seteuid(0)
    assert any("closed/drop cannot be looked at (Permission denied)" in one.what for one in found)
    assert any(one.what.startswith("clock: ") for one in found)


# ------------------------------------------------------------------------------------------------------------ settings


def judged(settings: Settings, file: Path | None = None) -> list:
    return configured.check(Configuration(settings=settings, file=file), Path("/run/tiphys/api.sock"), ME)


@pytest.mark.parametrize(
    ("settings", "severity", "said"),
    [
        (Settings(notifications={"ops": NotificationEntry()}), Severity.ERROR, "notifications.ops: gives none of url"),
        (Settings(executor="docker"), Severity.ERROR, "there is no executor 'docker'"),
        (Settings(executor="scripted"), Severity.WARNING, "scripted runs nothing"),
        (Settings(semaphores={"db": 0}), Severity.WARNING, "semaphores.db"),
        (Settings(drop=DropSettings(owners=("root", "no-such-user"))), Severity.WARNING, "there is no user 'no-such-user'"),
        (Settings(daemon=DaemonSettings(socket_group="no-such-group")), Severity.WARNING, "there is no group 'no-such-group'"),
        (Settings(workflow_defaults={"spec": {"entrypiont": "x"}}), Severity.ERROR, "entrypiont"),
        (Settings(process=ProcessSettings(user="no-such-user")), Severity.ERROR, "no-such-user"),
        (Settings(secrets_directory="/no/such/place"), Severity.ERROR, "/no/such/place is not there"),
    ],
)
def test_settings_that_will_not_do_here_are_named(settings, severity, said):
    found = only(judged(settings))
    assert found.severity is severity
    assert said in found.what


def test_good_settings_are_well(project):
    file = project / "config" / "tiphys.yaml"
    (found,) = judged(configuration.read(file.read_bytes(), str(file)), file)
    assert (found.severity, str(file) in found.what) == (Severity.OK, True)


def test_a_socket_path_that_is_too_long_is_an_error():
    found = configured.check(Configuration(settings=Settings(), file=None), Path("/run/" + "x" * 110), ME)
    assert "too long for a socket" in only(found).what


def test_secrets_that_everybody_may_read_are_told(tmp_path):
    (tmp_path / "secrets").mkdir(mode=0o755)
    found = only(judged(Settings(secrets_directory=str(tmp_path / "secrets"))))
    assert found.cure == f"`chmod o-rwx {tmp_path / 'secrets'}`"


def test_time_zones_that_there_are_not_are_told():
    berlin = Settings(daemon=DaemonSettings(timezone="Europe/Berlin"))
    assert severities(configured.zones(berlin, {})) == [Severity.OK]
    found = only(configured.zones(Settings(daemon=DaemonSettings(timezone="Europe/Berlni")), {}))
    assert (found.severity, "'Europe/Berlni'" in found.what) == (Severity.ERROR, True)
    found = only(configured.zones(Settings(), {"TZ": "Mars/Olympus"}))
    assert (found.severity, "'Mars/Olympus'" in found.what) == (Severity.WARNING, True)


# ------------------------------------------------------------------------------------------------------------ systemd's units


def installed(project: Path, folder: Path, source: str, name: str, program: str) -> Path:
    """A unit of this project's own, as `make install` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (project / "systemd" / source / name).read_text()
    for word, value in (
        ("@BINDIR@/tiphysd", program),
        ("@PYTHON@", sys.executable),
        ("@LAUNCHER@", "/x/launcher.py"),
        ("@PREFIX@", "/usr"),
    ):
        text = text.replace(word, value)
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def host(tmp_path):
    return Host(units=(tmp_path / "system",), user_units=(tmp_path / "shared",), lingers=tmp_path / "linger")


def test_a_machine_without_units_is_well(state, host):
    whose = replace(ME, home=state.parent)
    assert severities(units.check(state, {}, whose, host)) == [Severity.OK]


def test_a_users_unit_is_enabled_and_lingers(project, state, host, tmp_path):
    whose = replace(ME, home=tmp_path / "home")
    folder = whose.home / ".config" / "systemd" / "user"
    unit = installed(project, folder, "user", "tiphysd.service", sys.executable)
    found = units.check(state, {}, whose, host)
    assert [("does not start by itself" in one.what, "does not linger" in one.what) for one in found] == [(True, False), (False, True)]
    assert found[1].cure == f"`loginctl enable-linger {whose.name}`"
    (folder / "default.target.wants").mkdir()
    (folder / "default.target.wants" / "tiphysd.service").symlink_to(unit)
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / whose.name).touch()
    assert severities(units.check(state, {}, whose, host)) == [Severity.OK]


def test_the_systems_units_are_judged_for_the_user_they_run_as(project, host, tmp_path):
    whose = replace(ME, name="tiphys", home=tmp_path)
    state = Path("/var/lib/tiphys")
    installed(project, tmp_path / "system", "", "tiphysd.service", "/no/such/tiphysd")
    said = "\n".join(f"{one.what} {one.cure}" for one in units.check(state, {}, whose, host))
    assert "starts /no/such/tiphysd, which is not there" in said
    assert "does not start with the machine" in said
    assert "without tiphys-launcher.service" in said
    unit = installed(project, tmp_path / "system", "", "tiphysd.service", sys.executable)
    installed(project, tmp_path / "system", "", "tiphys-launcher.service", sys.executable)
    (tmp_path / "system" / "multi-user.target.wants").mkdir()
    (tmp_path / "system" / "multi-user.target.wants" / "tiphysd.service").symlink_to(unit)
    assert severities(units.check(state, {}, whose, host)) == [Severity.OK]
    found = only(units.check(tmp_path / "elsewhere", {}, whose, host))
    assert "keeps attempts in /var/lib/tiphys/attempts" in found.what
    assert severities(units.check(state, {}, replace(whose, name="somebody"), host)) == [Severity.OK]


# ------------------------------------------------------------------------------------------------------------ who holds the state


def test_the_process_that_holds_the_state_is_known_and_its_lock_left_alone(tmp_path):
    with states.writing(tmp_path) as process:
        assert places.holder(tmp_path / "journal.db") == process.pid
        assert places.holder(tmp_path / "journal.db", locks=tmp_path / "none") is None
    assert places.holder(tmp_path / "journal.db") is None
    assert stat.S_ISREG((tmp_path / "journal.db.lock").stat().st_mode)
