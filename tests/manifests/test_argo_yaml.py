"""Our reading of YAML against a second one with Argo's rules: generated documents, and every manifest of the conformance corpus."""

import math
import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from tests.manifests import argo_yaml
from tiphys import settings
from tiphys.manifests import composing, scalars
from tiphys.manifests.source import Source
from tiphys.spec.work import Severity

MANY = int(os.environ.get("YAML_EXAMPLES", "200"))
LIMITS = settings.LimitSettings()
TOP = Path(__file__).resolve().parents[2]
CORPUS = TOP / os.environ.get("CONFORMANCE", "../shared/conformance") / "cases"

WORDS = """
y Y yes Yes YES yEs true TRUE tRUE on On ON oN n N no No NO false False FALSE off Off OFF ~ null Null NULL nULL none None 0 -0 +0
00 1 +1 -1 12 0644 -0644 +0644 08 09 0o17 0O17 -0o17 0o8 0o 0_7 0x1F 0X1f -0xff +0xFF 0x 0xg 0x_ff 0x-1 0b101 0B11 -0b101 +0b1 0b
0b2 0b+101 0b-101 -0b+1 0b1_0 1_000 1__0 _1 1_ +_ -_5 1_0.5_0 ._5 1e3 1E3 1e+3 1e-3 -1e3 1_0e1_0 1e 1e+ e3 1.0 1. .5 -.5 +.5 . ..
... -. +. .e5 1.e5 1.5 -1.5 0.1 -0.0 1.2.3 1e400 -1e400 1e-400 .5e400 9e22 1e20 1e21 1e22 123456.7 1234567.0 1e6 1e5 1e-5 0.0001
0.00001 3.14159265358979 16777217.0 1e39 4.9e-324 9007199254740992.0 9007199254740993 9223372036854775807 9223372036854775808
-9223372036854775808 -9223372036854775809 +9223372036854775808 1e18 1152921504606846976.0 18446744073709551615
18446744073709551616 0x7fffffffffffffff 0xffffffffffffffff 0x10000000000000000 -0x8000000000000001 0777777777777777777777
01777777777777777777777 02000000000000000000000 0b1111111111111111111111111111111111111111111111111111111111111111 .nan .NaN .NAN
.Nan .inf .Inf .INF -.inf +.inf +.INF .iNf nan inf Infinity .infinity 0x1p-2 0x1.8p1 1f 1l 0.5f 0e0 -0e0 12:30:45 1:30
190:20:30.15 2024-01-01 2024-1-1 2024-01-01T10:00:00Z 2024-01-01t10:00:00.5+01:00 2024-13-45 20240101 << = - + * & ! % @ ` {{x}} a
b-c a:b a#b http://x/y 3.20-alpine 1,000 $1 x=y ? | > '' \"\" \u00e9 \u0663 \u00bd \u2085
"""
DOUBTFUL = [*WORDS.split(), "2024-01-01 10:00:00", "a b", "a  b ", "a\u2028b", "a\u0085b", ""]
"""What readers of YAML take for different things, and what is awkward to write."""

letters = strategies.sampled_from("ab01_-+.:#,[]{}&*!|>'\"%@`?=<~ \t\n\\eExXoObBnyYN\u00e9\u2028")
texts = strategies.sampled_from(DOUBTFUL) | strategies.text(letters, max_size=6)
numbers = (
    strategies.from_regex(r"[-+]?(0[xXoObB]?)?[0-9_]{1,8}(\.[0-9_]{0,3})?([eE][-+]?[0-9_]{1,3})?", fullmatch=True)
    | strategies.floats().map(repr)
    | strategies.integers(-(2**65), 2**65).map(str)
)
TYPES = ["str", "int", "float", "bool", "null", "timestamp", "binary"]
TAGS = [*(f"!!{tag} " for tag in TYPES), "! ", "!own "]
ENDS = ["\n", "\r\n", "\r"]


def quoted(text: str) -> str:
    """`text` in double quotes."""
    plain = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\u2028": "\\L", "\u0085": "\\N", "\ufeff": "\\ufeff"}
    return '"' + "".join(plain.get(letter, letter) for letter in text) + '"'


def on_one_line(text: str) -> str:
    """`text` to be written plain, without what libyaml and PyYAML's own parser see differently: tabs, broken tags, late directives."""
    text = text.replace("\n", " ").replace("\t", " ").replace("!", "! ")
    return text.replace("%", "p") if "\u2028" in text or "\u0085" in text else text


@strategies.composite
def scalar_texts(draw, inner=texts | numbers):
    """A scalar on one line: plain as it is (which may well be no YAML), or quoted, perhaps with a tag."""
    text = draw(inner)
    style = draw(strategies.sampled_from(["plain", "plain", "plain", "double", "single"]))
    if style == "plain":
        written = on_one_line(text)
    elif style == "double":
        written = quoted(text)
    else:
        written = "'" + text.replace("'", "''").replace("\n", " ") + "'"
    tag = draw(strategies.sampled_from(["", "", "", "", "", "", *TAGS]))
    return tag + written


anchors = strategies.sampled_from(["", "", "", "", "&a ", "&b "])
keys = strategies.sampled_from(["a", "b", "c", "d", "<<", "'<<'", "!!merge <<", "? a", "*a "]) | scalar_texts()
flows = strategies.recursive(
    scalar_texts() | strategies.sampled_from(["*a", "*b", "*c"]),
    lambda inner: (
        strategies.lists(strategies.tuples(anchors, inner), max_size=3).map(
            lambda items: "[" + ", ".join(anchor + item for anchor, item in items) + "]"
        )
        | strategies.lists(strategies.tuples(keys, anchors, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {anchor}{item}" for key, anchor, item in items) + "}"
        )
    ),
    max_leaves=5,
)
merges = strategies.sampled_from(
    ["<<: *a", "<<: [*a, *b]", "<<: [*b, {a: 1, b: yes}]", "<<: {b: 0644}", "!!merge <<: *a", "<<: 1", '"<<": *a']
)


@strategies.composite
def blocks(draw, indent=0, depth=3):
    """Lines of a value in block style, each indented."""
    pad = " " * indent
    kind = draw(strategies.sampled_from(["flow", "map", "map", "list", "text"] if depth else ["flow", "text"]))
    if kind == "flow":
        return [pad + draw(anchors) + draw(flows)]
    if kind == "text":
        header = draw(strategies.sampled_from("|>")) + draw(strategies.sampled_from(["", "-", "+", "1", "2", "1-", "+1"]))
        lines = draw(
            strategies.lists(strategies.sampled_from(["a", "b c", " x", "  y", "", "", "# z", "- l", "k: v", "yes", "1 "]), max_size=5)
        )
        return [
            pad + draw(strategies.sampled_from(["", "&a ", "!!str ", "!!int "])) + header,
            *(pad + " " + line if line else "" for line in lines),
        ]
    made = []
    for _ in range(draw(strategies.integers(1, 3))):
        comment = draw(strategies.sampled_from(["", "", "", " # why", "#no", "\t# tab"]))
        value = draw(blocks(indent + 2, depth - 1))
        if kind == "map" and draw(strategies.integers(0, 7)) == 0:
            made.append(pad + draw(merges))
            continue
        lead = pad + (f"{draw(keys)}:" if kind == "map" else "-")
        head = value[0].strip(" ")
        if head[:1] in ("|", ">") or " |" in head[:9] or " >" in head[:9] or draw(strategies.booleans()):
            made += [f"{lead} {head}", *value[1:]]
        else:
            made += [lead + comment, *value]
    return made


@strategies.composite
def files(draw):
    """A file of one or a few documents."""
    made = []
    for index in range(draw(strategies.integers(1, 3))):
        if index or draw(strategies.booleans()):
            made.append(draw(strategies.sampled_from(["---", "---", "--- # next", "...", "%YAML 1.1\n---", "--- a", "%YAML 1.2\n---"])))
        if draw(strategies.integers(0, 3)) == 0:
            made += ["a: &a {a: 1, b: 1.0, c: null}", "b: &b {b: on, d: [*a]}"]
        made += draw(blocks())
        if draw(strategies.integers(0, 4)) == 0:
            made.append("..." + draw(strategies.sampled_from(["", "\n", " # end"])))
    text = draw(strategies.sampled_from(ENDS)).join("\n".join(made).split("\n"))
    text += draw(strategies.sampled_from(["", "\n", "\n\n", " \n"]))
    code = draw(strategies.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"]))
    return text.encode(code)


def ours(data):
    """The documents' values as we read them; a Refused for one with an error, after which nothing follows."""
    for composed in composing.documents(Source(data, "made.yaml"), LIMITS):
        wrong = [item.message for item in composed.diagnostics if item.severity is Severity.ERROR]
        if wrong or composed.failed:
            yield argo_yaml.Refused("; ".join(wrong))
            return
        yield composed.value


def same(left, right):
    """Whether two values are equal, their types and the order of their keys included (integers beyond 64 bits are floats to JSON)."""
    if type(left) is int and not -(2**63) <= left < 2**63:
        left = float(left)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return set(left) == set(right) and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or isinstance(left, argo_yaml.Refused)


def agree(data):
    """Both readings give the same values, or refuse the same document."""
    found, wanted = list(ours(data)), list(argo_yaml.documents(data))
    assert len(found) == len(wanted), (data, found, wanted)
    for one, other in zip(found, wanted, strict=True):
        assert same(one, other), (data, one, other)


FORMS = ["{}", "a: {}", "- {}", "[{}]", "{}: 1", "{{a: {}}}", "'{}'", '"{}"', "a: ! {}", *(f"a: !!{tag} {{}}" for tag in TYPES)]


@pytest.mark.parametrize("form", [*FORMS, *(f"!!{tag} {{}}: a" for tag in TYPES), "!own {}: a", "? {}\n: a", "a: &a {}\nb: *a"])
def test_each_doubtful_scalar_is_read_as_argo_reads_it(form):
    for text in DOUBTFUL:
        agree(form.format(text).encode())


@pytest.mark.parametrize(
    "header", ["|", ">", "|-", ">-", "|+", ">+", "|2", ">1-", "|+3", "| # why", "!!str |", "!!int |", "&a |", "|0", "|x"]
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n \n", "\n...\n", "\n# end\n", "\n  # more\nb: 1\n"])
def test_block_scalars_with_any_header_and_end_are_read_as_argo_reads_them(header, end):
    for body in ("  1", "  a\n  b", "  a\n\n   b\n  c", "\n\n  a", "   a\n  b", "  t\tt", "    a", "", "  a ", "  - a\n    b: c"):
        for lines in ("\n", "\r\n", "\r"):
            agree(f"a: {header}\n{body}{end}".replace("\n", lines).encode())
            agree(f"- {header}\n{body}{end}".replace("\n", lines).encode())


@hypothesis.given(text=numbers | texts)
@hypothesis.settings(max_examples=MANY)
def test_scalars_in_any_style_are_read_as_argo_reads_them(text):
    text = on_one_line(text)
    agree(f"a: {text}\nb: '{text}'\n{text}: c\n".encode())
    agree(f"a: {text}\n".encode())


@hypothesis.given(data=files())
@hypothesis.settings(max_examples=MANY, suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large])
def test_generated_files_are_read_as_argo_reads_them(data):
    agree(data)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the conformance corpus is not here")
def test_every_manifest_of_the_conformance_corpus_is_read_as_argo_reads_it():
    found = sorted(CORPUS.glob("*.yaml"))
    assert len(found) > 500
    for path in found:
        agree(path.read_bytes())


@pytest.mark.parametrize("path", sorted((TOP / "examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_read_as_argo_reads_them(path):
    agree(path.read_bytes())


def test_texts_of_numbers_are_those_of_go():
    assert scalars.text_of(1e21) == "1000000000000000000000"
    assert math.isclose(float(scalars.text_of(1e-7)), 1e-7)
