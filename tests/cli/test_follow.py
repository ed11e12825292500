"""Output of steps."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from tiphys.cli import follow
from tiphys.errors import TiphysError


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def followed(*data: bytes) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []
    follower = follow.Follower(lambda uid, node_id: pieces(*data), lambda name, line: shown.append((name, line)))
    async with anyio.create_task_group() as group:
        follower.start(group, "u", "n", "step")
        follower.start(group, "u", "n", "other name")
        await follower.finish("u", "n")
    return shown


async def test_whole_lines_are_shown_once_each_and_the_rest_at_the_end() -> None:
    assert await followed(b"one\ntw", b"o\n\xff\x1b[31mred\r\nlast") == [
        ("step", "one"),
        ("step", "two"),
        ("step", "\ufffd\ufffd[31mred"),
        ("step", "last"),
    ]


async def test_a_line_without_end_does_not_fill_memory() -> None:
    shown = await followed(*[b"x" * 100_000] * 10)
    assert [len(line) for _, line in shown] == [100_000] * 10


async def test_output_that_cannot_be_read_is_told() -> None:
    async def broken(uid: str, node_id: str) -> AsyncIterator[bytes]:
        yield b"one"
        raise TiphysError("gone")

    shown: list[str] = []
    follower = follow.Follower(broken, lambda name, line: shown.append(line))
    async with anyio.create_task_group() as group:
        follower.start(group, "u", "n", "step")
        await follower.finish("u", "n")
    assert shown == ["(its output cannot be read: gone)", "one"]


async def test_the_end_of_a_node_nobody_follows_is_no_trouble() -> None:
    await follow.Follower(lambda uid, node_id: pieces(), lambda name, line: None).finish("u", "n")


async def test_all_output_is_kept_and_the_last_lines_are_given(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "n.log"
    data = [f"{number}\n".encode() for number in range(20_000)]
    batches = [b"".join(data[start : start + 1000]) for start in range(0, 20_000, 1000)]
    assert await follow.kept(pieces(*batches), path, 3) == ["19997", "19998", "19999"]
    assert path.read_bytes() == b"".join(data)
    assert await follow.kept(pieces(b"only"), path, 3) == ["only"]
    assert path.read_bytes() == b"only"


async def test_no_output_leaves_no_file(tmp_path: Path) -> None:
    assert await follow.kept(pieces(), tmp_path / "n.log", 3) == []
    assert not (tmp_path / "n.log").exists()


def test_progress_bars_show_their_last_state() -> None:
    assert follow.text(b"10%\r50%\r100%\r") == "100%"
