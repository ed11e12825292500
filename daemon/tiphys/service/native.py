"""systemd's journal, spoken to in its own protocol, so that `journalctl TIPHYS_WORKFLOW=...` finds what a line is about.

A record is one datagram of fields; one that is too large goes as a sealed file in memory. What the journal does not take, for whatever
reason, goes to standard error with a `<priority>` that systemd understands: a line is never lost here, and nobody waits.
"""

import errno
import fcntl
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = b"tiphysd"
PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}  # syslog(3)
LONGEST_NAME = 64
BUFFER_BYTES = 8 * 1024 * 1024
NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]")
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

Fields = Mapping[str, object]


def field_name(key: str) -> str:
    """The journal's name for a bound key: capitals, digits and underscores, behind our own prefix."""
    return ("TIPHYS_" + NOT_IN_NAMES.sub("_", key.upper()))[:LONGEST_NAME]


def encode(fields: Mapping[str, bytes]) -> bytes:
    """Fields in the journal's export format: a value of several lines has its length in front, so it may be any bytes."""
    parts = []
    for name, value in fields.items():
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


def record(bound: Fields) -> dict[str, bytes]:
    """A log call's words as the journal's fields. MESSAGE reads well by itself, for it is all that `journalctl` shows at first."""
    rest = {key: value for key, value in bound.items() if key not in {"event", "level"}}
    event = _bytes(bound.get("event", ""))
    pairs = [key.encode() + b"=" + _bytes(value) for key, value in rest.items() if key != "exception"]
    message = b" ".join([event, *pairs])
    if "exception" in rest:
        message += b"\n" + _bytes(rest["exception"])
    priority = PRIORITIES.get(str(bound.get("level")), PRIORITIES["info"])
    fields = {"MESSAGE": message, "PRIORITY": b"%d" % priority, "SYSLOG_IDENTIFIER": IDENTIFIER, "TIPHYS_EVENT": event}
    return fields | {field_name(key): _bytes(value) for key, value in rest.items()}


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=repr) if isinstance(value, dict | list | tuple) else str(value)
    try:
        return text.encode(errors="surrogateescape")  # texts that were not UTF-8 come out as they came in
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")


class JournalWriter:
    """Sends records to the journal's socket at `path`, else to `stream`. Made for many threads."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = str(path)
        self._stream = stream
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def write(self, fields: Mapping[str, bytes]) -> None:
        """Send one record; never waits for the journal and never fails."""
        data = encode(fields)
        try:
            try:
                self._socket.sendto(data, self._path)
            except OSError as error:
                if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                    raise
                self._send_file(data)
        except OSError:
            self._write_lines(fields)

    def _send_file(self, data: bytes) -> None:
        file = os.memfd_create("journal-record", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file))], 0, self._path)
        finally:
            os.close(file)

    def _write_lines(self, fields: Mapping[str, bytes]) -> None:
        prefix = f"<{fields['PRIORITY'].decode()}>"
        lines = fields["MESSAGE"].decode(errors="backslashreplace").splitlines() or [""]
        with self._lock:
            self._stream.write("".join(f"{prefix}{line}\n" for line in lines))
            self._stream.flush()
