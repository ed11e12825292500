"""Where log lines go: to systemd's journal with their fields, or as JSON or readable lines to a stream.

The rest of the program says `structlog.get_logger()` and binds what a line is about; nobody but `configure` knows the form. What
libraries report through the standard library's `logging` comes the same way, from warnings up: below that they may say secrets.
"""

import logging
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback

from tiphys.service import native

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, form: str, stream: TextIO, environ: Mapping[str, str], journal: Path = native.SOCKET) -> None:
    """Set the form of all log lines from now on; may be called again.

    `level`: debug, info, warning, error. `form`: json, console, or "": the journal's own fields where $JOURNAL_STREAM says that `stream`
    leads there (to the socket `journal`), console on a terminal, else json.
    """
    form = form or ("journal" if leads_to_journal(stream, environ) else "console" if stream.isatty() else "json")
    shared: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    factory: Any = structlog.WriteLoggerFactory(stream)
    processors: list[structlog.typing.Processor]
    match form:
        case "journal":
            factory = _JournalFactory(native.JournalWriter(journal, stream))
            processors = [*shared, structlog.processors.format_exc_info, _to_record]
        case "console":
            processors = [*shared, stamp, ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain_traceback)]
        case _:
            processors = [*shared, stamp, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=repr)]
    previous = structlog.get_config()["logger_factory"]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=False,  # a reload may change the form
    )
    if isinstance(previous, _JournalFactory):
        previous.writer.close()
    _adopt_libraries()


def leads_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the one that $JOURNAL_STREAM (device:inode, systemd.exec(5)) names: a redirected one is not."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


class _JournalLogger:
    """What structlog calls with a record; its level is in the record."""

    def __init__(self, writer: native.JournalWriter) -> None:
        self._writer = writer

    def msg(self, record: Mapping[str, bytes]) -> None:
        self._writer.write(record)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class _JournalFactory:
    def __init__(self, writer: native.JournalWriter) -> None:
        self.writer = writer

    def __call__(self, *_names: object) -> _JournalLogger:
        return _JournalLogger(self.writer)


def _to_record(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[dict[str, bytes]], dict[str, Any]]:
    return (native.record(event),), {}


class _LibraryHandler(logging.Handler):
    """Hands the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            bound = structlog.get_logger().bind(logger=record.name)
            bound.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 (as every handler: a log line must not end what it speaks of)
            self.handleError(record)


def _adopt_libraries() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryHandler())
    root.setLevel(logging.WARNING)
