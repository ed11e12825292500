"""S3 over HTTP, against moto's server: objects whole or not at all, folders, buckets, credentials, what passes and what does not."""

import asyncio
import contextlib
import os
import ssl
import urllib.request

import anyio
import boto3
import botocore.config
import pytest
from moto.server import ThreadedMotoServer

from tests.artifacts import certificates, trees_made
from tests.artifacts.trees_made import listed
from tiphys import settings
from tiphys.artifacts import store
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.retrying import Backoff
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import (
    S3,
    ArchiveStrategy,
    Artifact,
    CreateBucketIfNotPresent,
    NoneStrategy,
    S3Encryption,
    ZipStrategy,
)
from tiphys.spec.parameters import KeySelector
from tiphys.spec.workflows import ObjectMeta, Secret

pytestmark = pytest.mark.asyncio

NONE = ArchiveStrategy(none=NoneStrategy())
ZIP = ArchiveStrategy(zip=ZipStrategy())
TREE = ("folder", {"a": ("file", b"1", 0o644), "b": ("folder", {"c": ("file", b"2", 0o644), "empty": ("folder", {}, 0o755)}, 0o755)}, 0o755)
KEYS = Secret(
    api_version="v1",
    metadata=ObjectMeta(name="s3"),
    string_data={"id": "AKIAEXAMPLE", "secret": "s3cr3t-k3y", "customer": "k" * 32, "short": "k"},
)


@pytest.fixture(scope="module")
def server():
    running = ThreadedMotoServer("127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server):
    urllib.request.urlopen(urllib.request.Request(f"http://{server}/moto-api/reset", method="POST")).close()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{server}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket="buc")
    yield client
    client.close()


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Waits(list):
    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits():
    return Waits()


def opened(tmp_path, waits, repository: settings.S3Repository | None = None) -> store.Artifacts:
    return store.Artifacts(
        settings.ArtifactSettings(s3=repository), tmp_path / "local", Secrets([KEYS]), backoff=Backoff(sleep=waits.sleep)
    )


def place(server: str, key: str, bucket: str = "buc", archive: ArchiveStrategy | None = None, **fields) -> Artifact:
    secrets = {"access_key_secret": KeySelector(name="s3", key="id"), "secret_key_secret": KeySelector(name="s3", key="secret")}
    return Artifact(
        name="x", archive=archive, s3=S3(**{"endpoint": server, "insecure": True, "bucket": bucket, "key": key, **secrets, **fields})
    )


def keys(client, bucket: str = "buc") -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.mark.parametrize("archive", [None, NONE, ZIP])
@pytest.mark.parametrize("tree", [TREE, ("file", b"hello\n", 0o644), ("folder", {}, 0o755)])
async def test_what_is_saved_is_loaded(server, bucket, tmp_path, waits, archive, tree):
    trees_made.make(tmp_path / "s", tree)
    async with opened(tmp_path, waits) as artifacts:
        saved = await artifacts.save(place(server, "w/x", archive=archive), tmp_path / "s", "default")
        await artifacts.load(saved, tmp_path / "in" / "d", "default")
    assert trees_made.seen(tmp_path / "in" / "d") == tree
    assert listed(tmp_path / "in") == ["d"]
    assert listed(tmp_path / "local" / ".incoming") == [] if archive is not NONE else not (tmp_path / "local").exists()


async def test_a_folder_as_it_is_becomes_a_prefix(server, bucket, tmp_path, waits):
    trees_made.make(tmp_path / "s", TREE)
    (tmp_path / "s" / "link").symlink_to("b/c")
    async with opened(tmp_path, waits) as artifacts:
        await artifacts.save(place(server, "w/x/", archive=NONE), tmp_path / "s", "default")
        assert keys(bucket) == ["w/x/a", "w/x/b/c", "w/x/b/empty/", "w/x/link"]
        assert bucket.get_object(Bucket="buc", Key="w/x/link")["Body"].read() == b"2"
        bucket.put_object(Bucket="buc", Key="w/xy", Body=b"")
        assert await artifacts.list_keys(place(server, "w/x"), "default") == ["w/x/a", "w/x/b/c", "w/x/link"]
        await artifacts.load(place(server, "w/x", archive=NONE), tmp_path / "all", "default")
        await artifacts.load(Artifact(name="x", s3=place(server, "w/x").s3, sub_path="b/c"), tmp_path / "c", "default")
        assert (tmp_path / "c").read_bytes() == b"2"
        assert listed(tmp_path / "all") == ["a", "b", "link"]
        await artifacts.delete(place(server, "w/x"), "default")
        await artifacts.delete(place(server, "w/x"), "default")
        assert keys(bucket) == ["w/xy"]


async def test_links_out_of_a_folder_are_never_uploaded(server, bucket, tmp_path, waits):
    (tmp_path / "secret").write_text("host")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "l").symlink_to(tmp_path / "secret")
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="leads out of the artifact"):
            await artifacts.save(place(server, "x", archive=NONE), tmp_path / "s", "default")
        (tmp_path / "s" / "l").unlink()
        (tmp_path / "s" / "l").symlink_to(".")
        with pytest.raises(ArtifactError, match="is not to a file"):
            await artifacts.save(place(server, "x", archive=NONE), tmp_path / "s", "default")
    assert keys(bucket) == []


async def test_a_key_without_a_bucket_is_in_the_configured_repository(server, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    repository = settings.S3Repository(
        endpoint=server,
        bucket="repo",
        insecure=True,
        access_key_secret=("s3", "id"),
        secret_key_secret=("s3", "secret"),
        create_bucket=True,
    )
    async with opened(tmp_path, waits, repository) as artifacts:
        saved = await artifacts.save(Artifact(name="x", s3=S3(key="w/p/x.tgz")), tmp_path / "s", "default")
        assert keys(bucket, "repo") == ["w/p/x.tgz"]
        assert saved.s3 == S3(key="w/p/x.tgz")
        await artifacts.load(saved, tmp_path / "d", "default")
        await artifacts.save(Artifact(name="x", s3=S3(bucket="buc", key="other")), tmp_path / "s", "default")
        assert keys(bucket) == ["other"]
    assert (tmp_path / "d").read_text() == "x"


async def test_the_sdks_own_credentials_and_endpoint_are_used_where_none_are_named(server, bucket, tmp_path, waits, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (tmp_path / "s").write_text("x")
    async with opened(tmp_path, waits) as artifacts:
        await artifacts.save(Artifact(name="x", s3=S3(bucket="buc", key="one")), tmp_path / "s", "default")
        named = KeySelector(name="nobody", key="has")
        await artifacts.save(
            place(server, "two", use_sdk_creds=True, access_key_secret=named, secret_key_secret=named), tmp_path / "s", "default"
        )
    assert keys(bucket) == ["one", "two"]


async def test_no_credentials_at_all_is_said_at_once(server, bucket, tmp_path, waits):
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="Unable to locate credentials"):
            await artifacts.load(place(server, "x", access_key_secret=None, secret_key_secret=None), tmp_path / "d", "default")
        with pytest.raises(ArtifactError, match="needs both accessKeySecret and secretKeySecret"):
            await artifacts.load(place(server, "x", access_key_secret=None), tmp_path / "d", "default")
        with pytest.raises(ArtifactError, match="secret 'nobody' does not have the key 'has'"):
            await artifacts.load(place(server, "x", access_key_secret=KeySelector(name="nobody", key="has")), tmp_path / "d", "default")
    assert waits == []


async def test_what_is_missing_is_missing_and_a_missing_bucket_is_an_error(server, bucket, tmp_path, waits):
    async with opened(tmp_path, waits) as artifacts:
        for key in ("nothing", "nothing/"):
            with pytest.raises(ArtifactMissing, match="s3: buc/nothing"):
                await artifacts.load(place(server, key), tmp_path / "d", "default")
        with pytest.raises(ArtifactError, match="s3: nowhere/k: NoSuchBucket") as caught:
            await artifacts.load(place(server, "k", bucket="nowhere"), tmp_path / "d", "default")
    assert not isinstance(caught.value, ArtifactMissing)
    assert waits == []
    assert not (tmp_path / "d").exists()


async def test_a_bucket_is_made_when_asked_for(server, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    make = CreateBucketIfNotPresent()
    async with opened(tmp_path, waits) as artifacts:
        for name, region in (("here", ""), ("there", "eu-central-1")):
            for key in "ab":
                artifact = place(server, key, bucket=name, region=region, create_bucket_if_not_present=make)
                await artifacts.save(artifact, tmp_path / "s", "default")
            assert keys(bucket, name) == ["a", "b"]
        await artifacts.save(place(server, "k", create_bucket_if_not_present=make), tmp_path / "s", "default")
    assert bucket.get_bucket_location(Bucket="there")["LocationConstraint"] == "eu-central-1"


async def test_a_large_file_goes_in_parts(server, bucket, tmp_path, waits):
    content = os.urandom(1024 * 1024) * 37
    (tmp_path / "s").write_bytes(content)
    async with opened(tmp_path, waits) as artifacts:
        await artifacts.save(place(server, "large", archive=NONE), tmp_path / "s", "default")
        assert bucket.head_object(Bucket="buc", Key="large")["ETag"].endswith('-3"')
        await artifacts.load(place(server, "large", archive=NONE), tmp_path / "d", "default")
    assert (tmp_path / "d").read_bytes() == content


async def test_encryption_is_asked_for(server, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    kms = S3Encryption(enable_encryption=True, kms_key_id="alias/k", kms_encryption_context='{"a":"b"}')
    async with opened(tmp_path, waits) as artifacts:
        await artifacts.save(place(server, "off", encryption_options=S3Encryption(kms_key_id="alias/k")), tmp_path / "s", "default")
        await artifacts.save(place(server, "own", encryption_options=S3Encryption(enable_encryption=True)), tmp_path / "s", "default")
        await artifacts.save(place(server, "kms", encryption_options=kms), tmp_path / "s", "default")
        short = S3Encryption(enable_encryption=True, server_side_customer_key_secret=KeySelector(name="s3", key="short"))
        with pytest.raises(ArtifactError, match="has 1 bytes; it must have 32"):
            await artifacts.save(place(server, "short", encryption_options=short), tmp_path / "s", "default")
    heads = {key: bucket.head_object(Bucket="buc", Key=key) for key in ("off", "own", "kms")}
    assert heads["own"]["ServerSideEncryption"] == "AES256"
    assert (heads["kms"]["ServerSideEncryption"], heads["kms"]["SSEKMSKeyId"]) == ("aws:kms", "alias/k")
    assert heads["off"].get("ServerSideEncryption") in {None, "AES256"}


async def test_an_unknown_addressing_style_is_refused(server, bucket, tmp_path, waits):
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="addressingStyle 'sideways'"):
            await artifacts.load(place(server, "x", addressing_style="sideways"), tmp_path / "d", "default")


class Between:
    """A real server in front of moto's that answers badly as told, then hands on."""

    def __init__(self, behind: str) -> None:
        self.behind = behind.split(":")
        self.ills: list[str] = []
        self.requests: list[bytes] = []
        self.handling = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handling.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.handling.discard(asyncio.current_task())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split(b" ", 2)[0])
        lengths = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if b"100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(lengths[0] if lengths else 0)
        ill = self.ills.pop(0) if self.ills else ""
        if ill == "cut":
            return
        if ill:
            code = {"503": "SlowDown", "500": "InternalError", "403": "AccessDenied"}[ill]
            text = f"<Error><Code>{code}</Code><Message>told so</Message></Error>".encode()
            writer.write(f"HTTP/1.1 {ill} X\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
            return
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith((b"connection:", b"expect:"))]
        upstream, out = await asyncio.open_connection(*self.behind)
        out.write(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
        writer.write(await upstream.read())
        out.close()
        await out.wait_closed()


@pytest.fixture
async def between(server):
    proxy = Between(server)
    listening = await asyncio.start_server(proxy.handle, "127.0.0.1", 0, limit=2**20)
    proxy.endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield proxy
    listening.close()
    await listening.wait_closed()
    while proxy.handling:
        await asyncio.sleep(0.01)


async def test_what_passes_is_waited_out_as_argo_does(between, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    # aiohttp itself asks again once after a cut
    between.ills = ["503", "cut", "cut", "500", "503"]
    async with opened(tmp_path, waits) as artifacts:
        await artifacts.save(place(between.endpoint, "k"), tmp_path / "s", "default")
        assert len(waits) == 4
        for seconds, least in zip(waits, (1, 1.6, 2.56, 4.096), strict=True):
            assert least <= seconds <= least * 1.5
        between.ills = ["cut", "cut", "503"]
        await artifacts.load(place(between.endpoint, "k"), tmp_path / "d", "default")
    assert (tmp_path / "d").read_text() == "x"


async def test_the_fifth_failure_is_final_and_transient(between, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    between.ills = ["503"] * 9
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="SlowDown: told so") as caught:
            await artifacts.save(place(between.endpoint, "k"), tmp_path / "s", "default")
    assert caught.value.transient
    assert len(between.requests) == 5
    assert keys(bucket) == []


async def test_a_refusal_is_final_at_once(between, bucket, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    between.ills = ["403"]
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="AccessDenied") as caught:
            await artifacts.save(place(between.endpoint, "k"), tmp_path / "s", "default")
    assert (caught.value.transient, waits, len(between.requests)) == (False, [], 1)


async def test_a_folder_that_fails_in_the_middle_leaves_nothing(between, bucket, tmp_path, waits):
    trees_made.make(tmp_path / "s", ("folder", {f"{number:02}": ("file", b"x", 0o644) for number in range(20)}, 0o755))
    between.ills = [""] * 10 + ["403"]
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="AccessDenied"):
            await artifacts.save(place(between.endpoint, "k", archive=NONE), tmp_path / "s", "default")
    assert keys(bucket) == []


async def test_a_part_that_is_refused_leaves_no_object_and_no_upload(between, bucket, tmp_path, waits):
    (tmp_path / "s").write_bytes(bytes(20 * 1024 * 1024))
    between.ills = ["", "403"]
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError, match="AccessDenied"):
            await artifacts.save(place(between.endpoint, "k", archive=NONE), tmp_path / "s", "default")
    assert keys(bucket) == []
    assert "Uploads" not in bucket.list_multipart_uploads(Bucket="buc")


async def test_nobody_listening_is_transient(tmp_path, waits, unused_tcp_port):
    async with opened(tmp_path, waits) as artifacts:
        with pytest.raises(ArtifactError) as caught:
            await artifacts.load(place(f"127.0.0.1:{unused_tcp_port}", "k"), tmp_path / "d", "default")
    assert caught.value.transient
    assert len(waits) == 4
    assert "s3cr3t-k3y" not in str(caught.value)


async def test_a_private_authority_is_trusted_where_it_is_named(server, bucket, tmp_path, waits):
    authority = certificates.authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificates.signed(tmp_path, "localhost", authority))
    proxy = Between(server)
    listening = await asyncio.start_server(proxy.handle, "127.0.0.1", 0, limit=2**20, ssl=tls)
    endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    (tmp_path / "s").write_text("x")
    values = {"id": "x", "secret": "y", "ca": authority[0].read_text()}
    secret = Secret(api_version="v1", metadata=ObjectMeta(name="s3"), string_data=values)
    backoff = Backoff(sleep=waits.sleep)
    async with store.Artifacts(settings.ArtifactSettings(), tmp_path / "local", Secrets([secret]), backoff=backoff) as artifacts:
        named = place(endpoint, "k", insecure=False, ca_secret=KeySelector(name="s3", key="ca"))
        await artifacts.save(named, tmp_path / "s", "default")
        assert keys(bucket) == ["k"]
        with pytest.raises(ArtifactError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await artifacts.load(place(endpoint, "k", insecure=False), tmp_path / "d", "default")
    listening.close()
    await listening.wait_closed()
    while proxy.handling:
        await asyncio.sleep(0.01)
    assert (caught.value.transient, waits) == (False, [])


async def test_a_role_is_assumed(server, bucket, tmp_path, waits, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server}")
    (tmp_path / "s").write_text("x")
    async with opened(tmp_path, waits) as artifacts:
        role = "arn:aws:iam::123456789012:role/tiphys"
        await artifacts.save(place(server, "k", role_arn=role), tmp_path / "s", "default")
        (used,) = artifacts._clients._open.values()
        assert (await used.client._request_signer._credentials.get_frozen_credentials()).access_key.startswith("ASIA")
    assert keys(bucket) == ["k"]


async def test_many_at_once_share_a_client_and_other_credentials_get_their_own(server, bucket, tmp_path, waits):
    async with opened(tmp_path, waits) as artifacts:

        async def one(number: int) -> None:
            (tmp_path / f"s{number}").write_text(str(number))
            await artifacts.save(place(server, f"k{number}", region=f"us-east-{number % 2}"), tmp_path / f"s{number}", "default")

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)
        assert len(artifacts._clients._open) == 2
        for number in range(12):
            with pytest.raises(ArtifactMissing):
                await artifacts.load(place(server, "nothing", region=f"r-{number}"), tmp_path / "d", "default")
        assert len(artifacts._clients._open) == 8
    assert len(keys(bucket)) == 20
