"""What a decision has ended is stopped, whoever has to do that: no attempt goes on unseen after a kill, and no other is taken for it."""

from collections.abc import Callable

import anyio

from tests.engine.test_engine import CHAIN, ended, engine, manifest
from tiphys.executors.scripted import Performance, Play, Script, ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.scheduler import events
from tiphys.spec.status import Phase
from tiphys.spec.work import Handle

BROKEN = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: broken, namespace: default}
spec:
  entrypoint: main
  arguments: {parameters: [{name: said, value: "1"}]}
  templates:
    - name: main
      dag:
        tasks:
          - name: a
            template: work
            hooks: {seen: {template: work, expression: 'tasks.a.status == "Running" ? {{workflow.parameters.said}} : false'}}
    - name: work
      container: {image: any, command: [work]}
"""
"""The hook says neither yes nor no once its task runs: the task is an Error then, and what it runs is to be stopped."""

LONG = Script(otherwise=Play(seconds=3600))


class Deaf(ScriptedExecutor):
    """Is told to stop nothing, as where who should tell it was killed."""

    async def stop(self, handle: Handle, grace_seconds: float) -> None:
        """Nothing happens."""


async def until(look: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not look():
            await anyio.sleep(0)


async def test_what_a_decision_has_ended_is_stopped_by_the_next_engine() -> None:
    world: dict[str, Performance] = {}
    journal = MemoryJournal()
    async with engine(journal, Deaf(LONG, world=world)) as opened:
        await opened.submit(manifest(BROKEN))
        assert await ended(opened) is Phase.ERROR
    (attempt,) = world.values()
    assert not attempt.stopped
    async with engine(journal, ScriptedExecutor(LONG, world=world)):
        await until(lambda: attempt.stopped)


async def test_what_a_deleted_run_has_left_running_is_stopped_and_forgotten() -> None:
    world: dict[str, Performance] = {}
    async with engine(MemoryJournal(), Deaf(LONG, world=world)) as opened:
        await opened.submit(manifest(CHAIN))
        await until(lambda: world)
    (attempt,) = world.values()
    async with engine(MemoryJournal(), ScriptedExecutor(LONG, world=world)):  # whose rows know nothing of that run
        await until(lambda: attempt.stopped and not world)


async def test_what_is_awaited_goes_on() -> None:
    world: dict[str, Performance] = {}
    journal = MemoryJournal()
    first = ScriptedExecutor(LONG, world=world)
    async with engine(journal, first) as opened:
        await opened.submit(manifest(CHAIN))
        await until(lambda: world)
    async with engine(journal, ScriptedExecutor(LONG, world=world)):
        await anyio.sleep(0.2)
    (attempt,) = world.values()
    assert not attempt.stopped


async def test_an_attempt_of_before_that_waits_for_room_is_stopped_although_nobody_has_seen_yet_that_it_runs() -> None:
    world: dict[str, Performance] = {}
    journal = MemoryJournal()
    loop = CHAIN.replace("{name: one, template: work}", "{name: one, template: work, withSequence: {count: 5}}")
    first = ScriptedExecutor(LONG, world=world)
    async with engine(journal, first) as opened:
        await opened.submit(manifest(loop))
        await until(lambda: len(world) == 5)  # that they run is not recorded yet
    begun = list(world.values())
    second = ScriptedExecutor(LONG, world=world)
    async with engine(journal, second, room=1) as opened:
        await opened.ask("u1", events.Terminate())
        assert await ended(opened) is Phase.FAILED
    assert all(attempt.stopped for attempt in begun)
    assert not second.launched


async def test_the_stop_of_an_attempt_that_was_over_already_does_not_reach_the_next_one() -> None:
    journal = MemoryJournal()
    executor = ScriptedExecutor(Script({"work": lambda order: Play(seconds=0.2 if order.attempt else 0.0)}))
    async with engine(journal, executor) as opened:
        uid = await opened.submit(manifest(BROKEN))
        assert await ended(opened) is Phase.ERROR
        await opened.ask(uid, events.Retry(parameters={"said": "false"}))
        assert await ended(opened) is Phase.SUCCEEDED
    assert len(executor.launched) == 2
