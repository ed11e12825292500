"""Attempts: one short coroutine for each live one, stage in → launch → wait → stage out → post one fact. Where the executor can begin an
attempt at once and tell of it, not even that: two calls, one when it runs and one when it is over.

What has no room yet is a row in a queue here, not a coroutine. An attempt that is over at once is told of once: that it began is said
with its end, unless something waits for the beginning.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import anyio
import anyio.abc

from tiphys import faults
from tiphys.engine.inbox import now
from tiphys.errors import TiphysError
from tiphys.scheduler import orders
from tiphys.scheduler.events import Event, Exited, Reported, Started
from tiphys.scheduler.records import Node
from tiphys.scheduler.state import State
from tiphys.spec.work import Executor, Handle, Outcome, OutcomeKind, Prompt, WorkOrder
from tiphys.voice import Voice

log = Voice()

SOON_SECONDS = 0.02
"""An attempt that ends within this time is told of once;"""

AT_ONCE = 64
"""So many attempts are begun in one turn of the loop: what has room for a thousand does not keep everybody else waiting until all run."""

SOON_SECONDS_BUSY = 0.1
"""where more work waits for room than there is, within this time."""

NOT_BEGUN = (None, None)

LEAVE_NOTHING = frozenset({"http", "data", "plugin"})
"""Executors whose attempts leave nothing that a person could look at: they are forgotten when they have ended."""

NEVER_STARTED = Outcome(kind=OutcomeKind.STOPPED, message="stopped before it started")

FAULTS = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError)
"""What an executor may raise by a mistake of ours: an Error of the attempt, and no end of everything else."""


class Attempt(NamedTuple):
    """Which attempt, and whether one of before is to be found again first."""

    uid: str
    node_id: str
    number: int
    adopt: bool = False


class _Course:
    """An attempt that was begun without a task."""

    __slots__ = ("_attempt", "_launcher", "_name", "_order")

    def __init__(self, launcher: "Launcher", name: str, attempt: Attempt, order: WorkOrder) -> None:
        self._launcher = launcher
        self._name = name
        self._attempt = attempt
        self._order = order

    def started(self, handle: Handle) -> None:
        self._launcher.started(self._name, self._attempt, handle)

    def over(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self._launcher.collect(self._name, self._attempt, self._order)
        else:
            self._launcher.over(self._name, self._attempt, outcome)


class Launcher:
    """Launches attempts while there is room with their executor, and posts what becomes of them.

    An end is posted to be decided `soon`, together with others, where more of its executor's work waits for room than there is: what
    follows from it would have to wait behind that anyway.
    """

    def __init__(
        self,
        state: State,
        executors: Mapping[str, Executor],
        room: Mapping[str, int],
        post: Callable[[Event], None],
        post_soon: Callable[[Event], None],
        group: anyio.abc.TaskGroup,
    ) -> None:
        self._state = state
        self._executors = executors
        self._prompt = {name: executor for name, executor in executors.items() if isinstance(executor, Prompt)}
        self._room = room
        self._post = post
        self._post_soon = post_soon
        self._group = group
        self._waiting: dict[str, deque[Attempt]] = {name: deque() for name in executors}
        self._live: dict[str, int] = dict.fromkeys(executors, 0)
        self._handles: dict[tuple[str, str, int], tuple[str, Handle]] = {}
        self._ending: dict[tuple[str, str, int], float] = {}
        self._up: set[tuple[str, str, int]] = set()
        self._begun: dict[tuple[str, str, int], tuple[Handle, datetime]] = {}
        self._telling = False
        self._closing = False
        self._begun_now = 0
        self._resting = False

    def launch(self, attempt: Attempt) -> None:
        """Launch, or adopt, when there is room. What is adopted runs already and needs none."""
        run = self._state.runs[attempt.uid]
        node = run.nodes[attempt.node_id]
        name = orders.executor_name(run, node)
        if name not in self._executors:
            self._end(
                "",
                attempt,
                Outcome(kind=OutcomeKind.ERROR, message=f"there is no executor called {name!r}; configured: {', '.join(self._executors)}"),
            )
        elif attempt.adopt and node.handle is not None:
            self._live[name] += 1
            self._group.start_soon(self._work, name, attempt)
        else:
            self._waiting[name].append(attempt)
            room = self._room.get(name)
            if not room or self._live[name] < room:
                self._pump(name)

    def stop(self, uid: str, node_id: str, number: int, grace_seconds: float) -> None:
        """End an attempt: one that waits here is over at once, a live one is asked to end; one of before is looked for: it may run."""
        key = (uid, node_id, number)
        for name, waiting in self._waiting.items():
            for attempt in waiting:
                if attempt[:3] == key:
                    waiting.remove(attempt)
                    if attempt.adopt:
                        self._ending[key] = grace_seconds
                        self._live[name] += 1
                        self._group.start_soon(self._work, name, attempt)
                    else:
                        self._end(name, attempt, NEVER_STARTED)
                    return
        self._ending[key] = grace_seconds
        if key in self._handles:
            self._group.start_soon(self._stop, key)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is begun meanwhile is on its way at the end, all at once, and no turn of the loop is asked for to send it."""
        if not self._resting:
            self._begun_now = 0
        for prompt in self._prompt.values():
            prompt.hold()
        try:
            yield
        finally:
            for prompt in self._prompt.values():
                prompt.flush()

    def release(self, uid: str) -> None:
        """Have the run's claims deleted; that is finished even if the engine closes meanwhile."""
        for executor in self._executors.values():
            self._group.start_soon(_released, executor, uid)

    async def hear(self, name: str) -> None:
        """Post what an executor's running attempts say of themselves; for ever."""
        async for order_id, report in self._executors[name].reports():
            uid, node_id, number = order_id.rsplit("/", 2)
            key = (uid, node_id, int(number))
            self._tell(*self._begun.keys() & {key})
            if report.ready and key in self._handles and key not in self._up:
                self._up.add(key)  # a daemon that is up takes no room
                self._live[name] -= 1
                self._pump(name)
            self._post(Reported(at=now(), uid=uid, node_id=node_id, attempt=int(number), report=report))

    def close(self) -> None:
        """Launch nothing more."""
        self._closing = True
        for waiting in self._waiting.values():
            waiting.clear()

    async def _stop(self, key: tuple[str, str, int]) -> None:
        if key in self._handles:  # else it has ended meanwhile
            name, handle = self._handles[key]
            await self._executors[name].stop(handle, self._ending[key])

    def _pump(self, name: str) -> None:
        while (attempt := self._unbegun(name)) is not None:
            self._group.start_soon(self._work, name, attempt)

    def _unbegun(self, name: str) -> Attempt | None:
        """Begin what has room; the first that takes a task, if there is one, whose room is taken."""
        prompt = self._prompt.get(name)
        while self._waiting[name] and (attempt := self._next(name)) is not None:
            if prompt is None or attempt.adopt or not self._begin(prompt, name, attempt):
                return attempt
        return None

    def _next(self, name: str) -> Attempt | None:
        """The attempt that has room now, if there is one; the room is taken."""
        waiting, room = self._waiting[name], self._room.get(name)
        if not waiting or self._closing or (room and self._live[name] >= room):
            return None
        if self._begun_now >= AT_ONCE:
            self._rest()
            return None
        self._begun_now += 1
        self._live[name] += 1
        return waiting.popleft()

    def _rest(self) -> None:
        """Begin the others in the next turn of the loop."""
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._closing:
            with self.together():
                for name in self._waiting:
                    self._pump(name)

    def _begin(self, prompt: Prompt, name: str, attempt: Attempt) -> bool:
        """Begin an attempt without a task. What cannot be begun so, be it for an error, is carried out in a task, which tells why."""
        try:
            order = orders.build(self._state.runs[attempt.uid], attempt.node_id, now())
            return prompt.begin(order, _Course(self, name, attempt, order))
        except (TiphysError, *FAULTS):
            return False

    def started(self, name: str, attempt: Attempt, handle: Handle) -> None:
        """An attempt that was begun runs."""
        if self._closing:
            return
        key = attempt[:3]
        self._handles[key] = (name, handle)
        run = self._state.runs.get(attempt.uid)
        if run is not None and attempt.node_id in run.nodes:  # else it was deleted, and the attempt is being stopped
            self._launched(run.nodes[attempt.node_id])
            self._began(attempt, handle)
        if key in self._ending:
            self._group.start_soon(self._stop, key)

    def over(self, name: str, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt that was begun is over."""
        if self._closing:
            return
        self._live[name] -= 1
        self._handles.pop(attempt[:3], None)
        self._end(name, attempt, outcome)
        self._pump(name)

    def collect(self, name: str, attempt: Attempt, order: WorkOrder) -> None:
        """An attempt that was begun is over, and what came of it is to be brought in."""
        if not self._closing:
            self._group.start_soon(self._collect, name, attempt, order)

    async def _collect(self, name: str, attempt: Attempt, order: WorkOrder) -> None:
        _, handle = self._handles[attempt[:3]]
        await self._see(name, attempt, self._executors[name].wait(order, handle))
        self._pump(name)

    @staticmethod
    def _launched(node: Node) -> None:
        faults.point("launched")
        if node.in_exit:
            faults.point("exit-launched")

    async def _work(self, name: str, attempt: Attempt | None) -> None:
        """Carry out an attempt, then what has waited for its room: a task is made for the first of them only."""
        while attempt is not None:
            await self._see(name, attempt, self._carry_out(name, attempt))
            attempt = self._unbegun(name)

    async def _see(self, name: str, attempt: Attempt, carried_out: Awaitable[Outcome]) -> None:
        """Wait for an attempt's outcome, and tell."""
        try:
            outcome = await carried_out
        except TiphysError as error:
            outcome = Outcome(kind=OutcomeKind.ERROR, message=str(error))
        except FAULTS as error:
            log.exception("attempt failed inside its executor", executor=name, node=attempt.node_id)
            outcome = Outcome(kind=OutcomeKind.ERROR, message=f"the {name} executor failed: {type(error).__name__}: {error}")
        finally:
            if attempt[:3] in self._up:
                self._up.remove(attempt[:3])
            else:
                self._live[name] -= 1
            self._handles.pop(attempt[:3], None)
        self._end(name, attempt, outcome)
        if name in LEAVE_NOTHING:
            await self._executors[name].remove(f"{attempt.uid}/{attempt.node_id}/{attempt.number}")

    async def _carry_out(self, name: str, attempt: Attempt) -> Outcome:
        executor = self._executors[name]
        key = attempt[:3]
        run = self._state.runs[attempt.uid]
        node = run.nodes[attempt.node_id]
        began: datetime = node.launched_at if attempt.adopt and node.launched_at is not None else now()
        order = orders.build(run, attempt.node_id, began)
        handle = await executor.adopt(order, node.handle) if attempt.adopt else None
        if handle is None:
            if key in self._ending:
                return NEVER_STARTED
            handle = await executor.launch(order)
            self._launched(node)
        else:
            faults.point("adopted")
        self._handles[key] = (name, handle)
        if node.handle != handle:
            self._began(attempt, handle)
        if key in self._ending:
            await executor.stop(handle, self._ending[key])
        return await executor.wait(order, handle)

    def _began(self, attempt: Attempt, handle: Handle) -> None:
        """An attempt runs: that is told now, where something may follow from it, else soon, if the attempt is not over by then."""
        self._begun[attempt[:3]] = handle, now()
        if self._state.runs[attempt.uid].watched:
            self._tell(attempt[:3])
        elif not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._tell_soon)

    def _tell_soon(self) -> None:
        busy = any(self._waiting.values())
        before = now() - timedelta(seconds=SOON_SECONDS_BUSY if busy else SOON_SECONDS)
        self._tell(*[key for key, (_, at) in self._begun.items() if at <= before])
        self._telling = bool(self._begun)
        if self._telling:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._tell_soon)

    def _tell(self, *keys: tuple[str, str, int]) -> None:
        for key in keys:
            handle, began = self._begun.pop(key)
            self._post(Started(at=now(), uid=key[0], node_id=key[1], attempt=key[2], handle=handle, launched_at=began))

    def _end(self, name: str, attempt: Attempt, outcome: Outcome) -> None:
        uid, node_id, number = attempt[:3]
        handle, began = self._begun.pop(attempt[:3], NOT_BEGUN)
        if self._ending:
            self._ending.pop((uid, node_id, number), None)
        ended = Exited(at=now(), uid=uid, node_id=node_id, attempt=number, outcome=outcome, handle=handle, launched_at=began)
        if self._waiting.get(name):
            self._post_soon(ended)
        else:
            self._post(ended)


async def _released(executor: Executor, uid: str) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await executor.release(uid)
        except OSError as error:
            log.warning("claims not deleted", uid=uid, reason=str(error))
