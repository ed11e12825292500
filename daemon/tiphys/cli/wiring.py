"""What `app` hands to the command line: the concrete parts that commands use through seams."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tiphys.cli.port import OpenEngine
from tiphys.configuration import Configuration
from tiphys.errors import TiphysError
from tiphys.spec.templates import Template
from tiphys.spec.work import Finding
from tiphys.spec.workflows import CronWorkflow

Supports = Callable[[Template], Sequence[Finding]]


@dataclass(frozen=True, kw_only=True)
class Wiring:
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
    executors: Sequence[str] = field(default=("process", "scripted"))
