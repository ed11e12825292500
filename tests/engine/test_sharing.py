"""Locks and memos hold among the nodes of a workflow, among workflows, and over a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tiphys import manifests
from tiphys.engine.engine import Engine, open_engine
from tiphys.executors.scripted import Performance, Play, Script, ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.scheduler import events
from tiphys.scheduler.records import Manifest, Settled
from tiphys.settings import LimitSettings
from tiphys.spec.status import NodeStatus, Phase
from tiphys.spec.workflows import ConfigMap, Workflow

LIMITS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: limits}
data: {two: "2", none: "0"}
"""
LOOP = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: NAME, namespace: default}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - {name: each, template: work, withSequence: {count: "6"}}
    - name: work
      synchronization: SYNC
      container: {image: any, command: [work]}
"""
WHOLE = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: NAME, namespace: default}
spec:
  entrypoint: work
  synchronization: {mutexes: [{name: only}]}
  templates:
    - name: work
      container: {image: any, command: [work]}
"""
MEMO = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: NAME, namespace: default}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - {name: one, template: work, arguments: {parameters: [{name: key, value: a}]}}
        - - {name: two, template: work, arguments: {parameters: [{name: key, value: a}]}}
          - {name: other, template: work, arguments: {parameters: [{name: key, value: b}]}}
    - name: work
      inputs: {parameters: [{name: key}]}
      memoize: {key: "{{inputs.parameters.key}}", cache: {configMap: {name: cache}}}
      container: {image: any, command: [work]}
      outputs: {parameters: [{name: said, valueFrom: {path: /tmp/said}}]}
"""


def manifest(text: str, name: str, sync: str = "{}") -> Manifest:
    """A submission called `name`."""
    parsed = manifests.parse((LIMITS + "---" + text.replace("NAME", name).replace("SYNC", sync)).encode(), "t.yaml", LimitSettings())
    limits, workflow = (located.document for located in parsed.documents)
    assert isinstance(limits, ConfigMap)
    assert isinstance(workflow, Workflow)
    return Manifest(uid=name, workflow=workflow, config_maps=(limits,), chosen=Settled(executor="scripted"))


@asynccontextmanager
async def engine(executor: ScriptedExecutor, journal: MemoryJournal | None = None) -> AsyncIterator[Engine]:
    """An engine with one executor."""
    async with open_engine(journal or MemoryJournal(), {"scripted": executor}, {"scripted": 0}) as opened:
        yield opened


def nodes(opened: Engine, uid: str) -> list[NodeStatus]:
    """The nodes of a run."""
    status = opened.workflow(uid).status
    assert status is not None
    return list((status.nodes or {}).values())


async def most_at_once(opened: Engine, uids: list[str]) -> int:
    """Follow runs to their ends; how many of their pods ran at once at most."""
    most = 0

    async def follow(uid: str) -> None:
        nonlocal most
        async for _ in opened.changes(uid):
            running = sum(1 for other in uids for node in nodes(opened, other) if node.type == "Pod" and node.phase is Phase.RUNNING)
            most = max(most, running)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for uid in uids:
                group.start_soon(follow, uid)
    return most


@pytest.mark.parametrize(
    ("sync", "most"),
    [("{mutexes: [{name: one}]}", 1), ("{semaphores: [{configMapKeyRef: {name: limits, key: two}}]}", 2), ("{mutex: {name: old}}", 1)],
)
async def test_no_more_than_the_limit_hold_a_lock_within_a_workflow(sync: str, most: int) -> None:
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=0.06)))) as opened:
        await opened.submit(manifest(LOOP, "wf", sync))
        assert await most_at_once(opened, ["wf"]) == most
        assert opened.phase("wf") is Phase.SUCCEEDED


async def test_a_mutex_holds_between_workflows_and_every_one_gets_its_turn() -> None:
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=0.06)))) as opened:
        for uid in ("a", "b", "c"):
            await opened.submit(manifest(LOOP, uid, "{mutexes: [{name: one}]}"))
        assert await most_at_once(opened, ["a", "b", "c"]) == 1
        assert {opened.phase(uid) for uid in ("a", "b", "c")} == {Phase.SUCCEEDED}


async def test_a_workflow_waits_for_its_own_lock_and_says_so() -> None:
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=0.1)))) as opened:
        await opened.submit(manifest(WHOLE, "a"))
        await opened.submit(manifest(WHOLE, "b"))
        status = opened.workflow("b").status
        assert status is not None
        assert (status.phase, status.message) == (Phase.PENDING, "Waiting for default/Mutex/only lock. Lock status: 0/1")
        assert await most_at_once(opened, ["a", "b"]) == 1
        assert {opened.phase("a"), opened.phase("b")} == {Phase.SUCCEEDED}


async def test_what_waits_for_a_lock_says_for_which_and_fails_at_a_stop() -> None:
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=60)))) as opened:
        await opened.submit(manifest(LOOP, "wf", "{mutexes: [{name: one}]}"))
        waiting = [node for node in nodes(opened, "wf") if node.synchronization_status is not None]
        assert len(waiting) == 5
        assert {node.message for node in waiting} == {"Waiting for default/Mutex/one lock. Lock status: 0/1"}
        await opened.ask("wf", events.Stop())
        await most_at_once(opened, ["wf"])
        assert min(node.message for node in nodes(opened, "wf") if node.type == "Pod") == "Stopped with strategy 'Stop'"


async def test_a_semaphore_without_a_limit_is_an_error_of_the_node() -> None:
    async with engine(ScriptedExecutor()) as opened:
        await opened.submit(manifest(LOOP, "wf", "{semaphores: [{configMapKeyRef: {name: limits, key: none}}]}"))
        await most_at_once(opened, ["wf"])
        assert opened.phase("wf") is Phase.ERROR
        assert any(
            "failed to initialize semaphore default/ConfigMap/limits/none with limit" in node.message for node in nodes(opened, "wf")
        )


async def test_locks_survive_a_restart_neither_lost_nor_doubled() -> None:
    world: dict[str, Performance] = {}
    journal = MemoryJournal()
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=0.3)), world=world), journal) as opened:
        await opened.submit(manifest(LOOP, "wf", "{mutexes: [{name: one}]}"))
        with anyio.fail_after(5):
            while not world:
                await anyio.sleep(0.01)
    async with engine(ScriptedExecutor(Script(otherwise=Play(seconds=0.06)), world=world), journal) as opened:
        assert await most_at_once(opened, ["wf"]) == 1
        assert opened.phase("wf") is Phase.SUCCEEDED
    assert len(world) == 6


async def test_a_memo_spares_the_work_also_in_another_workflow_and_after_a_restart() -> None:
    journal = MemoryJournal()
    executor = ScriptedExecutor(Script(otherwise=Play(parameters={"said": "hello"})))
    async with engine(executor, journal) as opened:
        await opened.submit(manifest(MEMO, "first"))
        await most_at_once(opened, ["first"])
        hits = {node.display_name: node.memoization_status.hit for node in nodes(opened, "first") if node.memoization_status is not None}
        assert hits == {"one": False, "two": True, "other": False}
    async with engine(executor, journal) as opened:
        await opened.submit(manifest(MEMO, "second"))
        await most_at_once(opened, ["second"])
        assert opened.phase("second") is Phase.SUCCEEDED
        said = [p.value for node in nodes(opened, "second") if node.outputs is not None for p in node.outputs.parameters]
        assert said == ["hello"] * 3
    assert len(executor.launched) == 2
