"""What `make install` puts on a machine: the units pass systemd's own judges, the commands run, and it all goes away again."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

UNITS = ("tiphysd.service", "tiphys-launcher.service", "tiphysd.socket")
WORST_EXPOSURE = 2.0
INSTALL_SECONDS = 600


def need(program: str) -> str:
    """A program's path; where it is missing the test is skipped, or fails where everything must be there."""
    found = shutil.which(program)
    if found is None:
        assert not os.environ.get("CI"), f"{program} is not installed"
        pytest.skip(f"{program} is not installed")
    return found


@pytest.fixture
def rendered(project: Path, tmp_path: Path) -> Path:
    """The units' sources with commands in them that exist, in a folder for the system's units and one for users'."""
    for name in ("bin/tiphysd", "lib/python", "lib/launcher.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    words = {"@BINDIR@": "bin", "@PYTHON@": "lib/python", "@LAUNCHER@": "lib/launcher.py", "@PREFIX@": "usr"}
    for folder, source in (("system", project / "systemd"), ("user", project / "systemd" / "user")):
        (tmp_path / folder).mkdir()
        for unit in (*source.glob("*.service"), *source.glob("*.socket")):
            text = unit.read_text()
            for word, place in words.items():
                text = text.replace(word, str(tmp_path / place))
            (tmp_path / folder / unit.name).write_text(text)
    return tmp_path


def verify(*arguments: str, folder: Path) -> None:
    """What systemd has to say of units, which must be nothing (missing documentation besides)."""
    command = [need("systemd-analyze"), "verify", "--man=no", *arguments]
    # Only our units are judged, not those that the machine happens to have; the system's own targets must be there, though.
    with tempfile.TemporaryDirectory(prefix="units") as runtime:  # short: a socket's path has room for 107 characters
        environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "XDG_RUNTIME_DIR": runtime}
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)
    about_us = [line for line in (said.stdout + said.stderr).splitlines() if "tiphys" in line]
    assert not about_us
    assert said.returncode == 0, said.stderr


def test_the_systems_units_are_what_systemd_takes(rendered):
    found = sorted(path.name for path in (rendered / "system").iterdir())
    assert found == sorted(UNITS)
    verify(*(str(rendered / "system" / unit) for unit in UNITS), folder=rendered / "system")


def test_a_users_units_are_what_systemd_takes(rendered):
    verify("--user", *(str(rendered / "user" / unit) for unit in UNITS), folder=rendered / "user")


def test_so_are_the_units_of_a_daemon_that_runs_as_root(rendered, project):
    for source in (project / "systemd" / "as-root").glob("*.conf"):
        folder = rendered / "system" / f"{source.stem}.service.d"
        folder.mkdir()
        shutil.copy(source, folder / "as-root.conf")
    verify(*(str(rendered / "system" / unit) for unit in UNITS), folder=rendered / "system")


def test_a_mistake_in_a_unit_would_be_seen(rendered):
    unit = rendered / "system" / "tiphysd.service"
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMood=mixed"))
    with pytest.raises(AssertionError, match="KillMood"):
        verify(str(unit), folder=rendered / "system")


def test_the_daemon_is_locked_up_tightly(rendered):
    unit = str(rendered / "system" / "tiphysd.service")
    said = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", "--no-pager", unit], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    found = re.search(r"exposure level for \S+: (\d+\.\d+)", said)
    assert found, said
    assert float(found[1]) <= WORST_EXPOSURE, said


def test_the_users_and_directories_are_what_systemd_takes(project, tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    source = project / "systemd"
    made = subprocess.run(
        [need("systemd-sysusers"), f"--root={root}", str(source / "tiphys.sysusers")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert re.search(r"^tiphys:.*:/var/lib/tiphys:/usr/sbin/nologin$", (root / "etc" / "passwd").read_text(), re.MULTILINE)
    assert re.search(r"^tiphys:", (root / "etc" / "group").read_text(), re.MULTILINE)
    if os.geteuid() != 0:
        return
    made = subprocess.run(
        [need("systemd-tmpfiles"), "--create", f"--root={root}", str(source / "tiphys.tmpfiles")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    drop = (root / "var" / "lib" / "tiphys" / "drop").stat()
    assert (drop.st_mode & 0o7777) == 0o2770
    assert ((root / "run" / "tiphys-launcher").stat().st_mode & 0o7777) == 0o700


def make(project: Path, *arguments: str, home: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "XDG_CONFIG_HOME", "PYTHONPATH"}}
    # pip finds what it downloaded before in the cache of whoever runs the tests, whatever HOME says.
    environ["PIP_CACHE_DIR"] = environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    done = subprocess.run(
        [need("make"), "-C", str(project), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
        env=environ | {"HOME": str(home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(root: Path) -> set[str]:
    """The files below `root`, without the environment's own, and without those that pip's own curiosity left in a home."""
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "lib/tiphys/" not in str(path)}
    return {path for path in found if path.startswith(("usr/", "etc/", "var/", ".local/", ".config/"))}


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS * 2)
def test_make_install_puts_a_working_daemon_on_a_machine_and_uninstall_takes_it_away(project, tmp_path):
    root, home = tmp_path / "root", tmp_path / "home"
    said = make(project, "install", f"DESTDIR={root}", home=home)
    assert "systemctl daemon-reload" in said
    units, settings = root / "usr/local/lib/systemd", root / "etc/tiphys/tiphys.yaml"
    expected = {f"usr/local/lib/systemd/system/{unit}" for unit in UNITS}
    expected |= {f"usr/local/lib/systemd/user/{unit}" for unit in UNITS}
    expected |= {"usr/local/bin/tiphys", "usr/local/bin/tiphysd", "etc/tiphys/tiphys.yaml"}
    expected |= {"usr/local/lib/sysusers.d/tiphys.conf", "usr/local/lib/tmpfiles.d/tiphys.conf"}
    expected |= {f"usr/local/share/doc/tiphys/{name}" for name in ("README.md", "as-root/tiphysd.conf", "as-root/tiphys-launcher.conf")}
    assert installed(root) == expected

    for unit in (*units.rglob("*.service"), *units.rglob("*.socket")):
        text = unit.read_text()
        assert not re.search(r"@[A-Z]+@", text)
        for command in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
            for word in (word for word in command.split() if word.startswith("/usr/local")):
                assert (root / word[1:]).exists(), word
        unit.write_text(text.replace("/usr/local/", f"{root}/usr/local/"))  # where the commands are now
    verify(*(str(units / "system" / unit) for unit in UNITS), folder=units / "system")

    from tiphys import __version__

    for name in ("tiphys", "tiphysd"):
        ran = subprocess.run([root / "usr/local/bin" / name, "--version"], capture_output=True, text=True, check=True, cwd="/")
        assert ran.stdout == f"{name} {__version__}\n"
        assert ran.stderr == ""
    # From the environment that was installed, and not from the sources.
    where = [root / "usr/local/lib/tiphys/bin/python", "-I", "-c", "import tiphys; print(tiphys.__file__)"]
    assert str(root) in subprocess.run(where, capture_output=True, text=True, check=True).stdout

    settings.write_text("namespace: mine\n")
    make(project, "uninstall", f"DESTDIR={root}", home=home)
    assert installed(root) == {"etc/tiphys/tiphys.yaml"}
    assert settings.read_text() == "namespace: mine\n"


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS * 2)
def test_a_plain_users_installation_stays_in_the_home(project, tmp_path):
    home = tmp_path / "home"
    said = make(project, "install-user", home=home)
    assert "enable-linger" in said
    expected = {f".config/systemd/user/{unit}" for unit in UNITS} | {".local/bin/tiphys", ".local/bin/tiphysd"}
    assert installed(home) == expected
    units = home / ".config/systemd/user"
    assert f"ExecStart={home}/.local/bin/tiphysd\n" in (units / "tiphysd.service").read_text()
    verify("--user", *(str(units / unit) for unit in UNITS), folder=units)
    ran = subprocess.run([home / ".local/bin/tiphys", "--version"], capture_output=True, text=True, check=True, cwd="/")
    assert ran.stdout.startswith("tiphys ")
    make(project, "uninstall-user", home=home)
    assert installed(home) == set()
