"""Rows in which references stand for large texts: a parameter of megabytes is in the row of each node that has it, and in events.

Such a row begins with a byte with which no MessagePack begins; in it a reference is an extension. Whoever encodes says what a text goes
by (`Keep`), whoever decodes what text that was (`Find`). A text that was found once is one object in all rows that it is put into.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from tiphys.spec.workflows import Workflow

Kind = TypeVar("Kind")
Keep = Callable[[str], bytes]
Find = Callable[[bytes], str]

LARGE = 16_384
"""So many characters are a large text; a row that is shorter in bytes has none. A text of this size that is in three rows costs the same
CPU either way, and a third of the bytes.
"""
MARK = b"\xc1"
CODE = 1
INDEX_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode
_LONG = b"\xdb"
_found_medium = re.compile(b"\xda[\\x%02x-\xff]" % (LARGE >> 8)).search
_packed = msgspec.msgpack.Decoder(tuple[list[str], msgspec.Raw])


def shortened(record: object, encoded: bytes, keep: Keep) -> bytes:
    """The encoding of a record whose plain one is `encoded`, with what `keep` gives in place of each large text."""
    return referring(record, keep) if _may_have_large(encoded) else encoded


def referring(record: object, keep: Keep) -> bytes:
    """The same, without a look at the plain encoding."""
    return MARK + _encode(_referring(_tree(record), keep))


def is_short(data: bytes | memoryview) -> bool:
    """Whether there may be references in a row."""
    return data[:1] == MARK


def whole(data: bytes | memoryview, kind: type[Kind], find: Find) -> Kind:
    """The record again that `shortened` encoded. Raises msgspec.DecodeError, and what `find` raises."""
    return _whole(memoryview(data)[len(MARK) :], kind, find)


def packed(workflow: Workflow) -> bytes:
    """A Workflow with its large texts before it, each once. Its nodes are looked at one by one: there may be very many of them."""
    texts = Texts()
    status = workflow.status
    if status is None or status.nodes is None:
        tree = _referring(_tree(workflow), texts.keep)
    else:
        bare = msgspec.structs.replace(workflow, status=msgspec.structs.replace(status, nodes=None))
        tree = _referring(_tree(bare), texts.keep)
        tree["status"]["nodes"] = {key: _referring(_tree(node), texts.keep) for key, node in status.nodes.items()}
    return MARK + _encode((list(texts.numbers), tree))


def unpacked(data: bytes) -> Workflow:
    """What `packed` made of it. Raises msgspec.DecodeError."""
    texts, tree = _packed.decode(memoryview(data)[len(MARK) :])
    return _whole(memoryview(tree), Workflow, lambda reference: texts[index(reference)])


class Texts:
    """Texts that are stored beside the rows that name them, each by its number."""

    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def keep(self, text: str) -> bytes:
        """A text's reference."""
        return self.numbers.setdefault(text, len(self.numbers)).to_bytes(INDEX_BYTES, "big")


def index(reference: bytes) -> int:
    """The number in such a reference."""
    return int.from_bytes(reference, "big")


def _may_have_large(encoded: bytes) -> bool:
    """Whether what a large text begins with is there: a length of 32 bits, or a large one of 16. It may be something else."""
    return _LONG in encoded or _found_medium(encoded) is not None


def _tree(record: object) -> Any:
    return msgspec.to_builtins(record, builtin_types=(datetime,))


def _referring(value: object, keep: Keep) -> Any:
    """A tree of plain values with references in it."""
    if isinstance(value, str):
        return value if len(value) < LARGE else msgspec.msgpack.Ext(CODE, keep(value))
    if isinstance(value, dict):
        return {key: _referring(inner, keep) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_referring(inner, keep) for inner in value]
    return value


def _whole(data: memoryview, kind: type[Kind], find: Find) -> Kind:
    def found(code: int, reference: memoryview) -> str:
        if code != CODE:
            raise msgspec.DecodeError(f"{code} is no kind of reference")
        return find(bytes(reference))

    return msgspec.convert(msgspec.msgpack.Decoder(ext_hook=found).decode(data), kind)
