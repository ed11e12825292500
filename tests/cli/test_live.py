"""The live tree draws what it was told, and leaves the terminal as it was."""

import io
from datetime import UTC, datetime

import anyio
from rich.console import Console

from tests.cli.samples import node, workflow
from tiphys.cli import tree
from tiphys.cli.live import LiveView
from tiphys.spec.status import Phase

NOW = datetime(2026, 1, 2, 15, 4, 17, tzinfo=UTC)


def screen(height: int = 40) -> tuple[LiveView, Console]:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=100, height=height, highlight=False, markup=False, emoji=False, color_system=None
    )
    return LiveView(console, lambda: NOW, utf8=True), console


def drawn(view: LiveView, console: Console) -> list[str]:
    with console.capture() as capture:
        console.print(view)
    return capture.get().splitlines()


def test_the_tree_grows() -> None:
    view, console = screen()
    view.begin("u", workflow(node("wf", "DAG", "Running", took=None), phase="Running"))
    view.changed("u", node("wf.a", phase="Running", boundary="wf", took=None))
    lines = drawn(view, console)
    assert lines[0].rstrip() == "wf  Running  0/1  12s"
    assert lines[2].split() == ["●", "wf", "work"]
    assert lines[3].startswith(" └─● a  work      12s")
    view.changed("u", node("wf.a", boundary="wf"))
    view.ended("u", Phase.SUCCEEDED, "")
    lines = drawn(view, console)
    assert lines[0].rstrip() == "wf  Succeeded  1/1  12s"
    assert lines[3].startswith(" └─✔ a")


def test_it_never_exceeds_the_terminal() -> None:
    view, console = screen(height=12)
    view.begin("u", workflow(node("wf", "DAG", "Running", took=None), phase="Running"))
    view.begin("v", workflow(node("wf", "DAG", "Running", took=None), phase="Running"))
    for index in range(200):
        for uid in "uv":
            view.changed(uid, node(f"wf.step{index}", boundary="wf", started=index))
    assert len(drawn(view, console)) <= 12


async def test_it_draws_after_changes_and_takes_itself_away() -> None:
    view, console = screen()
    async with anyio.create_task_group() as group:
        group.start_soon(view.run)
        view.begin("u", workflow(node("wf", phase="Running", took=None), phase="Running"))
        await anyio.sleep(0.3)
        view.say([tree.Line(text="✖ told above", sign="✖", colour="red")])
        view.log("step", "a line of [output]")
        view.pause()
        view.resume()
        group.cancel_scope.cancel()
    view.close()
    text = console.file.getvalue()
    assert "● wf" in text
    assert "✖ told above" in text
    assert "step: a line of [output]" in text
    assert text.rstrip("\n").endswith("\x1b[?25h") or "\x1b[?25h" in text[-40:]
