"""Executor plugins against real servers: who is asked, what is sent, and what their answers mean."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tiphys.executors import plugin
from tiphys.executors.plugin import PluginExecutor
from tiphys.settings import PluginEntry
from tiphys.spec import work
from tiphys.spec.parameters import Parameter
from tiphys.spec.templates import Inputs, Template
from tiphys.spec.work import OutcomeKind

TEMPLATE = Template(name="t", inputs=Inputs(parameters=(Parameter(name="p", value="1"),)), plugin={"hello": {"greet": "you"}})


class Service:
    """A plugin that gives prepared answers, one after another (the last stays), and remembers what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[dict, dict]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((dict(request.headers), await request.json()))
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, int):
            return web.Response(status=given, text="no")
        return web.Response(text=given if isinstance(given, str) else json.dumps(given))


@asynccontextmanager
async def serving(*services: Service, **entry: object) -> AsyncIterator[PluginExecutor]:
    """An executor with these plugins."""
    runners, plugins = [], {}
    for number, service in enumerate(services):
        app = web.Application()
        app.router.add_post(plugin.PATH, service.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        runners.append(runner)
        plugins[f"p{number}"] = PluginEntry(url=f"http://127.0.0.1:{port}/", **entry)
    try:
        async with PluginExecutor(plugins) as executor:
            yield executor
    finally:
        for runner in runners:
            await runner.cleanup()


def order(**fields: object) -> work.WorkOrder:
    return work.WorkOrder(
        **{
            "id": "u/n/0",
            "workflow": work.WorkflowIdentity(uid="u", name="wf", namespace="ns"),
            "node_id": "n",
            "node_name": "wf.n",
            "pod_name": "wf-n",
            "template_name": "t",
            "attempt": 0,
            "executor": "plugin",
            "work": work.PluginWork(template=TEMPLATE),
            **fields,
        }
    )


async def run(executor: PluginExecutor, asked: work.WorkOrder) -> work.Outcome:
    return await executor.wait(asked, await executor.launch(asked))


DONE = {"node": {"phase": "Succeeded", "message": "hi", "outputs": {"parameters": [{"name": "x", "value": "1"}], "result": "r"}}}


async def test_a_plugin_is_asked_in_argos_words_and_gives_a_node(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    service = Service(DONE)
    async with serving(service, token_file=str(token)) as executor:
        outcome = await run(executor, order())
    assert (outcome.kind, outcome.message, outcome.parameters, outcome.result) == (OutcomeKind.SUCCEEDED, "hi", {"x": "1"}, "r")
    ((headers, body),) = service.asked
    assert headers["Authorization"] == "Bearer s3cr3t"
    assert body == {
        "workflow": {"metadata": {"name": "wf", "namespace": "ns", "uid": "u"}},
        "template": {"name": "t", "inputs": {"parameters": [{"name": "p", "value": "1"}]}, "plugin": {"hello": {"greet": "you"}}},
    }


async def test_those_that_do_not_know_the_template_are_passed_over_and_404_is_never_asked_again() -> None:
    deaf, other, own = Service(404), Service({}), Service(DONE)
    async with serving(deaf, other, own) as executor:
        assert (await run(executor, order())).kind is OutcomeKind.SUCCEEDED
        assert (await run(executor, order(id="u/n/1"))).kind is OutcomeKind.SUCCEEDED
    assert [len(service.asked) for service in (deaf, other, own)] == [1, 2, 2]


async def test_nobody_answers() -> None:
    async with serving(Service({}), Service(404)) as executor:
        outcome = await run(executor, order())
    assert (outcome.kind, outcome.message) == (OutcomeKind.FAILED, "no plugin executed the template")


async def test_a_running_node_is_asked_for_again_and_tells_its_progress() -> None:
    running = {"node": {"phase": "Running", "progress": "1/2"}, "requeue": "10ms"}
    service, other = Service(running, running, {"node": {"phase": "Failed", "message": "bad luck"}}), Service(DONE)
    async with serving(service, other) as executor:
        outcome = await run(executor, order())
        with anyio.fail_after(5):
            async for said in executor.reports():
                assert said == ("u/n/0", work.Report(progress="1/2"))
                break
    assert (outcome.kind, outcome.message) == (OutcomeKind.FAILED, "bad luck")
    assert (len(service.asked), len(other.asked)) == (3, 0)


async def test_a_busy_plugin_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "FIRST_WAIT_SECONDS", 0.01)
    service = Service(503, 503, DONE)
    async with serving(service) as executor:
        assert (await run(executor, order())).kind is OutcomeKind.SUCCEEDED
    assert len(service.asked) == 3


async def test_an_absent_plugin_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "FIRST_WAIT_SECONDS", 0.001)
    async with PluginExecutor({"gone": PluginEntry(url="http://127.0.0.1:1")}) as executor:
        outcome = await run(executor, order())
    assert (outcome.kind, outcome.transient) == (OutcomeKind.ERROR, True)
    assert outcome.message.startswith("plugin gone: ")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (500, "plugin p0: it answered 500: no"),
        ("{", "plugin p0: its answer cannot be read"),
        ({"node": {"phase": "Sleeping"}}, "plugin p0: its answer has the unknown phase 'Sleeping'"),
        ({"node": {"phase": "Running"}, "requeue": "soon"}, "plugin p0: its answer's requeue"),
        ({"node": {"phase": "Succeeded", "outputs": {"parameters": 3}}}, "plugin p0: its answer cannot be read"),
    ],
)
async def test_a_bad_answer_is_an_error_that_names_the_plugin(answer: object, said: str) -> None:
    async with serving(Service(answer)) as executor:
        outcome = await run(executor, order())
    assert (outcome.kind, outcome.transient) == (OutcomeKind.ERROR, False)
    assert outcome.message.startswith(said)


@pytest.mark.parametrize("end", ["stop", "deadline"])
async def test_a_wait_is_ended_by_a_stop_and_by_the_deadline(end: str) -> None:
    service = Service({"node": {"phase": "Running"}, "requeue": "1h"})
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    asked = order(deadline=soon, deadline_message="too late") if end == "deadline" else order()
    async with serving(service) as executor, anyio.create_task_group() as group:
        handle = await executor.launch(asked)
        if end == "stop":

            async def stop() -> None:
                await anyio.sleep(0.2)
                await executor.stop(handle, 1.0)

            group.start_soon(stop)
        with anyio.fail_after(5):
            outcome = await executor.wait(asked, handle)
    assert outcome.kind is (OutcomeKind.STOPPED if end == "stop" else OutcomeKind.FAILED)
    assert outcome.message == ("the plugin was not asked any more" if end == "stop" else "too late")


def test_a_template_without_a_configured_plugin_is_refused_by_name() -> None:
    (finding,) = plugin.findings(TEMPLATE, {})
    assert finding.severity is work.Severity.ERROR
    assert "plugins: {hello: {url: ...}}" in finding.message
    assert list(plugin.findings(TEMPLATE, {"hello": PluginEntry(url="x")})) == []
