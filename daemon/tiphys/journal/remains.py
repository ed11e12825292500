"""A deleted run's rows as one compressed value, from which the run can be gone on with: a few dozen bytes a node.

They are encoded some at a time, so that a large run keeps the loop from nothing while its rows are put aside.
"""

import zlib
from collections.abc import Iterator

import msgspec

from tiphys.journal import rows
from tiphys.scheduler.records import Node, Remains

LEVEL = 1
AT_ONCE = 500
HEAD = 4
"""Bytes in front of each part: its length."""

_nodes = msgspec.msgpack.Decoder(tuple[Node, ...])


def packed(remains: Remains) -> bytes:
    """The rows as they are stored."""
    squeezer = zlib.compressobj(LEVEL)
    made = bytearray()
    for part in _parts(remains):
        made += squeezer.compress(len(part).to_bytes(HEAD, "big"))
        made += squeezer.compress(part)
    made += squeezer.flush()
    return bytes(made)


def _parts(remains: Remains) -> Iterator[bytes]:
    yield rows.encode(remains.manifest)
    yield rows.encode(remains.run)
    for start in range(0, len(remains.nodes), AT_ONCE):
        yield rows.encode(remains.nodes[start : start + AT_ONCE])


def checksum(uid: str, data: bytes) -> int:
    """Of what is stored, and of whose it is."""
    return rows.checksum(data, uid.encode())


def unpacked(uid: str, total: int, data: bytes) -> Remains:
    """The rows again. Raises rows.Damaged where they are not those that were stored for that run."""
    if checksum(uid, data) != total:
        raise rows.Damaged("its checksum does not match")
    try:
        whole = memoryview(zlib.decompress(data))
        manifest, run, *chunks = _split(whole)
        share = rows.Sharing().share
        found = Remains(
            manifest=rows.manifest.decode(manifest),
            run=rows.run.decode(run),
            nodes=tuple(share(node) for chunk in chunks for node in _nodes.decode(chunk)),
        )
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise rows.Damaged(str(error)) from error
    if found.run.uid != uid:
        raise rows.Damaged(f"it holds the workflow {found.run.uid}")
    return found


def _split(whole: memoryview) -> Iterator[memoryview]:
    at = 0
    while at < len(whole):
        end = at + HEAD + int.from_bytes(whole[at : at + HEAD], "big")
        yield whole[at + HEAD : end]
        at = end
