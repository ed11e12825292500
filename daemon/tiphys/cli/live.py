"""The tree on a terminal, drawn again as it grows. It takes a small part of the time: a large tree is drawn more rarely, and where it
is higher than the terminal, rows of what is at work or went wrong come first.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime

import anyio
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from tiphys.cli import times, tree
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.workflows import Workflow

FASTEST_SECONDS = 0.125
TICK_SECONDS = 1.0  # durations go on even where nothing else happens
SHARE = 10  # one part of the time for drawing, this many for everything else


class _Shown:
    """One workflow as it was last heard of."""

    def __init__(self, workflow: Workflow) -> None:
        status = workflow.status
        self.name = workflow.metadata.name
        self.phase = status.phase if status else Phase.UNKNOWN
        self.message = status.message if status else ""
        self.started_at = status.started_at if status else None
        self.nodes: dict[str, NodeStatus] = dict((status.nodes if status else None) or {})


class LiveView:
    """Draws the trees of all workflows of a run at the bottom of a terminal; logs and notices scroll above them."""

    def __init__(self, console: Console, now: Callable[[], datetime], *, utf8: bool) -> None:
        self._console = console
        self._now = now
        self._utf8 = utf8
        self._shown: dict[str, _Shown] = {}
        self._changed = anyio.Event()
        self._live = Live(self, console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._drawing = False

    def begin(self, uid: str, workflow: Workflow) -> None:
        """Adds a workflow's tree."""
        self._shown[uid] = _Shown(workflow)
        self._changed.set()

    def changed(self, uid: str, node: NodeStatus) -> None:
        """Remembers the node for the next drawing."""
        self._shown[uid].nodes[node.id] = node
        self._changed.set()

    def ended(self, uid: str, phase: Phase, message: str) -> None:
        """Remembers the phase for the next drawing."""
        self._shown[uid].phase, self._shown[uid].message = phase, message
        self._changed.set()

    def say(self, lines: Iterable[tree.Line]) -> None:
        """Prints lines above the trees."""
        for line in lines:
            self._console.print(painted(line), soft_wrap=True)

    def log(self, name: str, line: str) -> None:
        """Prints a line of output above the trees."""
        self._console.print(Text(f"{name}: ", style="cyan").append(line, style="default"), soft_wrap=True)

    def pause(self) -> None:
        """Takes the trees away."""
        self._drawing = False
        self._live.stop()

    def resume(self) -> None:
        """Puts the trees back."""
        self._live.start()
        self._drawing = True
        self._changed.set()

    async def run(self) -> None:
        """Draws after changes, but at most `1 / SHARE` of the time; and at least each second, for the clocks."""
        self.resume()
        while True:
            with anyio.move_on_after(TICK_SECONDS):
                await self._changed.wait()
            self._changed = anyio.Event()
            took = 0.0
            if self._drawing:
                start = time.monotonic()
                self._live.refresh()
                took = time.monotonic() - start
            await anyio.sleep(max(FASTEST_SECONDS, took * SHARE))

    def close(self) -> None:
        """Takes the trees away; the closing report draws them once more, whole."""
        self.pause()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(1, (options.max_height or console.height) - 1) // max(1, len(self._shown))
        for shown in self._shown.values():
            yield from self._tree(shown, max(2, room))

    def _tree(self, shown: _Shown, room: int) -> Iterable[Text]:
        now = self._now()
        pods = [node for node in shown.nodes.values() if node.type in (NodeType.POD, NodeType.HTTP)]
        done = sum(node.phase.fulfilled for node in pods)
        clock = times.short(times.seconds(shown.started_at, None, now))
        title = f"{shown.name}  {str(shown.phase) or 'Pending'}  {done}/{len(pods)}  {clock}  {shown.message}".rstrip()
        yield Text(title, style="bold", no_wrap=True, overflow="ellipsis")
        for line in tree.fitted(tree.rows(shown.name, shown.nodes), shown.name, now, room - 1, form="live", utf8=self._utf8):
            text = painted(line)
            text.no_wrap, text.overflow = True, "ellipsis"
            yield text


def painted(line: tree.Line) -> Text:
    """A line as rich prints it, its sign in its colour."""
    text = Text(line.text)
    if line.sign and (start := line.text.find(line.sign)) >= 0:
        text.stylize(line.colour, start, start + len(line.sign))
    return text
