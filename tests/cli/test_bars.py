"""A line that grows is drawn on a terminal, is gone in the end, and is nowhere else."""

import io

from tiphys.cli.bars import Bar


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_grows_and_goes():
    stream = Terminal()
    bar = Bar(stream)
    bar.draw(1, 3, "hello  Running  1/3")
    bar.draw(2, 3, "too soon")
    bar.clear()
    bar.clear()
    assert stream.getvalue() == f"\r\x1b[K\x1b[?7l[{'#' * 10}{'.' * 20}] hello  Running  1/3\x1b[?7h\r\x1b[K"


def test_nothing_is_drawn_elsewhere():
    stream = io.StringIO()
    bar = Bar(stream)
    bar.draw(1, 0, "hello")
    bar.clear()
    assert stream.getvalue() == ""
