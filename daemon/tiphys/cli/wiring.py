"""What `app` hands to the command line: the concrete parts that commands use through seams."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from tiphys.cli.port import OpenEngine
from tiphys.configuration import Configuration
from tiphys.errors import TiphysError
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding
from tiphys.spec.workflows import CronWorkflow

Supports = Callable[[Template], Sequence[Finding]]


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """The parts. `rejected` is what the engine raises for a manifest it will not run; its text is what to show. `ticks`: the moments of a
    cron workflow's schedules from one time to another, the last so many and one more, each also as its workflow's annotation has it.
    """

    environ: Mapping[str, str]
    home: Path
    root: bool
    load: Callable[[Path | None], Configuration]
    open_engine: Callable[[Configuration], OpenEngine]
    supports: Callable[[Configuration, str], Supports]
    rejected: Callable[[], type[TiphysError]]
    ticks: Callable[[CronWorkflow, datetime, datetime, int], Sequence[tuple[datetime, str]]]
    executors: Sequence[str] = ("process", "scripted")
