"""What is written down of steps: a journal for each run, and the pack of what its steps printed.

It is written before anybody is told, and before anything of an ended step is tidied away.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from tiphys.launching.captures import WRITE_LOG

LINE = re.compile(rb'\{"told":"(\w+)","id":("(?:[^"\\]|\\.)*")')
RECENT_ENDS = 4096
MOST_OPEN = 64
Json = dict[str, Any]
to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
__all__ = ["Journals", "encode", "quote", "scan", "to_json"]


class Journals:
    """The journals below one folder, and which attempts ended.

    `recent`: the records of the last that ended; `past`: by run, the hashes of the ids of all that ended.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.recent: dict[str, bytes] = {}
        self.past: dict[str, set[int]] = {}
        self.journals: dict[str, int] = {}
        self.packs: dict[str, int] = {}
        self.lines: dict[str, list[bytes]] = {}

    def add(self, group: str, line: bytes) -> None:
        """Have a line appended to the journal of a run."""
        if (lines := self.lines.get(group)) is None:
            lines = self.lines[group] = []
        lines.append(line)

    def settle(self) -> None:
        """Write down what has come to be known, in one write for each journal."""
        if self.lines:
            lines, self.lines = self.lines, {}
            for group, of in lines.items():
                self.write(group, b"\n".join(of) + b"\n", going_on=True)

    def conclude(self, group: str, id_: str, line: bytes) -> None:
        """Have the end of an attempt written down, and know it from now on."""
        self.add(group, line)
        self.recent[id_] = line
        self.past.setdefault(group, set()).add(hash(id_))
        if len(self.recent) > RECENT_ENDS:
            del self.recent[next(iter(self.recent))]

    def has_ended(self, group: str, id_: str) -> bool:
        """Whether an attempt of a run has ended, and was not forgotten."""
        return hash(id_) in self.past.get(group, ())

    def ended(self, id_: str, group: str = "") -> bytes | None:
        """The record of an attempt that ended, however long ago; `group` "": whatever run it is of."""
        if record := self.recent.get(id_):
            return record
        groups = [one for one in ((group,) if group else tuple(self.past)) if self.has_ended(one, id_)]
        if not groups:
            return None
        found = None
        self.settle()
        for one in groups:
            for told, other, line in scan(f"{self.root}/{one}/journal"):
                if other == id_ and told in {"ended", "forgotten"}:
                    found = line if told == "ended" else None
        return found

    def forget(self, id_: str, group: str) -> None:
        """Nobody will ask for an ended attempt again; its id may even be used anew."""
        self.settle()
        if not self.has_ended(group, id_):
            return
        self.recent.pop(id_, None)
        self.unlearn(group, id_)
        if os.path.exists(f"{self.root}/{group}/journal"):
            self.write(group, encode({"told": "forgotten", "id": id_}) + b"\n")

    def unlearn(self, group: str, id_: str) -> None:
        """Know no more that an attempt ended."""
        known = self.past.get(group, set())
        known.discard(hash(id_))
        if not known:
            self.past.pop(group, None)

    def forget_run(self, group: str) -> None:
        """Nobody will ask for any attempt of a run again. Its folder goes, or has gone, so that nothing is looked up there."""
        self.settle()
        self.past.pop(group, None)
        for id_ in [id_ for id_ in self.recent if id_.startswith(f"{group}/")]:
            del self.recent[id_]
        for kept, name in ((self.journals, "journal"), (self.packs, "output")):
            fd = kept.pop(f"{self.root}/{group}/{name}", -1)
            if fd >= 0:
                os.close(fd)

    def pack(self, group: str, data: bytes) -> list[int]:
        """Append what a step printed to its run's own pack; returns offset and length."""
        fd = self.open_kept(self.packs, f"{self.root}/{group}/output")
        offset = os.fstat(fd).st_size
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, "the pack is cut short")
        return [offset, len(data)]

    def write(self, group: str, lines: bytes, *, going_on: bool = False) -> str:
        """Append to a run's journal; returns why that failed (a full disk): what runs goes on, and its end is kept in memory.

        `going_on`: of attempts that were written of before; a run's journal that is gone is made again for others only.
        """
        try:
            path = f"{self.root}/{group}/journal"
            fd = self.journals.get(path, -1) if going_on else -1
            os.write(fd if fd >= 0 else self.open_kept(self.journals, path), lines)
        except OSError as error:
            return str(error)
        return ""

    def open_kept(self, kept: dict[str, int], path: str) -> int:
        """A file open for appending, kept open among the last few (and made again where its run was removed)."""
        fd = kept.get(path, -1)
        if fd >= 0 and os.fstat(fd).st_nlink:
            return fd
        if fd >= 0:
            os.close(kept.pop(path))
        if len(kept) >= MOST_OPEN:
            os.close(kept.pop(next(iter(kept))))
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        kept[path] = os.open(path, WRITE_LOG, 0o600)
        return kept[path]


def encode(report: Json) -> bytes:
    """One JSON object."""
    return to_json(report).encode()


def scan(path: str) -> Iterable[tuple[str, str, bytes]]:
    """What each line of a journal tells, of which attempt, and the line; a last line cut short by a crash is no line."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file:
            if (found := LINE.match(line)) and line.endswith(b"}\n"):
                yield found[1].decode(), json.loads(found[2]), line[:-1]
