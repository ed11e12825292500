"""Whatever the bytes, parse gives a value: documents, or diagnostics with a place."""

import random
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from tiphys import manifests, settings
from tiphys.spec.work import Severity

LIMITS = settings.LimitSettings()
BROKEN = Path(__file__).resolve().parent.parent / "broken"

GOOD = b"""\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: one, creationTimestamp: null, labels: {a: "1"}}
spec:
  entrypoint: main
  arguments: &args {parameters: [{name: a, value: 1.0}, {name: b, value: "{{x}}"}]}
  templates:
  - name: main
    steps:
    - - {name: a, template: work, arguments: *args, withItems: [1, yes, {k: v}]}
  - name: work
    <<: {parallelism: 1}
    script:
      image: alpine:3.20
      command: [sh]
      source: |
        echo [[ {{inputs.parameters.a}} ]]
---
kind: List
apiVersion: v1
items:
- {kind: ConfigMap, apiVersion: v1, data: {k: 0644}}
"""

PIECES = [
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b":",
        b": ",
        b"- ",
        b"? ",
        b"&a ",
        b"*a",
        b"!!int ",
        b"!x ",
        b"<<: ",
        b"'",
        b'"',
        b"|\n",
        b">\n",
        b"#",
        b"\n",
    ),
    *(b"\t", b"\0", b"\xff", b"\xc3", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"---\n", b"...\n", b"%YAML 1.1\n", b"~", b"null", b".nan"),
    *(b"1e999", b"0x1f", b"yes", b"kind: List\n", b"kind: Workflow\n", b"items: ", b"steps: ", b"apiVersion: v1\n", b"  ", b"status: 3\n"),
    *(b"{{", b"}}", b"@", b"`", b"9" * 500),
]


def reads(data):
    parsed = manifests.parse(data, "fuzz.yaml", LIMITS)
    assert parsed.documents or parsed.diagnostics
    for diagnostic in parsed.diagnostics:
        assert diagnostic.line >= 1
        assert diagnostic.column >= 1
        assert manifests.render(diagnostic).encode()
    for located in parsed.documents:
        assert located.marks.at(("spec", "templates", 0)) >= (1, 1)
    return parsed


def test_the_seed_itself_is_good():
    parsed = reads(GOOD)
    assert len(parsed.documents) == 2
    assert not parsed.diagnostics


@hypothesis.given(data=strategies.binary(max_size=300))
@hypothesis.settings(max_examples=150)
def test_any_bytes_are_read(data):
    reads(data)


@hypothesis.given(pieces=strategies.lists(strategies.sampled_from(PIECES), max_size=40))
@hypothesis.settings(max_examples=300)
def test_any_pieces_of_yaml_are_read(pieces):
    reads(b"".join(pieces))


@pytest.mark.parametrize("seed", range(8))
def test_a_good_file_with_random_damage_is_read(seed):
    chance = random.Random(seed)
    for _ in range(60):
        data = bytearray(GOOD)
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(data) + 1)
            data[start : start + chance.choice((0, 0, 1, 5, 40))] = chance.choice([b"", *PIECES, bytes([chance.randrange(256)])])
        reads(bytes(data))


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.name)
def test_every_beginning_of_a_broken_file_is_read(path):
    data = path.read_bytes()
    for end in range(0, len(data), 41):
        reads(data[:end])


NAMES = [
    "name",
    "steps",
    "dag",
    "tasks",
    "inputs",
    "parameters",
    "value",
    "container",
    "env",
    "args",
    "Name",
    "x",
    "when",
    "templates",
    "inline",
]
LEAVES = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(max_size=5)
TREES = strategies.recursive(
    LEAVES,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(spec=TREES)
@hypothesis.settings(max_examples=300)
def test_a_spec_of_any_shape_is_a_document_or_an_error(spec):
    import yaml

    text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: " + yaml.safe_dump(
        {"templates": [spec]}, default_flow_style=True, width=10_000
    )
    parsed = reads(text.encode())
    assert bool(parsed.documents) != any(item.severity is Severity.ERROR for item in parsed.diagnostics)
