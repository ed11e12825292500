"""A batch of entries, brought down to what is left of it: each row's last state, and the events of the runs that stay.

Pure; both journals record by it, so they agree on what a batch means.
"""

from collections.abc import Iterable
from typing import assert_never

from tiphys.journal.protocol import Entry
from tiphys.scheduler import render
from tiphys.scheduler.decision import (
    Archived,
    Change,
    Decision,
    ItemPut,
    ItemRemoved,
    ManifestPut,
    NodePut,
    NodeRemoved,
    RunPut,
    RunRemoved,
)
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Remains, Run
from tiphys.spec.workflows import Workflow


class RunChanges:
    """What a batch does to one run, in this order: all goes (`anew`), the nodes `removed` go, the rest comes."""

    __slots__ = ("anew", "entries", "manifest", "nodes", "removed", "run")

    def __init__(self, *, anew: bool) -> None:
        self.anew = anew
        self.removed: set[str] = set()
        self.manifest: Manifest | None = None
        self.run: Run | None = None
        self.nodes: dict[str, Node] = {}
        self.entries: list[Entry] = []


class OtherChanges:
    """What a batch does to the rows that belong to no single run: each item's last state (None: it is gone), and what is archived.

    `archived` is each run's picture and the rows that it left.
    """

    __slots__ = ("archived", "items")

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item | None] = {}
        self.archived: list[tuple[Workflow, Remains | None]] = []


def folded(entries: Iterable[Entry]) -> tuple[dict[str, RunChanges], OtherChanges]:
    """Each run's changes, by uid (a run that is removed last is one `anew` with nothing in it), and all others."""
    runs: dict[str, RunChanges] = {}
    others = OtherChanges()
    for entry in entries:
        answer = entry.answer
        gone: set[str] = set()
        if type(answer) is Decision:
            for change in answer.changes:
                if type(change) is NodePut and (of := runs.get(change.uid)) is not None:  # what nearly every change is
                    of.nodes[change.node.id] = change.node
                else:
                    _fold(runs, others, change, gone)
        uid = entry.event.uid
        if uid and uid not in gone:
            _of(runs, uid).entries.append(entry)
    return runs, others


def _of(runs: dict[str, RunChanges], uid: str) -> RunChanges:
    found = runs.get(uid)
    if found is None:
        found = runs[uid] = RunChanges(anew=False)
    return found


def _fold(runs: dict[str, RunChanges], others: OtherChanges, change: Change, gone: set[str]) -> None:
    match change:
        case NodePut(uid=uid, node=node):
            _of(runs, uid).nodes[node.id] = node
        case RunPut(run=run):
            _of(runs, run.uid).run = run
        case NodeRemoved(uid=uid, node_id=node_id):
            of = _of(runs, uid)
            of.removed.add(node_id)
            of.nodes.pop(node_id, None)
        case ManifestPut(manifest=manifest):
            _of(runs, manifest.uid).manifest = manifest
        case RunRemoved(uid=uid):
            runs[uid] = RunChanges(anew=True)
            gone.add(uid)
        case ItemPut(item=item):
            others.items[type(item).__name__, item.key] = item
        case ItemRemoved(kind=kind, key=key):
            others.items[kind, key] = None
        case Archived(workflow=None, remains=remains):
            assert remains is not None, "it is shown by what is left of it"
            others.archived.append((render.of_remains(remains), remains))
        case Archived(workflow=workflow, remains=remains):
            assert workflow is not None
            others.archived.append((workflow, remains))
        case _:
            assert_never(change)
