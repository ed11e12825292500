"""SNS, SQS and Lambda. Only this module of the package knows the AWS SDK; it is imported with the first notification for one of them."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import anyio.to_thread
import botocore.exceptions
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from tiphys.artifacts.s3_clients import read_models
from tiphys.notices.errors import SendFailed, shown
from tiphys.settings import NotificationEntry
from tiphys.spec.notices import Notice

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 60.0
CONNECTIONS = 16
AMAZON = re.compile(r"(?:.*\.)?amazonaws\.com(?:\.cn)?")
QUEUE_REGION = re.compile(r"sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?")
FIFO = ".fifo"
FIFO_ID = re.compile(r"[!-~]{1,128}")
THROTTLED = re.compile(r"Throttl|TooManyRequests|SlowDown|LimitExceeded|OverLimit")
PASSING = frozenset({"InternalError", "InternalErrorException", "ServiceUnavailable", "RequestTimeout", "ResourceConflictException"})
# Credentials that were good once or will be: keys are exchanged while a notification waits.
CREDENTIALS = frozenset({
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "InvalidClientTokenId", "InvalidAccessKeyId",
    "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException",
})  # fmt: skip
NOT_FOUND_YET = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.MetadataRetrievalError,
)
BROKEN = (
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.IncompleteReadError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
    ssl.SSLError,
)

Keys = tuple[str, str]
"""An access key and its secret key."""

Client = Any
"""aiobotocore ships no types."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a service is reached; "" and None are the SDK's own choice."""

    service: str
    endpoint: str
    region: str
    keys: Keys | None = field(repr=False)

    @property
    def place(self) -> tuple[str, str, str]:
        """All but the keys."""
        return self.service, self.endpoint, self.region


@dataclass(kw_only=True, eq=False)
class _Open:
    client: Client
    stack: AsyncExitStack
    users: int = 0


class Amazon:
    """The open clients, one for each service, endpoint and region with its keys."""

    def __init__(self) -> None:
        self._open: dict[Access, _Open] = {}
        self._lock = anyio.Lock()
        self._descriptions = AioSession().get_component("data_loader")  # of the services: megabytes, shared by all sessions

    async def aclose(self) -> None:
        """Close all clients."""
        while self._open:
            _, opened = self._open.popitem()
            await opened.stack.aclose()

    async def send(self, entry: NotificationEntry, keys: Keys | None, notice: Notice, body: bytes) -> None:
        """Hand the JSON over to the entry's topic, queue or function. Raises SendFailed."""
        work, access = _publish, access_to("sns", entry, keys)
        if entry.queue:
            work, access = _enqueue, access_to("sqs", entry, keys)
        elif entry.function:
            work, access = _invoke, access_to("lambda", entry, keys)
        await self._translated(access, work, entry, notice, body)

    async def _translated(self, access: Access, work: "Work", entry: NotificationEntry, notice: Notice, body: bytes) -> None:
        hidden = access.keys or ()
        try:
            async with self._client(access) as client:
                await work(client, entry, notice, body)
        except botocore.exceptions.ClientError as error:
            told = error.response.get("Error", {})
            code = str(told.get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in CREDENTIALS:
                await self._forget(access)
            transient = status >= 500 or status in {408, 425, 429} or code in PASSING | CREDENTIALS or THROTTLED.search(code) is not None
            raise SendFailed(shown(f"{code}: {told.get('Message', error)}", *hidden), transient=transient) from error
        except NOT_FOUND_YET as error:
            await self._forget(access)
            raise SendFailed(shown(str(error), *hidden), transient=True) from error
        except BROKEN as error:
            raise SendFailed(shown(str(error) or type(error).__name__, *hidden), transient=True) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise SendFailed(shown(str(error), *hidden), transient=False) from error

    @asynccontextmanager
    async def _client(self, access: Access) -> AsyncIterator[Client]:
        async with self._lock:
            opened = self._open.get(access)
            if opened is None:
                for other in [other for other in self._open if other.place == access.place]:
                    await self._forget(other)
                opened = self._open[access] = await self._opened(access)
            opened.users += 1
        try:
            yield opened.client
        finally:
            opened.users -= 1
            await self._close_left(access, opened)

    async def _forget(self, access: Access) -> None:
        """Use the client no more: its keys, or those that the SDK found for it, are not good any more."""
        if (opened := self._open.pop(access, None)) is not None:
            await self._close_left(access, opened)

    async def _close_left(self, access: Access, opened: _Open) -> None:
        """Close a forgotten client when its last user is done."""
        if opened is not self._open.get(access) and opened.users == 0:
            with anyio.CancelScope(shield=True):
                await opened.stack.aclose()

    async def _opened(self, access: Access) -> _Open:
        session = AioSession()  # of its own: a session keeps the credentials that it found
        session.register_component("data_loader", self._descriptions)
        await anyio.to_thread.run_sync(read_models, session, access.service)
        config = AioConfig(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENT_SECONDS,
            max_pool_connections=CONNECTIONS,
            retries={"total_max_attempts": 1},  # the outbox tries again
        )
        access_key, secret_key = access.keys or (None, None)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                session.create_client(
                    access.service,
                    region_name=access.region or None,
                    endpoint_url=access.endpoint or None,
                    config=config,
                    aws_access_key_id=access_key,
                    aws_secret_access_key=secret_key,
                )
            )
            return _Open(client=client, stack=stack.pop_all())


def access_to(service: str, entry: NotificationEntry, keys: Keys | None) -> Access:
    """How the entry's service is reached: a region or endpoint that is not set follows from the ARN or the queue's URL."""
    endpoint, region = entry.endpoint, entry.region
    if service == "sqs":
        where = urlsplit(entry.queue)
        host = where.hostname or ""
        if not endpoint and not AMAZON.fullmatch(host):
            endpoint = f"{where.scheme}://{where.netloc}"
        if not region and (found := QUEUE_REGION.fullmatch(host)):
            region = found[1] or found[2]
    elif not region:
        parts = (entry.topic or entry.function).split(":")
        region = parts[3] if parts[0] == "arn" and len(parts) > 3 else ""
    return Access(service=service, endpoint=endpoint, region=region or ("us-east-1" if endpoint else ""), keys=keys)


async def _publish(client: Client, entry: NotificationEntry, notice: Notice, body: bytes) -> None:
    order = _in_order(notice) if entry.topic.endswith(FIFO) else {}
    await client.publish(TopicArn=entry.topic, Message=body.decode(), MessageAttributes=_attributes(notice), **order)


async def _enqueue(client: Client, entry: NotificationEntry, notice: Notice, body: bytes) -> None:
    order = _in_order(notice) if entry.queue.endswith(FIFO) else {}
    await client.send_message(QueueUrl=entry.queue, MessageBody=body.decode(), MessageAttributes=_attributes(notice), **order)


async def _invoke(client: Client, entry: NotificationEntry, notice: Notice, body: bytes) -> None:
    """Have the function called later (Event): Lambda has taken the notification, and repeats the call itself if the function fails."""
    del notice
    answer = await client.invoke(FunctionName=entry.function, InvocationType="Event", Payload=body)
    status, failed = answer.get("StatusCode"), answer.get("FunctionError")
    said = (await answer["Payload"].read()).decode(errors="replace") if "Payload" in answer else ""
    if failed or status not in {200, 202}:
        what = f"the function failed ({failed})" if failed else f"status {status}"
        raise SendFailed(shown(f"{what}: {said}" if said else what), transient=True)


Work = Callable[[Client, NotificationEntry, Notice, bytes], Awaitable[None]]


def _attributes(notice: Notice) -> dict[str, Mapping[str, str]]:
    """What subscribers can filter by without reading the JSON; an attribute must not be empty."""
    given = {"id": notice.id, "phase": notice.phase, "workflow": notice.name, "namespace": notice.namespace}
    return {name: {"DataType": "String", "StringValue": value} for name, value in given.items() if value}


def _in_order(notice: Notice) -> dict[str, str]:
    """For FIFO topics and queues: the notifications of one workflow stay in order, and a repetition is dropped over there."""
    return {"MessageDeduplicationId": _fifo_id(notice.id), "MessageGroupId": _fifo_id(notice.uid)}


def _fifo_id(text: str) -> str:
    return text if FIFO_ID.fullmatch(text) else hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
