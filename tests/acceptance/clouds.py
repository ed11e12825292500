"""The servers that the aggregating workflows talk to: an API with bad days, and S3, SNS and SQS."""

import asyncio
import collections
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import botocore.config
from aiohttp import web
from moto.server import ThreadedMotoServer

BUCKET, CUT, BUSY, POSTS = "catch", 2, 4, 5


def post(number: int) -> dict[str, object]:
    return {"userId": 7, "id": number, "title": f'"{number}"', "body": "Grüße {{item}}\n<&> \\ 'quoted'"}


@dataclass(kw_only=True)
class Api:
    """Serves posts. The first connection for one is cut, the first answer for another is 503."""

    posts: dict[int, dict[str, object]] = field(default_factory=lambda: {number: post(number) for number in range(1, POSTS + 1)})
    asked: collections.Counter = field(default_factory=collections.Counter)
    address: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        self.asked[number] += 1
        if self.asked[number] == 1 and number == CUT:
            request.transport.abort()
            return web.Response()
        if self.asked[number] == 1 and number == BUSY:
            return web.Response(status=503, text="busy")
        return web.json_response(self.posts[number])


@contextlib.contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The API on a port of its own, in a thread with a loop of its own."""
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/posts/{number}", api.answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.address = f"127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await over.wait()
        await runner.cleanup()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        yield api
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A bucket, a topic, and a queue that hears what the topic is told."""

    address: str
    topic: str
    queue: str
    clients: dict[str, object]

    def objects(self) -> dict[str, bytes]:
        s3 = self.clients["s3"]
        found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found}

    def messages(self) -> list[str]:
        """What the queue holds; it is empty afterwards."""
        sqs, found = self.clients["sqs"], []
        while received := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(one["Body"])["Message"] for one in received]
        return found


@contextlib.contextmanager
def cloud() -> Iterator[Cloud]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        config = botocore.config.Config(s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1", "config": config}
        clients = {kind: boto3.client(kind, endpoint_url=f"http://{host}:{port}", **keys) for kind in ("s3", "sns", "sqs")}
        for client in clients.values():
            stack.callback(client.close)
        clients["s3"].create_bucket(Bucket=BUCKET)
        topic = clients["sns"].create_topic(Name="news")["TopicArn"]
        queue = clients["sqs"].create_queue(QueueName="ears")["QueueUrl"]
        heard = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard)
        yield Cloud(address=f"{host}:{port}", topic=topic, queue=queue, clients=clients)
