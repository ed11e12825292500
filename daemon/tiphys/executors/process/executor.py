"""The process executor: an attempt is a process of this host, started and watched by the launcher.

The event loop never forks, never waits for a process and never copies output: it composes a command, hands it to the launcher, and
gets a record when the step has ended. Everything about an attempt is found again by its order's id.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from tiphys.artifacts.store import Artifacts
from tiphys.executors import staging
from tiphys.executors.process import command, findings, isolation, logs, opening, outcomes, places
from tiphys.executors.process.command import CommandError, Environment
from tiphys.executors.process.isolation import Fence, Plan, User
from tiphys.executors.process.link import Link
from tiphys.executors.process.places import Directories
from tiphys.secrets import Secrets
from tiphys.settings import ImageEntry, ProcessSettings
from tiphys.spec.containers import Container
from tiphys.spec.templates import Template
from tiphys.spec.work import Command, Finding, Handle, Outcome, OutcomeKind, WorkOrder

NAME = "process"
PER_CORE = 4


class ProcessExecutor:
    """Runs WorkOrders as host processes. Made by `open_process`."""

    name = NAME

    def __init__(
        self,
        settings: ProcessSettings,
        images: Mapping[str, ImageEntry],
        secrets: Secrets,
        artifacts: Artifacts,
        link: Link,
        fence: Fence | None,
        user: User,
        notices: Sequence[str],
    ) -> None:
        self._settings = settings
        self._images = images
        self._artifacts = artifacts
        self._link = link
        self._fence = fence
        self._user = user
        self._directories: Directories = link.directories
        self._environment = Environment(opening.base_environment(settings, link.directories, fence, user), secrets)
        self._slots = anyio.CapacityLimiter(settings.parallelism or PER_CORE * len(os.sched_getaffinity(0)))
        self._plans: dict[str, Plan] = {}
        self._early: dict[str, Outcome] = {}
        self.notices = tuple(notices)
        """What a person should know about how steps run here."""

    async def launch(self, order: WorkOrder) -> Handle:
        """Start the attempt, or find it started. Waits for one of the machine's slots."""
        handle = self._handle(order.id)
        if order.id in self._early or order.id in self._plans:
            return handle
        if not isinstance(order.work, Command):
            self._early[order.id] = outcomes.error("the process executor runs container and script templates only")
            return handle
        await self._slots.acquire_on_behalf_of(order.id)
        self._link.when_ended(order.id, self._release)
        try:
            early = await self._start(order, order.work)
        except BaseException:
            self._release(order.id)
            raise
        if early is not None:
            self._early[order.id] = early
            self._release(order.id)
        return handle

    async def _start(self, order: WorkOrder, work: Command) -> Outcome | None:
        """Stage in and spawn; an Outcome where it did not come to that."""
        if order.deadline is not None and order.deadline <= datetime.now(UTC):
            return outcomes.failed(outcomes.reached_deadline(order))
        try:
            words = command.words(work.container, self._images)
            plan, request = await self._prepared(order, work, words)
        except CommandError as error:
            return outcomes.error(str(error))
        if plan is None:
            return self._not_found(work.container, words[0])
        try:
            if order.inputs:
                await self._make(plan)
                await staging.stage_in(order, plan.view, self._artifacts)
        except staging.StagingError as error:
            return outcomes.error(str(error), transient=error.transient)
        except OSError as error:
            return outcomes.error(f"inputs cannot be brought in: {error}")
        self._plans[order.id] = plan
        await self._link.spawn(request)
        return None

    async def _prepared(self, order: WorkOrder, work: Command, words: Sequence[str]) -> tuple[Plan | None, dict[str, Any]]:
        """The attempt's place and the launcher's request. No place: without isolation the command is looked for first, and is not there."""
        plan = await self._plan(order, work)
        prepare = list(plan.prepare)
        if work.source:
            script = isolation.SCRIPT if plan.view.private else f"{self._directories.folder(order.id)}/script"
            words = [*words, script]
            prepare += self._script_entries(plan, script, work.source)
        line = await self._environment.line(order, work.container, words)
        argv, env, hidden = line.argv, line.env, []
        if not plan.view.private:
            env["HOME"] = env.get("HOME") or f"{self._directories.scratch}/{places.scratch_key(order.id)}.home"
            program = await anyio.to_thread.run_sync(
                command.find_program, argv[0], env.get("PATH", os.defpath), plan.view.working_directory
            )
            if program is None:
                return None, {}
            argv = [*self._user.prefix(), program, *argv[1:]]
            if self._user.other and any(map(command.endangers_loader, env)):
                raise CommandError("variables of the program loader (LD_…) cannot be given to another user's steps without isolation")
        else:
            argv = [*self._user.prefix(), *argv]
            for name in [name for name in env if command.endangers_loader(name)]:
                hidden += ["--setenv", name, env.pop(name)]
        where = places.place(order.id)
        request: dict[str, Any] = {
            "op": "spawn",
            "id": order.id,
            "key": places.scratch_key(order.id),
            "group": where.group,
            "argv": argv,
            "env": env,
            "prepare": prepare,
            "split": order.wanted.result,
            "log_limit": self._settings.log_limit_bytes,
            "grace": order.grace_seconds,
            **plan.request,
        }
        if hidden:
            request["hidden_arguments"] = hidden
        if order.deadline is not None:
            request["deadline"] = order.deadline.timestamp()
        if self._user.owner:
            request["owner"] = self._user.owner
        limits = findings.limits(work.container.resources)
        if limits and not self._link.cgroup_error:
            request["limits"] = limits
        return plan, request

    def _script_entries(self, plan: Plan, script: str, source: str) -> list[isolation.Entry]:
        if plan.view.private:
            return [*plan.view.folders(isolation.STAGING), ("file", plan.view.private + script, 0o755, source)]
        return [("tree", str(Path(script).parent)), ("file", script, 0o755, source)]

    async def _plan(self, order: WorkOrder, work: Command) -> Plan:
        folder = str(self._directories.folder(order.id))
        working_directory = work.container.working_dir or "/"
        if not working_directory.startswith("/"):
            working_directory = "/" + working_directory
        if self._fence is None:
            home = f"{self._directories.scratch}/{places.scratch_key(order.id)}.home"
            return isolation.plain_plan(folder, working_directory, self._user, home)
        declared = declared_paths(order)
        return await anyio.to_thread.run_sync(self._fence.plan, folder, working_directory, declared)

    async def _make(self, plan: Plan) -> None:
        error = await self._link.prepare(plan.prepare)
        if error:
            raise OSError(error)

    def _not_found(self, container: Container, program: str) -> Outcome:
        message = outcomes.not_on_host(container.name or "main", program, container.image, "command not found")
        return outcomes.failed(message, outcomes.NOT_STARTED)

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:  # noqa: ARG002 (the id is the handle)
        """Find the attempt again; it takes a slot if it still runs, however many are taken."""
        if order.id in self._early or order.id in self._plans:
            return self._handle(order.id)
        if not isinstance(order.work, Command) or not await self._link.find(order.id):
            return None
        self._plans[order.id] = await self._plan(order, order.work)
        return self._handle(order.id)

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:  # noqa: ARG002 (the id is the handle)
        """Wait for the end, then collect what the order wants."""
        if early := self._early.get(order.id):
            return early
        record = await self._link.ended(order.id)
        if record is None or not isinstance(order.work, Command):
            return Outcome(kind=OutcomeKind.INTERRUPTED, message=f"{outcomes.INTERRUPTED}: the attempt cannot be found")
        container = order.work.container
        words = command.words(container, self._images)
        end = outcomes.main_outcome(order, record, container.name or "main", words[0], container.image)
        plan = self._plans.get(order.id) or await self._plan(order, order.work)
        log = await logs.keep(self._directories, order.id, record, wanted=order.wanted.logs is not None)
        problem, transient = "", False
        try:
            staged = (
                await staging.stage_out(order, plan.leavings, self._artifacts, None, log) if wants_files(order) else staging.StagedOut()
            )
        except staging.StagingError as error:
            staged, problem, transient = error.staged, str(error), error.transient
        if order.wanted.result and "result" in record:
            staged = msgspec.structs.replace(staged, result=record["result"])
        return outcomes.outcome(record, end, staged, problem, transient=transient)

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """SIGTERM, the grace, SIGKILL."""
        self._link.stop(order_id_of(handle), grace_seconds)

    def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What the attempt printed, in order."""
        return logs.read(self._link, order_id_of(handle), follow=follow)

    async def remove(self, order_id: str) -> None:
        """Forget a finished attempt, and delete its folder and log."""
        self._plans.pop(order_id, None)
        self._early.pop(order_id, None)
        self._link.forget(order_id)
        await anyio.to_thread.run_sync(_delete, self._directories.folder(order_id))
        await anyio.to_thread.run_sync(_delete, self._directories.kept_log(order_id))

    async def remove_run(self, workflow_uid: str) -> None:
        """Delete all that the attempts of a run left, their logs included; none of them runs any more."""
        prefix = f"{workflow_uid}/"
        for order_id in [*self._plans, *self._early]:
            if order_id.startswith(prefix):
                await self.remove(order_id)
        await anyio.to_thread.run_sync(_delete, self._directories.group(prefix))

    def supports(self, template: Template) -> Sequence[Finding]:
        """What this executor cannot do of a template, and what it need not."""
        return findings.findings(
            template,
            self._images,
            isolated=self._fence is not None,
            limits_work=not self._link.cgroup_error,
            uid=self._user.uid,
            gid=self._user.gid,
        )

    def folder(self, order_id: str) -> Path:
        """Where the attempt's own files are, if it has any: for a person to look into."""
        return self._directories.folder(order_id)

    def _release(self, order_id: str) -> None:
        try:
            self._slots.release_on_behalf_of(order_id)
        except RuntimeError:
            return  # an adopted attempt holds no slot

    def _handle(self, order_id: str) -> Handle:
        return Handle(executor=NAME, text=order_id, host=self._link.boot)


def order_id_of(handle: Handle) -> str:
    """The id of the order a handle stands for."""
    return handle.text


def wants_files(order: WorkOrder) -> bool:
    """Whether anything is to be collected from the attempt's files."""
    return bool(order.wanted.parameters or order.wanted.artifacts or order.wanted.logs)


def declared_paths(order: WorkOrder) -> list[str]:
    """The view paths at which an order brings files in or collects them."""
    paths = [entry.artifact.path for entry in order.inputs]
    paths += [entry.path for entry in order.wanted.parameters]
    return [*paths, *(entry.artifact.path for entry in order.wanted.artifacts)]


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_open_up)
    else:
        path.unlink(missing_ok=True)


def _open_up(remove: Callable[[str], object], text: str, _error: object) -> None:
    """A step may have left a folder that its own user cannot enter."""
    path = Path(text)
    if os.geteuid() != 0:
        path.parent.chmod(0o700)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
            shutil.rmtree(path)
            return
    if os.path.lexists(path):
        remove(text)


@asynccontextmanager
async def open_process(
    settings: ProcessSettings,
    *,
    images: Mapping[str, ImageEntry],
    secrets: Secrets,
    artifacts: Artifacts,
    root: Path,
    mode: str = "run",
    runtime: Path | None = None,
    hidden: Sequence[Path] = (),
    visible: Sequence[Path] = (),
) -> AsyncIterator[ProcessExecutor]:
    """The process executor, with its launcher.

    `root`: the directory for what attempts leave. `mode`: "run" (leaving stops every step, and so does this process' death),
    "daemon" (steps go on, and are found again by the next) or "service" (as daemon, but the launcher is somebody else's to start).
    `hidden`: host paths no step may see (the state, the secrets). `visible`: host paths shown read-only beyond the setting's.
    IsolationRefused: the setting asks for full isolation and this host does not allow it.
    """
    directories = await anyio.to_thread.run_sync(places.directories, root, runtime)
    user = isolation.user_named(settings.user)
    async with Link.opened(directories, mode, settings.grace_seconds) as link:
        fence, notices = await opening.fence(settings, link, user, [*hidden, root, directories.runtime], visible)
        yield ProcessExecutor(settings, images, secrets, artifacts, link, fence, user, notices)
