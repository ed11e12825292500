"""`tiphysd`: the engine with everything around it that takes work in, in one exit stack, until somebody ends it."""

import functools
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import structlog
from msgspec import structs

import tiphys
from tiphys import app, configuration
from tiphys.cli.defaulting import over_defaults
from tiphys.configuration import Configuration
from tiphys.engine.engine import Engine, open_engine
from tiphys.engine.house import House
from tiphys.engine.outbox import Outbox
from tiphys.errors import InvalidSettings, StateRefused, TiphysError
from tiphys.executors.process.executor import ProcessExecutor
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.manifests import defaults
from tiphys.notices import checking
from tiphys.notices.senders import Senders
from tiphys.scheduler import decision
from tiphys.scheduler.items import Rules, Target
from tiphys.service import certificates, entrances, locations, memory, sockets, tokens, trust
from tiphys.service import logging as service_logging
from tiphys.service.notify import Notifier, keep_alive
from tiphys.service.turns import Turns, loop_over
from tiphys.settings import ServerSettings, Settings

if TYPE_CHECKING:
    import ssl

    from tiphys.server.guard import Guard

DROP = "drop"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TIDY_SECONDS = 60.0, 3600.0
STATUS_SECONDS = 10.0
DISK_SECONDS = 1.0
FIRST_SECONDS = 2.0
"""So long new work waits at most for the work of before to go on."""
ENTRANCES = ("tiphys.server.serving", "tiphys.triggers.cron", "tiphys.triggers.dropfolder")
SWITCH_SECONDS = 0.0005
"""How long a thread that imports keeps the loop from its turn: a tenth of the usual."""
RELOADED = frozenset(
    {"daemon", "server", "retention", "notifications", "semaphores", "workflow_defaults", "namespace", "transient_pattern"}
)
"""Parts of the settings that a reload puts into force; the others wait for a restart."""
FIXED = ("listen", "tokens_file", "insecure_loopback", "body_bytes")
"""Of the part `server`, those that wait all the same."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a daemon lives: its environment, and how its settings are read (again)."""

    environ: Mapping[str, str]
    home: Path
    root: bool
    explicit: Path | None = None

    def load(self) -> Configuration:
        """The settings as they are now. Raises InvalidSettings."""
        loaded = configuration.load(self.explicit, self.environ, self.home)
        wrong = checking.findings(loaded.settings.notifications)
        if wrong:
            raise InvalidSettings("\n".join(wrong))
        entrances.check(loaded.settings.server)
        return loaded

    def state(self, settings: Settings) -> Path:
        """The state directory."""
        return configuration.state_directory(settings, self.environ, self.home, root=self.root)

    def drop(self, settings: Settings) -> Path:
        """The drop folder."""
        return Path(settings.drop.directory).expanduser() if settings.drop.directory else self.state(settings) / DROP


def rules(settings: Settings) -> Rules:
    """What the settings say of all runs together."""
    daemon, retention = settings.daemon, settings.retention
    targets = (
        Target(name=name, phases=frozenset(entry.phases), namespaces=frozenset(entry.namespaces), selector=entry.selector)
        for name, entry in settings.notifications.items()
    )
    return Rules(
        parallelism=daemon.parallelism,
        namespace_parallelism=daemon.namespace_parallelism,
        namespaces=dict(daemon.namespaces),
        completed=retention.completed,
        failed=retention.failed,
        errored=retention.errored,
        archive=retention.archive,
        pod_gc_delay_seconds=retention.pod_gc_delay_seconds,
        targets=tuple(targets),
        transient_pattern=settings.transient_pattern,
    )


async def run(place: Place, loaded: Configuration, turns: Turns) -> None:
    """Be the daemon until SIGTERM or SIGINT. Raises a TiphysError that says why it cannot begin or go on."""
    with Notifier.from_environment(place.environ) as notifier, anyio.open_signal_receiver(*SIGNALS) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(keep_alive, notifier)
            async with AsyncExitStack() as stack:
                daemon = Daemon(place, loaded, notifier, turns)
                await daemon.open(stack)
                async with anyio.create_task_group() as serving:
                    serving.start_soon(daemon.serve)
                    await _until_ended(daemon, signals)
                    notifier.stopping()
                    notifier.status("stopping; steps that run go on")
                    serving.cancel_scope.cancel()
            group.cancel_scope.cancel()
    log.info("stopped")


async def _until_ended(daemon: "Daemon", signals: AsyncIterator[signal.Signals]) -> None:
    """Wait for a signal that ends the daemon; one that reloads its settings does that."""
    async for number in signals:
        if number == signal.SIGHUP:
            await daemon.reload()
        else:
            log.info("stopping", signal=signal.Signals(number).name)
            return


class Daemon:
    """One daemon: what it opened, and the tasks that keep it going."""

    def __init__(self, place: Place, loaded: Configuration, notifier: Notifier, turns: Turns) -> None:
        self._turns = turns
        self._place = place
        self._loaded = loaded
        self._notifier = notifier
        self._state = place.state(loaded.settings)
        self._free = (0.0, "")
        self._engine: Engine
        self._house: House
        self._server = loaded.settings.server
        self._tls: ssl.SSLContext | None = None
        self._guard: Guard | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        """Open everything, in the order in which it is needed."""
        settings = self._loaded.settings
        began = time.monotonic()
        self._notifier.extend(120)
        try:
            await anyio.to_thread.run_sync(lambda: self._state.mkdir(mode=0o700, parents=True, exist_ok=True))
        except OSError as error:
            place = f"{self._state}: cannot keep state here: {error.strerror}"
            raise StateRefused(f"{place}; name another place with the setting state_directory") from error
        journal = await stack.enter_async_context(SQLiteJournal(self._state / app.JOURNAL, settings.journal))
        self._sockets = await anyio.to_thread.run_sync(self._listen, stack)
        secrets = app.find_secrets(self._loaded, ())
        runtime = self._place.environ.get("TIPHYS_LAUNCHER_RUNTIME", "")
        made = await app.open_executors(
            stack,
            self._loaded,
            secrets,
            self._state,
            settings.executor,
            mode="service" if runtime else "daemon",
            runtime=Path(runtime) if runtime else None,
        )
        self._artifacts = made.artifacts
        hosts = {name: one for name, one in made.executors.items() if isinstance(one, ProcessExecutor)}
        self._printed = {name: one.printed for name, one in hosts.items()}
        self._timed = {name: one.timed for name, one in hosts.items()}
        self._senders = await stack.enter_async_context(Senders(settings.notifications, secrets, self._place.environ))
        self._notifier.status("reading what there is")
        self._notifier.extend(300)
        opened = time.monotonic()
        self._engine = await stack.enter_async_context(
            open_engine(journal, made.executors, app.room(settings), rules=rules(settings), collector=self._collect)
        )
        self._house = House(
            self._engine,
            app.chosen(settings, settings.executor),
            settings.namespace,
            made.folders,
            made.notices,
            defaults=defaults.read(settings.workflow_defaults, settings.limits),
            repositories=settings.artifacts.repositories,
            secrets=secrets,
        )
        self._house.refuses = self._refuses
        self._house.artifacts = self._artifacts
        self._house.when_definitions_change(lambda: secrets.keep(self._house.definitions()))
        secrets.keep(self._house.definitions())
        for notice in made.notices:
            log.warning("notice", text=notice)
        runs = self._house.runs()
        log.info(
            "state read",
            workflows=len(runs),
            unfinished=sum(not run.phase.completed for run in runs),
            opening_seconds=round(opened - began, 3),
            reading_seconds=round(time.monotonic() - opened, 3),
        )

    async def serve(self) -> None:
        """Take work in from everywhere, until cancelled. The work of before goes on meanwhile: what only serves new work is imported
        when that does.
        """
        with anyio.move_on_after(FIRST_SECONDS):
            await self._engine.recovered.wait()
        await anyio.to_thread.run_sync(_import_entrances)
        from tiphys.server import serving
        from tiphys.server.guard import Guard
        from tiphys.triggers.cron import CronTrigger
        from tiphys.triggers.dropfolder import DropFolder

        settings = self._loaded.settings
        self._guard = Guard(settings=self._server, tokens=self._tokens, tls=self._tls, groups=self._groups)
        folder = self._place.drop(settings)
        drop = DropFolder(
            self._house,
            folder,
            settings.drop,
            settings.limits,
            adjust=over_defaults(self._loaded),
            secrets=str(configuration.secrets_directory(self._loaded) or "the setting secrets_directory"),
        )
        cron = CronTrigger(self._house, settings.daemon.timezone)
        outbox = Outbox(self._engine, self._senders.send, self._patience)
        async with anyio.create_task_group() as group:
            answering = anyio.Event()
            group.start_soon(
                functools.partial(
                    serving.serve,
                    self._house,
                    self._sockets,
                    tiphys.__version__,
                    answering.set,
                    limits=settings.limits,
                    adjust=over_defaults(self._loaded),
                    next_run=cron.next_run,
                    guard=self._guard,
                    stalls=lambda: asdict(self._turns.stalls),
                    printed=self._printed,
                    timed=self._timed,
                )
            )
            await self._engine.recovered.wait()
            memory.settle()
            await answering.wait()
            await drop.prepare()
            group.start_soon(drop.run)
            group.start_soon(cron.run)
            group.start_soon(outbox.run)
            group.start_soon(self._tidy)
            group.start_soon(memory.kept_small)
            group.start_soon(self._tell_status)
            self._notifier.ready()
            self._turns.begin_anew()
            seconds = round(time.monotonic() - _process_began(), 3)
            log.info("ready", version=tiphys.__version__, state=str(self._state), drop=str(folder), seconds=seconds)

    async def reload(self) -> None:
        """Read the settings again (SIGHUP). A mistake in them leaves the present ones in force."""
        self._notifier.reloading()
        try:
            loaded = await anyio.to_thread.run_sync(self._place.load)
            below = defaults.read(loaded.settings.workflow_defaults, loaded.settings.limits)
        except InvalidSettings as error:
            log.error("settings not reloaded", reason=str(error))  # noqa: TRY400 - the text says it all
            self._notifier.ready()
            return
        old, new = self._loaded.settings, loaded.settings
        self._loaded = loaded
        await self._renew(new.server)
        self._engine.configure(rules(new))
        self._senders.configure(new.notifications)
        self._house.configure(app.chosen(new, new.executor), new.namespace, below)
        service_logging.configure(new.daemon.log_level, new.daemon.log_format, sys.stderr, self._place.environ)
        waiting = [name for name in new.__struct_fields__ if getattr(old, name) != getattr(new, name) and name not in RELOADED]
        waiting += [f"server.{name}" for name in FIXED if getattr(old.server, name) != getattr(new.server, name)]
        waiting += ["server.tls_certificate"] if bool(old.server.tls_certificate) != bool(new.server.tls_certificate) else []
        log.info("settings reloaded", waits_for_restart=waiting)
        self._notifier.ready()

    def _listen(self, stack: AsyncExitStack) -> list[socket.socket]:
        """Systemd's sockets, or one of our own, which goes with us; and those over TCP, once it is seen that they let no stranger in."""
        settings = self._loaded.settings
        found = sockets.listen_fds(self._place.environ)
        if not found:
            path = locations.socket_path(settings.daemon, self._place.environ, self._place.home, root=self._place.root)
            group = settings.daemon.socket_group
            found = [sockets.unix_listener(path, group)]
            if sockets.lacks_group(group):
                log.warning("the socket is its owner's alone", setting="daemon.socket_group", reason=f"there is no group {group!r}")
            stack.callback(path.unlink, missing_ok=True)
        for one in found:
            stack.callback(one.close)
        networked = entrances.listeners(settings.server.listen)
        for one in networked:
            stack.callback(one.close)
        self._tokens = tokens.Tokens(tokens.place(settings.server, self._state), lambda why: log.error("tokens", reason=why))
        entrances.judge([*found, *networked], settings.server, len(tokens.read(self._tokens.path)))
        server = settings.server
        self._tls = certificates.context(server.tls_certificate, server.tls_key) if server.tls_certificate else None
        self._groups = sockets.groups(found)
        for one in entrances.networked([*found, *networked]):
            log.info("listening", address=entrances.shown(one), tls=self._tls is not None)
        return [*found, *networked]

    async def _renew(self, settings: ServerSettings) -> None:
        """Go by other limits and a renewed certificate; where that is no good the one before stays."""
        self._server = structs.replace(settings, **{name: getattr(self._server, name) for name in FIXED})
        if self._guard is not None:
            self._guard.configure(self._server)
        if self._tls is None or not settings.tls_certificate:
            return
        try:
            await anyio.to_thread.run_sync(certificates.renew, self._tls, settings.tls_certificate, settings.tls_key)
        except InvalidSettings as error:
            log.error("certificate not renewed", reason=str(error))  # noqa: TRY400 - as above

    def _refuses(self) -> str:
        """Why no new work is taken now; looked at once a second at most."""
        at = time.monotonic()
        if at >= self._free[0]:
            least = self._loaded.settings.daemon.low_disk_bytes
            found = os.statvfs(self._state)
            free = found.f_bavail * found.f_frsize
            why = f"the disk of {self._state} has {free >> 20} MiB free, less than daemon.low_disk_bytes ({least >> 20} MiB)"
            if free < least and not self._free[1]:
                log.warning("no new work is taken", reason=why)
            self._free = at + DISK_SECONDS, why if free < least else ""
        return self._free[1]

    def _patience(self) -> dict[str, float]:
        return {name: entry.give_up_seconds for name, entry in self._loaded.settings.notifications.items()}

    async def _collect(self, namespace: str, command: decision.DeleteArtifacts) -> None:
        """Delete artifacts; all of them are tried. Raises a TiphysError that names those that stayed."""
        if self._artifacts is None:
            return
        wrong = []
        for artifact in command.artifacts:
            try:
                await self._artifacts.delete(artifact, namespace)
            except TiphysError as error:
                wrong.append(f"{artifact.name}: {error}")
        if wrong:
            raise TiphysError("; ".join(wrong))

    async def _tidy(self) -> None:
        """Now and then: drop what the archive keeps too long, and make the database smaller where much of it is free."""
        while True:
            retention = self._loaded.settings.retention
            before = datetime.now(UTC).timestamp() - retention.archive_seconds if retention.archive_seconds else 0.0
            busy = any(not run.phase.completed for run in self._house.runs())
            await self._engine.journal.tidy(before, 2.0 if busy else retention.vacuum_free_share)
            await anyio.sleep(tidy_seconds(retention.archive_seconds))

    async def _tell_status(self) -> None:
        """One line for `systemctl status`."""
        last = ""
        told = 0
        while True:
            runs = self._house.runs()
            stalls = self._turns.stalls
            if stalls.count > told:
                told = stalls.count
                longest, ours = round(stalls.longest_seconds, 3), round(stalls.longest_own_seconds, 3)
                told_of = {"times": stalls.count, "by_us": stalls.own, "longest_seconds": longest, "longest_by_us_seconds": ours}
                log.info("the event loop was held up", **told_of)
            going = sum(not run.phase.completed for run in runs)
            text = f"{going} of {len(runs)} workflows going on" + (f"; {self._free[1]}" if self._refuses() else "")
            if text != last:
                self._notifier.status(text)
                last = text
            await anyio.sleep(STATUS_SECONDS)


def _import_entrances() -> None:
    """What new work comes in by takes longer to import than the work of before to be read: it is done on a thread, which gives way."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with trust.read_later():
            for name in ENTRANCES:
                importlib.import_module(name)
    finally:
        sys.setswitchinterval(usual)


def tidy_seconds(archive_seconds: int) -> float:
    """How often old records are dropped: so that they stay a tenth longer than asked for, within reason."""
    least, most = TIDY_SECONDS
    return min(max(archive_seconds / 10, least), most) if archive_seconds else most


def _process_began() -> float:
    """When this process started, on the monotonic clock."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def main(explicit: Path | None, environ: Mapping[str, str]) -> int:
    """The daemon, as a command; its exit code. Raises InvalidSettings and StateRefused."""
    here = place(explicit, environ)
    memory.share_one_heap()
    gc.disable()  # until everything is read: nothing of that is garbage, and looking for some takes a tenth of the start
    loaded = here.load()
    settings = loaded.settings.daemon
    service_logging.configure(settings.log_level, settings.log_format, sys.stderr, environ)
    turns = Turns()
    anyio.run(run, here, loaded, turns, backend_options={"loop_factory": functools.partial(loop_over, turns)})
    return 0


def place(explicit: Path | None, environ: Mapping[str, str]) -> Place:
    """Where this process' daemon lives."""
    return Place(environ=environ, home=Path.home(), root=os.geteuid() == 0, explicit=explicit)
