"""The independent witness: what steps themselves wrote into their book, line by line, and the laws that hold while it grows."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

LOCKED = re.compile(r"(one|two)-")
LIMITS = {"one": 1, "two": 2}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line. `attempt` is `<workflow uid>/<node id>/<number>`; `code` is None at a start."""

    attempt: str
    key: str
    label: str
    at: float
    code: int | None

    @property
    def uid(self) -> str:
        return self.attempt.split("/", 1)[0]

    @property
    def node(self) -> str:
        """The run and its node."""
        return self.attempt.rsplit("/", 1)[0]


class Witness:
    """Everything in the book so far."""

    def __init__(self, book: Path) -> None:
        self.book = book
        self._read = 0
        self.starts: dict[str, Line] = {}
        self.ends: dict[str, Line] = {}
        self.by_run: dict[str, list[Line]] = defaultdict(list)
        self._inside: dict[str, set[str]] = defaultdict(set)
        self._keys: dict[str, str] = {}

    @property
    def running(self) -> set[str]:
        """Attempts that started and have not ended; some of them may have been killed."""
        return self.starts.keys() - self.ends.keys()

    def read(self, completed: set[str], lost: set[str]) -> list[str]:
        """Take in what is new; what it breaks. `completed`: nodes whose end was committed before; `lost`: attempts that were killed."""
        broken: list[str] = []
        if not self.book.exists():
            return broken
        with self.book.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for text in whole.decode().splitlines():
            try:
                what, attempt, key, label, _, at, code = text.split(" ")
            except ValueError:
                broken.append(f"book: a line cannot be read: {text!r}")
                continue
            line = Line(attempt=attempt, key=key, label=label, at=float(at), code=None if what == "start" else int(code))
            broken += self._start(line, completed, lost) if what == "start" else self._end(line)
        return broken

    def _start(self, line: Line, completed: set[str], lost: set[str]) -> list[str]:
        broken = []
        if line.attempt in self.starts:
            broken.append(f"P4: attempt {line.attempt} ({line.label}) was started twice")
        if line.node in completed and line.label != "cut":  # which is over as soon as it runs, and says later that it does
            broken.append(f"P2: {line.node} ({line.label}) was started again after its end was committed")
        self.starts[line.attempt] = line
        self.by_run[line.uid].append(line)
        if found := LOCKED.match(line.label):
            inside = self._inside[line.label]
            inside -= lost
            inside.add(line.attempt if line.label != "one-whole" else line.uid)
            if len(inside) > LIMITS[found[1]]:
                broken.append(f"P5: {line.label} holds {len(inside)} at once: {', '.join(sorted(inside))}")
        return broken

    def _end(self, line: Line) -> list[str]:
        broken = []
        if line.attempt in self.ends or line.attempt not in self.starts:
            broken.append(f"book: attempt {line.attempt} ({line.label}) ended twice, or before it started")
        self.ends[line.attempt] = line
        if line.label == "one-whole":
            ended = [one for one in self.by_run[line.uid] if one.attempt in self.ends and self.ends[one.attempt].code == 0]
            if len({one.node for one in ended}) >= 2:
                self._inside[line.label].discard(line.uid)
        else:
            self._inside[line.label].discard(line.attempt)
        return broken

    def counted(self, uid: str) -> dict[str, int]:
        """How many attempts of a run started, by label."""
        found: dict[str, int] = defaultdict(int)
        for line in self.by_run.get(uid, ()):
            found[line.label] += 1
        return found


def said(label: str) -> str:
    """All that a step of this label prints."""
    return "".join(f"{label} line {number}\n" for number in range(1, 21))
