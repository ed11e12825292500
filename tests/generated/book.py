"""What daemons were told to do, held against their rows: no order is made twice in a life, lost, or left behind, and no timer is lost."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from tiphys.scheduler import decision, nodes, recovery, state
from tiphys.spec.status import NodeType, Phase

Attempt = tuple[str, str, int]


def danger(commands: Iterable[decision.Command]) -> float:
    """How often commands are lost, where a crash has the chance 1: an attempt that is not stopped is hard to find again."""
    return 2.0 if any(isinstance(command, decision.StopAttempt) for command in commands) else 0.25


class Book:
    """The orders that are open: launched or adopted in this life, and not heard of as ended. What runs: launched in any life, and has not
    ended; whether each was asked to stop.
    """

    def __init__(self) -> None:
        self._open: set[Attempt] = set()
        self._running: dict[Attempt, bool] = {}

    def crash(self) -> None:
        """A new life begins; what runs goes on."""
        self._open.clear()

    def ended(self, uid: str, node_id: str, attempt: int) -> None:
        """An attempt has ended."""
        self._open.discard((uid, node_id, attempt))
        self._running.pop((uid, node_id, attempt), None)

    def note(self, command: decision.Command) -> list[str]:
        """Take a command in; what is wrong with it."""
        if isinstance(command, decision.StopAttempt):
            key = (command.uid, command.node_id, command.attempt)
            if key in self._running:
                self._running[key] = True
        elif isinstance(command, decision.Launch | decision.Adopt):
            key = (command.uid, command.node_id, command.attempt)
            if key in self._open:
                return [f"{type(command).__name__} of {key}, of which an order is open"]
            self._open.add(key)
            self._running.setdefault(key, False)
        return []

    def end_strays(self, told: state.State) -> Iterator[decision.StopAttempt]:
        """What a new life ends of the lives before: attempts that run and that nothing in its rows waits for."""
        for uid, node_id, attempt in self._running:
            if not recovery.is_awaited(told, f"{uid}/{node_id}/{attempt}"):
                yield decision.StopAttempt(uid=uid, node_id=node_id, attempt=attempt, grace_seconds=0.0)

    def faults(self, told: state.State, timers: Mapping[tuple[str, str], datetime]) -> Iterator[str]:
        """What is wrong when all that was commanded has been done."""
        for uid, node_id, attempt in [key for key, stopped in self._running.items() if not stopped]:
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
