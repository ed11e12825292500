"""While workflows run: their changes go to the view, their output to the follower, signals and answers to the engine."""

import os
import signal
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from tiphys.cli import asking, tree, views
from tiphys.cli.follow import Follower
from tiphys.cli.port import Engine
from tiphys.errors import TiphysError
from tiphys.scheduler import events
from tiphys.spec.status import NodeStatus, NodeType, Phase

STOPPING = "stopping: running steps are ended and exit handlers run; again (Ctrl-C) terminates at once"
TERMINATING = "terminating: no exit handlers"
LEAVING = "leaving"
WHO = "the terminal"
WITH_OUTPUT = frozenset({NodeType.POD, NodeType.PLUGIN})


class Watching:
    """Watches the workflows of one foreground run to their end.

    `terminal` is where questions are put, `write` how (None, or a terminal that ended: they are answered by a signal).
    """

    def __init__(
        self,
        engine: Engine,
        view: views.View,
        *,
        terminal: asking.Terminal | None,
        write: Callable[[str], None],
        follower: Follower | None,
    ) -> None:
        self.interrupts = 0
        self._engine = engine
        self._view = view
        self._terminal = terminal
        self._write = write
        self._follower = follower
        self._told: set[str] = set()
        self._waiting: dict[str, NodeStatus] = {}
        self._questions: dict[str, anyio.CancelScope] = {}
        self._one_at_a_time = anyio.Lock()
        self._unfinished: list[str] = []

    async def run(self, uids: Sequence[str]) -> None:
        """Watch until all are completed, or until a third interrupt."""
        self._unfinished = list(uids)
        try:
            async with anyio.create_task_group() as around:
                around.start_soon(self._signals, around)
                around.start_soon(self._view.run)
                async with anyio.create_task_group() as watched:
                    for uid in uids:
                        watched.start_soon(self._watch, uid, around)
                around.cancel_scope.cancel()
        finally:
            self._view.close()

    async def _watch(self, uid: str, group: TaskGroup) -> None:
        changes = self._engine.changes(uid)
        workflow = self._engine.workflow(uid)
        self._view.begin(uid, workflow)
        # Nothing here waits: a change between this picture and the first of `changes` would be lost.
        for node in ((workflow.status.nodes if workflow.status else None) or {}).values():
            self._notice(uid, node, group)
            self._view.changed(uid, node)
        if workflow.spec.suspend:
            group.start_soon(self._ask_for_all, uid, workflow.metadata.name)
        async for change in changes:
            if change.node is None:
                self._view.ended(uid, change.phase, change.message)
                continue
            self._notice(uid, change.node, group)
            if self._follower and change.node.phase.fulfilled:
                await self._follower.finish(uid, change.node.id)  # its output comes before its end
            self._view.changed(uid, change.node)
        self._unfinished.remove(uid)
        await self._last(uid, group)

    async def _last(self, uid: str, group: TaskGroup) -> None:
        """What ended together with the workflow may not have come as a change of its own; a view shows each change once."""
        status = self._engine.workflow(uid).status
        for node in ((status.nodes if status else None) or {}).values():
            self._notice(uid, node, group)
            if self._follower and node.phase.fulfilled:
                await self._follower.finish(uid, node.id)
            self._view.changed(uid, node)

    def _notice(self, uid: str, node: NodeStatus, group: TaskGroup) -> None:
        """Follow a node's output, ask where it waits for somebody."""
        if self._follower and node.type in WITH_OUTPUT and (node.phase is Phase.RUNNING or node.phase.completed):
            self._follower.start(group, uid, node.id, node.display_name or node.name)
        if tree.active_suspend(node):
            first = node.id not in self._waiting
            self._waiting[node.id] = node
            if first:
                group.start_soon(self._ask, uid, node)
        elif self._waiting.pop(node.id, None) and (question := self._questions.get(node.id)):
            question.cancel()

    async def _ask(self, uid: str, node: NodeStatus) -> None:
        """Put a suspended node's question, or say how it goes on."""
        if self._terminal is None:
            self._say_how(node.display_name or node.name)
            return
        async with self._one_at_a_time:
            if node.id not in self._waiting:
                return
            self._view.pause()
            answer = None
            with anyio.CancelScope() as scope:
                self._questions[node.id] = scope
                answer = await asking.ask(node, self._write, self._terminal.line)
            del self._questions[node.id]
            if scope.cancelled_caught:
                self._write("\n")
            self._view.resume()
        if answer is not None:
            await self._answered(uid, node, answer)
        elif not scope.cancelled_caught:
            self._terminal = None
            self._say_how(node.display_name or node.name)

    async def _answered(self, uid: str, node: NodeStatus, answer: asking.Answer) -> None:
        if answer.stop:
            await self._steer(uid, events.Stop())
            return
        if answer.values:
            await self._steer(uid, events.SetNode(nodes=(node.id,), parameters=dict(answer.values)))
        await self._steer(uid, events.Resume(nodes=(node.id,)))

    async def _ask_for_all(self, uid: str, name: str) -> None:
        """A workflow that starts suspended (`spec.suspend`)."""
        if self._terminal is None:
            self._say_how(name)
            return
        async with self._one_at_a_time:
            self._view.pause()
            self._write(f"{name} is suspended (spec.suspend). ")
            answer = await asking.go_on(self._write, self._terminal.line)
            self._view.resume()
        if answer is None:
            self._terminal = None
            self._say_how(name)
        else:
            await self._steer(uid, events.Resume() if answer else events.Stop())

    def _say_how(self, name: str) -> None:
        """Nobody can be asked: the signal that answers."""
        if name not in self._told:
            self._told.add(name)
            self._say(f"{name} waits to be resumed; there is no terminal to ask: `kill -USR1 {os.getpid()}` resumes it")

    async def _signals(self, group: TaskGroup) -> None:
        """Ctrl-C (or SIGTERM) stops, a second one terminates, a third one leaves; SIGUSR1 resumes."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) as signals:
            async for number in signals:
                if number == signal.SIGUSR1:
                    await self._steer_all(events.Resume())
                    continue
                self.interrupts += 1
                if self.interrupts == 1:
                    self._say(STOPPING)
                    await self._steer_all(events.Stop())
                elif self.interrupts == 2:
                    self._say(TERMINATING)
                    await self._steer_all(events.Terminate())
                else:
                    self._say(LEAVING)
                    group.cancel_scope.cancel()

    async def _steer_all(self, wish: events.Wish) -> None:
        for uid in tuple(self._unfinished):
            await self._steer(uid, wish)

    async def _steer(self, uid: str, wish: events.Wish) -> None:
        """Ask the engine; why it refuses is told, not raised: the run goes on."""
        try:
            await self._engine.ask(uid, wish, WHO)
        except TiphysError as error:
            self._say(f"{type(wish).__name__.lower()}: {error}")

    def _say(self, text: str) -> None:
        self._view.say([tree.Line(text=text)])
