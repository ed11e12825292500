"""Wires concrete things together; both console scripts come through here. Heavy parts are imported when they are needed."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from tiphys import configuration
from tiphys.cli.errors import BadInput
from tiphys.errors import InvalidSettings, TiphysError
from tiphys.settings import Settings
from tiphys.spec.templates import Template
from tiphys.spec.work import Executor, Finding
from tiphys.spec.workflows import CronWorkflow, Document

if TYPE_CHECKING:
    from tiphys.artifacts.store import Artifacts
    from tiphys.cli.port import OpenEngine
    from tiphys.cli.wiring import Wiring
    from tiphys.engine.operations import Folders, Operations
    from tiphys.scheduler.records import Settled
    from tiphys.secrets import Secrets

JOURNAL = "journal.db"
ATTEMPTS = "attempts"
ARTIFACTS = "artifacts"
PER_CORE = 4
EXECUTORS = ("process", "scripted")


def main(arguments: Sequence[str]) -> int:
    """The `tiphys` command; the exit code."""
    from tiphys.cli import commands

    return commands.main(arguments, wiring)


def wiring() -> "Wiring":
    """The concrete parts that commands use."""
    from tiphys.cli.wiring import Wiring

    return Wiring(
        environ=os.environ,
        home=Path.home(),
        root=os.geteuid() == 0,
        load=lambda explicit: configuration.load(explicit, os.environ, Path.home()),
        open_engine=_opener,
        supports=_supports,
        rejected=_rejected,
        ticks=_ticks,
    )


def _ticks(cron: CronWorkflow, start: datetime, end: datetime, most: int) -> Sequence[tuple[datetime, str]]:
    from tiphys.triggers import schedules

    found: dict[datetime, str] = {}
    try:
        for text in (*cron.spec.schedules, *((cron.spec.schedule,) if cron.spec.schedule else ())):
            schedule = schedules.parse(text, cron.spec.timezone)
            moments = schedule.between(start - timedelta(seconds=1), end, most + 1)
            found.update((at, schedules.scheduled_time(at, schedule.zone)) for at in moments)
    except schedules.ScheduleError as error:
        raise BadInput(str(error)) from error
    return sorted(found.items())


def _rejected() -> type[TiphysError]:
    from tiphys.engine.operations import Rejected

    return Rejected


def _opener(loaded: configuration.Configuration) -> "OpenEngine":
    @asynccontextmanager
    async def open_engine(*, state: Path, executor: str, documents: Sequence[Document]) -> AsyncIterator["Operations"]:
        async with foreground(loaded, state, executor, documents) as operations:
            yield operations

    return open_engine


@asynccontextmanager
async def foreground(
    loaded: configuration.Configuration, state: Path, executor: str, documents: Sequence[Document]
) -> AsyncIterator["Operations"]:
    """The engine of `tiphys run`: its own state directory, its own launcher, which stops its steps when the run's process is gone."""
    launcher = 0
    if executor == "process":  # it starts while the rest is imported
        import anyio.to_thread

        from tiphys.executors.process import connection

        launcher = await anyio.to_thread.run_sync(connection.start_early, state / ATTEMPTS)
    from tiphys.engine.engine import open_engine
    from tiphys.engine.operations import Operations
    from tiphys.journal.sqlite import SQLiteJournal
    from tiphys.manifests import defaults
    from tiphys.scheduler.items import Rules

    settings = loaded.settings
    async with AsyncExitStack() as stack:
        kept = structs.replace(settings.journal, synchronous=settings.journal.synchronous or "normal")
        journal = await stack.enter_async_context(SQLiteJournal(state / JOURNAL, kept))
        secrets = find_secrets(loaded, documents)
        made = await open_executors(stack, loaded, secrets, state, executor, launcher=launcher)
        rules = Rules(cleans=False, transient_pattern=settings.transient_pattern)
        engine = await stack.enter_async_context(open_engine(journal, made.executors, room(settings), rules=rules))
        yield Operations(
            engine,
            chosen(settings, executor),
            settings.namespace,
            made.folders,
            made.notices,
            defaults=defaults.read(settings.workflow_defaults, settings.limits),
            repositories=settings.artifacts.repositories,
            secrets=secrets,
        )


def room(settings: Settings) -> dict[str, int]:
    """How many attempts each executor runs at once."""
    return {"process": settings.process.parallelism or PER_CORE * (os.cpu_count() or 1), "http": settings.http.parallelism}


def chosen(settings: Settings, executor: str) -> "Settled":
    """What the settings say of a run that begins now."""
    from tiphys.scheduler.records import Settled

    return Settled(
        executor=executor,
        key_format=settings.artifacts.key_format,
        grace_seconds=settings.process.grace_seconds,
        archive_logs=settings.artifacts.archive_logs,
        semaphores=dict(settings.semaphores),
    )


class Executors(msgspec.Struct, frozen=True):
    """The executors by name, those that keep folders people may look into, and what to tell people; `artifacts` where there are any."""

    executors: dict[str, Executor]
    folders: "dict[str, Folders]"
    notices: list[str]
    artifacts: "Artifacts | None" = None


def find_secrets(loaded: configuration.Configuration, documents: Sequence[Document]) -> "Secrets":
    """Where Secrets are found: in these documents, the secrets directory, systemd's credentials."""
    from tiphys.secrets import Secrets

    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return Secrets(documents, directory=configuration.secrets_directory(loaded), credentials=Path(credentials) if credentials else None)


async def open_executors(
    stack: AsyncExitStack,
    loaded: configuration.Configuration,
    secrets: "Secrets",
    state: Path,
    wanted: str,
    *,
    mode: str = "run",
    runtime: Path | None = None,
    launcher: int = 0,
) -> Executors:
    """The executors, which the stack closes. `mode` and `runtime`: whose the launcher of steps is, and where it is reached; `launcher`:
    the pid of one that was started already.
    """
    from tiphys.artifacts.store import Artifacts
    from tiphys.executors.http import HTTPExecutor

    settings = loaded.settings
    if wanted == "scripted":
        from tiphys.executors.scripted import ScriptedExecutor

        return Executors({"scripted": ScriptedExecutor()}, {}, ["rehearsal: nothing is run, every step is taken to succeed"])
    if wanted != "process":
        raise _no_executor(wanted)
    from tiphys.executors.listing import ListingExecutor
    from tiphys.executors.plugin import PluginExecutor
    from tiphys.executors.process.executor import open_process

    artifacts = await stack.enter_async_context(Artifacts(settings.artifacts, state / ARTIFACTS, secrets, durable=mode != "run"))
    hidden = [state]
    folder = configuration.secrets_directory(loaded)
    if folder is not None:
        hidden.append(folder)
    process = await stack.enter_async_context(
        open_process(
            settings.process,
            images=settings.images,
            secrets=secrets,
            artifacts=artifacts,
            root=state / ATTEMPTS,
            mode=mode,
            runtime=runtime,
            hidden=hidden,
            visible=[Path.home()] if mode == "run" else (),
            launcher=launcher,
        )
    )
    http = await stack.enter_async_context(HTTPExecutor(settings.http, secrets, environment=dict(os.environ)))
    plugin = await stack.enter_async_context(PluginExecutor(settings.plugins))
    made: dict[str, Executor] = {"process": process, "http": http, "data": ListingExecutor(artifacts), "plugin": plugin}
    return Executors(made, {"process": process}, list(process.notices), artifacts)


def _no_executor(name: str) -> InvalidSettings:
    return InvalidSettings(f"there is no executor {name!r}; there are {' and '.join(EXECUTORS)}")


def _supports(loaded: configuration.Configuration, executor: str) -> Callable[[Template], Sequence[Finding]]:
    """What an executor says of a template, asked without opening it. Raises InvalidSettings."""
    if executor not in EXECUTORS:
        raise _no_executor(executor)
    return lambda template: static_findings(loaded.settings, executor, template)


def static_findings(settings: Settings, executor: str, template: Template) -> Sequence[Finding]:
    """What the executor that would run a template says of it."""
    from tiphys.executors import listing, plugin
    from tiphys.executors.http.executor import findings as http_findings
    from tiphys.executors.process import findings
    from tiphys.spec.templates import kind

    match kind(template):
        case "steps" | "dag" | "suspend" | "":
            return ()
        case "http":
            return list(http_findings(template))
        case "data":
            return listing.findings(template)
        case "plugin":
            return plugin.findings(template, settings.plugins)
    if executor != "process":
        return ()
    return findings.findings(
        template, settings.images, isolated=settings.process.isolation != "none", limits_work=True, uid=os.geteuid(), gid=os.getegid()
    )
