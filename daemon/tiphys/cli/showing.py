"""`tiphys get`: a workflow's header and tree."""

from collections.abc import Sequence

from tiphys.cli import choosing, output
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote
from tiphys.spec.workflows import Workflow


def main(remote: Remote, names: Sequence[str], form: str, *, status: str = "", node_field_selector: str = "") -> Exit:
    """Print the workflows, those that are there; of their trees the rows that are wanted."""
    keep = choosing.rows(status, node_field_selector)
    found: list[Workflow] = []
    code = remote.each(names, lambda name: found.append(remote.workflow(name)))
    if found:
        show(remote, found, form, keep)
    return code


def show(remote: Remote, found: Sequence[Workflow], form: str, keep: choosing.Choice | None = None) -> None:
    """Workflows on standard output, as `-o` asks for them."""
    if form in {"json", "yaml", "name"}:
        remote.print(output.result(found, form, remote.now, utf8=remote.utf8))
        return
    for index, workflow in enumerate(found):
        if index:
            remote.print("")
        remote.out.write(output.whole(workflow, remote.now, form=form, utf8=remote.utf8, keep=keep))
