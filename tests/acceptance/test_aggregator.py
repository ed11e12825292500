"""Posts of an unreliable API end in one object and one message; a post that is not as it should be leaves neither."""

import json
import os
from pathlib import Path

import pytest

from tests.acceptance import clouds
from tests.acceptance.house import MANIFESTS, House, nodes

SECRET = "made-up-key-4711"


@pytest.fixture
def api():
    with clouds.serving(clouds.Api()) as serving:
        yield serving


@pytest.fixture(scope="module")
def sky():
    with clouds.cloud() as made:
        yield made


@pytest.fixture
def cloud(sky):
    """The same servers for all tests of the module, emptied."""
    for key in sky.objects():
        sky.clients["s3"].delete_object(Bucket=clouds.BUCKET, Key=key)
    sky.messages()
    return sky


@pytest.fixture
def place(tmp_path: Path, aws_folder: str) -> House:
    return House(top=tmp_path, environ={"PATH": f"{aws_folder}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"})


def own(place: House, api, cloud) -> str:
    text = (MANIFESTS / "gather-posts.yaml").read_text(encoding="utf-8")
    for tag, value in {"topic": cloud.topic, "api": api.address, "aws": cloud.address, "bucket": clouds.BUCKET}.items():
        text = text.replace(f"<{tag}>", value)
    return written(place, text)


def theirs(place: House, api, cloud, folder: Path) -> str:
    """The shared file: its placeholders, the API's address and the endpoint replaced, and the endpoint given to `aws`."""
    text = (folder / "dynamic-deal-aggregator.yaml").read_text(encoding="utf-8")
    region, account, topic = cloud.topic.split(":")[3:]
    replaced = {
        "https://jsonplaceholder.typicode.com": f"http://{api.address}",
        "endpoint: s3.amazonaws.com": f"endpoint: {cloud.address}\n              insecure: true",
        "          - name: SNS_TOPIC_ARN\n": (
            f"          - name: AWS_ENDPOINT_URL\n            value: http://{cloud.address}\n          - name: SNS_TOPIC_ARN\n"
        ),
        "AWS_REGION": region,
        "ACCOUNT_ID": account,
        "TOPIC_NAME": topic,
        "S3_BUCKET_NAME": clouds.BUCKET,
        "S3_BUCKET": clouds.BUCKET,
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    secrets = place.top / "secrets" / "argo-s3-credentials"
    secrets.mkdir(parents=True)
    (secrets / "accessKey").write_text("AKIAMADEUP")
    (secrets / "secretKey").write_text(SECRET)
    return written(place, text)


def written(place: House, text: str) -> str:
    file = place.top / "workflow.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def proves_success(ended, api, cloud) -> str:
    """All that a success promises; the workflow's name."""
    assert ended.code == 0, ended.err
    workflow = ended.workflow
    name = workflow["metadata"]["name"]
    assert workflow["status"]["phase"] == "Succeeded"
    [(key, body)] = cloud.objects().items()
    assert key.startswith(f"{name}/")
    assert json.loads(body) == [clouds.post(number) for number in range(1, clouds.POSTS + 1)]
    messages = cloud.messages()
    assert len(messages) == 1
    assert name in messages[0]
    assert api.asked == {1: 1, clouds.CUT: 2, 3: 1, clouds.BUSY: 2, 5: 1}
    assert SECRET not in ended.out + ended.err
    return name


def proves_failure(ended, cloud) -> None:
    assert ended.code == 1, ended.err
    assert ended.workflow["status"]["phase"] == "Failed"
    assert cloud.objects() == {}
    assert cloud.messages() == []


def test_five_posts_become_one_object_and_one_message(place, api, cloud):
    proves_success(place.run(own(place, api, cloud), "-o", "json", "--state", str(place.state)), api, cloud)
    kept = b"".join(path.read_bytes() for path in place.state.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept


def test_a_post_that_the_condition_refuses_is_not_asked_for_again_and_nothing_is_written(place, api, cloud):
    api.posts[3].pop("userId")
    ended = place.run(own(place, api, cloud), "-o", "json")
    proves_failure(ended, cloud)
    assert api.asked[3] == 1


def test_a_post_that_only_the_script_refuses_writes_nothing(place, api, cloud):
    del api.posts[3]["userId"]
    api.posts[3]["title"] = "no userId"
    ended = place.run(own(place, api, cloud), "-o", "json")
    proves_failure(ended, cloud)
    assert "post 2 has no id or no userId" in ended.err
    assert nodes(ended.workflow)["tell"]["phase"] == "Omitted"


@pytest.mark.slow
def test_the_shared_aggregator(place, api, cloud, shared_files):
    proves_success(place.run(theirs(place, api, cloud, shared_files), "-o", "json"), api, cloud)


def test_the_shared_aggregator_with_a_post_that_lacks_its_user(place, api, cloud, shared_files):
    api.posts[5].pop("userId")
    proves_failure(place.run(theirs(place, api, cloud, shared_files), "-o", "json"), cloud)
