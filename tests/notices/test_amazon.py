"""SNS, SQS and Lambda, against moto's server; how Lambda and SQS fail, against a server that answers as they do."""

import asyncio
import json
import urllib.request

import boto3
import pytest
from aiohttp import web
from moto.server import ThreadedMotoServer

from tests.notices.told import PAYLOAD, notice, secrets, senders, serving
from tiphys.notices import amazon
from tiphys.notices.errors import SendFailed
from tiphys.settings import NotificationEntry

pytestmark = pytest.mark.asyncio

QUEUE_ARN = "QueueArn"
KEYS = {"access_key_secret": ("given", "id"), "secret_key_secret": ("given", "secret")}
VALUES = {"id": "AKIAEXAMPLE", "secret": "s3cr3t-k3y"}


def ask(address: str, body: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(address, data=body, method="POST")).close()


class Cloud:
    """moto's services, and boto3 to look into them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.made = []
        self.sns, self.sqs, self.iam, self.functions = (self.client(service) for service in ("sns", "sqs", "iam", "lambda"))

    def client(self, service: str):
        client = boto3.client(service, endpoint_url=self.address, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        self.made.append(client)
        return client

    def queue(self, name: str, **attributes: str) -> str:
        return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def arn(self, queue: str) -> str:
        return self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[QUEUE_ARN])["Attributes"][QUEUE_ARN]

    def received(self, queue: str) -> list[dict]:
        return self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]).get(
            "Messages", []
        )


@pytest.fixture(scope="module")
def server():
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    ask(f"{address}/moto-api/config", b'{"lambda": {"use_docker": false}}')
    yield address
    ask(f"{address}/moto-api/config", b'{"lambda": {"use_docker": true}}')
    running.stop()


@pytest.fixture
def cloud(server):
    ask(f"{server}/moto-api/reset", b"")
    cloud = Cloud(server)
    yield cloud
    for client in cloud.made:
        client.close()


@pytest.fixture
def known(tmp_path):
    return secrets(tmp_path, **VALUES)


async def test_a_queue_gets_the_json_with_attributes_to_filter_by(cloud, known) -> None:
    queue = cloud.queue("ears")
    async with senders(NotificationEntry(queue=queue, **KEYS), known=known) as made:
        await made.send(notice())
        await made.send(notice(id="second"))
    first, second = cloud.received(queue)
    assert json.loads(first["Body"]) == PAYLOAD
    attributes = {name: value["StringValue"] for name, value in first["MessageAttributes"].items()}
    assert attributes == {"id": "uid-1/Failed/1", "phase": "Failed", "workflow": "wf", "namespace": "default"}
    assert json.loads(second["Body"])["id"] == "second"


async def test_a_topic_hands_the_json_to_its_subscribers(cloud, known) -> None:
    topic, queue = cloud.sns.create_topic(Name="news")["TopicArn"], cloud.queue("ears")
    cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=cloud.arn(queue))
    async with senders(NotificationEntry(topic=topic, endpoint=cloud.address, **KEYS), known=known) as made:
        await made.send(notice())
    (got,) = [json.loads(message["Body"]) for message in cloud.received(queue)]
    assert json.loads(got["Message"]) == PAYLOAD
    assert {name: each["Value"] for name, each in got["MessageAttributes"].items()}["phase"] == "Failed"


async def test_a_fifo_queue_drops_a_repetition_and_keeps_a_workflow_in_order(cloud, known) -> None:
    queue = cloud.queue("ears.fifo", FifoQueue="true")
    async with senders(NotificationEntry(queue=queue, **KEYS), known=known) as made:
        await made.send(notice(id="one"))
        await made.send(notice(id="one"))
        await made.send(notice(id="ä" * 200))
    first, second = (message["Attributes"] for message in cloud.received(queue))
    assert (first["MessageDeduplicationId"], first["MessageGroupId"]) == ("one", "uid-1")
    assert len(second["MessageDeduplicationId"]) == 64


async def test_a_fifo_topic_gets_its_ids(cloud, known) -> None:
    topic = cloud.sns.create_topic(Name="news.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    queue = cloud.queue("ears.fifo", FifoQueue="true")
    cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=cloud.arn(queue))
    async with senders(NotificationEntry(topic=topic, endpoint=cloud.address, **KEYS), known=known) as made:
        await made.send(notice(id="one"))
    (got,) = cloud.received(queue)
    assert json.loads(json.loads(got["Body"])["Message"]) == {**PAYLOAD, "id": "one"}


async def test_what_is_not_there_is_not_tried_again(cloud, known) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:nobody"
    for entry in (NotificationEntry(topic=topic, endpoint=cloud.address, **KEYS), NotificationEntry(queue=f"{cloud.address}/1/no", **KEYS)):
        async with senders(entry, known=known) as made:
            with pytest.raises(SendFailed) as caught:
                await made.send(notice())
        assert not caught.value.transient
        assert "\n" not in str(caught.value)


async def test_lambda_takes_the_json_as_an_event(cloud, known) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = cloud.iam.create_role(RoleName="r", AssumeRolePolicyDocument=policy, Path="/")["Role"]["Arn"]
    made_up = {"Runtime": "python3.12", "Role": role, "Handler": "f.h", "Code": {"ZipFile": b"PK\5\6" + bytes(18)}}
    function = cloud.functions.create_function(FunctionName="told", **made_up)["FunctionArn"]
    for name in ("told", function):
        async with senders(NotificationEntry(function=name, endpoint=cloud.address, **KEYS), known=known) as made:
            await made.send(notice())


async def test_lambda_is_called_by_its_own_interface(known) -> None:
    async with serving(lambda: web.Response(status=202)) as server:
        entry = NotificationEntry(function="arn:aws:lambda:eu-central-1:123456789012:function:told", endpoint=server.address, **KEYS)
        async with senders(entry, known=known) as made:
            await made.send(notice())
    (heard,) = server.heard
    assert (heard.method, json.loads(heard.body)) == ("POST", PAYLOAD)
    assert heard.path.endswith("/invocations")
    assert heard.headers["x-amz-invocation-type"] == "Event"
    assert "AKIAEXAMPLE" in heard.headers["authorization"]
    assert "/eu-central-1/lambda/" in heard.headers["authorization"]


def refused(status: int, code: str, message: str = "because"):
    return lambda: web.json_response({"__type": code, "Message": message}, status=status, headers={"x-amzn-ErrorType": code})


@pytest.mark.parametrize(
    ("answer", "transient", "words"),
    [
        (refused(404, "ResourceNotFoundException"), False, "ResourceNotFoundException: because"),
        (refused(403, "AccessDeniedException"), False, "AccessDeniedException"),
        (refused(403, "UnrecognizedClientException"), True, "UnrecognizedClientException"),
        (refused(403, "ExpiredTokenException"), True, "ExpiredTokenException"),
        (refused(429, "TooManyRequestsException"), True, "TooManyRequestsException"),
        (refused(400, "ThrottlingException"), True, "ThrottlingException"),
        (refused(409, "ResourceConflictException"), True, "ResourceConflictException"),
        (refused(500, "ServiceException"), True, "ServiceException"),
        (refused(403, "AccessDeniedException", "not s3cr3t-k3y\nof AKIAEXAMPLE"), False, r"not \*\*\* of \*\*\*$"),
        (lambda: web.Response(status=503, text="busy"), True, "503"),
        (
            lambda: web.Response(status=200, text='{"errorMessage": "no"}', headers={"X-Amz-Function-Error": "Unhandled"}),
            True,
            r'the function failed \(Unhandled\): {"errorMessage": "no"}',
        ),
        (lambda: web.Response(status=204), True, "status 204"),
    ],
)
async def test_how_lambda_fails_tells_whether_trying_again_may_help(answer, transient: bool, words: str, known) -> None:
    async with (
        serving(answer) as server,
        senders(NotificationEntry(function="told", endpoint=server.address, **KEYS), known=known) as made,
    ):
        with pytest.raises(SendFailed, match=f"^Lambda function told: .*{words}") as caught:
            await made.send(notice())
    assert caught.value.transient is transient
    assert "s3cr3t-k3y" not in str(caught.value)
    assert len(server.heard) == 1


async def test_a_queue_that_throttles_or_hangs_or_is_away_is_tried_again(known) -> None:
    async with serving(refused(400, "RequestThrottled"), lambda: asyncio.sleep(3600)) as server:
        entry = NotificationEntry(queue=f"{server.address}/1/ears", timeout_seconds=3, **KEYS)
        async with senders(entry, known=known) as made:
            with pytest.raises(SendFailed, match="RequestThrottled") as throttled:
                await made.send(notice())
            with pytest.raises(SendFailed, match=r"^SQS queue ears: not done within 3 s") as hanging:
                await made.send(notice())
            address = server.address
    async with senders(NotificationEntry(queue=f"{address}/1/ears", **KEYS), known=known) as made:
        with pytest.raises(SendFailed, match="Could not connect") as away:
            await made.send(notice())
    assert throttled.value.transient
    assert hanging.value.transient
    assert away.value.transient


async def test_new_keys_take_effect_with_the_next_notification(tmp_path, known) -> None:
    async with (
        serving(lambda: web.Response(status=202)) as server,
        senders(NotificationEntry(function="told", endpoint=server.address, **KEYS), known=known) as made,
    ):
        await made.send(notice())
        secrets(tmp_path, id="AKIASECOND", secret="another")
        await made.send(notice())
        assert len(made._amazon._open) == 1
    assert [key for heard in server.heard for key in ("AKIAEXAMPLE", "AKIASECOND") if key in heard.headers["authorization"]] == [
        "AKIAEXAMPLE",
        "AKIASECOND",
    ]


async def test_without_named_keys_the_sdk_finds_its_own_and_new_ones_after_a_refusal(tmp_path, monkeypatch) -> None:
    file = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    accepted = lambda: web.Response(status=202)  # noqa: E731
    async with (
        serving(refused(403, "ExpiredTokenException"), accepted) as server,
        senders(NotificationEntry(function="told", endpoint=server.address)) as made,
    ):
        with pytest.raises(SendFailed, match="Unable to locate credentials") as none:
            await made.send(notice())
        for key in ("AKIAFIRST", "AKIASECOND"):
            file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = x\n")
            if key == "AKIAFIRST":
                with pytest.raises(SendFailed, match="ExpiredToken"):
                    await made.send(notice())
            else:
                await made.send(notice())
    assert none.value.transient
    assert "AKIAFIRST" in server.heard[0].headers["authorization"]
    assert "AKIASECOND" in server.heard[1].headers["authorization"]


async def test_half_a_pair_of_keys_is_a_mistake(known) -> None:
    entry = NotificationEntry(function="told", access_key_secret=("given", "id"))
    async with senders(entry, known=known) as made:
        with pytest.raises(SendFailed, match="both access_key_secret and secret_key_secret") as caught:
            await made.send(notice())
    assert not caught.value.transient


async def test_many_at_once_share_a_client(cloud, known) -> None:
    queue = cloud.queue("ears")
    async with senders(NotificationEntry(queue=queue, **KEYS), known=known) as made:
        await asyncio.gather(*(made.send(notice(id=f"n{number}")) for number in range(30)))
        assert len(made._amazon._open) == 1
    attributes = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "30"


@pytest.mark.parametrize(
    ("service", "fields", "endpoint", "region"),
    [
        ("sns", {"topic": "arn:aws:sns:eu-west-1:123456789012:t"}, "", "eu-west-1"),
        ("sns", {"topic": "arn:aws:sns:eu-west-1:123456789012:t", "region": "us-west-2"}, "", "us-west-2"),
        ("lambda", {"function": "arn:aws:lambda:eu-west-1:123456789012:function:f"}, "", "eu-west-1"),
        ("lambda", {"function": "f"}, "", ""),
        ("lambda", {"function": "f", "endpoint": "http://localhost:1"}, "http://localhost:1", "us-east-1"),
        ("sqs", {"queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/q"}, "", "eu-west-1"),
        ("sqs", {"queue": "https://eu-west-1.queue.amazonaws.com/123456789012/q"}, "", "eu-west-1"),
        ("sqs", {"queue": "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"}, "", "cn-north-1"),
        ("sqs", {"queue": "http://localhost:9324/000/q"}, "http://localhost:9324", "us-east-1"),
        ("sqs", {"queue": "http://localhost:9324/000/q", "endpoint": "http://proxy:1", "region": "r"}, "http://proxy:1", "r"),
    ],
)
async def test_where_a_service_is_follows_from_what_it_is_called(service: str, fields: dict, endpoint: str, region: str) -> None:
    access = amazon.access_to(service, NotificationEntry(**fields), None)
    assert (access.endpoint, access.region) == (endpoint, region)
