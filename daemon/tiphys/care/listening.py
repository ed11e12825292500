"""The sockets: the daemon's own, by which it is asked, and the launcher's."""

import hashlib
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from tiphys.care import owner, places
from tiphys.care.finding import Found, error, ok, warning
from tiphys.care.host import Host
from tiphys.care.owner import Owner
from tiphys.configuration import SYSTEM_STATE
from tiphys.executors.process import places as launchers
from tiphys.service import sockets

LAUNCHER_VARIABLE = "TIPHYS_LAUNCHER_RUNTIME"


def control(path: Path, holder: int | None) -> list[Found]:
    """The daemon's socket; `holder` is the process that has the state in use."""
    running = f"the daemon (process {holder}) runs"
    try:
        found = path.lstat()
    except FileNotFoundError:
        if holder is None:
            return [ok(f"socket: no daemon runs, and there is none at {path}")]
        return [error(f"socket: {running}, and there is no socket at {path}", _restart(path))]
    except OSError as reason:
        return [error(f"socket {path}: cannot be looked at ({reason.strerror})", "run this as root or as the daemon's user")]
    if not stat.S_ISSOCK(found.st_mode):
        return [
            error(
                f"socket {path}: something that is no socket is in its place", f"`mv {path} {path}.other`, or set daemon.socket elsewhere"
            )
        ]
    try:
        answered = sockets.answers(path)
    except PermissionError:
        group = owner.group_name(found.st_gid)
        return [
            error(
                f"socket {path}: you may not use it (group {group})",
                f"as root: `usermod --append --groups {group} $USER`, then log in anew",
            )
        ]
    except OSError as reason:
        return [error(f"socket {path}: cannot be reached ({reason.strerror})", _restart(path))]
    if answered:
        return [_answered(path, holder)]
    if holder is None:
        return [
            warning(
                f"socket {path}: it is stale, nobody listens: a daemon was killed and left it",
                f"start the daemon, which puts its own in place; or `rm {path}`",
            )
        ]
    return [error(f"socket {path}: it is stale, nobody listens there although {running}", _restart(path))]


def _answered(path: Path, holder: int | None) -> Found:
    if holder is not None:
        return ok(f"socket: the daemon (process {holder}) listens at {path}")
    peer = _peer(path)
    if peer == 1:
        return ok(f"socket: systemd listens at {path}, and starts the daemon for who calls")
    return warning(
        f"socket {path}: process {peer or '?'} listens there, which does not have this state in use",
        "see that this command goes by the daemon's settings (--config, --state): the daemon may have another state directory",
    )


def _peer(path: Path) -> int:
    """The process that made a socket listen; 0: unknown."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(sockets.ANSWER_SECONDS)
        try:
            probe.connect(str(path))
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little", signed=True)
        except OSError:
            return 0


def _restart(path: Path) -> str:
    return f"see that its settings name {path}, then restart it: `systemctl restart tiphysd.socket tiphysd`, for a user's with `--user`"


def launcher(state: Path, environ: Mapping[str, str], whose: Owner, host: Host) -> list[Found]:
    """The launcher of steps: answering, stale, or not there (the daemon starts one, or systemd does)."""
    found = []
    for runtime in _runtimes(state, environ, whose, host):
        path = runtime / "socket"
        service = runtime in host.launchers or str(runtime) == environ.get(LAUNCHER_VARIABLE)
        cure = "`systemctl start tiphys-launcher`" if service else "nothing to do: the daemon starts one"
        mode = _mode(runtime)
        if mode is None:
            continue
        if mode & 0o066 or runtime.stat().st_uid != whose.uid:
            what = f"launcher: {runtime} is not {whose.name}'s alone (mode {mode:o}), so the daemon refuses it"
            found.append(error(what, f"as root: `chown {whose.name} {runtime}; chmod 700 {runtime}`"))
            continue
        found.append(_launcher_answers(path, cure, service=service))
    return found or [ok("launcher: none runs; the daemon starts one")]


def _launcher_answers(path: Path, cure: str, *, service: bool) -> Found:
    try:
        if sockets.answers(path):
            return ok(f"launcher: one answers at {path}")
        stale = path.exists()
    except OSError as reason:
        return error(f"launcher: {path} cannot be reached ({reason.strerror})", "run this as root or as the daemon's user")
    if stale:
        return warning(
            f"launcher: the socket {path} is stale: a launcher was killed and left it; its steps run on",
            f"{cure}; the next launcher takes the steps over",
        )
    return warning(f"launcher: none answers at {path}", cure) if service else ok("launcher: none runs; the daemon starts one")


def _mode(runtime: Path) -> int | None:
    try:
        return stat.S_IMODE(runtime.stat().st_mode)
    except OSError:
        return None


def _runtimes(state: Path, environ: Mapping[str, str], whose: Owner, host: Host) -> list[Path]:
    """The folders in which the launcher of this state may listen, those that are there."""
    if environ.get(LAUNCHER_VARIABLE):
        return [Path(environ[LAUNCHER_VARIABLE])]
    attempts = (state / places.ATTEMPTS).absolute()
    name = _name(whose.uid, attempts)
    bases = [Path(f"/run/user/{whose.uid}"), *launchers.memory_directories()]
    own = [base / name for base in bases] + [attempts / ".runtime"]
    own.append(Path("/tmp", _name(whose.uid, attempts / ".runtime")))  # noqa: S108 (whose it is, is looked at)
    services = [one for one in host.launchers if state == SYSTEM_STATE]
    return [one for one in dict.fromkeys((*services, *own)) if one.is_dir()]


def _name(uid: int, root: Path) -> str:
    """As `executors.process.places.directories` names it."""
    return f"tiphys-{uid}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
