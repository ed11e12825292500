"""What systemd is told, read from the real end of a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from tiphys.service import notify
from tiphys.service.notify import Notifier


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + address[1:] if address.startswith("@") else address)
        end.settimeout(5)
        yield end


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@tiphys-test-{os.getpid()}"


def test_every_notice_has_the_words_that_systemd_documents(address):
    with manager(address) as end, Notifier.from_environment({"NOTIFY_SOCKET": address}) as notifier:
        notifier.ready()
        notifier.status("300 workflows,\n12 steps run")
        notifier.stopping()
        notifier.extend(2.5)
        notifier.watchdog()
        said = [end.recv(4096).decode() for _ in range(5)]
        assert said == ["READY=1", "STATUS=300 workflows, 12 steps run", "STOPPING=1", "EXTEND_TIMEOUT_USEC=2500000", "WATCHDOG=1"]


def test_a_reload_carries_the_time_of_the_monotonic_clock(address):
    with manager(address) as end, Notifier.from_environment({"NOTIFY_SOCKET": address}) as notifier:
        notifier.reloading()
        first, second = end.recv(4096).decode().split("\n")
        assert first == "RELOADING=1"
        assert second.startswith("MONOTONIC_USEC=")
        assert int(second.partition("=")[2]) > 0


def test_without_systemd_nothing_happens():
    with Notifier.from_environment({}) as notifier:
        notifier.ready()
        notifier.status("x")
        notifier.reloading()
        notifier.stopping()
        notifier.extend(1)
        notifier.watchdog()
        assert notifier.watchdog_seconds is None


def test_a_manager_that_is_gone_is_no_reason_to_fail(tmp_path):
    with Notifier.from_environment({"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as notifier:
        notifier.ready()
        notifier.watchdog()


def test_what_does_not_fit_goes_with_the_next_message(tmp_path):
    address = str(tmp_path / "notify")
    with manager(address) as end, Notifier.from_environment({"NOTIFY_SOCKET": address}) as notifier:
        for number in range(5000):  # nobody reads, so the kernel's queue is full at some point
            notifier.status(str(number))
        notifier.ready()
        end.settimeout(0)
        read = []
        try:
            while True:
                read.append(end.recv(1 << 20).decode())
        except BlockingIOError:
            pass
        assert not any("READY=1" in text for text in read)
        notifier.watchdog()
        assert end.recv(1 << 20).decode().endswith("READY=1\nWATCHDOG=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_waits_for_this_process(environ, seconds):
    with Notifier.from_environment(environ) as notifier:
        assert notifier.watchdog_seconds == seconds


async def test_pings_come_three_times_in_each_interval_from_the_loop(tmp_path):
    address = str(tmp_path / "notify")
    with manager(address) as end, Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "90000"}) as notifier:
        end.settimeout(0)
        with anyio.move_on_after(0.5):
            await notify.keep_alive(notifier)
        pings = 0
        try:
            while end.recv(100) == b"WATCHDOG=1":
                pings += 1
        except BlockingIOError:
            pass
        assert 4 <= pings <= 17


async def test_where_nobody_waits_keeping_alive_is_over_at_once():
    with anyio.fail_after(5), Notifier.from_environment({}) as notifier:
        await notify.keep_alive(notifier)


def test_children_do_not_speak_for_the_daemon():
    environ = {"PATH": "/bin", "NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    kept = dict(environ)
    assert Notifier.without(environ) == {"PATH": "/bin"}
    assert environ == kept
