"""`tiphys suspend`, `resume`, `stop`, `terminate`, `retry`, `resubmit`, `delete`, `node set`: wishes, which the daemon may refuse."""

from collections.abc import Mapping, Sequence

import msgspec

from tiphys.cli import listing, showing, waiting
from tiphys.cli.errors import BadInput
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote, decoded

DONE = {
    "suspend": "workflow {} suspended",
    "resume": "workflow {} resumed",
    "stop": "workflow {} stopped",
    "terminate": "workflow {} terminated",
    "set": "workflow values set",
}


def main(remote: Remote, verb: str, names: Sequence[str], **options: object) -> Exit:
    """Ask for the same of each workflow."""

    def ask(name: str) -> None:
        remote.client.put(remote.path(name, verb), _body(remote, name, options))
        remote.print(DONE[verb].format(name))

    return remote.each(names, ask)


def again(remote: Remote, verb: str, names: Sequence[str], *, form: str, wait: bool, **options: object) -> Exit:
    """Retry or resubmit each workflow, and show what it became."""
    made: list[str] = []

    def ask(name: str) -> None:
        found = decoded(remote.client.put(remote.path(name, verb), _body(remote, name, options)))
        made.append(found.metadata.name)
        showing.show(remote, [found], form)

    code = remote.each(names, ask)
    return max(code, waiting.main(remote, made)) if wait else code


def delete(remote: Remote, names: Sequence[str], wish: listing.Wish | None, *, force: bool, dry_run: bool) -> Exit:
    """Delete workflows by name, or (`wish`) those that a list would show."""
    if wish is not None:
        names = [*names, *(workflow.metadata.name for workflow in listing.workflows(remote, wish, full=False))]
        if not names:
            remote.print("No resources found")
            return Exit.SUCCEEDED
    if not names:
        raise BadInput("which workflow? Give a name, or one of --all, --completed, --older, --status, -l")

    def one(name: str) -> None:
        if not dry_run:
            remote.client.delete(remote.path(name), {"force": "true"} if force else None)
        remote.print(f"Workflow '{name}' deleted{' (dry-run)' if dry_run else ''}")

    return remote.each(names, one)


def values(typed: Sequence[str]) -> dict[str, str]:
    """The values of `-p NAME=VALUE`. Raises BadInput."""
    from tiphys.manifests import parameters as given

    found = given.from_arguments(typed)
    if not found.ok:
        raise BadInput("\n".join(diagnostic.message for diagnostic in found.diagnostics))
    return dict(found.values)


def outputs(typed: Sequence[str]) -> str:
    """Output parameters as the API takes them. Raises BadInput."""
    return msgspec.json.encode(values(typed)).decode() if typed else ""


def _body(remote: Remote, name: str, options: Mapping[str, object]) -> dict[str, object]:
    return {"namespace": remote.namespace, "name": name, **{key: value for key, value in options.items() if value}}
