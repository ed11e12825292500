"""What a daemon was told to do in its life, held against its rows: no order is made twice, lost, or left behind, and no timer is lost."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from tiphys.scheduler import decision, nodes, state
from tiphys.spec.status import NodeType, Phase

Attempt = tuple[str, str, int]


class Book:
    """The orders that are open: launched or adopted in this life, and not heard of as ended; whether each was asked to stop."""

    def __init__(self) -> None:
        self._open: dict[Attempt, bool] = {}

    def crash(self) -> None:
        """A new life begins."""
        self._open.clear()

    def ended(self, uid: str, node_id: str, attempt: int) -> None:
        """An attempt has ended."""
        self._open.pop((uid, node_id, attempt), None)

    def note(self, command: decision.Command) -> list[str]:
        """Take a command in; what is wrong with it."""
        if isinstance(command, decision.StopAttempt):
            key = (command.uid, command.node_id, command.attempt)
            if key in self._open:
                self._open[key] = True
        elif isinstance(command, decision.Launch | decision.Adopt):
            key = (command.uid, command.node_id, command.attempt)
            if key in self._open:
                return [f"{type(command).__name__} of {key}, of which an order is open"]
            self._open[key] = False
        return []

    def faults(self, told: state.State, timers: Mapping[tuple[str, str], datetime]) -> Iterator[str]:
        """What is wrong when all that was commanded has been done."""
        for uid, node_id, attempt in [key for key, stopped in self._open.items() if not stopped]:
            node = told.runs[uid].nodes.get(node_id) if uid in told.runs else None
            if node is None or node.phase.fulfilled or node.attempt != attempt:
                yield f"an attempt of {node.name if node is not None else node_id} goes on, and nobody waits for it"
        for run in told.runs.values():
            if not run.run.phase.completed and not (run.run.wanting or run.run.postponed):
                yield from self._of_run(run, timers)

    def _of_run(self, run: state.RunState, timers: Mapping[tuple[str, str], datetime]) -> Iterator[str]:
        uid = run.run.uid
        if run.run.deadline_at is not None and not run.run.deadline_passed and (uid, "") not in timers:
            yield f"{run.run.name} has a deadline and no timer for it"
        for node in run.nodes.values():
            if node.phase.fulfilled:
                continue
            ended_elsewhere = node.phase is Phase.RUNNING and node.type is NodeType.POD  # its timeout is its executor's by then
            if node.wake_at is not None and (uid, node.id) not in timers and not ended_elsewhere:
                yield f"{node.name} is {node.phase} until {node.wake_at}, and has no timer"
            if node.type in nodes.ATTEMPTED and not node.waiting_for and (uid, node.id, node.attempt) not in self._open:
                yield f"{node.name} is {node.phase}, and nobody was told to do it"
