"""What running attempts say of themselves: their state folders are looked at, quickly for pods, now and then for progress."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.to_thread

from tiphys.executors.process import pods
from tiphys.executors.process.pods import Pod
from tiphys.spec.work import ContainerState, Report, WorkOrder

LOOK_SECONDS = 0.1
PROGRESS_SECONDS = 3.0
HERE = "127.0.0.1"
"""Where a daemon is reached: its network is the host's."""


class Watched:
    """One live attempt: what was said of it last."""

    __slots__ = ("containers", "daemon", "progress", "ready", "set_", "stamp")

    def __init__(self, *, daemon: bool, set_: bool) -> None:
        self.daemon = daemon
        self.set_ = set_
        self.ready = False
        self.stamp = 0
        self.progress = ""
        self.containers: dict[str, ContainerState] = {}


class States:
    """The live attempts of one executor. `folder`: an order id's state folder; `progress`: its program's progress file."""

    def __init__(self, folder: Callable[[str], str], progress: Callable[[str], str]) -> None:
        self._folder = folder
        self._progress_file = progress
        self._live: dict[str, Watched | None] = {}
        self._pods: dict[str, Watched] = {}
        self._ready: list[str] = []
        self._began = anyio.Event()
        self._idle = False

    def began(self, order: WorkOrder, pod: Pod) -> None:
        """An attempt runs, or was found running."""
        set_ = len([part for part in pod.parts if part.role == "main"]) > 1 or bool(order.template.container_set)
        watched = self._live[order.id] = Watched(daemon=order.daemon, set_=set_)
        if pod.supervised:
            self._pods[order.id] = watched
        elif order.daemon:
            self._ready.append(order.id)  # without a probe: as soon as it runs
        if pod.supervised or order.daemon or self._idle:  # plain steps need nobody to look sooner than he will
            self._began.set()

    def began_plain(self, order_id: str) -> None:
        """An attempt runs of which nothing but progress may be heard: nobody need look at it sooner than at the others."""
        self._live[order_id] = None  # until it is looked at, which most do not live to see
        if self._idle:
            self._began.set()

    def over(self, order_id: str) -> None:
        """An attempt has ended."""
        if self._live.pop(order_id, None) is not None:
            self._pods.pop(order_id, None)

    async def reports(self) -> AsyncIterator[tuple[str, Report]]:
        """News of the live attempts, for ever."""
        progress_at = 0.0
        while True:
            if not self._live:
                self._began, self._idle = anyio.Event(), True
                await self._began.wait()
                self._idle = False
            while self._ready:
                yield self._ready.pop(0), Report(ready=True, ip=HERE)
            for order_id, watched in list(self._pods.items()):
                if report := await anyio.to_thread.run_sync(self._pod, order_id, watched):
                    yield order_id, report
            now = anyio.current_time()
            if now >= progress_at:
                progress_at = now + PROGRESS_SECONDS
                for order_id, progress in await anyio.to_thread.run_sync(self._progress, self._watched()):
                    yield order_id, Report(progress=progress)
            await self._pause(progress_at)

    def _watched(self) -> dict[str, Watched]:
        """The live attempts, each with what was said of it last."""
        for order_id, watched in self._live.items():
            if watched is None:
                self._live[order_id] = Watched(daemon=False, set_=False)
        return {order_id: watched for order_id, watched in self._live.items() if watched is not None}

    async def _pause(self, progress_at: float) -> None:
        """Until it is time to look again, or something began."""
        if self._pods:
            await anyio.sleep(LOOK_SECONDS)
        elif not self._ready:
            self._began = anyio.Event()
            with anyio.move_on_after(max(progress_at - anyio.current_time(), 0.0)):
                while not self._ready and not self._pods:
                    await self._began.wait()
                    self._began = anyio.Event()

    def _pod(self, order_id: str, watched: Watched) -> Report | None:
        path = Path(self._folder(order_id), pods.STATE_FILE)
        try:
            stamp = path.stat().st_mtime_ns
            if stamp == watched.stamp:
                return None
            said = pods.state(path.read_bytes())
        except OSError:
            return None
        watched.stamp = stamp
        changed = []
        for container in pods.shown(said) if watched.set_ else ():
            if watched.containers.get(container.name) != container:
                watched.containers[container.name] = container
                changed.append(container)
        ready = watched.daemon and said.ready and not watched.ready
        watched.ready = watched.ready or ready
        return Report(ready=ready, ip=HERE if ready else "", containers=tuple(changed)) if ready or changed else None

    def _progress(self, live: dict[str, Watched]) -> list[tuple[str, str]]:
        found = []
        for order_id, watched in live.items():
            try:
                with Path(self._progress_file(order_id)).open("rb") as file:
                    file.seek(max(0, file.seek(0, 2) - 256))
                    progress = pods.progress(file.read(256).decode(errors="replace"))
            except OSError:
                continue
            if progress and progress != watched.progress:
                watched.progress = progress
                found.append((order_id, progress))
        return found
