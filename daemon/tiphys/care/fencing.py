"""Whether steps can be isolated here, and if not, why and what to do: bubblewrap is tried as the daemon's user, as the launcher does."""

import os
import shutil
import stat
from collections.abc import Mapping

from tiphys.care.finding import Found, error, ok, warning
from tiphys.care.host import Host
from tiphys.care.owner import Owner
from tiphys.executors.process import isolation
from tiphys.executors.process.opening import PATH
from tiphys.settings import ProcessSettings

INSTALL = "install it: `apt install bubblewrap`, `dnf install bubblewrap`, `pacman -S bubblewrap` or `apk add bubblewrap`"
OTHERWISE = "; or set process.isolation to none if you trust every workflow"
PROFILE = "'abi <abi/4.0>,' 'include <tunables/global>' 'profile bwrap {bwrap} flags=(unconfined) {{ userns, }}'"


def check(settings: ProcessSettings, whose: Owner, environ: Mapping[str, str], host: Host) -> list[Found]:
    """The findings; what does not work is an error only where isolation is wanted in any case."""
    if settings.isolation == "none":
        return [ok("isolation: switched off (process.isolation is none); steps share this host's files and processes")]
    grave = error if settings.isolation == "full" else warning
    result = "no step can run" if settings.isolation == "full" else "steps run without it and share this host's files and processes"
    bwrap = shutil.which(host.bwrap, path=environ.get("PATH") or PATH)
    if bwrap is None:
        return [grave(f"isolation: bubblewrap is missing (no program {host.bwrap}); {result}", INSTALL + OTHERWISE)]
    code, said = whose.run(_probe(bwrap, whose), {"PATH": environ.get("PATH") or PATH, "LANG": "C.UTF-8"})
    if code == 0:
        return [ok(f"isolation: bubblewrap works for {whose.name} ({bwrap})")]
    why, cure = diagnosis(said, bwrap, whose, host)
    return [grave(f"isolation: {why}; {result}. {bwrap} said: {_last(said) or f'nothing (exit code {code})'}", cure + OTHERWISE)]


def _probe(bwrap: str, whose: Owner) -> list[str]:
    """What the launcher tries."""
    user = isolation.User(uid=whose.uid, gid=whose.gid, name=whose.name)
    return isolation.Fence(bwrap=bwrap, mask="", shims="", visible=(), writable=(), hidden=(), user=user, root=whose.uid == 0).probe()


def _last(said: str) -> str:
    return (said.splitlines() or [""])[-1].removeprefix("bwrap: ")


def diagnosis(said: str, bwrap: str, whose: Owner, host: Host) -> tuple[str, str]:
    """Why bubblewrap does not work, from its own words and the kernel's settings; and the cure."""
    if whose.uid != 0 and not _is_setuid(bwrap):
        if host.sysctl("kernel.unprivileged_userns_clone") == "0":
            return _barred("kernel.unprivileged_userns_clone", "1")
        if host.sysctl("user.max_user_namespaces") == "0":
            return _barred("user.max_user_namespaces", "15000")
        if host.sysctl("kernel.apparmor_restrict_unprivileged_userns") == "1" and _is_denial(said):
            return (
                f"AppArmor bars user namespaces for {whose.name} (kernel.apparmor_restrict_unprivileged_userns is 1)",
                _apparmor(bwrap),
            )
    return _by_words(said, host)


def _barred(name: str, value: str) -> tuple[str, str]:
    return f"user namespaces are barred on this machine ({name} is 0)", f"allow them, as root: {_sysctl(name, value)}"


def _apparmor(bwrap: str) -> str:
    profile = f"printf '%s\\n' {PROFILE.format(bwrap=bwrap)} > /etc/apparmor.d/bwrap && apparmor_parser -r /etc/apparmor.d/bwrap"
    return (
        f"allow bubblewrap alone, as root: `{profile}`; or allow everybody: {_sysctl('kernel.apparmor_restrict_unprivileged_userns', '0')}"
    )


def _sysctl(name: str, value: str) -> str:
    return f"`echo {name}={value} > /etc/sysctl.d/60-tiphys.conf && sysctl --system`"


def _is_denial(said: str) -> bool:
    return any(word in said for word in ("Permission denied", "Operation not permitted", "No permissions"))


def _is_setuid(bwrap: str) -> bool:
    try:
        return bool(os.stat(bwrap).st_mode & stat.S_ISUID)  # noqa: PTH116 (the text is a program's)
    except OSError:
        return False


def _by_words(said: str, host: Host) -> tuple[str, str]:
    container = "in Docker or Podman: `--security-opt seccomp=unconfined --security-opt systempaths=unconfined --cap-add SYS_ADMIN`"
    if "exceeded" in said or "ENOSPC" in said or "No space left" in said:
        return (
            "user namespaces are used up or nested too deeply",
            f"raise the limit, as root: {_sysctl('user.max_user_namespaces', '15000')}; inside of a container raise it on its host",
        )
    if "kernel does not support" in said or "Invalid argument" in said:
        return "this kernel has no user namespaces", "use a kernel that was built with CONFIG_USER_NS"
    if "mount proc" in said:
        return (
            "a new /proc may not be mounted, for this machine is a container with a covered /proc",
            f"start the container so: {container}",
        )
    if _is_denial(said) and host.contained:
        return "this machine is a container that may make no namespaces", f"start the container so: {container}"
    if _is_denial(said):
        return (
            "user namespaces are barred for this user, by a security module or by a service's RestrictNamespaces=",
            "look for the denial in `journalctl -k --grep 'apparmor|selinux|audit'`, and at RestrictNamespaces= of the unit",
        )
    return "bubblewrap does not work here", "try by hand what it says: `bwrap --ro-bind / / --unshare-pid --proc /proc true`"
