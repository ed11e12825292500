"""A deleted run's rows as one compressed value, from which the run can be gone on with: a few dozen bytes a node.

They are encoded some at a time, so that a large run keeps the loop from nothing while its rows are put aside. Its large texts are parts
of their own, each before the first part that refers to it.
"""

import functools
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from tiphys.journal import references, rows
from tiphys.scheduler.records import Manifest, Node, Remains, Run

Record = TypeVar("Record")

LEVEL = 1
AT_ONCE = 500
HEAD = 4
"""Bytes in front of each part: its length."""
TEXT = references.MARK * 2
"""How a part begins that is a text."""

_nodes = msgspec.msgpack.Decoder(tuple[Node, ...])


def packed(remains: Remains, *, short: bool = False) -> bytes:
    """The rows as they are stored; `short`: with what is large in them once."""
    squeezer = zlib.compressobj(LEVEL)
    made = bytearray()
    for part in _short_parts(remains) if short else map(rows.encode, _records(remains)):
        made += squeezer.compress(len(part).to_bytes(HEAD, "big"))
        made += squeezer.compress(part)
    made += squeezer.flush()
    return bytes(made)


def _records(remains: Remains) -> Iterator[Manifest | Run | tuple[Node, ...]]:
    yield remains.manifest
    yield remains.run
    for start in range(0, len(remains.nodes), AT_ONCE):
        yield remains.nodes[start : start + AT_ONCE]


def _short_parts(remains: Remains) -> Iterator[bytes]:
    texts = references.Texts()
    known = 0
    for record in _records(remains):
        part = references.referring(record, texts.keep)
        for text in itertools.islice(texts.numbers, known, None):
            yield TEXT + text.encode()
        known = len(texts.numbers)
        yield part


def checksum(uid: str, data: bytes) -> int:
    """Of what is stored, and of whose it is."""
    return rows.checksum(data, uid.encode())


def unpacked(uid: str, total: int, data: bytes) -> Remains:
    """The rows again. Raises rows.Damaged where they are not those that were stored for that run."""
    if checksum(uid, data) != total:
        raise rows.Damaged("its checksum does not match")
    try:
        records = _decoded(_split(memoryview(zlib.decompress(data))))
        share = rows.Sharing().share
        found = Remains(
            manifest=next(records)(rows.manifest),
            run=next(records)(rows.run),
            nodes=tuple(share(node) for record in records for node in record(_nodes)),
        )
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError, StopIteration) as error:
        raise rows.Damaged(str(error)) from error
    if found.run.uid != uid:
        raise rows.Damaged(f"it holds the workflow {found.run.uid}")
    return found


def _decoded(parts: Iterable[memoryview]) -> "Iterator[Callable[[rows.Decoder[Record]], Record]]":
    """Each part that is no text, to be decoded before the next one is asked for."""
    texts: list[str] = []
    for part in parts:
        if part[: len(TEXT)] == TEXT:
            texts.append(str(part[len(TEXT) :], "utf-8"))
        else:
            yield functools.partial(_record, part, texts)


def _record(part: memoryview, texts: list[str], decoder: "rows.Decoder[Record]") -> Record:
    if references.is_short(part):
        return references.whole(part, decoder.type, lambda reference: texts[references.index(reference)])
    return decoder.decode(part)


def _split(whole: memoryview) -> Iterator[memoryview]:
    at = 0
    while at < len(whole):
        end = at + HEAD + int.from_bytes(whole[at : at + HEAD], "big")
        yield whole[at + HEAD : end]
        at = end
