"""`tiphys suspend`, `resume`, `stop`, `terminate`, `retry`, `resubmit`, `delete`, `node set`: wishes, which the daemon may refuse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tiphys.cli import following, listing, showing
from tiphys.cli.client import quoted
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


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which workflows: those that are named, and those that match. `dry`: nothing is asked, it is only said which."""

    names: Sequence[str] = ()
    selector: str = ""
    field_selector: str = ""
    dry: bool = False


def main(remote: Remote, verb: str, chosen: Chosen, **options: object) -> Exit:
    """Ask for the same of each workflow."""

    def ask(name: str) -> None:
        if not chosen.dry:
            remote.client.put(remote.path(name, verb), _body(remote, name, options))
        remote.print(DONE[verb].format(name) + (" (dry-run)" if chosen.dry else ""))

    return remote.each(_names(remote, chosen), ask)


def again(
    remote: Remote,
    verb: str,
    chosen: Chosen,
    *,
    form: str,
    wait: bool,
    watch: bool,
    log: bool,
    kind: str = "workflows",
    **options: object,
) -> Exit:
    """Retry or resubmit each workflow, and show what it became. `kind`: where it is, if it is in the archive."""
    made: list[str] = []

    def ask(name: str) -> None:
        archived = kind != "workflows"
        at = quoted(kind, name, verb) if archived else remote.path(name, verb)
        query = {"namespace": remote.namespace} if archived else None
        found = decoded(remote.client.put(at, _body(remote, name, options), query))
        made.append(found.metadata.name)
        if not watch:
            showing.show(remote, [found], form)

    code = remote.each(_names(remote, chosen), ask)
    return max(code, following.to_the_end(remote, made, wait=wait, watch=watch, log=log))


def retry(
    remote: Remote,
    *,
    names: Sequence[str],
    parameters: Sequence[str],
    restart_successful: bool,
    node_field_selector: str,
    selector: str = "",
    field_selector: str = "",
    output: str,
    **how: Any,
) -> Exit:
    """Go on from what failed."""
    values(parameters)
    chosen = Chosen(names=names, selector=selector, field_selector=field_selector)
    how |= {"parameters": list(parameters), "restartSuccessful": restart_successful, "nodeFieldSelector": node_field_selector}
    return again(remote, "retry", chosen, form=output, **how)


def resubmit(
    remote: Remote,
    *,
    names: Sequence[str],
    parameters: Sequence[str],
    memoized: bool,
    selector: str = "",
    field_selector: str = "",
    output: str,
    **how: Any,
) -> Exit:
    """The same work again."""
    values(parameters)
    chosen = Chosen(names=names, selector=selector, field_selector=field_selector)
    return again(remote, "resubmit", chosen, form=output, **how, parameters=list(parameters), memoized=memoized)


def _names(remote: Remote, chosen: Chosen) -> Sequence[str]:
    """Those that are meant. Raises BadInput."""
    if not (chosen.selector or chosen.field_selector):
        if not chosen.names:
            raise BadInput("which workflow? Give a name, -l or --field-selector")
        return chosen.names
    wish = listing.Wish(selector=chosen.selector, field_selector=chosen.field_selector)
    return [*chosen.names, *(workflow.metadata.name for workflow in listing.workflows(remote, wish, full=False))]


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
