"""A real server over a house of the memory journal and the scripted executor."""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from tiphys import manifests
from tiphys.engine.engine import open_engine
from tiphys.engine.house import House
from tiphys.executors.scripted import Script, ScriptedExecutor
from tiphys.journal.memory import MemoryJournal
from tiphys.scheduler.records import Settled
from tiphys.server import serving
from tiphys.settings import LimitSettings

BASE = "http://localhost/api/v1"
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}


class Served:
    """A house that is served, and one who asks."""

    def __init__(self, house: House, session: aiohttp.ClientSession, path: Path, engine: Any) -> None:
        self.house = house
        self.session = session
        self.path = path
        self.engine = engine
        self.stop: Callable[[], None]

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """The status and decoded JSON of a request below /api/v1."""
        async with self.session.request(method, f"{BASE}{path}", json=body, params=query) as answer:
            assert answer.content_type == "application/json", await answer.text()
            return answer.status, await answer.json()

    async def sent(self, path: str, text: str) -> tuple[int, Any]:
        """The answer to a YAML body."""
        async with self.session.post(f"{BASE}{path}", data=text.encode(), headers=YAML) as answer:
            return answer.status, await answer.json()

    async def define(self, text: str) -> None:
        """Have the documents of a text in force."""
        parsed = manifests.parse(text.encode(), "t.yaml", LimitSettings())
        assert not parsed.diagnostics
        await self.house.define([located.document for located in parsed.documents], source="t.yaml")

    async def until(self, path: str, phase: str) -> Any:
        """The workflow, once it has a phase."""
        with anyio.fail_after(10):
            while True:
                _, found = await self.ask("GET", path)
                if found.get("status", {}).get("phase", "") == phase:
                    return found
                await anyio.sleep(0.01)


def listener(path: Path) -> socket.socket:
    """A listening Unix socket."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(100)
    return made


@asynccontextmanager
async def served(
    path: Path,
    script: Script | None = None,
    *,
    journal: MemoryJournal | None = None,
    recovered: bool = True,
    network: Sequence[socket.socket] = (),
    **settings: Any,
) -> AsyncIterator[Served]:
    """The server, while the context is open. `journal`: of an earlier one. `network`: sockets it serves besides its own."""
    async with open_engine(journal or MemoryJournal(), {"scripted": ScriptedExecutor(script)}, {"scripted": 0}) as engine:
        house = House(engine, Settled(executor="scripted"), "default", {})
        with anyio.fail_after(5):
            await engine.recovered.wait()
        if not recovered:
            engine.recovered = anyio.Event()
        ready = anyio.Event()
        async with anyio.create_task_group() as around:
            scope = anyio.CancelScope()

            async def serve() -> None:
                with scope:
                    await serving.serve(house, [listener(path), *network], "1.2.3", ready.set, **settings)

            around.start_soon(serve)
            await ready.wait()
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
                made = Served(house, session, path, engine)
                made.stop = scope.cancel
                yield made
            around.cancel_scope.cancel()


async def succeeded(served: Served, made: dict[str, Any]) -> str:
    """Submit a workflow and wait until it has succeeded; its uid."""
    await served.ask("POST", "/workflows/default", {"workflow": made})
    return str((await served.until(f"/workflows/default/{made['metadata']['name']}", "Succeeded"))["metadata"]["uid"])


def workflow(name: str = "hello", **spec: Any) -> dict[str, Any]:
    """A Workflow of one step, as a body holds it."""
    templates = [{"name": "main", "container": {"image": "any", "command": ["true"]}}]
    metadata = {"name": name} if name else {"generateName": "hello-"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": metadata,
        "spec": {"entrypoint": "main", "templates": templates, **spec},
    }


def waiting(name: str = "hello") -> dict[str, Any]:
    """A Workflow that waits for somebody, then runs a step."""
    steps = [[{"name": "wait", "template": "wait"}], [{"name": "work", "template": "work"}]]
    templates = [
        {"name": "main", "steps": steps},
        {"name": "wait", "suspend": {}},
        {"name": "work", "container": {"image": "any", "command": ["true"]}},
    ]
    return workflow(name, templates=templates)
