"""The launcher as a service: its manager learns when it is ready, and its directory stays its manager's."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiphys.executors.process import connection, link, places


def started(tmp_path: Path, **environ: str) -> "subprocess.Popen[bytes]":
    directories = places.directories(tmp_path / "attempts", tmp_path / "run")
    argv = [sys.executable, "-I", "-S", str(connection.LAUNCHER), "--mode", "service", "--runtime", str(directories.runtime)]
    argv += ["--scratch", str(directories.scratch), "--root", str(directories.root)]
    return subprocess.Popen(argv, env={"PATH": "/usr/bin:/bin", **environ})


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_once_the_socket_answers(tmp_path, abstract):
    address = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(20)
        launcher = started(tmp_path, NOTIFY_SOCKET=address)
        try:
            assert manager.recv(100) == b"READY=1"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "run" / "socket"))
                client.sendall(json.dumps([{"op": "hello", "tag": "1"}]).encode() + b"\n")
                assert b'"hello"' in client.recv(4096)
        finally:
            launcher.terminate()
            launcher.wait(20)


async def test_the_daemon_finds_the_one_that_systemd_started_and_leaves_it_there(tmp_path):
    launcher = started(tmp_path)
    try:
        directories = places.directories(tmp_path / "attempts", tmp_path / "run")
        for _ in range(2):  # a daemon, and the next one
            async with link.Link.opened(directories, "service", 1.0) as found:
                assert not await found.find("run/node/0")
        assert launcher.poll() is None
    finally:
        launcher.terminate()
        assert launcher.wait(20) == 0


def test_a_launcher_that_ends_leaves_the_directory_to_its_manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        launcher = started(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        manager.recv(100)
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(20) == 0
    assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run" / "socket").exists()


async def test_a_missing_launcher_is_named_with_its_unit(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    directories = places.directories(tmp_path / "attempts", tmp_path / "run")
    with pytest.raises(connection.LauncherUnreachable, match="systemctl status tiphys-launcher"):
        async with link.Link.opened(directories, "service", 1.0):
            pass


async def test_a_launcher_of_another_state_is_not_used(tmp_path):
    launcher = started(tmp_path)
    try:
        other = places.directories(tmp_path / "elsewhere", tmp_path / "run")
        with pytest.raises(connection.LauncherUnreachable, match=r"attempts.*elsewhere.*state_directory must agree"):
            async with link.Link.opened(other, "service", 1.0):
                pass
    finally:
        launcher.terminate()
        launcher.wait(20)
