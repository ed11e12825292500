"""The engine decides, records, and only then acts; and whatever is cut off goes on where it was."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from tiphys import manifests
from tiphys.engine.engine import LARGE_RUN, Engine, Refused, open_engine
from tiphys.engine.launching import AT_ONCE
from tiphys.executors.scripted import Performance, Play, Script, ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import Entry
from tiphys.scheduler import events, preparing
from tiphys.scheduler.records import Manifest, Settled
from tiphys.settings import LimitSettings
from tiphys.spec.status import Phase
from tiphys.spec.work import Handle, WorkOrder
from tiphys.spec.workflows import Workflow

CHAIN = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: chain, namespace: default}
spec:
  entrypoint: main
  onExit: bye
  templates:
    - name: main
      steps:
        - - {name: one, template: work}
        - - {name: two, template: work}
    - name: work
      container: {image: any, command: [work]}
    - name: bye
      container: {image: any, command: [bye]}
"""
PAUSE = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: pause, namespace: default}
spec:
  entrypoint: main
  templates:
    - name: main
      suspend: {}
"""


def manifest(text: str, uid: str = "u1") -> Manifest:
    """A submission of the text's workflow on the scripted executor."""
    document = manifests.parse(text.encode(), "test.yaml", LimitSettings()).documents[0].document
    assert isinstance(document, Workflow)
    return Manifest(uid=uid, workflow=document, chosen=Settled(executor="scripted"))


@asynccontextmanager
async def engine(journal: MemoryJournal, executor: ScriptedExecutor, room: int = 0) -> AsyncIterator[Engine]:
    """An engine on a journal and one executor."""
    async with open_engine(journal, {"scripted": executor}, {"scripted": room}) as opened:
        yield opened


async def ended(opened: Engine, uid: str = "u1") -> Phase:
    """Follow a run to its end."""
    with anyio.fail_after(10):
        async for _ in opened.changes(uid):
            pass
    return opened.phase(uid)


def names(executor: ScriptedExecutor, opened: Engine) -> list[str]:
    """The names of the nodes that were launched, in order."""
    nodes = (opened.workflow("u1").status or pytest.fail("no status")).nodes or {}
    return [nodes[order.split("/")[1]].name for order in executor.launched]


async def test_a_workflow_runs_to_its_end_and_its_exit_handler_after_it() -> None:
    executor = ScriptedExecutor()
    async with engine(MemoryJournal(), executor) as opened:
        await opened.submit(manifest(CHAIN))
        assert await ended(opened) is Phase.SUCCEEDED
        assert names(executor, opened) == ["chain[0].one", "chain[1].two", "chain.onExit"]


class Watched(MemoryJournal):
    """A journal that tells what the world had seen when each batch was recorded."""

    def __init__(self, executor: ScriptedExecutor) -> None:
        super().__init__()
        self.launched_before: list[int] = []
        self._executor = executor

    async def record(self, entries: Sequence[Entry]) -> None:
        """Note how much was launched before this was recorded."""
        await anyio.sleep(0.01)
        self.launched_before.append(len(self._executor.launched))
        await super().record(entries)


async def test_nothing_is_launched_before_it_is_recorded() -> None:
    executor = ScriptedExecutor()
    journal = Watched(executor)
    async with engine(journal, executor) as opened:
        await opened.submit(manifest(CHAIN))
        await ended(opened)
    assert journal.launched_before[0] == 0
    assert sorted(journal.launched_before) == journal.launched_before
    assert len(executor.launched) == 3


class Broken(MemoryJournal):
    """A journal that fails after so many batches."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self._good = good

    async def record(self, entries: Sequence[Entry]) -> None:
        """Fail when the good ones are used up."""
        if self._good == 0:
            raise OSError("disk full")
        self._good -= 1
        await super().record(entries)


async def test_an_engine_that_cannot_record_stops_and_launches_nothing_more() -> None:
    executor = ScriptedExecutor()
    with pytest.raises(BaseExceptionGroup) as raised:  # noqa: PT012 - what raises is the loop behind the block
        async with engine(Broken(1), executor) as opened:
            await opened.submit(manifest(CHAIN))
            await anyio.sleep(5)
    assert raised.group_contains(OSError, match="disk full")
    assert len(executor.launched) == 1


async def test_what_was_cut_off_goes_on_and_nothing_completed_runs_again() -> None:
    world: dict[str, Performance] = {}
    journal = MemoryJournal()
    slow = Script({"*two": Play(seconds=3600)})
    first = ScriptedExecutor(slow, world=world)
    async with engine(journal, first) as opened:
        await opened.submit(manifest(CHAIN))
        with anyio.fail_after(10):
            while len(first.launched) < 2:
                await anyio.sleep(0.01)
    second = ScriptedExecutor()
    async with engine(journal, second) as opened:
        assert await ended(opened) is Phase.SUCCEEDED
        assert names(second, opened) == ["chain[1].two", "chain.onExit"]


async def test_attempts_wait_for_room_with_their_executor() -> None:
    loop = CHAIN.replace("{name: one, template: work}", "{name: one, template: work, withSequence: {count: 20}}")
    executor = ScriptedExecutor(Script({"*one*": Play(seconds=0.2)}))
    most = 0
    async with engine(MemoryJournal(), executor, room=3) as opened:
        await opened.submit(manifest(loop))
        with anyio.fail_after(10):
            async for change in opened.changes("u1"):
                nodes = (opened.workflow("u1").status or pytest.fail("no status")).nodes or {}
                most = max(most, sum(1 for node in nodes.values() if node.phase is Phase.RUNNING and node.type == "Pod"))
                if change.phase.completed:
                    break
        assert opened.phase("u1") is Phase.SUCCEEDED
    assert 0 < most <= 3


async def test_a_refused_wish_says_why_and_changes_nothing() -> None:
    async with engine(MemoryJournal(), ScriptedExecutor()) as opened:
        await opened.submit(manifest(PAUSE))
        with pytest.raises(Refused, match="no suspend nodes matching"):
            await opened.ask("u1", events.Resume(("nothing",)))
        with pytest.raises(Refused, match="no workflow has the uid"):
            await opened.ask("other", events.Stop())
        assert opened.phase("u1") is Phase.RUNNING
        await opened.ask("u1", events.Resume())
        assert await ended(opened) is Phase.SUCCEEDED


async def test_stop_ends_a_live_attempt_and_the_exit_handler_still_runs() -> None:
    executor = ScriptedExecutor(Script({"*one": Play(seconds=3600)}))
    async with engine(MemoryJournal(), executor) as opened:
        await opened.submit(manifest(CHAIN))
        with anyio.fail_after(10):
            while not executor.launched:
                await anyio.sleep(0.01)
        await opened.ask("u1", events.Stop())
        assert await ended(opened) is Phase.FAILED
        workflow = opened.workflow("u1")
        assert workflow.status is not None
        assert workflow.status.message == "Stopped with strategy 'Stop'"
        assert names(executor, opened) == ["chain[0].one", "chain.onExit"]


async def test_what_is_seen_between_a_decision_and_its_record_is_waited_for() -> None:
    """Whoever shows a run to others waits until a crash could not undo what they see."""

    class Slow(MemoryJournal):
        """A journal whose disk takes its time."""

        recorded = 0

        async def record(self, entries: Sequence[Entry]) -> None:
            """Later."""
            await anyio.sleep(0.2)
            await super().record(entries)
            self.recorded += 1

    journal = Slow()
    async with engine(journal, ScriptedExecutor()) as opened, anyio.create_task_group() as group:
        group.start_soon(opened.submit, manifest(PAUSE))
        with anyio.fail_after(5):
            while not opened.uids():
                await anyio.sleep(0.01)
            assert journal.recorded == 0
            await opened.committed()
        assert journal.recorded == 1
        await opened.committed()
        group.cancel_scope.cancel()


async def test_a_large_run_begins_and_is_retried_like_a_small_one() -> None:
    """What is looked at on a thread first changes nothing of it: a dag of many tasks runs, and only what failed runs again."""
    count = LARGE_RUN + 50
    tasks = "".join(f"\n          - {{name: t{n}, template: work, depends: '{f't{n - 50}' if n >= 50 else ''}'}}" for n in range(count))
    text = CHAIN.partition("      steps:")[0] + f"      dag:\n        failFast: false\n        tasks:{tasks}\n    - name: work"
    text += CHAIN.partition("    - name: work")[2]
    flaky = [Play(exit_code=1), Play()]
    executor = ScriptedExecutor(Script({f"chain.t{count - 1}": flaky, f"chain.t{count - 2}": flaky}))
    async with engine(MemoryJournal(), executor) as opened:
        uid = await opened.submit(manifest(text))
        assert await ended(opened) is Phase.FAILED
        first = len(executor.launched)
        await opened.ask(uid, events.Retry())
        assert await ended(opened) is Phase.SUCCEEDED
        again = names(executor, opened)[first:]
    assert first == count + 1
    assert sorted(again) == sorted(["chain.onExit", f"chain.t{count - 1}", f"chain.t{count - 2}"])


async def test_a_large_workflow_that_is_suspended_runs_when_it_is_resumed() -> None:
    tasks = "".join(f"\n          - {{name: t{n}, template: work}}" for n in range(preparing.MANY + 1))
    text = CHAIN.replace("  entrypoint", "  suspend: true\n  entrypoint").partition("      steps:")[0]
    text += f"      dag:\n        tasks:{tasks}\n    - name: work" + CHAIN.partition("    - name: work")[2]
    executor = ScriptedExecutor()
    async with engine(MemoryJournal(), executor) as opened:
        uid = await opened.submit(manifest(text))
        await anyio.sleep(0.1)
        assert not executor.launched
        await opened.ask(uid, events.Resume())
        assert await ended(opened) is Phase.SUCCEEDED
    assert len(executor.launched) == preparing.MANY + 2


class Turns(ScriptedExecutor):
    """An executor that tells how many attempts it began in each turn of the loop."""

    def __init__(self) -> None:
        super().__init__(Script(otherwise=Play(seconds=0.05)))
        self.begun: list[int] = []

    async def launch(self, order: WorkOrder) -> Handle:
        """Begin one more in this turn."""
        if not self.begun or not self.begun[-1]:
            self.begun.append(0)
            asyncio.get_running_loop().call_soon(self._over)
        self.begun[-1] += 1
        return await super().launch(order)

    def _over(self) -> None:
        self.begun.append(0)


async def test_what_has_room_for_many_does_not_begin_them_all_in_one_turn() -> None:
    executor = Turns()
    async with engine(MemoryJournal(), executor) as opened:
        await opened.submit(
            manifest(CHAIN.replace("{name: two, template: work}", '{name: two, template: work, withSequence: {count: "500"}}'))
        )
        assert await ended(opened) is Phase.SUCCEEDED
    assert sum(executor.begun) == 502
    assert max(executor.begun) <= 2 * AT_ONCE  # the end of some that waited, and the next that are decided
    assert sum(count > AT_ONCE // 2 for count in executor.begun) >= 500 // AT_ONCE // 2
