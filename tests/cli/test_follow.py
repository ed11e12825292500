"""Output of steps."""

from pathlib import Path

from tiphys.cli import follow


async def test_whole_lines_are_shown_once_each_and_the_rest_at_the_end(tmp_path: Path) -> None:
    log, shown = tmp_path / "log", []
    follower = follow.Follower(lambda node_id: log if node_id == "n" else None, lambda name, line: shown.append((name, line)))
    follower.start("n", "step")
    follower.start("n", "other name")
    log.write_bytes(b"one\ntw")
    assert await follower._read("n", follower._followed["n"])
    assert shown == [("step", "one")]
    log.write_bytes(b"one\ntwo\n\xff\x1b[31mred\r\nlast")
    await follower.finish("n")
    assert shown[1:] == [("step", "two"), ("step", "\ufffd\ufffd[31mred"), ("step", "last")]
    await follower.finish("n")
    assert len(shown) == 4


async def test_a_log_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    follower = follow.Follower(lambda node_id: tmp_path / node_id, lambda name, line: None)
    follower.start("none", "step")
    await follower.finish("none")


async def test_a_line_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    log, shown = tmp_path / "log", []
    follower = follow.Follower(lambda node_id: log, lambda name, line: shown.append(line))
    follower.start("n", "step")
    log.write_bytes(b"x" * 3_000_000)
    await follower.finish("n")
    assert sum(map(len, shown)) == 3_000_000
    assert len(shown) == 3


def test_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{number}\n" for number in range(100_000)))
    assert follow.tail(log, 3) == ["99997", "99998", "99999"]
    log.write_text("only")
    assert follow.tail(log, 3) == ["only"]
    log.write_text("")
    assert follow.tail(log, 3) == []
    assert follow.tail(tmp_path / "none", 3) == []


def test_progress_bars_show_their_last_state(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"10%\r50%\r100%\r\n")
    assert follow.tail(log, 1) == ["100%"]
