"""What this process knows of attempts through the launcher: which run, which ended and how; kept up across a launcher's death."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio

from tiphys.executors.process import connection, places
from tiphys.executors.process.connection import Json, LauncherUnreachable, Started, Wire
from tiphys.executors.process.forms import Form
from tiphys.executors.process.places import Directories

LEAVE_SECONDS = 60.0
RETRY_SECONDS = 0.05
UPGRADE_SECONDS = 10.0
LOST = "the launcher was killed"


class Tell(Protocol):
    """Who is told of an attempt."""

    def __call__(self, record: Json | None, *, ended: bool) -> None:
        """It runs; or it has ended, with this record, if there is one."""
        ...


class Waiting:
    """One attempt that somebody here asked for. Most have nobody who waits for an event: they are made for those who do."""

    __slots__ = ("_ended", "_known", "form", "has_ended", "is_known", "record", "running", "spawn", "stop", "tell")

    def __init__(self, spawn: Json | None, form: Form | None = None) -> None:
        self.spawn, self.form = spawn, form
        self.stop: Json | None = None
        self.running = self.is_known = self.has_ended = False
        self.record: Json | None = None
        self.tell: Tell | None = None
        self._known: asyncio.Event | None = None
        self._ended: asyncio.Event | None = None

    def become_known(self) -> None:
        """Whether the launcher knows the attempt is known from now on."""
        self.is_known = True
        if self._known is not None:
            self._known.set()

    def end(self) -> None:
        """The attempt runs no more."""
        self.running, self.has_ended = False, True
        if self._ended is not None:
            self._ended.set()

    async def known(self) -> None:
        """Wait until it is known whether the launcher knows the attempt."""
        if not self.is_known:
            self._known = self._known or asyncio.Event()
            await self._known.wait()

    @property
    def ended(self) -> asyncio.Event:
        """Set when the attempt has ended."""
        if self._ended is None:
            self._ended = asyncio.Event()
            if self.has_ended:
                self._ended.set()
        return self._ended


class Link:
    """The launcher, as this process sees it."""

    def __init__(self, directories: Directories, mode: str, launcher: int = 0) -> None:
        self.directories = directories
        self.mode = mode
        self.boot = ""
        self.cgroup_error = ""
        self._takes_forms = 0
        self._lists = False
        self._wire: Wire | None = None
        self._started = Started(launcher)
        self._attempts: dict[str, Waiting] = {}
        self._after: dict[str, Callable[[str], None]] = {}
        self._strays: dict[str, Json] = {}
        self._answers: dict[str, tuple[anyio.Event, list[Json]]] = {}
        self._tags = itertools.count()

    @classmethod
    @asynccontextmanager
    async def opened(cls, directories: Directories, mode: str, grace_seconds: float, launcher: int = 0) -> AsyncIterator["Link"]:
        """A link that reconnects by itself; leaving it in mode "run" stops every step and waits for that. `launcher`: the pid of one
        that was started already.
        """
        link = cls(directories, mode, launcher)
        await link._connect()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(link._stay_connected)
                if mode != "run":
                    group.start_soon(link._stay_current)
                yield link
                group.cancel_scope.cancel()
        except BaseExceptionGroup as group_of_one:
            if len(group_of_one.exceptions) == 1:  # who opens a link knows nothing of its task group
                raise group_of_one.exceptions[0] from None
            raise
        finally:
            await link._leave(grace_seconds)

    async def spawn(self, request: Json) -> None:
        """Start an attempt, or find it started: returns once the launcher has either started it or written its end down."""
        waiting = self._attempts[request["id"]] = Waiting(request)
        self._send(request)
        await waiting.known()
        waiting.spawn = None

    def begin(self, request: Json, form: Form, tell: Tell) -> None:
        """Start an attempt, and have its beginning and its end told, each once and in this order.

        `form`: what of the request is not in it, for others have it in common.
        """
        waiting = self._attempts[request["id"]] = Waiting(request, form)
        waiting.tell = tell
        self._send_spawn(waiting)

    def hold(self) -> None:
        """Send nothing until `flush` is called, which is certain to happen in this turn of the loop."""
        if self._wire is not None:
            self._wire.hold()

    def flush(self) -> None:
        """Send what there is to send."""
        if self._wire is not None:
            self._wire.flush()

    def knows(self, order_id: str) -> bool:
        """Whether the attempt is one that somebody here asked for."""
        return order_id in self._attempts

    async def find(self, order_id: str) -> bool:
        """Whether the launcher knows this attempt."""
        return await self._found(order_id) is not None

    async def _found(self, order_id: str) -> Waiting | None:
        """What is awaited of an attempt, itself: somebody else may settle the attempt meanwhile."""
        waiting = self._attempts.get(order_id)
        if waiting is None:
            waiting = self._attempts[order_id] = Waiting(None)
            self._send({"op": "find", "id": order_id})
        await waiting.known()
        if waiting.running or waiting.record:
            return waiting
        self._attempts.pop(order_id, None)
        return None

    async def ended(self, order_id: str) -> Json | None:
        """The record of the attempt's end, as soon as there is one; None: nobody knows the attempt."""
        waiting = await self._found(order_id)
        if waiting is None:
            return None
        await waiting.ended.wait()
        return waiting.record

    def settle(self, order_id: str) -> None:
        """The attempt's end is known and used: what is kept of it here is let go (the launcher still knows)."""
        waiting = self._attempts.get(order_id)
        if waiting is not None and waiting.has_ended:
            del self._attempts[order_id]

    async def end_of(self, order_id: str) -> asyncio.Event | None:
        """Set when the attempt ends; None: nobody knows the attempt."""
        waiting = await self._found(order_id)
        return None if waiting is None else waiting.ended

    def when_ended(self, order_id: str, act: Callable[[str], None]) -> None:
        """Call `act` once, when the attempt's end is reported."""
        self._after[order_id] = act

    def stop(self, order_id: str, grace_seconds: float) -> None:
        """Ask the launcher to end an attempt; unknown ones do not matter. A later launcher is asked again, should this one be killed before
        it heard.
        """
        request = {"op": "stop", "id": order_id, "grace": grace_seconds}
        if waiting := self._attempts.get(order_id):
            waiting.stop = request
            self._send(request)
        else:
            self._strays[order_id] = request
            self._stop_stray(order_id)

    def _stop_stray(self, order_id: str) -> None:
        """Have an attempt that nobody waits for ended, and hear whether it is."""
        self._send(self._strays[order_id])
        self._send({"op": "find", "id": order_id})

    async def running(self) -> Collection[str]:
        """The ids of all attempts that the launcher runs; none where it is an older one, which cannot tell."""
        while self._lists:
            answer = await self._ask({"op": "running"})
            if answer is not None:
                return list(answer["ids"])
            await anyio.sleep(RETRY_SECONDS)
        return ()

    def forget(self, order_id: str) -> None:
        """Nobody will ask for this attempt again."""
        self._attempts.pop(order_id, None)
        self._after.pop(order_id, None)
        self._send({"op": "forget", "id": order_id, "group": places.place(order_id).group})

    def forget_run(self, order_prefix: str) -> None:
        """Nobody will ask for any attempt of a run again; its folder is about to go."""
        self._send({"op": "forget_run", "group": places.place(order_prefix).group})

    async def prepare(self, entries: Iterable[Any]) -> str:
        """Let the launcher make directories and files; returns its error. A later launcher is asked again, should this one end."""
        request = {"op": "prepare", "entries": list(entries)}
        while (answer := await self._ask(request)) is None:  # noqa: ASYNC110 (nothing tells of the next launcher)
            await anyio.sleep(RETRY_SECONDS)
        return str(answer["error"])

    async def probe(self, argv: list[str], overlay: Json | None) -> Json:
        """What the host allows."""
        return await self._ask({"op": "probe", "argv": argv, "overlay": overlay}) or {"bwrap_error": LOST, "overlay_error": LOST}

    async def _ask(self, request: Json, wire: Wire | None = None) -> Json | None:
        """The launcher's answer to a question; None: the connection was lost first."""
        asked = wire or self._wire
        if asked is None:
            return None
        tag = str(next(self._tags))
        event, reports = self._answers[tag] = (anyio.Event(), list[Json]())
        asked.send({**request, "tag": tag})
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                await asked.lost.wait()
                event.set()

            group.start_soon(give_up)
            await event.wait()
            group.cancel_scope.cancel()
        del self._answers[tag]
        return reports[0] if reports else None

    def _send_spawn(self, waiting: Waiting) -> None:
        """Send a request to start, in the way that this launcher reads it."""
        if self._wire is None or waiting.spawn is None:
            return
        if waiting.form is None:
            self._wire.send(waiting.spawn)
        elif self._takes_forms >= waiting.form.needs:
            number = self._wire.number(waiting.form)
            self._wire.send({**waiting.spawn, "form": number})
        else:
            self._wire.send(waiting.form.whole(waiting.spawn, str(self.directories.scratch)))

    def _send(self, request: Json) -> None:
        if self._wire is not None:
            self._wire.send(request)

    def _report(self, report: Json) -> None:
        told = report["told"]
        if told in {"started", "ended", "unknown"}:
            self._report_attempt(told, report)
        elif (answer := self._answers.get(report.get("tag", ""))) is not None:
            answer[1].append(report)
            answer[0].set()

    def _report_attempt(self, told: str, report: Json) -> None:
        waiting = self._attempts.get(report["id"])
        if self._strays and told != "started":
            self._strays.pop(report["id"], None)
        if told == "ended" and (act := self._after.pop(report["id"], None)):
            act(report["id"])
        if waiting is None:
            return
        if told == "unknown" and waiting.spawn is not None:
            if self._wire is not None:
                self._wire.forget_forms()  # should it be the form that is not known there
            self._send_spawn(waiting)
            return
        tell, was_known = waiting.tell, waiting.is_known
        if told == "started":
            waiting.running = True
        elif told == "ended":
            waiting.record = report
            waiting.end()
        elif waiting.running:  # a launcher that lost its journal: the attempt cannot be followed
            waiting.end()
        if not was_known:
            waiting.become_known()
        if tell is None:
            return
        if not was_known:
            waiting.spawn = waiting.form = None
            tell(None, ended=False)
        if waiting.has_ended:
            waiting.tell = None
            tell(waiting.record, ended=True)

    async def _connect(self) -> None:
        with anyio.move_on_after(2 * connection.CONNECT_SECONDS):  # a launcher that cannot be reached at all is said so before
            while True:
                wire = await connection.connect(self.directories, self.mode, self._started, self._report)
                self._wire = wire
                with anyio.move_on_after(5.0):
                    hello = await self._ask({"op": "hello", "owner": str(os.getpid()) if self.mode == "run" else ""}, wire)
                    if hello and hello.get("root", str(self.directories.root)) != str(self.directories.root):
                        wire.close()
                        raise self._of_another_state(hello["root"])
                    if hello and not hello["leaving"]:
                        self.boot, self.cgroup_error = hello["boot"], hello["cgroup_error"]
                        self._takes_forms = hello.get("forms", 0)
                        self._lists = bool(hello.get("lists", 0))
                        return
                self._wire = None
                wire.close()
                await anyio.sleep(0.05)
        raise LauncherUnreachable(f"the launcher at {self.directories.socket} is leaving and does not end")

    def _of_another_state(self, root: str) -> LauncherUnreachable:
        ours = f"this state's attempts are in {self.directories.root}"
        return LauncherUnreachable(
            f"the launcher at {self.directories.socket} keeps its journals in {root}, but {ours}: "
            "its --root and the setting state_directory must agree"
        )

    async def _stay_connected(self) -> None:
        while True:
            assert self._wire is not None
            await self._wire.lost.wait()
            self._wire = None
            await self._connect()
            for order_id, waiting in self._attempts.items():
                if not waiting.record:
                    self._send({"op": "find", "id": order_id})
                    if waiting.stop:
                        self._send(waiting.stop)
            for order_id in self._strays:
                self._stop_stray(order_id)

    async def _stay_current(self) -> None:
        """Have a launcher of another build, left by an upgrade, replaced as soon as it has nothing to serve: until then it serves all."""
        ours = await anyio.to_thread.run_sync(connection.build)
        while True:
            said = await self._ask({"op": "hello", "owner": ""})
            if said is None:
                await anyio.sleep(RETRY_SECONDS)
                continue
            if said.get("build") == ours:
                return
            # Nothing comes between the launcher's word and ours: requests go out in their order, and none has gone since.
            if not said.get("running") and not any(waiting.record is None for waiting in self._attempts.values()):
                self._send({"op": "retire"})
            await anyio.sleep(UPGRADE_SECONDS)

    async def _leave(self, grace_seconds: float) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self.mode != "run":
            wire.close()
            return
        wire.send({"op": "quit", "grace": grace_seconds})
        with anyio.move_on_after(grace_seconds + LEAVE_SECONDS, shield=True):
            await wire.lost.wait()
            wire.close()
            while self._started.reap():  # noqa: ASYNC110 (waitpid has no event; it is a matter of a millisecond)
                await anyio.sleep(0.002)
