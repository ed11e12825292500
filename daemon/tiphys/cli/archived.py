"""`tiphys archive`: the records of workflows that were deleted."""

from collections.abc import Sequence

import msgspec

from tiphys.cli import listing, output, showing, times
from tiphys.cli.client import quoted
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote, decoded, pages

KIND = "archived-workflows"


def listed(remote: Remote, *, selector: str, everywhere: bool, chunk_size: int, form: str) -> Exit:
    """Print what the archive keeps."""
    query = {"listOptions.labelSelector": selector, "namespace": "" if everywhere else remote.namespace}
    found = list(pages(remote, quoted(KIND), {key: value for key, value in query.items() if value}, chunk_size))
    if form == "json":
        remote.print(msgspec.json.format(msgspec.json.encode(found), indent=output.INDENT).decode())
    elif form == "yaml":
        remote.print(output.yaml_text(msgspec.to_builtins(found)))
    elif form == "name":
        remote.print(*(workflow.metadata.name for workflow in found))
    elif not found:
        remote.print("No workflows found")
    else:
        now = remote.now
        rows = [["NAMESPACE", "NAME", "STATUS", "AGE", "DURATION", "UID"]]
        for workflow in found:
            meta, status = workflow.metadata, workflow.status
            age = times.short(times.seconds(meta.creation_timestamp, None, now))
            taken = times.short(times.seconds(status.started_at, status.finished_at, now)) if status else ""
            rows.append([meta.namespace, meta.name, str(status.phase) if status else "", age, taken, meta.uid])
        remote.print(*listing.columns(rows))
    return Exit.SUCCEEDED


def got(remote: Remote, names: Sequence[str], form: str) -> Exit:
    """Print records, by uid or name."""
    query = {"namespace": remote.namespace}
    showing.show(remote, [decoded(remote.client.get(quoted(KIND, name), query)) for name in names], form)
    return Exit.SUCCEEDED


def delete(remote: Remote, names: Sequence[str]) -> Exit:
    """Take records out of the archive."""

    def one(name: str) -> None:
        remote.client.delete(quoted(KIND, name), {"namespace": remote.namespace})
        remote.print(f"Archived workflow '{name}' deleted")

    return remote.each(names, one)


def label_keys(remote: Remote, *, everywhere: bool) -> Exit:
    """Print the labels that records have."""
    return _items(remote, "archived-workflows-label-keys", {"namespace": "" if everywhere else remote.namespace})


def label_values(remote: Remote, key: str, *, everywhere: bool) -> Exit:
    """Print the values that a label has."""
    query = {"listOptions.labelSelector": key, "namespace": "" if everywhere else remote.namespace}
    return _items(remote, "archived-workflows-label-values", query)


def _items(remote: Remote, kind: str, query: dict[str, str]) -> Exit:
    found = remote.client.value(quoted(kind), {name: value for name, value in query.items() if value})
    remote.print(*(str(item) for item in found.get("items") or ()))
    return Exit.SUCCEEDED
