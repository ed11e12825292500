"""The border: no traceback gets out, no body is too large, nobody is left hanging when the daemon stops."""

import getpass
import os
import shutil

import aiohttp
import anyio
import pytest
import structlog

from tests.server.serving import BASE, JSON, served, workflow
from tiphys.settings import LimitSettings


async def test_the_daemon_says_who_it_is(opened):
    async with opened() as served:
        _, version = await served.ask("GET", "/version")
        assert version["version"] == "1.2.3"
        assert set(version) == {"version", "buildDate", "gitCommit", "gitTag", "gitTreeState", "goVersion", "compiler", "platform"}
        assert (await served.ask("GET", "/info"))[1]["links"] == []
        assert (await served.ask("GET", "/userinfo"))[1] == {"subject": f"uid:{os.getuid()}", "name": getpass.getuser()}


async def test_health_tells_recovery_from_service(opened):
    async with opened(recovered=False) as served:
        async with served.session.get("http://localhost/healthz") as answer:
            assert (answer.status, await answer.text()) == (503, "recovering")
        served.engine.recovered.set()
        async with served.session.get("http://localhost/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")


async def test_what_is_not_there_is_said_in_json(opened):
    async with opened() as served:
        assert await served.ask("GET", "/nothing") == (404, {"code": 5, "message": "Not Found"})
        assert await served.ask("PATCH", "/version") == (405, {"code": 12, "message": "Method Not Allowed"})
        assert await served.ask("GET", "/workflows/default/..%2f..%2fetc") == (
            404,
            {"code": 5, "message": 'workflows.argoproj.io "../../etc" not found'},
        )


@pytest.mark.parametrize("body", [b"{", b"\xff", b"nonsense", b"[" * 100_000, b'{"workflow":' * 5000])
async def test_wrong_json_is_a_400(opened, body):
    async with opened() as served, served.session.post(f"{BASE}/workflows/default", data=body, headers=JSON) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == 3


async def test_nesting_is_bounded(opened):
    async with opened() as served:
        deep: object = {}
        for _ in range(300):
            deep = {"affinity": deep}
        status, problem = await served.ask("POST", "/workflows/default", {"workflow": workflow(affinity=deep)})
        assert status == 400
        assert "limits.nesting" in problem["message"]


async def test_bodies_are_bounded(opened):
    async with opened(limits=LimitSettings(file_bytes=10_000)) as served:
        body = {"workflow": workflow(), "padding": "x" * 20_000}
        status, problem = await served.ask("POST", "/workflows/default", body)
        assert (status, problem["code"]) == (413, 8)
        assert "limits.file_bytes" in problem["message"]


async def test_our_own_mistakes_stay_in_the_log(opened):
    def broken() -> str:
        raise ZeroDivisionError("the secret")

    async with opened() as served:
        served.house.refuses = broken
        with structlog.testing.capture_logs() as lines:
            answer = await served.ask("POST", "/workflows/default", {"workflow": workflow()})
        assert answer == (500, {"code": 13, "message": "internal error; see the daemon's log"})
        assert [(line["event"], line["path"]) for line in lines] == [("request failed", "/api/v1/workflows/default")]


async def test_a_request_in_flight_is_finished(tmp_path):
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "api.sock"))) as session,
        anyio.create_task_group() as group,
    ):
        got = []

        entered = anyio.Event()

        async def asking():
            async with session.post(f"{BASE}/workflows/default", json={"workflow": workflow()}) as answer:
                got.append(answer.status)

        async with served(tmp_path / "api.sock") as serving:
            kept = serving.house.submit

            async def submit(*given, **named):
                entered.set()
                await anyio.sleep(0.3)
                return await kept(*given, **named)

            serving.house.submit = submit
            group.start_soon(asking)
            await entered.wait()
        with anyio.fail_after(5):
            while not got:
                await anyio.sleep(0.01)
    assert got == [200]


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_curl_is_answered(opened):
    async with opened() as served:
        made = await anyio.run_process(["curl", "-s", "--unix-socket", str(served.path), f"{BASE}/workflows/default/absent"])
        assert made.stdout == b'{"code":5,"message":"workflows.argoproj.io \\"absent\\" not found"}'
