"""What is seen while workflows run: lines, one for each change, where nobody watches; see `live` for a terminal."""

import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol, TextIO

from tiphys.cli import times, tree
from tiphys.errors import TiphysError
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.workflows import Workflow

ANSI = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "magenta": "35", "blue": "34", "underline": "4"}
LOG_COLOURS = ("cyan", "magenta", "blue", "green", "yellow")
SILENT = frozenset({NodeType.STEP_GROUP, NodeType.TASK_GROUP})


class View(Protocol):
    """Shows what happens."""

    def begin(self, uid: str, workflow: Workflow) -> None:
        """A workflow is there, new or resumed."""
        ...

    def changed(self, uid: str, node: NodeStatus) -> None:
        """A node is different."""
        ...

    def ended(self, uid: str, phase: Phase, message: str) -> None:
        """A workflow is different as a whole."""
        ...

    def say(self, lines: Iterable[tree.Line]) -> None:
        """Something else to tell."""
        ...

    def log(self, name: str, line: str) -> None:
        """A line of a step's output."""
        ...

    def pause(self) -> None:
        """The terminal is needed for a question."""
        ...

    def resume(self) -> None:
        """The terminal is free again."""
        ...

    async def run(self) -> None:
        """Draws until cancelled."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Unwritable(TiphysError):
    """The output cannot be written."""


class Printer:
    """Writes lines to a stream, with colours where it has them."""

    def __init__(self, stream: TextIO, *, colours: bool, outlives: bool = False) -> None:
        self.stream = stream
        self.colours = colours
        self._outlives = outlives

    def write(self, lines: Iterable[tree.Line]) -> None:
        """The lines, each with its sign coloured."""
        self.put("".join(self.painted(line) + "\n" for line in lines))

    def put(self, text: str) -> None:
        """The text as it is; what is told of may outlive its readers, and says nothing more then.

        Raises BrokenPipeError where nobody reads any more, and Unwritable.
        """
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            if self._outlives:
                unheard(self.stream)
            elif isinstance(error, BrokenPipeError):
                raise
            else:
                unheard(self.stream)  # Python would try to write it once more at the end
                raise Unwritable(f"the output cannot be written: {error.strerror}") from error

    def painted(self, line: tree.Line) -> str:
        """The line's text; its sign in its colour."""
        code = ANSI.get(line.colour) if self.colours else None
        if code is None or not line.sign:
            return line.text
        return line.text.replace(line.sign, f"\x1b[{code}m{line.sign}\x1b[0m", 1)

    def prefixed(self, name: str, text: str) -> str:
        """A step's line of output after its node's name, which has the same colour each time."""
        if not self.colours:
            return f"{name}: {text}"
        code = ANSI[LOG_COLOURS[sum(name.encode()) % len(LOG_COLOURS)]]
        return f"\x1b[{code}m{name}:\x1b[0m {text}"


class PlainView:
    """One line for each change of a node's phase: time, phase, node, duration, message."""

    def __init__(self, printer: Printer, now: Callable[[], datetime], *, utf8: bool) -> None:
        self._printer = printer
        self._now = now
        self._utf8 = utf8
        self._names: dict[str, str] = {}
        self._phases: dict[tuple[str, str], tuple[Phase, str]] = {}

    def begin(self, uid: str, workflow: Workflow) -> None:
        """Says the workflow's name."""
        self._names[uid] = workflow.metadata.name
        self._line("●" if self._utf8 else "*", "cyan", "", workflow.metadata.name, "", "started")

    def changed(self, uid: str, node: NodeStatus) -> None:
        """Says a node's new phase or message, each once; groups, and waiting that needs no word, are left out."""
        if node.type in SILENT or (node.phase in (Phase.PENDING, Phase.UNKNOWN) and not node.message):
            return
        state = (node.phase, node.message)
        if self._phases.get((uid, node.id)) == state:
            return
        self._phases[uid, node.id] = state
        taken = times.seconds(node.started_at, node.finished_at, self._now()) if node.finished_at else None
        name = node.display_name or node.name
        if len(self._names) > 1 and node.id != self._names[uid]:
            name = f"{self._names[uid]} {name}"
        sign = tree.icon(node) if self._utf8 else ""
        self._line(sign, tree.COLOURS[node.phase], str(node.phase), name, times.short(taken), " ".join(node.message.split()))

    def ended(self, uid: str, phase: Phase, message: str) -> None:
        """The root node's line and the closing report say it."""

    def say(self, lines: Iterable[tree.Line]) -> None:
        """Prints the lines."""
        self._printer.write(lines)

    def log(self, name: str, line: str) -> None:
        """Prints the line behind its node's name."""
        self._printer.put(self._printer.prefixed(name, line) + "\n")

    def pause(self) -> None:
        """Lines need no room of their own."""

    def resume(self) -> None:
        """Lines need no room of their own."""

    async def run(self) -> None:
        """Lines are written when they come."""

    def close(self) -> None:
        """Everything is written."""
        self._printer.put("")

    def _line(self, sign: str, colour: str, word: str, name: str, taken: str, message: str) -> None:
        parts = [f"{self._now():%H:%M:%S}", sign, f"{word:<9}" if word else "", name, taken, message]
        self._printer.write([tree.Line(text="  ".join(part for part in parts if part), sign=sign or word, colour=colour)])


def unheard(stream: TextIO) -> None:
    """What is still written to a stream that nobody reads goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def has_colours(stream: TextIO, environ_no_colour: str, *, wanted: bool) -> bool:
    """Whether a stream is a terminal that may be coloured (NO_COLOR, https://no-color.org, and `--no-color` say no)."""
    return wanted and not environ_no_colour and stream.isatty()


def is_utf8(stream: TextIO) -> bool:
    """Whether a stream can take the icons."""
    return (getattr(stream, "encoding", "") or sys.getdefaultencoding()).lower().replace("-", "") == "utf8"
