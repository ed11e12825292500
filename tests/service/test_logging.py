"""Log lines as their readers get them: a real datagram socket in place of the journal's, real streams."""

import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tiphys.service import logging as logs
from tiphys.service import native


class Journal:
    """The reading end of a journal's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(5)

    def next(self) -> dict[str, bytes]:
        """The next record's fields."""
        data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
        for fd in fds:
            data = os.pread(fd, os.fstat(fd).st_size, 0)
            os.close(fd)
        return parsed(data)


def parsed(data: bytes) -> dict[str, bytes]:
    """A reader of the journal's export format, written from its description."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[9 + size :]
        fields[name.decode()] = value
    return fields


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Nobody else's log lines come out differently."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    factory = structlog.get_config()["logger_factory"]
    if isinstance(factory, logs._JournalFactory):
        factory.writer.close()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.socket.close()


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[io.TextIOWrapper]:
    with (tmp_path / "stderr").open("w+", encoding="utf-8") as file:
        yield file


def environment(stream: io.TextIOWrapper) -> dict[str, str]:
    """As systemd sets it for a process whose standard error is `stream`."""
    found = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}


def written(stream: io.TextIOWrapper) -> list[str]:
    stream.flush()
    return Path(stream.name).read_text(encoding="utf-8").splitlines()


def test_the_journal_gets_every_bound_key_as_a_field(journal, stream):
    logs.configure("info", "", stream, environment(stream), journal.path)
    structlog.contextvars.bind_contextvars(workflow="hello-1")
    structlog.get_logger().bind(node="hello-1[0].a").warning("step lost", attempt=2, **{"odd key!": "x"})
    assert journal.next() == {
        "MESSAGE": b"step lost node=hello-1[0].a attempt=2 odd key!=x workflow=hello-1",
        "PRIORITY": b"4",
        "SYSLOG_IDENTIFIER": b"tiphysd",
        "TIPHYS_EVENT": b"step lost",
        "TIPHYS_WORKFLOW": b"hello-1",
        "TIPHYS_NODE": b"hello-1[0].a",
        "TIPHYS_ATTEMPT": b"2",
        "TIPHYS_ODD_KEY_": b"x",
    }
    assert written(stream) == []


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [
        ("two\nlines", b"two\nlines"),
        ("\n", b"\n"),
        ("", b""),
        ("=", b"="),
        ("A=1\nPRIORITY=0\n", b"A=1\nPRIORITY=0\n"),
        ("\udcff\n\udc80", b"\xff\n\x80"),
        ("\ud800", rb"\ud800"),
        ("🚢", "🚢".encode()),
        (b"\0\n\xff", b"\0\n\xff"),
        ({"a": [1, None]}, b'{"a": [1, null]}'),
    ],
)
def test_any_value_arrives_as_it_was_and_forges_no_field(journal, stream, value, bytes_):
    logs.configure("info", "", stream, environment(stream), journal.path)
    structlog.get_logger().info("said", what=value)
    found = journal.next()
    assert found["TIPHYS_WHAT"] == bytes_
    assert found["PRIORITY"] == b"6"
    assert set(found) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "TIPHYS_EVENT", "TIPHYS_WHAT"}


def test_each_level_has_its_priority_and_lower_ones_are_left_out(journal, stream):
    logs.configure("debug", "", stream, environment(stream), journal.path)
    log = structlog.get_logger()
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("x")
    assert [journal.next()["PRIORITY"] for _ in range(5)] == [b"7", b"6", b"4", b"3", b"2"]
    logs.configure("error", "", stream, environment(stream), journal.path)
    log.warning("left out")
    log.error("kept")
    assert journal.next()["MESSAGE"] == b"kept"


def test_an_exception_comes_with_its_traceback(journal, stream):
    logs.configure("info", "", stream, environment(stream), journal.path)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("attempt failed", node="n")
    found = journal.next()
    assert found["PRIORITY"] == b"3"
    assert found["MESSAGE"].startswith(b"attempt failed node=n\nTraceback")
    assert found["TIPHYS_EXCEPTION"].endswith(b"ZeroDivisionError: division by zero")


def test_a_record_larger_than_a_datagram_arrives_whole(journal, stream):
    logs.configure("info", "", stream, environment(stream), journal.path)
    text = "x" * 20_000_000
    structlog.get_logger().info("large", text=text)
    assert journal.next()["TIPHYS_TEXT"] == text.encode()


def test_without_a_journal_lines_go_to_the_stream_with_their_priority(stream, tmp_path):
    logs.configure("info", "", stream, environment(stream), tmp_path / "no-journal")
    structlog.get_logger().error("first\nsecond", node="n")
    assert written(stream) == ["<3>first", "<3>second node=n"]


def test_a_journal_that_does_not_read_keeps_nobody_waiting(journal, stream):
    logs.configure("info", "", stream, environment(stream), journal.path)
    log = structlog.get_logger()
    for number in range(5000):
        log.info("line", number=number)
    lines = written(stream)
    assert lines[-1] == "<6>line number=4999"
    assert journal.next()["MESSAGE"] == b"line number=0"


def test_a_redirected_stderr_gets_json_even_under_systemd(stream, tmp_path, journal):
    other = {"JOURNAL_STREAM": "1:2"}
    logs.configure("info", "", stream, other, journal.path)
    structlog.get_logger().info("said", node="n", where=Path("/x"))
    (line,) = map(json.loads, written(stream))
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "said", "level": "info", "node": "n", "where": "PosixPath('/x')"}


def test_the_form_that_is_asked_for_wins(stream, journal):
    logs.configure("info", "json", stream, environment(stream), journal.path)
    structlog.get_logger().info("said")
    assert json.loads(written(stream)[0])["event"] == "said"
    logs.configure("info", "console", stream, environment(stream), journal.path)
    structlog.get_logger().info("said again", node="n")
    assert "said again" in written(stream)[1]
    assert "node=n" in written(stream)[1]


def test_a_logger_made_early_takes_the_new_form(stream):
    log = structlog.get_logger()
    logs.configure("info", "json", stream, {})
    log.info("one")
    logs.configure("warning", "json", stream, {})
    log.info("two")
    log.warning("three")
    assert [json.loads(line)["event"] for line in written(stream)] == ["one", "three"]


def test_libraries_warnings_come_the_same_way_and_once(stream):
    for _ in range(3):
        logs.configure("info", "json", stream, {})
    logging.getLogger("aiohttp.server").warning("bad %s", "request")
    logging.getLogger("botocore.auth").debug("a secret")
    logging.getLogger("botocore.auth").info("another")
    (line,) = map(json.loads, written(stream))
    assert (line["event"], line["level"], line["logger"]) == ("bad request", "warning", "aiohttp.server")


def test_a_librarys_exception_comes_with_its_traceback(stream):
    logs.configure("info", "json", stream, {})
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("asyncio").exception("unhandled")
    (line,) = map(json.loads, written(stream))
    assert "ZeroDivisionError" in line["exception"]


def test_field_names_are_ones_that_the_journal_takes():
    assert native.field_name("workflow") == "TIPHYS_WORKFLOW"
    assert native.field_name("größe 1") == "TIPHYS_GR_SSE_1"
    assert len(native.field_name("x" * 100)) == 64


def test_where_nobody_configured_log_lines_only_grave_ones_come_and_none_of_them_on_stdout():
    code = "from tiphys.voice import Voice; log = Voice(); log.debug('small', a=1); log.warning('grave', a=2)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == ""
    assert "grave" in said.stderr
    assert "small" not in said.stderr
