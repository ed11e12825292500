"""What a daemon committed, read from its database while it is dead or beside it; never written."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from tiphys.journal import rows, texts
from tiphys.scheduler.items import Claim, Definition, Item, Outbox, Tick
from tiphys.scheduler.records import Manifest, Node, Run
from tiphys.scheduler.state import State
from tiphys.spec.status import NodeType
from tiphys.spec.workflows import Workflow

FILE_LABEL = "torture/file"
CRON_LABEL = "workflows.argoproj.io/cron-workflow"


@dataclass(kw_only=True)
class Archived:
    """A deleted run's line, and the run as it was last."""

    uid: str
    name: str
    phase: str
    labels: dict[str, str]
    workflow: Workflow


@dataclass(kw_only=True)
class Ledger:
    """The rows as they were last seen. `nodes` keeps those of deleted runs; `ticks` those that were forgotten since."""

    path: Path
    runs: dict[str, Run] = field(default_factory=dict)
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)
    ticks: dict[str, Tick] = field(default_factory=dict)
    definitions: set[str] = field(default_factory=set)
    outbox: set[str] = field(default_factory=set)
    claims: set[str] = field(default_factory=set)
    archive: dict[str, Archived] = field(default_factory=dict)
    _sums: dict[tuple[int, str], int] = field(default_factory=dict)
    _archived: int = 0

    @contextlib.contextmanager
    def _opened(self) -> Iterator[apsw.Connection]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5000)
            with connection:
                yield connection
        finally:
            connection.close()

    def read(self) -> list[tuple[str, Node]]:
        """Look again; the nodes that changed, with their runs' uids."""
        if not self.path.exists():
            return []
        changed = []
        with self._opened() as database:
            try:
                uids = dict(database.execute("SELECT run, uid FROM workflows"))
            except apsw.SQLError:  # killed before the tables were made
                return []
            find = texts.Finder(database.execute).of
            self.runs = {}
            for number, total, row in database.execute("SELECT run, sum, row FROM workflows"):
                run = rows.read(rows.run, total, row, find=find(number))
                self.runs[run.uid] = run
            wanted = []
            for number, run, node_id, total in database.execute("SELECT number, run, id, sum FROM nodes"):
                if self._sums.get((run, node_id)) != total:
                    wanted.append((number, run, node_id, total))
            for number, run, node_id, total in wanted:
                ((row,),) = database.execute("SELECT row FROM nodes WHERE number = ?", (number,))
                node = rows.read(rows.node, total, row, find=find(run))
                self._sums[run, node_id] = total
                self.nodes[uids[run], node_id] = node
                changed.append((uids[run], node))
            self._items([rows.read(rows.item, total, row) for total, row in database.execute("SELECT sum, row FROM items")])
            query = "SELECT number, uid, name, phase, labels, sum, row FROM archive WHERE number > ? ORDER BY number"
            for number, uid, name, phase, labels, total, row in database.execute(query, (self._archived,)):
                workflow = rows.archived(total, row)
                self.archive[uid] = Archived(uid=uid, name=name, phase=phase, labels=json.loads(labels), workflow=workflow)
                self._archived = number
        return changed

    def _items(self, items: list[Item]) -> None:
        self.ticks |= {item.key: item for item in items if isinstance(item, Tick)}
        self.definitions = {item.key for item in items if isinstance(item, Definition)}
        self.outbox = {item.key for item in items if isinstance(item, Outbox)}
        self.claims = {item.key for item in items if isinstance(item, Claim)}

    @property
    def unfinished(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.phase.completed]

    def phases(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Every run there ever was: its phase and labels."""
        known = {uid: (one.phase, one.labels) for uid, one in self.archive.items()}
        return known | {uid: (str(run.phase), dict(run.labels)) for uid, run in self.runs.items()}

    def fresh(self) -> State:
        """A state made from the rows, as a daemon that starts would have it."""
        state = State()
        with self._opened() as database:
            state.load_items([rows.read(rows.item, total, row) for total, row in database.execute("SELECT sum, row FROM items")])
            find = texts.Finder(database.execute).of
            stored = database.execute("SELECT run, sum, row FROM definitions")
            manifests: dict[int, Manifest] = {run: rows.read(rows.manifest, total, row, find=find(run)) for run, total, row in stored}
            nodes: dict[int, list[Node]] = {run: [] for run in manifests}
            for run, total, row in database.execute("SELECT run, sum, row FROM nodes ORDER BY number"):
                nodes[run].append(rows.read(rows.node, total, row, find=find(run)))
            for number, total, row in database.execute("SELECT run, sum, row FROM workflows ORDER BY run"):
                state.load(manifests[number], rows.read(rows.run, total, row, find=find(number)), tuple(nodes[number]))
        return state


def is_step(node: Node) -> bool:
    """Whether a node is carried out as a process."""
    return node.type is NodeType.POD
