"""`tiphys watch`: the tree while a daemon's workflow runs, drawn again and again on a terminal; elsewhere each change is a line."""

import sys
from collections.abc import Iterator

from tiphys.cli import choosing, showing, views, waiting
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.errors import TiphysError
from tiphys.spec.status import Phase
from tiphys.spec.workflows import Workflow


def main(remote: Remote, given: str, *, status: str = "", node_field_selector: str = "") -> Exit:
    """Watch a workflow to its end and show it once more, the rows that are wanted; 1 where it did not succeed."""
    keep = choosing.rows(status, node_field_selector)
    name = remote.name(given)
    states = waiting.followed(remote, name)
    last = _drawn(remote, states) if sys.stdout.isatty() else _told(remote, states)
    showing.show(remote, [last], "", keep)
    return Exit.SUCCEEDED if last.status is not None and last.status.phase is Phase.SUCCEEDED else Exit.FAILED


def _told(remote: Remote, states: Iterator[Workflow]) -> Workflow:
    """A line for each change."""
    view = views.PlainView(remote.out, lambda: remote.now, utf8=remote.utf8)
    last = None
    for workflow in states:
        if last is None:
            view.begin(workflow.metadata.uid, workflow)
        for node in ((workflow.status.nodes if workflow.status else None) or {}).values():
            view.changed(workflow.metadata.uid, node)
        last = workflow
    assert last is not None
    return last


def _drawn(remote: Remote, states: Iterator[Workflow]) -> Workflow:
    """The tree on the terminal, as `tiphys run` draws it."""
    import anyio
    from anyio import from_thread, to_thread
    from rich.console import Console

    from tiphys.cli.live import LiveView

    async def draw() -> Workflow | TiphysError:
        view = LiveView(Console(no_color=not remote.out.colours, highlight=False), lambda: remote.now, utf8=remote.utf8)

        def read() -> Workflow | TiphysError:
            last = None
            try:
                for workflow in states:
                    last = workflow
                    from_thread.run_sync(view.begin, workflow.metadata.uid, workflow)
            except TiphysError as error:
                return error  # raised, it would come out of the task group as one of a group
            assert last is not None
            return last

        async with anyio.create_task_group() as group:
            group.start_soon(view.run)
            try:
                found = await to_thread.run_sync(read, abandon_on_cancel=True)
            finally:
                view.close()
            group.cancel_scope.cancel()
        return found

    found = anyio.run(draw)
    if isinstance(found, TiphysError):
        raise found
    return found
