"""Sends one notification to whom the settings name: a webhook, an SNS topic, an SQS queue, a Lambda function or a command.

One call is one try. It either returns, and the other side has taken the notification, or raises SendFailed. Connections are kept
open between calls; aiohttp and the AWS SDK are imported with the first notification that needs them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

import tiphys
from tiphys.notices import commands, payload
from tiphys.notices.errors import SendFailed, shown
from tiphys.secrets import SecretMissing, Secrets
from tiphys.settings import NotificationEntry
from tiphys.spec.notices import Notice

if TYPE_CHECKING:
    from tiphys.notices.amazon import Amazon, Keys
    from tiphys.notices.webhooks import Webhooks

CLOSING_SECONDS = 5.0


class Senders:
    """All notifications of the settings; an async context manager, which owns the connections.

    `entries` by name. Secrets are looked up for each try, so that new values take effect. `environment` is the daemon's own, of
    which commands get a little. `send` may be called by several tasks at once.
    """

    def __init__(self, entries: Mapping[str, NotificationEntry], secrets: Secrets, environment: Mapping[str, str]) -> None:
        self._entries = entries
        self._secrets = secrets
        self._environment = environment
        self._lock = anyio.Lock()
        self._webhooks: Webhooks | None = None
        self._amazon: Amazon | None = None

    def configure(self, entries: Mapping[str, NotificationEntry]) -> None:
        """Other entries are in force from the next try on."""
        self._entries = entries

    async def __aenter__(self) -> Self:
        """Nothing is opened before the first notification."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        for opened in (self._webhooks, self._amazon):
            if opened is not None:
                with anyio.move_on_after(CLOSING_SECONDS, shield=True):
                    await opened.aclose()

    async def send(self, notice: Notice) -> None:
        """Try once, for at most the entry's `timeout_seconds`. Raises SendFailed."""
        entry = self._entries.get(notice.target)
        if entry is None:
            raise SendFailed(f'no notification is called "{shown(notice.target)}" in the settings', transient=False)
        try:
            with anyio.fail_after(entry.timeout_seconds):
                await self._send(entry, notice)
        except TimeoutError as error:
            raise SendFailed(f"{_place(entry)}: not done within {entry.timeout_seconds:g} s", transient=True) from error
        except SendFailed as error:
            raise SendFailed(f"{_place(entry)}: {error}", transient=error.transient) from error

    async def _send(self, entry: NotificationEntry, notice: Notice) -> None:
        body = payload.encoded(notice)
        if entry.url:
            await self._post(entry, notice, body)
        elif entry.command:
            await commands.run(entry.command, body, self._variables(notice))
        elif entry.topic or entry.queue or entry.function:
            keys = await self._keys(entry)
            await (await self._opened_amazon()).send(entry, keys, notice, body)
        else:
            raise SendFailed("the settings give none of url, topic, queue, function, command", transient=False)

    async def _post(self, entry: NotificationEntry, notice: Notice, body: bytes) -> None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"tiphys/{tiphys.__version__}",
            "Idempotency-Key": notice.id,
            "X-Tiphys-Event": payload.EVENT,
        }
        token = await self._secret("token_secret", entry.token_secret)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        await (await self._opened_webhooks()).post(entry.url, headers, body, hidden=token)

    def _variables(self, notice: Notice) -> dict[str, str]:
        """A command's environment: nothing of the daemon's that it has no need of."""
        return {name: self._environment[name] for name in ("PATH", "HOME", "LANG") if name in self._environment} | {
            "TIPHYS_NOTICE_ID": notice.id,
            "TIPHYS_WORKFLOW": notice.name,
            "TIPHYS_NAMESPACE": notice.namespace,
            "TIPHYS_PHASE": notice.phase,
        }

    async def _keys(self, entry: NotificationEntry) -> Keys | None:
        """The credentials that the settings name; None: the SDK finds its own."""
        access = await self._secret("access_key_secret", entry.access_key_secret)
        secret = await self._secret("secret_key_secret", entry.secret_key_secret)
        if bool(access) != bool(secret):
            raise SendFailed("it needs both access_key_secret and secret_key_secret, or neither", transient=False)
        return (access, secret) if access else None

    async def _secret(self, setting: str, named: tuple[str, str] | None) -> str:
        """The value that the setting names, "" if it names none. One that is not there may still be put there: that is transient."""
        if named is None:
            return ""
        name, key = named
        try:
            value = await self._secrets.secret("", name, key)
        except SecretMissing as error:
            raise SendFailed(f"{setting}: {error}", transient=True) from error
        if not value:
            raise SendFailed(f"{setting}: there is no Secret '{name}' with the key '{key}', or it is empty", transient=True)
        return value

    async def _opened_webhooks(self) -> Webhooks:
        async with self._lock:
            if self._webhooks is None:
                await anyio.to_thread.run_sync(importlib.import_module, "tiphys.notices.webhooks")
                from tiphys.notices.webhooks import Webhooks  # noqa: PLC0415  it was imported in a thread

                self._webhooks = Webhooks()
        return self._webhooks

    async def _opened_amazon(self) -> Amazon:
        async with self._lock:
            if self._amazon is None:
                await anyio.to_thread.run_sync(importlib.import_module, "tiphys.notices.amazon")
                from tiphys.notices.amazon import Amazon  # noqa: PLC0415  as above

                self._amazon = Amazon()
        return self._amazon


def _place(entry: NotificationEntry) -> str:
    """What a message calls the receiver. Of URLs only the host is shown: the rest of a webhook's is often its password."""
    if entry.url:
        return f"webhook {_host(entry.url)}"
    if entry.topic:
        return f"SNS topic {shown(entry.topic)}"
    if entry.queue:
        return f"SQS queue {shown(entry.queue.rpartition('/')[2])}"
    if entry.function:
        return f"Lambda function {shown(entry.function)}"
    return f"command {shown(entry.command[0])}" if entry.command else "notification"


def _host(url: str) -> str:
    try:
        return shown(urlsplit(url).hostname or "without a host")
    except ValueError:
        return "without a host"
