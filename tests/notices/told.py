"""What the tests tell, and a server that hears it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from tiphys.notices.senders import Senders
from tiphys.secrets import Secrets
from tiphys.settings import NotificationEntry
from tiphys.spec.notices import Notice

AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
TOKEN = "t0ken-of-the-hook"
PAYLOAD = {
    "id": "uid-1/Failed/1",
    "type": "workflow.phase",
    "uid": "uid-1",
    "name": "wf",
    "namespace": "default",
    "phase": "Failed",
    "message": 'child "ä" failed\n',
    "labels": {"team": "a"},
    "at": "2026-03-01T12:30:15.250Z",
}


def notice(target: str = "ops", **changes: object) -> Notice:
    fields = {
        "id": "uid-1/Failed/1",
        "target": target,
        "uid": "uid-1",
        "name": "wf",
        "namespace": "default",
        "phase": "Failed",
        "message": 'child "ä" failed\n',
        "labels": {"team": "a"},
        "at": AT,
        "created_at": AT,
    }
    return Notice(**{**fields, **changes})


def secrets(folder: Path, **values: str) -> Secrets:
    """A Secret named `given` with these keys."""
    for key, value in values.items():
        (folder / "given").mkdir(exist_ok=True)
        (folder / "given" / key).write_text(value)
    return Secrets(directory=folder)


@contextlib.asynccontextmanager
async def senders(entry: NotificationEntry, *, known: Secrets | None = None, environment: dict[str, str] | None = None):
    async with Senders({"ops": entry}, known or Secrets(), environment or {}) as made:
        yield made


@dataclass(kw_only=True)
class Heard:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Server:
    """Answers with what stands first in `answers`, the last one for ever; an answer may be a coroutine function."""

    answers: list = field(default_factory=lambda: [web.Response])
    heard: list[Heard] = field(default_factory=list)
    address: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.heard.append(Heard(method=request.method, path=request.path, headers=headers, body=await request.read()))
        made = (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()
        return made if isinstance(made, web.StreamResponse) else await made


@contextlib.asynccontextmanager
async def serving(*answers) -> AsyncIterator[Server]:
    server = Server()
    server.answers = list(answers) or server.answers
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def status(code: int, text: str = "", **headers: str):
    return lambda: web.Response(status=code, text=text, headers=headers)
