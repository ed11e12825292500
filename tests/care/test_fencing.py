"""Where steps cannot be isolated, the check says why and what to do: tried with the real bubblewrap, as the daemon's own user."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tiphys.care import fencing, owner
from tiphys.care.finding import Severity
from tiphys.care.host import Host
from tiphys.settings import ProcessSettings

NOBODY = 65534
FULL = ProcessSettings(isolation="full")
AUTO = ProcessSettings()
CAN_BAR = shutil.which("bwrap") and subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0
needs_namespaces = pytest.mark.skipif(not CAN_BAR, reason="this machine has no bubblewrap or bars user namespaces already")

BARS = """#!/bin/sh
exec unshare -U --map-current-user --keep-caps sh -c '
    echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all bwrap "$@"' sh "$@"
"""
"""The real bubblewrap, in a place where the real kernel allows no user namespaces."""


@pytest.fixture
def plain():
    """A user without rights."""
    return owner.user(NOBODY, NOBODY) if os.geteuid() == 0 else owner.user(os.geteuid(), os.getegid())


@pytest.fixture
def shared():
    """A folder that every user gets into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def program(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def says(path: Path, words: str) -> str:
    """What a bubblewrap says that this kernel does not make one say."""
    return program(path, f"#!/bin/sh\nprintf '%s\\n' \"bwrap: {words}\" >&2\nexit 1\n")


def kernel(folder: Path, **values: str) -> Path:
    """Settings of a kernel, as in /proc/sys; `__` stands for the slash."""
    for name, value in values.items():
        path = folder / "sys" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return folder / "sys"


@needs_namespaces
def test_the_real_bubblewrap_works_here_for_us_and_for_a_plain_user(plain):
    for whose in (owner.user(os.geteuid(), os.getegid()), plain):
        (found,) = fencing.check(FULL, whose, os.environ, Host())
        assert found.severity is Severity.OK, found
        assert f"works for {whose.name}" in found.what


@pytest.mark.parametrize(("settings", "severity"), [(FULL, Severity.ERROR), (AUTO, Severity.WARNING)])
def test_a_missing_bubblewrap_is_named_with_the_package(settings, severity, plain, tmp_path):
    (found,) = fencing.check(settings, plain, {"PATH": str(tmp_path)}, Host())
    assert found.severity is severity
    assert "bubblewrap is missing" in found.what
    assert ("no step can run" in found.what) == (settings is FULL)
    assert "apt install bubblewrap" in found.cure
    assert "process.isolation to none" in found.cure


def test_isolation_that_is_switched_off_is_not_tried(plain, tmp_path):
    (found,) = fencing.check(ProcessSettings(isolation="none"), plain, {"PATH": str(tmp_path)}, Host())
    assert (found.severity, "switched off" in found.what) == (Severity.OK, True)


@needs_namespaces
def test_user_namespaces_that_the_kernel_really_bars_are_told(plain, shared):
    (found,) = fencing.check(FULL, plain, os.environ, Host(bwrap=program(shared / "bwrap", BARS)))
    assert found.severity is Severity.ERROR
    assert "user namespaces are used up or nested too deeply" in found.what
    assert "user.max_user_namespaces=15000" in found.cure


@needs_namespaces
@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("kernel.unprivileged_userns_clone", "0", "echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/60-tiphys.conf"),
        ("user.max_user_namespaces", "0", "echo user.max_user_namespaces=15000 > /etc/sysctl.d/60-tiphys.conf"),
    ],
)
def test_the_kernels_setting_that_bars_them_is_named_with_its_cure(name, value, cure, plain, shared):
    sysctls = kernel(shared, **{name.replace(".", "__"): value})
    host = Host(bwrap=program(shared / "bwrap", BARS), proc_sys=sysctls)
    (found,) = fencing.check(FULL, plain, os.environ, host)
    assert f"user namespaces are barred on this machine ({name} is 0)" in found.what
    assert "exceeded (ENOSPC)" in found.what  # its own words
    assert cure in found.cure


@needs_namespaces
def test_a_setting_that_bars_nothing_is_not_complained_of(plain, shared):
    """What counts is whether bubblewrap works: it may be setuid, or have a profile of its own."""
    sysctls = kernel(shared, kernel__apparmor_restrict_unprivileged_userns="1", user__max_user_namespaces="0")
    (found,) = fencing.check(FULL, plain, os.environ, Host(proc_sys=sysctls))
    assert found.severity is Severity.OK


def test_apparmors_restriction_is_named_with_a_profile_for_bubblewrap_alone(plain, shared):
    sysctls = kernel(shared, kernel__apparmor_restrict_unprivileged_userns="1", user__max_user_namespaces="9999")
    bwrap = says(shared / "bwrap", "setting up uid map: Permission denied")
    (found,) = fencing.check(FULL, plain, os.environ, Host(bwrap=bwrap, proc_sys=sysctls))
    assert "AppArmor bars user namespaces" in found.what
    assert f"profile bwrap {bwrap} flags=(unconfined)" in found.cure
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in found.cure


@pytest.mark.parametrize(
    ("words", "contained", "what", "cure"),
    [
        ("No permissions to create new namespace, likely because ...", True, "this machine is a container", "seccomp=unconfined"),
        ("Can't mount proc on /newroot/proc: Operation not permitted", True, "a covered /proc", "systempaths=unconfined"),
        ("No permissions to create new namespace, likely because ...", False, "by a security module", "RestrictNamespaces="),
        (
            "Creating new namespace failed, likely because the kernel does not support user namespaces.",
            False,
            "no user n",
            "CONFIG_USER_NS",
        ),
        ("something nobody has heard of", False, "bubblewrap does not work here", "try by hand"),
    ],
)
def test_bubblewraps_words_become_a_cause_and_a_cure(words, contained, what, cure, plain, shared):
    (shared / "sign").touch()
    signs = (shared / "sign",) if contained else ()
    host = Host(bwrap=says(shared / "bwrap", words), proc_sys=kernel(shared, user__max_user_namespaces="9"), container_signs=signs)
    (found,) = fencing.check(FULL, plain, os.environ, host)
    assert what in found.what
    assert words in found.what
    assert cure in found.cure
