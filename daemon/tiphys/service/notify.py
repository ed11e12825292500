"""Tells systemd how the daemon is: ready, busy, reloading, alive. sd_notify(3)'s protocol is one datagram, so there is no library.

Without $NOTIFY_SOCKET every call does nothing, so nobody has to ask whether there is a systemd.
"""

import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import anyio
import structlog

SERVICE_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What systemd says to the daemon alone."""
MICROSECONDS = 1_000_000
PINGS = 3  # in each watchdog interval

log = structlog.get_logger()


class Notifier:
    """The way to the service manager. Its socket stays open: pings must go out even when no file can be opened any more."""

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        """Within so many seconds the next ping must come; None: nobody waits for one."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = _datagram_socket() if address else None
        self._unsent: list[str] = []
        self._complained = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """What $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID say. Addresses other than a path or an abstract socket are not used."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls(address if address[:1] in {"/", "@"} else "", _watchdog_seconds(environ))

    @staticmethod
    def without(environ: Mapping[str, str]) -> dict[str, str]:
        """The environment for children, which must not speak for the daemon."""
        return {name: value for name, value in environ.items() if name not in SERVICE_VARIABLES}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """The daemon takes work; also the end of a reload."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def reloading(self) -> None:
        """The settings are being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes longer: do not lose patience for another `seconds`."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * MICROSECONDS)}")

    def watchdog(self) -> None:
        """The daemon is alive."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        """Never waits and never fails: what does not fit into the socket's buffer goes with the next message."""
        if self._socket is None:
            return
        if text not in self._unsent:
            self._unsent.append(text)
        try:
            self._socket.sendto("\n".join(self._unsent).encode(errors="replace"), self._address)
        except BlockingIOError:
            return
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("systemd cannot be told", address=self._address, reason=error.strerror)
        self._unsent.clear()


async def keep_alive(notifier: Notifier) -> None:
    """Ping the watchdog from the event loop, for ever, three times in each interval; returns at once where nobody waits for it."""
    if notifier.watchdog_seconds is None:
        return
    while True:
        notifier.watchdog()
        await anyio.sleep(notifier.watchdog_seconds / PINGS)


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    return made


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (microseconds.isdecimal() and int(microseconds)) or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / MICROSECONDS
