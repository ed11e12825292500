"""One foreground run on an open engine: submit or go on, watch, report."""

import functools
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from anyio import to_thread

from tiphys.cli import asking, failure, follow, inputs, output, times, tree, views, watching
from tiphys.cli.exits import Exit
from tiphys.cli.port import Engine
from tiphys.cli.requests import Request, Work
from tiphys.cli.wiring import Wiring
from tiphys.errors import TiphysError
from tiphys.scheduler import events
from tiphys.spec.status import NodeStatus, Phase
from tiphys.spec.workflows import Workflow

LOGS = "logs"
MOST_ROWS = 300
"""Rows of the tree that closes a run; `-o wide` gives all of them."""


async def run(request: Request, work: Work, engine: Engine, state: Path, wiring: Wiring) -> Exit:
    """Run the work and tell what came out. Raises what the engine raises for a manifest or a verb that it refuses."""
    stream = sys.stderr if request.output else sys.stdout
    colours = views.has_colours(stream, wiring.environ.get("NO_COLOR", ""), wanted=request.colours)
    printer = views.Printer(stream, colours=colours, outlives=True)  # `| head` ends no workflow
    utf8 = request.utf8 and views.is_utf8(stream)
    uids = await _uids(request, work, engine, state)
    printer.write(tree.Line(text=f"notice: {notice}") for notice in engine.notices)
    view = _view(request, printer, wiring, utf8=utf8)
    watched = watching.Watching(
        engine,
        view,
        terminal=asking.Terminal() if sys.stdin.isatty() and sys.stderr.isatty() else None,
        write=_write,
        follower=follow.Follower(functools.partial(engine.logs, follow=True), view.log) if request.log else None,
    )
    await watched.run(uids)
    workflows = [engine.workflow(uid) for uid in uids]
    for uid, workflow in zip(uids, workflows, strict=True):
        printer.write(closing(workflow, _now(), utf8=utf8))
        if not _succeeded(workflow):
            printer.write(await _failure(engine, uid, workflow, state))
            printer.write(_way_on(request, state))
    if request.metrics is not None:
        await to_thread.run_sync(_replace, request.metrics, engine.metrics())
    if request.output:
        text = output.result(workflows, request.output, _now(), utf8=request.utf8 and views.is_utf8(sys.stdout))
        await to_thread.run_sync(_print, text)
    if all(map(_succeeded, workflows)):
        return Exit.SUCCEEDED
    return Exit.INTERRUPTED if watched.interrupts else Exit.FAILED


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: whoever collects it never sees half of it. Raises BadInput."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise inputs.BadInput(f"--metrics: {path}: {error.strerror or error}") from error


async def _uids(request: Request, work: Work, engine: Engine, state: Path) -> Sequence[str]:
    """The workflows to watch: those that the state holds, retried if that was asked for; else the file's, now submitted."""
    held = engine.uids()
    if not held:
        if request.retry:
            raise inputs.BadInput(f"{state} holds no run to retry")
        return await engine.submit([*work.support, *work.workflows])
    if request.retry:
        for uid in held:
            if not _succeeded(engine.workflow(uid)):
                await engine.ask(uid, events.Retry())
    return held


def _view(request: Request, printer: views.Printer, wiring: Wiring, *, utf8: bool) -> views.View:
    """A live tree on a terminal that can move its cursor; lines elsewhere, and where logs are wanted."""
    stream = printer.stream
    if request.log or not stream.isatty() or wiring.environ.get("TERM", "dumb") == "dumb":
        return views.PlainView(printer, _now, utf8=utf8)
    from rich.console import Console  # only a terminal needs it

    from tiphys.cli.live import LiveView

    console = Console(file=stream, no_color=not printer.colours, highlight=False, markup=False, emoji=False)
    return LiveView(console, _now, utf8=utf8)


def closing(workflow: Workflow, now: datetime, *, utf8: bool) -> list[tree.Line]:
    """The tree at the end, and one line of summary with the workflow's outputs."""
    status = workflow.status
    if status is None:
        return []
    name = workflow.metadata.name
    drawn = tree.rows(name, status.nodes or {})
    lines = [tree.Line(text="")]
    if drawn:
        lines += tree.fitted(drawn, name, now, MOST_ROWS, utf8=utf8)
        lines.append(tree.Line(text=""))
    sign = tree.ICONS[status.phase] if utf8 else ""
    taken = times.spoken(times.seconds(status.started_at, status.finished_at, now) or 0.0)
    word = str(status.phase) or "Pending"
    summary = f"{sign} {name} {word} in {taken}".strip() + (f": {status.message}" if status.message else "")
    lines.append(tree.Line(text=summary, sign=sign or word, colour=tree.COLOURS[status.phase]))
    outputs = status.outputs.parameters if status.outputs else ()
    lines += [tree.Line(text=f"    {parameter.name}: {parameter.value}") for parameter in outputs if parameter.value is not None]
    return lines


async def _failure(engine: Engine, uid: str, workflow: Workflow, state: Path) -> list[tree.Line]:
    """The failed steps, each with its message, its last lines of output, and where its log and folder are."""
    found = failure.culprits(workflow)
    lines: list[tree.Line] = []
    for node in found[: failure.SHOWN]:
        lines += [tree.Line(text=""), *failure.report(workflow, node, await _evidence(engine, uid, node, state))]
    if len(found) > failure.SHOWN:
        lines.append(tree.Line(text=f"and {len(found) - failure.SHOWN} more that failed"))
    return lines


async def _evidence(engine: Engine, uid: str, node: NodeStatus, state: Path) -> failure.Evidence:
    """A failed node's last lines; its whole output is put into a file, for the engine's own log may be packed with others."""
    log = state / LOGS / f"{node.id}.log"
    try:
        output = await follow.kept(engine.logs(uid, node.id), log, failure.TAIL_LINES)
    except (TiphysError, OSError) as error:
        output = [f"(cannot be read: {error})"]
    folder = engine.attempt_folder(uid, node.id)
    return failure.Evidence(output=output, log=str(log) if log.exists() else "", folder=str(folder) if folder and folder.exists() else "")


def _way_on(request: Request, state: Path) -> list[tree.Line]:
    settings = ["--config", str(request.config)] if request.config else []
    again = shlex.join(["tiphys", "run", request.file, "--state", str(state), "--retry", *settings])
    return [tree.Line(text=""), tree.Line(text=f"to go on from what failed: {again}")]


def _succeeded(workflow: Workflow) -> bool:
    return workflow.status is not None and workflow.status.phase is Phase.SUCCEEDED


def _now() -> datetime:
    return datetime.now().astimezone()


def _write(text: str) -> None:
    views.Printer(sys.stderr, colours=False, outlives=True).put(text)


def _print(text: str) -> None:
    views.Printer(sys.stdout, colours=False).put(text + "\n")
