"""The sockets a daemon listens on: those that systemd opened for it, or one of its own making.

Systemd's stay open while the daemon restarts, so whoever connects meanwhile waits instead of being refused. Everything here blocks
for a moment: call it before the loop runs, or in a thread.
"""

import grp
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.errors import TiphysError
from tiphys.settings import DaemonSettings

FIRST_FD = 3  # sd_listen_fds(3)
BACKLOG = 128
LONGEST_PATH = 107  # sockaddr_un holds 108 bytes, the last of them zero
ANSWER_SECONDS = 1.0


class ServiceRefused(TiphysError):
    """The daemon cannot have the socket it is told to listen on."""


def listen_fds(environ: Mapping[str, str], name: str = "") -> list[socket.socket]:
    """The sockets systemd handed over, if they are meant for this process; `name`: only those that the socket unit calls so.

    ServiceRefused: what was handed over is not a listening socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()) or not environ.get("LISTEN_FDS", "").isdecimal():
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    wanted = [index for index in range(int(environ["LISTEN_FDS"])) if not name or names[index : index + 1] == [name]]
    return [_handed_over(FIRST_FD + index) for index in wanted]


def _handed_over(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        made = socket.socket(fileno=fd)
        listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ServiceRefused(f"file descriptor {fd}, which $LISTEN_FDS announces, is not a socket: {error.strerror}") from error
    if not listens:
        made.detach()
        raise ServiceRefused(f"file descriptor {fd}, which $LISTEN_FDS announces, does not listen; the socket unit needs Accept=no")
    return made


def unix_listener(path: Path, group: str) -> socket.socket:
    """Listen at `path`; its folder is made, and what a dead daemon left there is removed.

    Members of `group` may connect; where there is no such group, or we may not give the socket to it, only our own user.
    ServiceRefused: another daemon answers there, something else is in the way, or the path cannot be used.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ServiceRefused(f"{path} is too long for a socket (at most {LONGEST_PATH} bytes); set daemon.socket to a shorter one")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_way(path)
        listener.bind(str(path))
        _share(path, group)
        listener.listen(BACKLOG)  # before this nobody can connect, whatever the mode was
    except OSError as error:
        listener.close()
        raise ServiceRefused(f"cannot listen at {path}: {error.strerror}; set daemon.socket to another place") from error
    except ServiceRefused:
        listener.close()
        raise
    return listener


def groups(listeners: Sequence[socket.socket]) -> frozenset[int]:
    """The groups whose members may use the Unix sockets, as their files say."""
    found = set()
    for one in listeners:
        name = one.getsockname() if one.family == socket.AF_UNIX else ""
        if name and isinstance(name, str):
            try:
                mode = Path(name).stat()
            except OSError:
                continue
            if mode.st_mode & stat.S_IWGRP:
                found.add(mode.st_gid)
    return frozenset(found)


def lacks_group(name: str) -> bool:
    """Whether somebody named a group for the socket that this machine does not have; it need not have the usual one."""
    if name in {"", DaemonSettings().socket_group}:
        return False
    try:
        grp.getgrnam(name)
    except KeyError:
        return True
    return False


def answers(path: Path) -> bool:
    """Whether somebody listens at `path`. OSError: that cannot be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(ANSWER_SECONDS)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):  # there are more callers than it has taken so far
            return True
        return True


def _make_way(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ServiceRefused(f"{path} is in the way and is not a socket; move it, or set daemon.socket to another place")
    if answers(path):
        raise ServiceRefused(f"another daemon answers at {path}; stop it, or set daemon.socket to another place")
    path.unlink(missing_ok=True)


def _share(path: Path, group: str) -> None:
    path.chmod(0o600)
    if not group:
        return
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError):
        return
    path.chmod(0o660)
