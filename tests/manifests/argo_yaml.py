"""A second reading of YAML, slow and plain, to hold ours against: what Argo makes of a file before it looks at the fields.

Argo reads manifests through sigs.k8s.io/yaml: go-yaml v2 resolves the scalars (its `resolve.go`), the tree becomes JSON (its own
`yaml.go`, Go's `encoding/json`), and Kubernetes' decoder reads whole JSON numbers of 64 bits as integers. These rules stand here once
more, written from that behaviour and not from ours, over PyYAML's parser and composer in pure Python (ours uses libyaml's events).

Where we mean to differ, it differs along: a key that stands twice is an error (Argo's strict reading), `!!binary` is refused (its
documentation says that it is not supported), any text may stand after `!!timestamp`, and the keys of a map win over those merged into
it wherever `<<` stands (go-yaml v2 lets the later one win, or refuses it in strict reading).
"""

import decimal
import math
import re
import struct
from collections.abc import Iterator
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
WORDS: dict[str, object] = {}
for words, meaning in (
    ("y Y yes Yes YES true True TRUE on On ON", True),
    ("n N no No NO false False FALSE off Off OFF", False),
    ("~ null Null NULL", None),
    (".nan .NaN .NAN", math.nan),
    (".inf .Inf .INF +.inf +.Inf +.INF", math.inf),
    ("-.inf -.Inf -.INF", -math.inf),
):
    WORDS.update(dict.fromkeys(words.split(), meaning))
WORDS[""] = None


class Refused(Exception):
    """Argo does not read this document, or we mean to refuse it."""


class Loader(yaml.SafeLoader):
    """Composes without deciding what plain scalars mean: their tag is `plain`."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """The tag of a node that has none."""
        return "plain" if kind is yaml.ScalarNode and implicit[0] else "str"

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; an anchor may be given anew."""
        if not self.check_event(yaml.AliasEvent):
            self.anchors.pop(self.peek_event().anchor, None)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: Any) -> Any:
        """A scalar; nothing at all after a lone `!` is an empty text to libyaml and to go-yaml, which is made of it."""
        event = self.peek_event()
        node = super().compose_scalar_node(anchor)
        if event.tag == "!" and event.style is None and not event.value:
            node.tag = "str"
        return node

    def scan_to_next_token(self) -> None:
        """Skip what stands between two tokens, tabs included where no indentation is meant: as libyaml does, and go-yaml with it."""
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            while self.peek() == " " or (self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)):
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0\r\n\x85\u2028\u2029":
                    self.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True


def documents(data: bytes) -> Iterator[Any]:
    """The values of a file's documents as JSON has them; a Refused for one that is not read, after which nothing follows."""
    try:
        loader = Loader(data)
        while loader.check_node():
            yield of_node(loader.get_node(), ())
    except (yaml.YAMLError, UnicodeError, Refused, ValueError) as error:
        yield Refused(str(error))


def of_node(node: Any, above: tuple[int, ...]) -> Any:
    """A composed node as JSON has it. Raises Refused."""
    if id(node) in above:
        raise Refused("an anchor within itself")
    above += (id(node),)
    if isinstance(node, yaml.ScalarNode):
        return json_value(scalar(node))
    if isinstance(node, yaml.SequenceNode):
        return [of_node(item, above) for item in node.value]
    merges = [value for key, value in node.value if is_merge(key)]
    if len(merges) > 1:
        raise Refused("<< twice")
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not is_merge(key):
            name = key_text(key)
            if name in found:
                raise Refused(f"key {name} already set in map")
            found[name] = of_node(value, above)
    for merged in merges:
        for source in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
            if not isinstance(source, yaml.MappingNode):
                raise Refused("map merge requires map or sequence of maps as the value")
            for name, value in of_node(source, above).items():
                found.setdefault(name, value)
    return found


def is_merge(key: Any) -> bool:
    """Whether a key says that maps are merged in."""
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.tag in ("plain", TAG + "merge")


def scalar(node: Any) -> object:
    """The Go value of a scalar. Raises Refused."""
    text, tag = node.value, node.tag.removeprefix(TAG)
    if tag == "binary":
        raise Refused("!!binary")
    if tag not in ("plain", "bool", "int", "float", "null"):
        return text
    found = resolved(text)
    if tag == "plain":
        return found
    kinds = {"bool": bool, "int": int, "float": float, "null": type(None)}
    if tag == "float" and type(found) is int and -(2**63) <= found < 2**63:
        return float(found)
    if type(found) is not kinds[tag]:
        raise Refused(f"cannot decode `{text}` as a !!{tag}")
    return found


def resolved(text: str) -> object:
    """A plain scalar as go-yaml v2 resolves it (a timestamp stays text, and none of them is a number)."""
    if text in WORDS:
        return WORDS[text]
    if text[0] == ".":
        return float_of(text)
    if text[0] not in "+-0123456789":
        return text
    plain = text.replace("_", "")
    whole = int_of(plain)
    if whole is not None:
        return whole
    if isinstance(number := float_of(plain), float):
        return number
    if plain.startswith("0b") and (found := of_digits(plain[2:], 2)) is not None:
        return found
    if plain.startswith("-0b") and (found := of_digits("-" + plain[3:], 2)) is not None:
        return found
    return text


def int_of(text: str) -> int | None:
    """Go's ParseInt and ParseUint with base 0: the prefix says the base."""
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    lower = digits.lower()
    for prefix, base in (("0b", 2), ("0o", 8), ("0x", 16)):
        if lower.startswith(prefix):
            return of_digits(sign + digits[2:], base) if digits[2:3] not in ("+", "-") else None
    if digits.startswith("0") and len(digits) > 1:
        return of_digits(sign + digits[1:], 8) if digits[1] not in "+-" else None
    return of_digits(text, 10)


def of_digits(text: str, base: int) -> int | None:
    """A whole number of 64 bits, with or without a sign (without a plus sign where it needs all 64)."""
    if not re.fullmatch(r"[-+]?[0-9a-zA-Z]+", text):
        return None
    try:
        found = int(text, base)
    except ValueError:
        return None
    if -(2**63) <= found < 2**63:
        return found
    return found if 0 <= found < 2**64 and text[0] not in "+-" else None


def float_of(text: str) -> float | str:
    """Go's ParseFloat of what looks like a float of YAML; the text where it is none, or out of range."""
    if not re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return text
    found = float(text)
    return text if math.isinf(found) else found


def json_value(value: object) -> object:
    """A Go value after its way through JSON. Raises Refused."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise Refused("unsupported value")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        digits = format(decimal.Decimal(repr(value)), "f").removesuffix(".0")
        if "." not in digits and -(2**63) <= int(digits) < 2**63:
            return int(digits)
    return value


def key_text(node: Any) -> str:
    """A key of a map as JSON has it. Raises Refused."""
    if not isinstance(node, yaml.ScalarNode):
        raise Refused("a map key must be text")
    found = scalar(node)
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, str):
        return found
    if isinstance(found, int):
        if found >= 2**63:
            raise Refused("unsupported map key of type: uint64")
        return str(found)
    if isinstance(found, float):
        return short_float(found)
    raise Refused("unsupported map key")


def short_float(value: float) -> str:
    """Go's FormatFloat(value, 'g', -1, 32), with go-yaml's words for what is no number."""
    single = to_single(value)
    if math.isnan(single):
        return ".nan"
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    if single == 0:
        return "-0" if math.copysign(1, single) < 0 else "0"
    for precision in range(9):
        text = f"{single:.{precision}e}"
        if to_single(float(text)) == single:
            break
    mantissa, _, exponent = text.partition("e")
    if -4 <= int(exponent) < 6:
        return format(decimal.Decimal(text), "f")
    return f"{mantissa}e{exponent}"


def to_single(value: float) -> float:
    """The nearest float of 32 bits."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)
