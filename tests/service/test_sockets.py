"""Sockets handed over by a real parent process, and sockets of our own beside real daemons, dead ones and files in the way."""

import grp
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tiphys.service import sockets
from tiphys.service.sockets import ServiceRefused

SHOW = """
import fcntl, os, sys
from tiphys.service import sockets
for made in sockets.listen_fds(os.environ, *sys.argv[1:]):
    print(made.fileno(), made.getsockname(), bool(fcntl.fcntl(made.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC))
    connection, _ = made.accept()
    connection.sendall(b"served")
    connection.close()
    made.close()
"""


def handed_over(names: list[str], fds: list[int], *arguments: str, pid: str = "$$") -> "subprocess.Popen[str]":
    """A process that systemd would have started with these descriptors from 3 on."""
    moves = " ".join(f"{sockets.FIRST_FD + index}<&{fd}" for index, fd in enumerate(fds))
    exports = f"LISTEN_PID={pid} LISTEN_FDS={len(fds)} LISTEN_FDNAMES={':'.join(names)}"
    script = f'exec {moves}; export {exports}; exec "$@"'
    argv = ["bash", "-c", script, "bash", sys.executable, "-c", SHOW, *arguments]
    return subprocess.Popen(argv, pass_fds=fds, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def high(made: socket.socket) -> int:
    """A duplicate that cannot be among the numbers the script moves to."""
    import fcntl

    return fcntl.fcntl(made.fileno(), fcntl.F_DUPFD, 100)


def test_a_socket_of_systemds_is_used_and_not_inherited(tmp_path):
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        client.connect(str(path))  # it waits: nobody serves yet
        fd = high(listener)
        child = handed_over(["tiphysd.socket"], [fd])
        os.close(fd)
        client.settimeout(20)
        assert client.recv(100) == b"served"
        said, errors = child.communicate(timeout=20)
        assert said.split() == ["3", str(path), "True"], errors


def test_only_the_sockets_of_the_asked_name_are_taken(tmp_path):
    made = []
    for name in ("one", "two"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / name))
        listener.listen()
        made.append(listener)
    with made[0], made[1], socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "two"))
        fds = [high(listener) for listener in made]
        child = handed_over(["api", "metrics"], fds, "metrics")
        for fd in fds:
            os.close(fd)
        said, errors = child.communicate(timeout=20)
        assert said.split()[:2] == ["4", str(tmp_path / "two")], errors


def test_sockets_meant_for_another_process_are_left_alone(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        fd = high(listener)
        child = handed_over(["s"], [fd], pid="1")
        os.close(fd)
        said, errors = child.communicate(timeout=20)
        assert (said, errors, child.returncode) == ("", "", 0)
    assert sockets.listen_fds({}) == []
    assert sockets.listen_fds({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == []


def test_what_is_no_listening_socket_is_refused_by_its_number(tmp_path):
    with (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as idle:
        for fd, words in ((file.fileno(), "is not a socket"), (idle.fileno(), "does not listen")):
            moved = os.dup(fd)
            child = handed_over(["x"], [moved])
            os.close(moved)
            _, errors = child.communicate(timeout=20)
            assert "ServiceRefused: file descriptor 3" in errors
            assert words in errors


def test_a_listener_makes_its_folder_and_serves(tmp_path):
    path = tmp_path / "run" / "tiphys" / "api.sock"
    with sockets.unix_listener(path, "no-such-group") as listener, socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        client.connect(str(path))
        listener.accept()[0].close()
        assert not os.get_inheritable(listener.fileno())


def test_the_group_may_connect_where_there_is_one(tmp_path):
    group = grp.getgrgid(os.getegid())
    with sockets.unix_listener(tmp_path / "s", group.gr_name):
        found = (tmp_path / "s").stat()
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert found.st_gid == group.gr_gid


def test_a_live_daemon_is_not_pushed_aside(tmp_path):
    path = tmp_path / "s"
    with sockets.unix_listener(path, ""), pytest.raises(ServiceRefused, match="another daemon answers at"):
        sockets.unix_listener(path, "")
    assert path.exists()


def test_a_daemon_with_more_callers_than_it_takes_is_alive_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets, "ANSWER_SECONDS", 0.1)
    path = tmp_path / "s"
    callers = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(2):
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            caller.connect_ex(str(path))
            callers.append(caller)
        with pytest.raises(ServiceRefused, match="another daemon answers"):
            sockets.unix_listener(path, "")
        for caller in callers:
            caller.close()


def test_what_a_dead_daemon_left_is_replaced(tmp_path):
    path = tmp_path / "s"
    sockets.unix_listener(path, "").close()
    assert path.is_socket()
    with sockets.unix_listener(path, ""), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_file_in_the_way_stays_and_is_named(tmp_path):
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(ServiceRefused, match="is in the way and is not a socket"):
        sockets.unix_listener(path, "")
    assert path.read_text() == "mine"


def test_a_place_that_cannot_be_is_named_with_the_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceRefused, match=r"cannot listen at .*set daemon\.socket"):
        sockets.unix_listener(tmp_path / "file" / "s", "")
    with pytest.raises(ServiceRefused, match="too long for a socket"):
        sockets.unix_listener(Path("/run", "x" * 200), "")
