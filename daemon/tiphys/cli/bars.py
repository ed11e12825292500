"""One line that grows while somebody waits, on a terminal; elsewhere nothing. It goes when the waiting ends."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

DRAW_SECONDS = 0.2
WIDTH = 30


class Bar:
    """The line. Nothing is drawn sooner than a moment after the last time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._drawn = 0.0
        self._shown = False

    def draw(self, done: float, whole: float, text: str) -> None:
        """How much is done of the whole (0: nobody knows), and what to say beside it."""
        now = time.monotonic()
        if self._stream is None or (self._shown and now - self._drawn < DRAW_SECONDS):
            return
        self._drawn, self._shown = now, True
        filled = int(WIDTH * min(1.0, done / whole)) if whole else 0
        part = f"[{'#' * filled}{'.' * (WIDTH - filled)}] " if whole else ""
        self._stream.write(f"\r\x1b[K\x1b[?7l{part}{text}\x1b[?7h")  # a long line is cut off, not wrapped
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


@contextmanager
def bar() -> Iterator[Bar]:
    """A line on standard error, while the context is open."""
    made = Bar(sys.stderr)
    try:
        yield made
    finally:
        made.clear()
