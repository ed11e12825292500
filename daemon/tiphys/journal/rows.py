"""Records as bytes and back: MessagePack, and a checksum, since SQLite itself does not notice a flipped bit inside a value."""

import zlib
from typing import TypeVar

import msgspec
from msgspec import structs

from tiphys.journal import references
from tiphys.journal.protocol import Entry, Summary, summary
from tiphys.scheduler.decision import Decision, ManifestPut
from tiphys.scheduler.events import Event, Revived, Submitted
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Run
from tiphys.spec.work import Handle
from tiphys.spec.workflows import ARGO_API_VERSION, Workflow

Record = TypeVar("Record")

Decoder = msgspec.msgpack.Decoder
encode = msgspec.msgpack.Encoder().encode
node = msgspec.msgpack.Decoder(Node)
run = msgspec.msgpack.Decoder(Run)
manifest = msgspec.msgpack.Decoder(Manifest)
event = msgspec.msgpack.Decoder(Event)
brief = msgspec.msgpack.Decoder(Summary)
item = msgspec.msgpack.Decoder(Item)
workflow = msgspec.msgpack.Decoder(Workflow)

BEGINNINGS = (Submitted, Revived)
ELSEWHERE = Workflow(api_version=ARGO_API_VERSION)
"""Stands in an event for a workflow whose definitions are a row of their own."""


class Damaged(ValueError):
    """A row is not what was written."""


def checksum(*parts: bytes) -> int:
    """CRC-32 of the parts, one after another."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return total


checksum_of = zlib.crc32
"""`checksum` of one part."""


def no_texts(reference: bytes) -> str:
    """The texts of what has none."""
    raise Damaged(f"it refers to the text {reference.hex()[:16]}, and has no texts")


def read(decoder: "Decoder[Record]", total: int, data: bytes, *more: bytes, find: references.Find = no_texts) -> Record:
    """The record in `data`, with the large texts that `find` gives. Raises Damaged if it, or what is checked along with it, is not as it
    was written.
    """
    if checksum(data, *more) != total:
        raise Damaged("its checksum does not match")
    try:
        return references.whole(data, decoder.type, find) if references.is_short(data) else decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(str(error)) from error


def archived(total: int, data: bytes) -> Workflow:
    """The Workflow in a row of the archive, which has its large texts with it. Raises Damaged."""
    if not references.is_short(data):
        return read(workflow, total, data)
    if checksum(data) != total:
        raise Damaged("its checksum does not match")
    try:
        return references.unpacked(data)
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
        raise Damaged(str(error)) from error


class Sharing:
    """Lets nodes that were read one after another have their equal texts in common, as they had when they were made: a third of their
    memory. They are changed before anybody else has seen them, and into equals.
    """

    __slots__ = ("_handle", "_last")

    def __init__(self) -> None:
        self._last: Node | None = None
        self._handle: Handle | None = None

    def share(self, node: Node) -> Node:
        """The same node."""
        put, last, handle = structs.force_setattr, self._last, node.handle
        if last is not None and node.owner == last.owner and node.parents == last.parents:
            put(node, "owner", last.owner)
            put(node, "parents", last.parents)
            if node.boundary == last.boundary:
                put(node, "boundary", last.boundary)
            if node.template == last.template:
                put(node, "template", last.template)
            if node.scope == last.scope:
                put(node, "scope", last.scope)
        if node.task == node.display_name:
            put(node, "task", node.display_name)
        if handle is not None:
            if self._handle is not None and handle.host == self._handle.host and handle.executor == self._handle.executor:
                put(handle, "host", self._handle.host)
                put(handle, "executor", self._handle.executor)
            else:
                self._handle = handle
        self._last = node
        return node


def logged(entry: Entry) -> tuple[bytes, bytes]:
    """An entry's event and summary; a workflow that the decision stores is not stored twice."""
    return encode(lean(entry)), encode(summary(entry.answer))


def lean(entry: Entry) -> Event:
    """An entry's event, without the workflow that the decision stores."""
    fact, answer = entry.event, entry.answer
    if isinstance(fact, BEGINNINGS) and isinstance(answer, Decision):
        puts = (change.manifest for change in answer.changes if isinstance(change, ManifestPut))
        if any(put is fact.manifest or put == fact.manifest for put in puts):
            return msgspec.structs.replace(fact, manifest=Manifest(uid=fact.uid, workflow=ELSEWHERE))
    return fact


def is_lean(fact: Event) -> bool:
    """Whether the event's workflow is kept in the definitions alone."""
    return isinstance(fact, Submitted | Revived) and fact.manifest.workflow == ELSEWHERE


def whole(fact: Event, definitions: Manifest) -> Event:
    """A lean event as it was before `logged`."""
    return msgspec.structs.replace(fact, manifest=definitions) if isinstance(fact, Submitted | Revived) else fact
