"""The loop: decide, apply, record, and only then act."""

import functools
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import assert_never

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from tiphys import faults
from tiphys.engine.inbox import Inbox, Receipt, now
from tiphys.engine.launching import Attempt, Launcher
from tiphys.engine.measures import Measures
from tiphys.engine.timers import Timers
from tiphys.engine.watching import Change, Watchers
from tiphys.errors import TiphysError
from tiphys.journal.protocol import Entry, Journal
from tiphys.scheduler import decision, events, preparing, recovery, redoing, render, retention, stills
from tiphys.scheduler.decide import decide
from tiphys.scheduler.decision import Decision, Refusal
from tiphys.scheduler.items import Rules
from tiphys.scheduler.records import Manifest, Run, Settled
from tiphys.scheduler.registry import Registry
from tiphys.scheduler.state import State
from tiphys.spec.status import Phase
from tiphys.spec.work import Executor, Handle
from tiphys.spec.workflows import Workflow
from tiphys.voice import Voice

log = Voice()
MUCH = 50
"""Facts and rows of a batch from which on it is decided, recorded and acted upon in a turn of the loop each."""
LARGE_RUN = 1_000
"""Nodes from which on it takes a while to look at all of them."""


class Refused(TiphysError):
    """The engine says no."""


Collector = Callable[[str, decision.DeleteArtifacts], Awaitable[None]]
"""Deletes artifacts of a namespace; raises a TiphysError that says what could not be deleted."""


class Engine:
    """One state, one journal, some executors. Use `open_engine`."""

    def __init__(
        self,
        journal: Journal,
        executors: Mapping[str, Executor],
        room: Mapping[str, int],
        group: anyio.abc.TaskGroup,
        rules: Rules,
        collector: Collector | None,
    ) -> None:
        self.journal = journal
        self.executors = executors
        self.measures = Measures()
        self._group = group
        self._collector = collector
        self._state = State()
        self._state.shared.rules = rules
        self.refreshed: list[Callable[[], None]] = []
        """Called after definitions changed."""
        self.outgoing = anyio.Event()
        """Set when there is something new to deliver; who delivers puts a new one in its place."""
        self._decided = self._kept = 0
        self._landed: anyio.Event | None = None
        self.recovered = anyio.Event()
        """Set when everything that was cut off is going on again."""
        self._inbox = Inbox()
        self._kept_back: dict[str, deque[tuple[events.Event, Receipt | None]]] = {}
        self._timers = Timers(self._inbox.post)
        self._watchers = Watchers(self._state)
        self._launcher = Launcher(self._state, executors, room, self._inbox.post, self._inbox.post_soon, group)

    # what may be asked

    async def submit(self, manifest: Manifest, key: str = "") -> str:
        """Take a run in; its uid, once it is recorded. The same key again gives the first one's uid. Raises Refused."""
        if claim := self.registry.claims.get(key):
            return claim.uid
        await self._begin(manifest, events.Submitted(at=now(), uid=manifest.uid, seed=secrets.token_hex(16), manifest=manifest, key=key))
        return manifest.uid

    async def tell(self, event: events.Event) -> None:
        """Take a fact in; returns once it is recorded. Raises Refused."""
        match event:
            case events.Submitted(manifest=manifest) | events.Revived(manifest=manifest):
                await self._begin(manifest, event)
            case events.Ticked(manifest=manifest) if manifest is not None:
                await self._begin(manifest, event)
            case _:
                await self._ask(event)

    async def _begin(self, manifest: Manifest, event: events.Submitted | events.Revived | events.Ticked) -> None:
        """Take in a fact that begins a run, whose large templates are read on a thread first; a suspended one's when it is resumed."""
        uid = event.child if isinstance(event, events.Ticked) else event.uid
        if not preparing.is_large(manifest):
            await self._ask(event)
            return
        prepare = functools.partial(preparing.prepare, manifest, suspended=bool(manifest.workflow.spec.suspend))
        self._state.prepared[uid] = await anyio.to_thread.run_sync(prepare)
        try:
            await self._ask(event)
        finally:
            self._state.prepared.pop(uid, None)

    def configure(self, rules: Rules) -> None:
        """Other rules are in force from now on; who waits for a place looks again."""
        self._state.shared.rules = rules
        for waiting in self._state.shared.crowd.postponed:
            self._inbox.post(events.Woken(at=now(), uid=waiting.rank[2]))

    @property
    def registry(self) -> Registry:
        """What is in force for all runs; to be read only."""
        return self._state.shared.registry

    def named(self, namespace: str, name: str) -> str | None:
        """The uid of the newest run of a name."""
        uids = self._state.shared.crowd.by_name.get((namespace, name))
        return max(uids, key=lambda uid: (self._state.runs[uid].run.created_at, uid)) if uids else None

    def runs(self) -> list[Run]:
        """Every run's own row."""
        return [state.run for state in self._state.runs.values()]

    def run_of(self, uid: str) -> Run | None:
        """A run's own row."""
        state = self._state.runs.get(uid)
        return None if state is None else state.run

    async def ask(self, uid: str, wish: events.Wish, who: str = "") -> None:
        """Carry out a wish of an operator. Raises Refused with one line that says why not."""
        event = events.Asked(at=now(), uid=uid, wish=wish, who=who)
        if isinstance(wish, events.Retry) and uid in self._state.runs:
            await self._outline(uid, event.at, wish)
        elif isinstance(wish, events.Resume) and uid in self._state.runs:
            await self._read(uid)
        await self._ask(event)

    async def _read(self, uid: str) -> None:
        """Read the large templates of a run that was suspended from its beginning."""
        run = self._state.runs[uid]
        if run.run.suspended and preparing.is_large(run.manifest):
            await anyio.to_thread.run_sync(preparing.finish, tuple(run.sources.values()))

    async def _outline(self, uid: str, at: datetime, wish: events.Retry) -> None:
        """See on a thread what a retry of a large run would do."""
        run = self._state.runs[uid]
        if run.run.phase.completed and len(run.nodes) > LARGE_RUN:
            run.outlined = await anyio.to_thread.run_sync(redoing.outline, stills.of(run), at, wish.restart)

    async def _ask(self, event: events.Event) -> None:
        answer = await self._inbox.ask(event)
        if isinstance(answer, Refusal):
            raise Refused(answer.reason)

    def changes(self, uid: str) -> AsyncIterator[Change]:
        """What is recorded of a run from now on, until it is completed."""
        return self._watchers.follow(uid)

    async def stirred(self) -> set[str]:
        """The large runs of which something was recorded since this was asked last; waits for it."""
        return await self._watchers.stirred()

    def workflow(self, uid: str) -> Workflow:
        """The run as Argo shows it, status and all."""
        return render.workflow(self._state.runs[uid])

    def uids(self) -> list[str]:
        """The runs there are."""
        return list(self._state.runs)

    def manifest(self, uid: str) -> Manifest:
        """What a run was made from."""
        return self._state.runs[uid].manifest

    def phase(self, uid: str) -> Phase:
        """A run's phase."""
        return self._state.runs[uid].run.phase

    def handle(self, uid: str, node_id: str) -> tuple[str, Handle] | None:
        """The executor's name and the handle of a node's attempt, once it was launched."""
        node = self._state.runs[uid].nodes.get(node_id)
        return None if node is None or node.handle is None else (node.handle.executor, node.handle)

    async def logs(self, uid: str, node_id: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What a node's attempt printed, in pieces; with `follow` until it ends."""
        found = self.handle(uid, node_id)
        if found is not None and found[0] in self.executors:
            async for piece in self.executors[found[0]].logs(found[1], follow=follow):
                yield piece

    async def committed(self) -> None:
        """Wait until all that can be seen now is recorded: between a decision and its record a look shows what a crash could undo."""
        seen = self._decided
        while self._kept < seen:
            self._landed = self._landed or anyio.Event()
            await self._landed.wait()

    # the loop

    async def load(self) -> None:
        """Take the rows of before in and set every unfinished run going."""
        rows = await self.journal.load()
        self._state.load_items(rows.items)
        for run in rows.runs:
            prepared = None
            if not run.run.phase.completed and preparing.is_large(run.manifest):
                prepared = await anyio.to_thread.run_sync(preparing.prepare, run.manifest)
            self._state.load(run.manifest, run.run, run.nodes, prepared)
        for run in rows.runs:
            if not run.run.phase.completed or retention.concerns(run.run, run.manifest.workflow.spec):
                self._inbox.post(events.DaemonStarted(at=now(), uid=run.run.uid))
        for executor in self.executors.values():
            self._group.start_soon(executor.sweep, self._state.runs.keys())  # as they are when it looks: work may come meanwhile
            self._group.start_soon(self._end_strays, executor)
        if self.registry.outbox:
            self.outgoing.set()
        if self._inbox.is_empty:
            self.recovered.set()

    async def run(self) -> None:
        """Decide, apply, record, act; for ever."""
        async for batch in self._inbox.batches():
            self._decided += 1
            answers = self._decide(batch)
            much = _is_much(answers)
            if much:
                await anyio.lowlevel.cancel_shielded_checkpoint()  # others have a turn; what is decided is recorded all the same
            if any(isinstance(event, events.Ticked) for event, _, _ in answers):
                faults.point("tick-decided")
            faults.point("before-record")
            if answers:
                await self.journal.record([Entry(event=event, answer=answer) for event, answer, _ in answers])
            faults.point("after-record")
            self._kept = self._decided
            if self._landed is not None:
                self._landed.set()
                self._landed = None
            if much:
                await anyio.lowlevel.cancel_shielded_checkpoint()
            with self._launcher.together():
                for _, answer, receipt in answers:
                    if isinstance(answer, Decision):
                        self._perform(answer)
                    if receipt is not None:
                        receipt.settle(answer)
            if self._inbox.is_empty and not self._kept_back and not self.recovered.is_set():
                self.recovered.set()

    def _decide(
        self, batch: Iterable[tuple[events.Event, Receipt | None]]
    ) -> list[tuple[events.Event, Decision | Refusal, Receipt | None]]:
        answers: list[tuple[events.Event, Decision | Refusal, Receipt | None]] = []
        for event, receipt in batch:
            if event.uid in self._kept_back and not isinstance(event, events.Continued):
                self._kept_back[event.uid].append((event, receipt))
                continue
            answer = self._take(event)
            answers.append((event, answer, receipt))
            if isinstance(answer, Decision):
                if answer.follows:
                    answers += self._followed(answer.follows)
            elif receipt is None and not isinstance(event, events.TimerFired):
                log.debug("refused", event_type=type(event).__name__, uid=event.uid, reason=answer.reason)
        return answers

    def _followed(self, facts: Iterable[events.Event]) -> Iterator[tuple[events.Event, Decision | Refusal, None]]:
        """Decide what follows in other runs, and what follows from that."""
        follows = deque(facts)
        while follows:
            follow = follows.popleft()
            answer = self._take(follow)
            yield follow, answer, None
            follows.extendleft(reversed(answer.follows if isinstance(answer, Decision) else ()))

    def _take(self, event: events.Event) -> Decision | Refusal:
        """Decide and apply. A run that has more to do of its last fact is told no other until it has: those are kept back meanwhile."""
        answer = decide(self._state, event)
        if isinstance(answer, Decision):
            self._state.apply(answer)
            if answer.rest:
                self._kept_back.setdefault(answer.uid, deque())
            elif (facts := self._kept_back.pop(answer.uid, None)) is not None:
                self._inbox.put_back(facts)
        return answer

    def _perform(self, made: Decision) -> None:
        for command in made.commands:
            self._do(command)
        self._watchers.tell(made)

    def _do(self, command: decision.Command) -> None:
        match command:
            case decision.Launch(uid=uid, node_id=node_id, attempt=attempt):
                self._launcher.launch(Attempt(uid, node_id, attempt))
            case decision.Adopt(uid=uid, node_id=node_id, attempt=attempt):
                self._launcher.launch(Attempt(uid, node_id, attempt, adopt=True))
            case decision.StopAttempt(uid=uid, node_id=node_id, attempt=attempt, grace_seconds=grace):
                faults.point("stopping")
                self._launcher.stop(uid, node_id, attempt, grace)
            case decision.SetTimer(uid=uid, key=key, at=at):
                self._timers.set(uid, key, at)
            case decision.Wake(uid=uid):
                self._inbox.post(events.Woken(at=now(), uid=uid))
            case decision.Continue(uid=uid):
                faults.point("between-slices")
                self._inbox.post(events.Continued(at=now(), uid=uid))
            case decision.ReleaseClaims(uid=uid):
                self._launcher.release(uid)
            case decision.Measure(samples=samples):
                for sample in samples:
                    if why := self.measures.add(sample):
                        log.warning("metric refused", uid=command.uid, metric=sample.name, reason=why)
            case decision.Finish(uid=uid):
                self._timers.forget(uid)
            case decision.Clean(orders=orders, delay_seconds=delay):
                self._group.start_soon(self._clean, orders, delay)
            case decision.DeleteArtifacts():
                self._group.start_soon(self._collect, command)
            case decision.Erase(uid=uid):
                self._group.start_soon(self._erase, uid)
            case decision.Refresh():
                for tell in self.refreshed:
                    tell()
            case decision.Deliver():
                self.outgoing.set()
            case _:
                assert_never(command)

    async def _end_strays(self, executor: Executor) -> None:
        """End what runs and nobody waits for: a decision ended it or deleted its run, and a kill came before its executor was told."""
        running = await executor.running()
        strays = {order_id: handle for order_id, handle in running.items() if not recovery.is_awaited(self._state, order_id)}
        await self.committed()
        for order_id, handle in strays.items():
            uid = order_id.partition("/")[0]
            run = self._state.runs.get(uid)
            log.info("attempt that nobody waits for stopped", order=order_id)
            await executor.stop(handle, (Settled() if run is None else run.manifest.chosen).grace_seconds)
            if run is None:
                await _quietly(executor.remove_run(uid), "not deleted", uid=uid)

    async def _clean(self, orders: Iterable[str], delay_seconds: float) -> None:
        """Delete what attempts left; what is cut off is commanded again after a restart."""
        await anyio.sleep(delay_seconds)
        for order in orders:
            faults.point("cleaning")
            for executor in self.executors.values():
                await _quietly(executor.remove(order), "not deleted", order=order)

    async def _erase(self, uid: str) -> None:
        """Delete what a deleted run left; what is cut off is swept after a restart."""
        faults.point("erasing")
        for executor in self.executors.values():
            await _quietly(executor.remove_run(uid), "not deleted", uid=uid)

    async def _collect(self, command: decision.DeleteArtifacts) -> None:
        """Delete artifacts and tell."""
        run = self.run_of(command.uid)
        error = ""
        if self._collector is None or run is None:
            error = "this engine deletes no artifacts"
        else:
            try:
                await self._collector(run.namespace, command)
            except TiphysError as failure:
                error = str(failure)
        self._inbox.post(events.ArtifactsDeleted(at=now(), uid=command.uid, error=error))

    async def serve_timers(self) -> None:
        """Fire timers; for ever."""
        await self._timers.run()

    async def hear(self, name: str) -> None:
        """Take in what the running attempts of an executor report; for ever."""
        await self._launcher.hear(name)

    def close(self) -> None:
        """Launch nothing more."""
        self._launcher.close()


def _is_much(answers: Sequence[tuple[events.Event, Decision | Refusal, Receipt | None]]) -> bool:
    """Whether to decide a batch, to record it and to act upon it is too much for one turn of the loop."""
    rows = len(answers)
    for _, answer, _ in answers:
        if type(answer) is Decision:
            rows += len(answer.changes)
    return rows > MUCH


async def _quietly(work: Awaitable[None], what: str, **of: str) -> None:
    """Do something that may fail for the disk's sake; that is logged."""
    try:
        await work
    except OSError as error:
        log.warning(what, reason=str(error), **of)


@asynccontextmanager
async def open_engine(
    journal: Journal,
    executors: Mapping[str, Executor],
    room: Mapping[str, int],
    *,
    rules: Rules | None = None,
    collector: Collector | None = None,
) -> AsyncIterator[Engine]:
    """An engine over a journal and executors, which the caller opened and will close. `room`: attempts at once, by executor; 0: any.
    `rules`: what settings say of all runs together. `collector` deletes artifacts.

    Unfinished runs in the journal go on at once.
    """
    async with anyio.create_task_group() as group:
        engine = Engine(journal, executors, room, group, rules or Rules(), collector)
        await engine.load()
        group.start_soon(engine.run)
        group.start_soon(engine.serve_timers)
        for name in executors:
            group.start_soon(engine.hear, name)
        try:
            yield engine
        finally:
            engine.close()
            group.cancel_scope.cancel()
