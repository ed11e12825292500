"""The launcher as a service: its manager learns when it is ready, and its directory stays its manager's."""

import json
import signal
import socket
import subprocess
import sys
import time
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


def spawn(number: int, argv: list[str], **more: object) -> dict[str, object]:
    names = {"id": f"run/n{number}/0", "key": f"run.n{number}.0", "group": "run"}
    return {"op": "spawn", **names, "argv": argv, "env": {"N": str(number)}, **more}


def ends(client: socket.socket, count: int) -> list[dict[str, object]]:
    """The reports up to so many ends."""
    found: list[dict[str, object]] = []
    text = b""
    while sum(report["told"] == "ended" for report in found) < count:
        text += client.recv(1 << 20)
        *lines, text = text.split(b"\n")
        found += [report for line in lines for report in json.loads(line)]
    return found


def test_many_that_are_asked_for_at_once_each_start_once_and_end_as_they_do(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        launcher = started(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        manager.recv(100)
    count = 60
    asked = []
    for number in range(count):
        match number % 6:
            case 0:
                asked.append(spawn(number, ["/nowhere/to/be/found"]))
            case 1:
                asked.append(spawn(number, ["/bin/sh", "-c", "pwd; echo $N; exit $((N % 7))"], cwd="/usr", split=True))
            case 2:
                asked.append(spawn(number, ["/bin/sh", "-c", "nul\0byte"]))
            case _:
                script = f"echo $N >>{tmp_path}/seen; echo $N; echo err >&2; exit $((N % 7))"
                asked.append(spawn(number, ["/bin/sh", "-c", script], split=number % 2 == 0))
    asked.insert(count // 2, asked[3])  # asked for twice in one breath
    asked.append(asked[-1])
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(tmp_path / "run" / "socket"))
            client.sendall(json.dumps(asked).encode() + b"\n")
            reports = [report for report in ends(client, count) if report["told"] == "ended"]
        found = {report["id"]: report for report in reports}
        assert len(found) == count
        for number in range(count):
            end = found[f"run/n{number}/0"]
            if number % 6 in {0, 2}:
                assert (end["code"], bool(end["failure"]), end["missing"]) == (None, True, number % 6 == 0)
                continue
            assert (end["code"], end["failure"]) == (number % 7, "")
            if number % 6 == 1:
                assert end["result"] == f"/usr\n{number}"
            elif number % 2 == 0:
                assert (end["result"], end["printed"]) == (str(number), len(f"{number}\nerr\n"))
        seen = sorted(int(line) for line in (tmp_path / "seen").read_text().split())
        assert seen == [number for number in range(count) if number % 6 > 2]
        lines = [json.loads(line) for line in (tmp_path / "attempts" / "run" / "journal").read_text().splitlines()]
        told = [(line["told"], line["id"]) for line in lines if line["told"] != "begun"]
        assert len(told) == len(set(told))
    finally:
        launcher.terminate()
        assert launcher.wait(20) == 0


def test_a_launcher_that_is_told_to_end_while_it_starts_many_ends_them_all(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        launcher = started(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"))
        manager.recv(100)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(tmp_path / "run" / "socket"))
        client.sendall(json.dumps([spawn(number, ["/bin/sleep", "600"]) for number in range(60)]).encode() + b"\n")
        journal = tmp_path / "attempts" / "run" / "journal"
        while not journal.exists():
            time.sleep(0.001)
        launcher.terminate()
        assert launcher.wait(30) == 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    begun, ended = ({line["id"] for line in lines if line["told"] == told} for told in ("begun", "ended"))
    assert begun == ended
