"""S3: an artifact is one object, or with archive none a folder of objects. An object appears whole or not at all."""

import asyncio
import base64
import mimetypes
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import anyio
import anyio.to_thread
import botocore.exceptions

from tiphys.artifacts import locations, streams, trees
from tiphys.artifacts.credentials import Credentials
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.retrying import Backoff
from tiphys.artifacts.s3_clients import Client, Clients, access
from tiphys.spec.artifacts import S3

PART_BYTES = 16 * 1024 * 1024
PARTS = 9000  # a little under S3's 10,000
PARTS_AT_ONCE = 4
OBJECTS_AT_ONCE = 8
CLEANUP_SECONDS = 10.0
CUSTOMER_KEY_BYTES = 32

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
PASSING = frozenset({
    "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable", "SlowDown", "Throttling",
    "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "BandwidthLimitExceeded", "ExpiredToken",
})  # fmt: skip
BROKEN = (
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.IncompleteReadError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    ConnectionError,
)


class S3Place:
    """One key of one bucket."""

    def __init__(self, location: S3, credentials: Credentials, clients: Clients, backoff: Backoff, buckets: set[tuple[str, str]]) -> None:
        self._location = location
        self._credentials = credentials
        self._clients = clients
        self._backoff = backoff
        self._buckets = buckets

    async def fetch(self, to: Path) -> None:
        """The object, or all objects below `<key>/` as a folder."""
        async with self._client() as client:
            key = self._location.key
            if not key.endswith("/"):
                try:
                    await self._backoff.retried(partial(self._get, client, key, to))
                    return
                except ArtifactMissing as missing:
                    lost = missing
            else:
                lost = ArtifactMissing(f"s3: {self._shown(key)}: there is nothing below it")
            keys = await self._listed(client, self._prefix)
            if not keys:
                raise lost
            await self._fetch_folder(client, keys, to)

    async def store_file(self, source: Path) -> None:
        """One object; in parts if it is large."""
        async with self._client() as client:
            await self._make_bucket(client)
            await self._put_file(client, self._location.key, source, await self._encryption(saving=True))

    async def store_folder(self, source: Path) -> None:
        """One object for each file, and an empty one named `…/` for each empty folder. After an error none of them is left."""
        jobs = await anyio.to_thread.run_sync(_objects, source)
        stored: list[str] = []
        async with self._client() as client:
            await self._make_bucket(client)
            encryption = await self._encryption(saving=True)

            async def store(relative: str, path: Path | None) -> None:
                key = self._prefix + relative
                stored.append(key)
                if path is None:
                    await self._backoff.retried(partial(self._put, client, key, b"", encryption))
                else:
                    await self._put_file(client, key, path, encryption)

            try:
                await streams.together((partial(store, relative, path) for relative, path in jobs), OBJECTS_AT_ONCE)
            except BaseException:
                with anyio.move_on_after(CLEANUP_SECONDS, shield=True):
                    await self._remove(client, stored)
                raise

    async def keys(self) -> list[str]:
        """The key itself if it is an object, and all objects below it."""
        async with self._client() as client:
            key = self._location.key.rstrip("/")
            found = await self._listed(client, key)
        return [name for name in found if not name.endswith("/") and (not key or name == key or name.startswith(f"{key}/"))]

    async def delete(self) -> None:
        """The object and all objects below it."""
        async with self._client() as client:
            below = await self._listed(client, self._prefix) if self._prefix else []
            await self._remove(client, [self._location.key, *below])

    @property
    def _prefix(self) -> str:
        key = self._location.key.rstrip("/")
        return f"{key}/" if key else ""

    def _shown(self, key: str) -> str:
        return f"{self._location.bucket}/{key}"

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        async with self._clients.client(await access(self._location, self._credentials)) as client:
            yield client

    async def _get(self, client: Client, key: str, to: Path) -> None:
        encryption = await self._encryption(saving=False)
        with self._translated(key):
            answer = await client.get_object(Bucket=self._location.bucket, Key=key, **encryption)
            async with answer["Body"] as body:
                await streams.write(to, _chunks(body))

    async def _fetch_folder(self, client: Client, keys: list[str], to: Path) -> None:
        async def fetch(key: str) -> None:
            path = to / locations.clean_key(key.removeprefix(self._prefix))
            try:
                await anyio.to_thread.run_sync(trees.make_directory, path if key.endswith("/") else path.parent)
                if not key.endswith("/"):
                    await self._backoff.retried(partial(self._get, client, key, path))
                    await anyio.to_thread.run_sync(path.chmod, trees.FILE_MODE)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise ArtifactError(f"s3: {self._shown(key)} cannot be a file here: one of its folders is an object too") from error

        await anyio.to_thread.run_sync(trees.make_directory, to)
        await streams.together((partial(fetch, key) for key in keys), OBJECTS_AT_ONCE)

    async def _listed(self, client: Client, prefix: str) -> list[str]:
        keys: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await self._backoff.retried(partial(self._page, client, prefix, token))
            keys.extend(entry["Key"] for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return keys
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def _page(self, client: Client, prefix: str, token: Mapping[str, str]) -> dict[str, Any]:
        with self._translated(prefix):
            page: dict[str, Any] = await client.list_objects_v2(Bucket=self._location.bucket, Prefix=prefix, **token)
            return page

    async def _remove(self, client: Client, keys: list[str]) -> None:
        async def remove(key: str) -> None:
            with self._translated(key):
                await client.delete_object(Bucket=self._location.bucket, Key=key)

        await streams.together((partial(self._backoff.retried, partial(remove, key)) for key in keys), OBJECTS_AT_ONCE)

    async def _put_file(self, client: Client, key: str, source: Path, encryption: Mapping[str, str | bytes]) -> None:
        file = await anyio.to_thread.run_sync(trees.open_file, source)
        try:
            size = os.fstat(file.fileno()).st_size
            if size <= PART_BYTES:
                body = await anyio.to_thread.run_sync(file.read)
                await self._backoff.retried(partial(self._put, client, key, body, encryption))
            else:
                await self._put_parts(client, key, file, size, encryption)
        finally:
            file.close()

    async def _put(self, client: Client, key: str, body: bytes, encryption: Mapping[str, str | bytes]) -> None:
        with self._translated(key):
            await client.put_object(Bucket=self._location.bucket, Key=key, Body=body, **_content_type(key), **encryption)

    async def _put_parts(self, client: Client, key: str, file: BinaryIO, size: int, encryption: Mapping[str, str | bytes]) -> None:
        where = {"Bucket": self._location.bucket, "Key": key}
        part_bytes = max(PART_BYTES, -(-size // PARTS))
        customer = {name: value for name, value in encryption.items() if name.startswith("SSECustomer")}

        async def begin() -> str:
            with self._translated(key):
                return str((await client.create_multipart_upload(**where, **_content_type(key), **encryption))["UploadId"])

        upload = {"UploadId": await self._backoff.retried(begin)}
        tags: dict[int, str] = {}

        async def part(number: int) -> None:
            body = await anyio.to_thread.run_sync(os.pread, file.fileno(), part_bytes, (number - 1) * part_bytes)

            async def send() -> None:
                with self._translated(key):
                    answer = await client.upload_part(**where, **upload, **customer, PartNumber=number, Body=body)
                tags[number] = answer["ETag"]

            await self._backoff.retried(send)

        async def finish() -> None:
            listed = [{"PartNumber": number, "ETag": tag} for number, tag in sorted(tags.items())]
            with self._translated(key):
                await client.complete_multipart_upload(**where, **upload, MultipartUpload={"Parts": listed})

        try:
            await streams.together((partial(part, number) for number in range(1, -(-size // part_bytes) + 1)), PARTS_AT_ONCE)
            await self._backoff.retried(finish)
        except BaseException:
            with anyio.move_on_after(CLEANUP_SECONDS, shield=True), self._forgiven(key):
                await client.abort_multipart_upload(**where, **upload)
            raise

    async def _make_bucket(self, client: Client) -> None:
        wanted = self._location.create_bucket_if_not_present
        bucket = self._location.bucket
        if wanted is None or (client.meta.endpoint_url, bucket) in self._buckets:
            return

        async def make() -> None:
            try:
                with self._translated(""):
                    await client.head_bucket(Bucket=bucket)
            except ArtifactMissing:
                region = client.meta.region_name
                elsewhere = region not in {None, "", "us-east-1", "aws-global"}
                settings: dict[str, object] = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
                if wanted.object_locking:
                    settings["ObjectLockEnabledForBucket"] = True
                with self._translated("", already=True):
                    await client.create_bucket(Bucket=bucket, **settings)

        await self._backoff.retried(make)
        self._buckets.add((client.meta.endpoint_url, bucket))

    async def _encryption(self, *, saving: bool) -> dict[str, str | bytes]:
        options = self._location.encryption_options
        if options is None or not options.enable_encryption:
            return {}
        if options.server_side_customer_key_secret is not None:
            key = os.fsencode(await self._credentials.value(options.server_side_customer_key_secret))
            if len(key) != CUSTOMER_KEY_BYTES:
                raise ArtifactError(f"s3: the key of serverSideCustomerKeySecret has {len(key)} bytes; it must have {CUSTOMER_KEY_BYTES}")
            return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
        if not saving:
            return {}
        if not options.kms_key_id:
            return {"ServerSideEncryption": "AES256"}
        context = options.kms_encryption_context
        encoded = {"SSEKMSEncryptionContext": base64.b64encode(context.encode()).decode()} if context else {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.kms_key_id, **encoded}

    @contextmanager
    def _forgiven(self, key: str) -> Iterator[None]:
        try:
            with self._translated(key):
                yield
        except ArtifactError:
            pass

    @contextmanager
    def _translated(self, key: str, *, already: bool = False) -> Iterator[None]:
        where = f"s3: {self._shown(key)}"
        try:
            yield
        except botocore.exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if already and code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                return
            message = f"{where}: {code}: {error.response.get('Error', {}).get('Message', error)}"
            if code in MISSING:
                raise ArtifactMissing(message) from error
            raise ArtifactError(message, transient=status >= 500 or status in {408, 429} or code in PASSING) from error
        except (botocore.exceptions.SSLError, ssl.SSLError, aiohttp.ClientSSLError) as error:
            raise ArtifactError(f"{where}: {error}") from error
        except BROKEN as error:
            raise ArtifactError(f"{where}: {error or type(error).__name__}", transient=True) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ArtifactError(f"{where}: {error}") from error


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    while chunk := await body.read(trees.CHUNK_BYTES):
        yield chunk


def _content_type(key: str) -> dict[str, str]:
    guess, _ = mimetypes.guess_type(key)
    return {"ContentType": guess} if guess else {}


def _objects(source: Path) -> list[tuple[str, Path | None]]:
    """What a folder is as objects: names below its key, each with the file to send; None for an empty folder."""
    found: list[tuple[str, Path | None]] = []
    for entry in trees.walk(source):
        name = "/".join(entry.parts)
        if entry.is_link:
            found.append((name, _behind(entry)))
        elif not entry.is_directory:
            found.append((name, entry.path))
        elif not any(entry.path.iterdir()):
            found.append((f"{name}/" if name else "", None))
    return found


def _behind(entry: trees.Entry) -> Path:
    """The file behind a link that stays in the folder."""
    path = Path(os.path.realpath(entry.path))
    if not path.is_file():
        name = "/".join(entry.parts)
        raise ArtifactError(f"the link {name} -> {entry.target} is not to a file: S3 keeps only files; pack it (archive tar)")
    return path
