"""What every executor promises the engine, whatever it runs: the twin keeps the same promises as the real ones."""

import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tests.process.orders import opened as opened_process
from tiphys.executors.http import HTTPExecutor
from tiphys.executors.scripted import Play, Script, ScriptedExecutor
from tiphys.secrets import Secrets
from tiphys.settings import HTTPSettings
from tiphys.spec.containers import Container
from tiphys.spec.templates import HTTP
from tiphys.spec.work import Command, Executor, Handle, OutcomeKind, Request, Wanted, Work, WorkflowIdentity, WorkOrder

Scene = tuple[Executor, Callable[[str], Work]]


def an_order(work: Work, *, name: str = "a", attempt: int = 0, deadline: datetime | None = None) -> WorkOrder:
    """An order for `work` under the node name `name`."""
    return WorkOrder(
        id=f"uid/{name}/{attempt}",
        workflow=WorkflowIdentity(uid="uid", name="wf", namespace="default"),
        node_id=f"wf-{name}",
        node_name=f"wf.{name}",
        pod_name=f"wf-{name}",
        template_name=name,
        attempt=attempt,
        executor="any",
        work=work,
        wanted=Wanted(result=True),
        deadline=deadline,
        deadline_message="Step exceeded its deadline",
        grace_seconds=0.5,
        idempotency_key=f"wf-{name}",
    )


@asynccontextmanager
async def scripted() -> AsyncIterator[Scene]:
    plays = {"good": Play(result="fine"), "bad": Play(exit_code=3), "long": Play(seconds=60)}
    parts = {f"wf.{name}": play for name, play in plays.items()}
    yield ScriptedExecutor(Script(parts)), lambda name: Request(http=HTTP(url=f"http://scripted/{name}"))


@asynccontextmanager
async def http() -> AsyncIterator[Scene]:
    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/good":
                return web.Response(text="fine")
            case "/bad":
                return web.Response(status=500, text="broken")
            case _:
                await anyio.sleep(60)
                return web.Response(text="late")

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    port = listening.getsockname()[1]
    async with HTTPExecutor(HTTPSettings(), Secrets()) as executor:
        yield executor, lambda name: Request(http=HTTP(url=f"http://127.0.0.1:{port}/{name}"))
    await runner.cleanup()


@asynccontextmanager
async def processes() -> AsyncIterator[Scene]:
    scripts = {"good": "echo fine", "bad": "exit 3", "long": "sleep 60"}
    with tempfile.TemporaryDirectory() as folder:
        async with opened_process(Path(folder), "auto") as executor:
            yield executor, lambda name: Command(container=Container(command=("sh", "-c", scripts[name])))


every_executor = pytest.mark.parametrize("opened", [scripted, http, processes], ids=lambda opened: opened.__name__)


@every_executor
async def test_an_attempt_ends_with_its_outcome_and_times(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        before = datetime.now(UTC)
        outcome = await executor.wait(order, await executor.launch(order))
        assert outcome.kind is OutcomeKind.SUCCEEDED
        assert outcome.result == "fine"
        assert outcome.message == ""
        assert before <= outcome.started_at <= outcome.ended_at <= datetime.now(UTC)


@every_executor
async def test_a_failure_is_the_users_and_says_why(opened):
    async with opened() as (executor, work):
        order = an_order(work("bad"), name="bad")
        outcome = await executor.wait(order, await executor.launch(order))
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.message != ""


@every_executor
async def test_launching_the_same_id_twice_finds_the_first(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        first = await executor.launch(order)
        assert await executor.launch(order) == first
        outcome = await executor.wait(order, first)
        assert await executor.launch(order) == first
        assert await executor.wait(order, first) == outcome


@every_executor
async def test_two_waiters_see_the_same_outcome(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        handle = await executor.launch(order)
        seen = []

        async def wait() -> None:
            seen.append(await executor.wait(order, handle))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(wait)
        assert seen[0] == seen[1]


@every_executor
async def test_an_attempt_that_never_started_is_not_adopted(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        assert await executor.adopt(order, None) is None
        assert await executor.adopt(order, Handle(executor=executor.name, text="nothing")) is None


@every_executor
async def test_a_stopped_attempt_ends_as_stopped(opened):
    async with opened() as (executor, work):
        order = an_order(work("long"), name="long")
        handle = await executor.launch(order)
        outcomes = []

        async def wait() -> None:
            outcomes.append(await executor.wait(order, handle))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(0.2)
                await executor.stop(handle, 0.5)
        assert outcomes[0].kind is OutcomeKind.STOPPED


@every_executor
async def test_a_stop_before_the_wait_is_not_forgotten(opened):
    async with opened() as (executor, work):
        order = an_order(work("long"), name="long")
        handle = await executor.launch(order)
        await executor.stop(handle, 0.5)
        with anyio.fail_after(10):
            assert (await executor.wait(order, handle)).kind is OutcomeKind.STOPPED


@every_executor
async def test_stopping_what_is_unknown_or_over_changes_nothing(opened):
    async with opened() as (executor, work):
        await executor.stop(Handle(executor=executor.name, text="nothing"), 0.5)
        order = an_order(work("good"), name="good")
        handle = await executor.launch(order)
        outcome = await executor.wait(order, handle)
        await executor.stop(handle, 0.5)
        assert await executor.wait(order, handle) == outcome
        assert outcome.kind is OutcomeKind.SUCCEEDED


@every_executor
async def test_what_runs_is_told_where_it_outlives_who_launched_it(opened):
    async with opened() as (executor, work):
        order = an_order(work("long"), name="long")
        handle = await executor.launch(order)
        assert await executor.running() == ({} if executor.name == "http" else {order.id: handle})
        await executor.stop(handle, 0.5)
        with anyio.fail_after(10):
            await executor.wait(order, handle)
        assert await executor.running() == {}


@every_executor
async def test_the_deadline_ends_an_attempt_with_the_orders_message(opened):
    async with opened() as (executor, work):
        order = an_order(work("long"), name="long", deadline=datetime.now(UTC) + timedelta(seconds=0.3))
        with anyio.fail_after(10):
            outcome = await executor.wait(order, await executor.launch(order))
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.message == "Step exceeded its deadline"


@every_executor
async def test_a_cancelled_wait_can_be_taken_up_again(opened):
    async with opened() as (executor, work):
        order = an_order(work("long"), name="long")
        handle = await executor.launch(order)
        with anyio.move_on_after(0.2) as scope:
            await executor.wait(order, handle)
        assert scope.cancelled_caught
        await executor.stop(handle, 0.5)
        with anyio.fail_after(10):
            assert (await executor.wait(order, handle)).kind is OutcomeKind.STOPPED


@every_executor
async def test_a_removed_attempt_is_forgotten(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        handle = await executor.launch(order)
        await executor.wait(order, handle)
        await executor.remove(order.id)
        await executor.remove(order.id)
        assert await executor.adopt(order, None) is None
        assert (await executor.wait(order, handle)).kind is OutcomeKind.INTERRUPTED


@every_executor
async def test_logs_come_to_an_end(opened):
    async with opened() as (executor, work):
        order = an_order(work("good"), name="good")
        handle = await executor.launch(order)
        await executor.wait(order, handle)
        with anyio.fail_after(10):
            assert b"".join([chunk async for chunk in executor.logs(handle, follow=True)]) in {b"", b"fine\n"}
