"""Open S3 clients, one for each way of access, kept while they are used and closed together."""

import mimetypes
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import botocore.exceptions
import botocore.session
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from tiphys.artifacts.credentials import Credentials, in_memory
from tiphys.artifacts.errors import ArtifactError
from tiphys.spec.artifacts import S3

AMAZON = "s3.amazonaws.com"
STYLES = {"": "auto", "auto": "auto", "path": "path", "virtual": "virtual", "virtual-hosted": "virtual"}
CLIENTS = 8
CONNECTIONS = 16
ROLE_SECONDS = 3000.0  # an assumed role lasts an hour

Client = Any
"""aiobotocore ships no types."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How an S3 service is reached; `endpoint` "" is the SDK's own choice, and so are the keys if they are ""."""

    endpoint: str
    region: str
    style: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    role: str
    authority: str = field(repr=False)


@dataclass(kw_only=True, eq=False)
class _Open:
    client: Client
    stack: AsyncExitStack
    until: float
    users: int = 0


async def access(location: S3, credentials: Credentials) -> Access:
    """Resolve an s3 location's secrets. ArtifactError: one is missing, or a field's value is not known."""
    if location.addressing_style not in STYLES:
        raise ArtifactError(f"s3.addressingStyle {location.addressing_style!r} is not one of auto, path, virtual")
    endpoint = _endpoint(location)
    style = STYLES[location.addressing_style]
    keys = S3() if location.use_sdk_creds else location
    found = Access(
        endpoint=endpoint,
        region=location.region or ("us-east-1" if endpoint else ""),
        style="path" if endpoint and style == "auto" else style,
        access_key=await credentials.value(keys.access_key_secret),
        secret_key=await credentials.value(keys.secret_key_secret),
        session_token=await credentials.value(keys.session_token_secret),
        role=location.role_arn,
        authority=await credentials.value(location.ca_secret),
    )
    if bool(found.access_key) != bool(found.secret_key):
        raise ArtifactError("s3 needs both accessKeySecret and secretKeySecret, or neither (the SDK's own credentials)")
    return found


def _endpoint(location: S3) -> str:
    text = location.endpoint.rstrip("/")
    if not text or urlsplit(f"//{text}").hostname == AMAZON:
        return ""
    if "://" in text:
        return text
    return f"{'http' if location.insecure else 'https'}://{text}"


class Clients:
    """The open clients."""

    def __init__(self) -> None:
        self._session = AioSession()
        self._open: dict[Access, _Open] = {}
        self._lock = anyio.Lock()
        self._known: set[str] = set()

    @asynccontextmanager
    async def client(self, wanted: Access) -> AsyncIterator[Client]:
        """A client for one piece of work."""
        async with self._lock:
            entry = self._open.get(wanted)
            if entry is not None and entry.until < time.monotonic():
                del self._open[wanted]
                await self._close_left(wanted, entry)
                entry = None
            if entry is None:
                await self._close_idle()
                entry = self._open[wanted] = await self._opened(wanted)
        entry.users += 1
        try:
            yield entry.client
        finally:
            entry.users -= 1
            await self._close_left(wanted, entry)

    async def aclose(self) -> None:
        """Close all."""
        while self._open:
            _, entry = self._open.popitem()
            await entry.stack.aclose()

    async def _close_left(self, wanted: Access, entry: _Open) -> None:
        """Close a client that was replaced, when its last user is done."""
        if entry is not self._open.get(wanted) and entry.users == 0:
            with anyio.CancelScope(shield=True):
                await entry.stack.aclose()

    async def _close_idle(self) -> None:
        idle = [found for found, entry in self._open.items() if entry.users == 0]
        for found in idle[: max(0, len(self._open) - CLIENTS + 1)]:
            await self._open.pop(found).stack.aclose()

    async def _opened(self, wanted: Access) -> _Open:
        try:
            await self._read("s3")
            return await self._entered(wanted)
        except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
            raise ArtifactError(f"no S3 client can be made: {error}") from error

    async def _entered(self, wanted: Access) -> _Open:
        async with AsyncExitStack() as stack:
            keys: Mapping[str, object] = _keys(wanted.access_key, wanted.secret_key, wanted.session_token)
            verify: str | None = stack.enter_context(in_memory(wanted.authority)) if wanted.authority else None
            if wanted.role:
                keys = await self._assumed(wanted, keys)
            style = wanted.style
            client = await stack.enter_async_context(self._create(wanted, keys, verify, style))
            if style == "auto" and "amazonaws.com" not in (urlsplit(client.meta.endpoint_url).hostname or ""):
                client = await stack.enter_async_context(self._create(wanted, keys, verify, "path"))
            until = time.monotonic() + ROLE_SECONDS if wanted.role else float("inf")
            return _Open(client=client, stack=stack.pop_all(), until=until)

    def _create(self, wanted: Access, keys: Mapping[str, object], verify: str | None, style: str) -> Any:
        config = AioConfig(
            s3={"addressing_style": style},
            signature_version="s3v4",
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=CONNECTIONS,
            # Our own retries are the ones that are told apart and tested.
            retries={"total_max_attempts": 1},
            # Stores other than Amazon's refuse the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self._session.create_client(
            "s3", region_name=wanted.region or None, endpoint_url=wanted.endpoint or None, verify=verify, config=config, **keys
        )

    async def _read(self, service: str) -> None:
        if service not in self._known:
            await anyio.to_thread.run_sync(read_models, self._session, service)
            self._known.add(service)

    async def _assumed(self, wanted: Access, keys: Mapping[str, object]) -> Mapping[str, object]:
        await self._read("sts")
        async with self._session.create_client("sts", region_name=wanted.region or "us-east-1", **keys) as client:
            try:
                answer = await client.assume_role(RoleArn=wanted.role, RoleSessionName=f"tiphys-{os.getpid()}")
            except botocore.exceptions.ClientError as error:
                raise ArtifactError(f"the role {wanted.role} cannot be assumed: {error}") from error
        given = answer["Credentials"]
        return _keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def _keys(access_key: str, secret_key: str, session_token: str) -> Mapping[str, object]:
    if not access_key:
        return {}
    return {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "aws_session_token": session_token or None}


def read_models(session: AioSession, service: str) -> None:
    """Make the session read its configuration and a service's descriptions (megabytes of JSON) here, in a thread; it keeps them."""
    mimetypes.init()
    session.get_scoped_config()
    blocking = botocore.session.Session()
    blocking.register_component("data_loader", session.get_component("data_loader"))
    blocking.create_client(service, region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-").close()  # noqa: S106
