"""The executor that pretends: what its script may say, and that it is cheap."""

import time

import anyio
import pytest

from tiphys.executors.scripted import Play, Script, ScriptedExecutor
from tiphys.spec.templates import HTTP, Template
from tiphys.spec.work import OutcomeKind, Request, WorkflowIdentity, WorkOrder


def an_order(name: str, attempt: int = 0, template: str = "main") -> WorkOrder:
    return WorkOrder(
        id=f"uid/{name}/{attempt}",
        workflow=WorkflowIdentity(uid="uid", name="wf", namespace="default"),
        node_id=name,
        node_name=name,
        pod_name=name,
        template_name=template,
        attempt=attempt,
        executor="scripted",
        work=Request(http=HTTP()),
    )


async def played(executor: ScriptedExecutor, order: WorkOrder):
    return await executor.wait(order, await executor.launch(order))


@pytest.mark.parametrize(
    ("play", "kind", "message"),
    [
        (Play(), OutcomeKind.SUCCEEDED, ""),
        (Play(exit_code=None), OutcomeKind.SUCCEEDED, ""),
        (Play(exit_code=3), OutcomeKind.FAILED, "main: Error (exit code 3)"),
        (Play(exit_code=3, message="no disk"), OutcomeKind.FAILED, "no disk"),
        (Play(exit_code=None, kind=OutcomeKind.ERROR, message="lost"), OutcomeKind.ERROR, "lost"),
        (Play(exit_code=3, kind=OutcomeKind.SUCCEEDED), OutcomeKind.SUCCEEDED, ""),
    ],
)
def test_a_play_says_how_the_attempt_ends(play, kind, message):
    outcome = play.outcome()
    assert (outcome.kind, outcome.exit_code, outcome.message) == (kind, play.exit_code, message)


async def test_the_closest_name_decides_the_play():
    script = Script(
        {
            "wf.a": Play(result="node"),
            "step": Play(result="template"),
            "wf.b(*": Play(result="pattern"),
            "wf.?": Play(result="later pattern"),
            "wf[0].x": Play(result="brackets are plain"),
        },
        otherwise=Play(result="rest"),
    )
    said = {
        name: script.play(an_order(name, template=template)).result
        for name, template in [("wf.a", "step"), ("wf.z", "step"), ("wf.b(0:x)", "t"), ("wf.q", "t"), ("wf[0].x", "t"), ("wf.long", "t")]
    }
    assert said == {
        "wf.a": "node",
        "wf.z": "template",
        "wf.b(0:x)": "pattern",
        "wf.q": "later pattern",
        "wf[0].x": "brackets are plain",
        "wf.long": "rest",
    }


async def test_attempts_get_their_plays_in_turn_and_the_last_one_stays():
    executor = ScriptedExecutor(Script({"a": [Play(exit_code=1), Play(exit_code=2), Play(result="done")]}))
    outcomes = [await played(executor, an_order("a", attempt)) for attempt in range(4)]
    assert [outcome.exit_code for outcome in outcomes] == [1, 2, 0, 0]
    assert outcomes[3].result == "done"


async def test_a_function_may_decide_the_play():
    executor = ScriptedExecutor(Script({"*": lambda order: Play(result=order.node_name.upper())}))
    assert (await played(executor, an_order("abc"))).result == "ABC"


async def test_another_executor_of_the_same_world_adopts_what_the_first_began():
    script = Script({"a": Play(seconds=0.1, result="late")})
    first = ScriptedExecutor(script)
    order = an_order("a")
    handle = await first.launch(order)
    second = ScriptedExecutor(script, world=first.world)
    assert await second.adopt(order, None) == handle
    assert (await second.wait(order, handle)).result == "late"
    assert (first.launched, second.launched) == ([order.id], [])


async def test_plays_pass_at_the_same_time():
    executor = ScriptedExecutor(Script(otherwise=Play(seconds=0.2)))
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(played, executor, an_order(f"n{number}"))
    assert 0.2 <= anyio.current_time() - began < 2


async def test_the_log_is_given_back():
    executor = ScriptedExecutor(Script({"a": Play(log="hello\n")}))
    handle = await executor.launch(an_order("a"))
    assert [chunk async for chunk in executor.logs(handle)] == [b"hello\n"]


async def test_a_hundred_thousand_attempts_cost_microseconds_each():
    executor = ScriptedExecutor(Script({"n1*": Play(exit_code=1)}))
    orders = [an_order(f"n{number}") for number in range(20_000)]
    began = time.process_time()
    for order in orders:
        await played(executor, order)
    cost = (time.process_time() - began) / len(orders)
    assert len(executor.launched) == len(orders)
    assert cost < 100e-6


def test_everything_can_be_played():
    assert list(ScriptedExecutor().supports(Template(name="x"))) == []
