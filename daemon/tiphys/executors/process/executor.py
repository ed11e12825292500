"""The process executor: an attempt is a process of this host, started and watched by the launcher.

The event loop never forks, never waits for a process and never copies output: it composes a command, hands it to the launcher, and
gets a record when the step has ended. Everything about an attempt is found again by its order's id.
"""

import functools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from tiphys import faults
from tiphys.artifacts.store import Artifacts
from tiphys.executors import staging
from tiphys.executors.process import command, findings, isolation, logs, moments, moulds, opening, outcomes, places, pods, volumes
from tiphys.executors.process.command import CommandError
from tiphys.executors.process.connection import Json
from tiphys.executors.process.isolation import Fence, Plan, User
from tiphys.executors.process.link import Link
from tiphys.executors.process.packs import Packs
from tiphys.executors.process.places import Directories
from tiphys.executors.process.pods import Pod
from tiphys.executors.process.requests import Requests
from tiphys.executors.process.states import States
from tiphys.executors.slots import Slots
from tiphys.secrets import Secrets
from tiphys.settings import ImageEntry, ProcessSettings
from tiphys.spec.containers import Container
from tiphys.spec.templates import Template
from tiphys.spec.work import Course, Finding, Handle, Moment, Outcome, OutcomeKind, Report, WorkOrder

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
        self._images = images
        self._artifacts = artifacts
        self._link = link
        self._fence = fence
        self._user = user
        self._directories: Directories = link.directories
        self._moulds = moulds.Moulds(link.directories)
        self._requests = Requests(settings, images, secrets, link, fence, user, self._moulds.clear)
        self._states = States(self._requests.state, self._requests.progress)
        self._packs = Packs(link.directories)
        self._slots = Slots(settings.parallelism or PER_CORE * len(os.sched_getaffinity(0)))
        self._plans: dict[str, Plan] = {}
        self._pods: dict[str, Pod] = {}
        self._early: dict[str, Outcome] = {}
        self.notices = tuple(notices)
        """What a person should know about how steps run here."""

    def begin(self, order: WorkOrder, course: Course) -> bool:
        """Start an attempt at once, if it is like one that was started before, and a slot is free."""
        if order.id in self._plans or order.id in self._early or self._link.knows(order.id) or not self._slots.is_free:
            return False
        if order.deadline is not None and order.deadline <= datetime.now(UTC):
            return False
        if not self._requests.is_current:
            return False
        filled = self._moulds.fill(order)
        if filled is None:
            return False
        self._slots.hold(order.id)
        faults.point("spawning")
        self._link.begin(*filled, functools.partial(self._heard, order, course))
        return True

    def hold(self) -> None:
        """Send requests when they are flushed."""
        self._link.hold()

    def flush(self) -> None:
        """Send the requests there are."""
        self._link.flush()

    def _heard(self, order: WorkOrder, course: Course, record: Json | None, *, ended: bool) -> None:
        """The launcher told of an attempt that was begun: it runs, or it has ended."""
        if not ended:
            faults.point("spawned")
            self._states.began_plain(order.id)
            course.started(self._handle(order.id))
            return
        faults.point("ended")
        self._release(order.id)
        self._states.over(order.id)
        if record is None or wants_files(order) or record.get("state") or logs.is_large(record):
            course.over(None)
            return
        container = order.work.container  # type: ignore[union-attr]  # a mould is a command's
        end = outcomes.main_outcome(order, record, container.name or "main", container.command[0], container.image)
        staged = staging.StagedOut(result=record["result"] if order.wanted.result and "result" in record else None)
        self._link.settle(order.id)
        course.over(outcomes.outcome(record, end, staged, "", transient=False))

    async def launch(self, order: WorkOrder) -> Handle:
        """Start the attempt, or find it started. Waits for one of the machine's slots."""
        if order.id in self._early or order.id in self._plans:
            return self._handle(order.id)
        try:
            pod = pods.pod_of(order)
        except CommandError as error:
            self._early[order.id] = outcomes.error(str(error))
            return self._handle(order.id)
        if pod is None:
            self._early[order.id] = outcomes.error("the process executor runs templates with containers only")
            return self._handle(order.id)
        await self._slots.take(order.id)
        self._link.when_ended(order.id, self._release)
        try:
            early = await self._start(order, pod)
        except BaseException:
            self._release(order.id)
            raise
        if early is not None:
            self._early[order.id] = early
            self._release(order.id)
        else:
            self._pods[order.id] = pod
            self._states.began(order, pod)
        return self._handle(order.id)

    async def _start(self, order: WorkOrder, pod: Pod) -> Outcome | None:
        """Stage in and spawn; an Outcome where it did not come to that."""
        if order.deadline is not None and order.deadline <= datetime.now(UTC):
            return outcomes.failed(outcomes.reached_deadline(order))
        if order.inputs and await self._link.find(order.id):
            return None  # what is being run, or was, must not get its inputs again
        try:
            words = command.words(pod.main.container, self._images)
            plan, request = await self._requests.prepared(order, pod, words)
        except CommandError as error:
            return outcomes.error(str(error))
        if plan is None:
            return self._not_found(pod.main.container, words[0])
        try:
            if order.inputs:
                await self._make(plan)
                await staging.stage_in(order, plan.view, self._artifacts)
                faults.point("staged-in")
        except staging.StagingError as error:
            return outcomes.error(str(error), transient=error.transient)
        except OSError as error:
            return outcomes.error(f"inputs cannot be brought in: {error}")
        self._plans[order.id] = plan
        if plan.ground is self._requests.ground and not self._user.other and not pod.supervised:
            self._moulds.keep(order, request)
        faults.point("spawning")
        await self._link.spawn(request)
        faults.point("spawned")
        return None

    async def _make(self, plan: Plan) -> None:
        error = await self._link.prepare(plan.prepare)
        if error:
            raise OSError(error)

    def _not_found(self, container: Container, program: str) -> Outcome:
        message = outcomes.not_on_host(container.name or "main", program, container.image, "No such file or directory")
        return outcomes.failed(message, outcomes.NOT_STARTED)

    async def adopt(self, order: WorkOrder, handle: Handle | None) -> Handle | None:
        """Find the attempt again; it takes a slot if it still runs, however many are taken."""
        if order.id in self._early or order.id in self._plans:
            return self._handle(order.id)
        pod = pods.pod_of(order)
        if pod is None or not await self._link.find(order.id):
            # Started, and nobody knows it any more: `wait` calls that interrupted. What never came to the host is launched.
            return handle if handle is not None and handle.host else None
        self._plans[order.id], _ = await self._requests.plan(order, pod)
        self._states.began(order, pod)
        return self._handle(order.id)

    async def wait(self, order: WorkOrder, handle: Handle) -> Outcome:  # noqa: ARG002 (the id is the handle)
        """Wait for the end, then collect what the order wants."""
        if early := self._early.get(order.id):
            return early
        record = await self._link.ended(order.id)
        faults.point("ended")
        self._states.over(order.id)
        pod = self._pods.pop(order.id, None) or pods.pod_of(order)
        if record is None or pod is None:
            return Outcome(kind=OutcomeKind.INTERRUPTED, message=f"{outcomes.INTERRUPTED}: the attempt cannot be found")
        container = pod.main.container
        words = command.words(container, self._images)
        end = outcomes.main_outcome(order, record, container.name or "main", words[0], container.image)
        left = record.get("state") or {}
        said = pods.state(left.get(pods.STATE_FILE, ""))
        if pod.supervised:
            end = pods.ended(end, said, pod)
        plan = self._plans.get(order.id) or (await self._requests.plan(order, pod))[0]
        log, problem, transient = None, "", False
        if order.wanted.logs is not None or logs.is_large(record):
            try:
                log = await logs.keep(self._directories, order.id, record, wanted=order.wanted.logs is not None)
            except OSError as error:  # a full disk loses output, never the step; what it printed stays in memory
                problem = f"the log cannot be saved: {error}" if order.wanted.logs is not None else ""
        try:
            staged = (
                await staging.stage_out(order, plan.leavings, self._artifacts, None, log) if wants_files(order) else staging.StagedOut()
            )
        except staging.StagingError as error:
            staged, problem, transient = error.staged, problem or str(error), error.transient
        if wants_files(order):
            faults.point("staged-out")
        if order.wanted.container_logs:
            kept, lost = await staging.save_logs(order, self._requests.logs(order.id), self._artifacts)
            staged = msgspec.structs.replace(staged, artifacts=(*staged.artifacts, *kept))
            problem = problem or lost
        if order.wanted.result and "result" in record:
            staged = msgspec.structs.replace(staged, result=record["result"])
        self._plans.pop(order.id, None)
        self._link.settle(order.id)
        made = outcomes.outcome(record, end, staged, problem, transient=transient)
        progress = pods.progress(left.get(pods.PROGRESS_FILE, ""))
        return msgspec.structs.replace(made, progress=progress, containers=pods.shown(said)) if progress or said.containers else made

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """SIGTERM, the grace, SIGKILL."""
        self._link.stop(order_id_of(handle), grace_seconds)

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """What running attempts say in their state folders: a pod's containers, a daemon's readiness, a program's progress."""
        async for order_id, report in self._states.reports():
            if report.ready:
                self._release(order_id)  # a daemon that is up keeps nobody from starting
            yield order_id, report

    def logs(self, handle: Handle, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What the attempt printed, in order."""
        return logs.read(self._link, order_id_of(handle), follow=follow)

    async def printed(self, handles: Sequence[Handle]) -> Sequence[bytes | None]:
        """What finished attempts printed, of many at once; None: it is not found quickly, and `logs` has it."""
        order_ids = [order_id_of(handle) for handle in handles]
        found = await anyio.to_thread.run_sync(self._packs.printed, order_ids)
        return [found.get(order_id) for order_id in order_ids]

    async def timed(self, handles: Sequence[Handle]) -> Sequence[Sequence[Moment]]:
        """When attempts, running or ended, printed what they did; nothing of those that did so soon after their start alone."""
        order_ids = [order_id_of(handle) for handle in handles]
        found = await anyio.to_thread.run_sync(moments.found, self._directories, self._packs, order_ids)
        return [found.get(order_id, ()) for order_id in order_ids]

    async def release(self, workflow_uid: str) -> None:
        """Delete the folders of the run's claims."""
        await anyio.to_thread.run_sync(_delete, volumes.claims(f"{workflow_uid}/", self._directories))

    async def running(self) -> Mapping[str, Handle]:
        """The attempts that the launcher runs."""
        return {order_id: self._handle(order_id) for order_id in await self._link.running()}

    async def remove(self, order_id: str) -> None:
        """Forget a finished attempt, and delete its folder and log."""
        self._plans.pop(order_id, None)
        self._pods.pop(order_id, None)
        self._early.pop(order_id, None)
        self._link.forget(order_id)
        left = (self._directories.folder(order_id), self._directories.kept_log(order_id), self._directories.kept_home(order_id))
        await anyio.to_thread.run_sync(_delete, *left)

    async def remove_run(self, workflow_uid: str) -> None:
        """Delete all that the attempts of a run left, their logs included; one that still runs is ended."""
        prefix = f"{workflow_uid}/"
        for order_id in [*self._plans, *self._early]:
            if order_id.startswith(prefix):
                await self.remove(order_id)
        self._link.forget_run(prefix)
        await anyio.to_thread.run_sync(self._forget, self._directories.group(prefix))

    async def sweep(self, known: Collection[str]) -> None:
        """Delete the folders of runs that nobody knows: they were deleted, and the daemon was killed before their folders were."""
        found = await anyio.to_thread.run_sync(_folders, self._directories.root)
        kept = {places.place(f"{uid}/").group for uid in known}  # only now: a run that began before that look is known
        for folder in found:
            if folder.name not in kept and not folder.name.startswith("."):
                self._link.forget_run(f"{folder.name}/")
                await anyio.to_thread.run_sync(self._forget, folder)

    def _forget(self, group: Path) -> None:
        """Delete the folder of a run, and what its steps left in their homes."""
        _delete(group, *self._directories.kept_homes(group.name))

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
        self._slots.give_back(order_id)

    def _handle(self, order_id: str) -> Handle:
        """The attempt's handle; without a host where it never came to one."""
        return Handle(executor=NAME, text=order_id, host="" if order_id in self._early else self._link.boot)


def order_id_of(handle: Handle) -> str:
    """The id of the order a handle stands for."""
    return handle.text


def wants_files(order: WorkOrder) -> bool:
    """Whether anything is to be collected from the attempt's files."""
    return bool(order.wanted.parameters or order.wanted.artifacts or order.wanted.logs)


def _delete(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_open_up)
        else:
            path.unlink(missing_ok=True)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]


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
    launcher: int = 0,
) -> AsyncIterator[ProcessExecutor]:
    """The process executor, with its launcher.

    `root`: the directory for what attempts leave. `mode`: "run" (leaving stops every step, and so does this process' death),
    "daemon" (steps go on, and are found again by the next) or "service" (as daemon, but the launcher is somebody else's to start).
    `launcher`: the pid of a launcher that was started for these directories already.
    `hidden`: host paths no step may see (the state, the secrets). `visible`: host paths shown read-only beyond the setting's.
    IsolationRefused: the setting asks for full isolation and this host does not allow it.
    """
    directories = await anyio.to_thread.run_sync(places.directories, root, runtime)
    user = await anyio.to_thread.run_sync(isolation.user_named, settings.user)
    for read_once in (pods.program, isolation.progress_file):
        await anyio.to_thread.run_sync(read_once)
    async with Link.opened(directories, mode, settings.grace_seconds, launcher) as link:
        hiding = [*hidden, root, directories.runtime]
        fence, notices = await opening.fence(settings, link, user, hiding, visible, remembers=mode == "run")
        yield ProcessExecutor(settings, images, secrets, artifacts, link, fence, user, notices)
