"""Judges a journal without changing it: whose it is, which version it has, whether every row is as it was written.

A daemon may be writing meanwhile. So nothing is read in one long transaction, which would keep the WAL from being begun anew, and what
belongs together (a run's own rows) is read in one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

import apsw

import tiphys
from tiphys.care import places
from tiphys.care.finding import counted, size
from tiphys.errors import StateRefused
from tiphys.journal import opening, queries, references, remains, rows, texts
from tiphys.scheduler.records import Node

RUN_SHIFT = 32  # as in tiphys.journal.sqlite: the upper half of a row's number is its run's
PAGE = 5000
QUICK_BYTES = 1 << 30  # of a larger database only the structure is checked by SQLite; the rows' checksums are in any case
MOST_PROBLEMS = 5
SHAPE_PROBLEMS = 20
ORPHANS = {
    "nodes": "SELECT DISTINCT run FROM nodes WHERE run NOT IN (SELECT run FROM workflows) LIMIT 5",
    "definitions": "SELECT run FROM definitions WHERE run NOT IN (SELECT run FROM workflows) LIMIT 5",
    "events": (  # the first number of each run is looked up: their events are skipped
        "WITH RECURSIVE found (run) AS (SELECT min(number) >> 32 FROM events UNION ALL "
        "SELECT (SELECT min(number) >> 32 FROM events WHERE number >= (found.run + 1) << 32) FROM found WHERE found.run IS NOT NULL) "
        "SELECT run FROM found WHERE run IS NOT NULL AND run NOT IN (SELECT run FROM workflows) LIMIT 5"
    ),
    "texts": "SELECT DISTINCT run FROM texts WHERE run NOT IN (SELECT run FROM workflows) LIMIT 5",
}
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a journal holds, and what is wrong with it (`problems`: the first few of `wrong`). `newest`: the latest time in it."""

    version: int
    written_by: str
    size_bytes: int
    quick: bool
    uids: frozenset[str]
    nodes: int
    events: int
    items: int
    archived: int
    newest: datetime | None
    problems: tuple[str, ...]
    wrong: int

    @property
    def summary(self) -> str:
        """In a line."""
        if not self.version:
            return "nothing yet"
        held = ((len(self.uids), "workflow"), (self.nodes, "node"), (self.events, "event"), (self.items, "other row"))
        named = ", ".join(counted(count, noun) for count, noun in held)
        return f"version {self.version}, {named}, {self.archived} archived, {size(self.size_bytes)}"

    @property
    def damage(self) -> str:
        """What is wrong, in a line."""
        more = self.wrong - len(self.problems)
        return "; ".join(self.problems) + (f"; and {more} more" if more else "")


def cure(path: Path) -> str:
    """What to do about a damaged journal."""
    return (
        f"stop the daemon, then put a copy back with `tiphysd restore FILE`; or save what can be saved with "
        f"`sqlite3 {path} .recover | sqlite3 {path}.recovered`; or begin with no workflows: "
        f"`mv {path} {path}.damaged; rm -f {path}-wal {path}-shm`"
    )


def unchanging(path: Path) -> bool:
    """Whether nobody has the database open and nothing waits in its WAL: then it can be read without leaving a trace."""
    wal = places.beside(path, "-wal")
    return places.holder(path) is None and not (wal.exists() and wal.stat().st_size)


def is_empty(path: Path) -> bool:
    """Whether nothing was ever written to the database: SQLite would take it for a new one."""
    wal = places.beside(path, "-wal")
    return path.stat().st_size == 0 and not (wal.exists() and wal.stat().st_size)


def connect(path: Path, *, still: bool) -> apsw.Connection:
    """A read-only connection; `still`: nobody writes, so neither locks nor files beside it are needed. Raises StateRefused."""
    try:
        connection = apsw.Connection(
            f"file:{quote(str(path.absolute()))}?{'immutable=1' if still else 'mode=ro'}",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        connection.set_busy_timeout(opening.BUSY_MILLISECONDS)
    except apsw.Error as error:
        raise StateRefused(f"{path}: the journal cannot be opened ({error})") from error
    return connection


def undisturbed(path: Path, read: Callable[[bool], Result]) -> Result:
    """What `read` reads. It is told whether nobody writes (then no trace need be left), and asked again if somebody began to meanwhile."""
    for _ in range(3):
        still, before = unchanging(path), _stamp(path)
        found = read(still)
        if not still or (unchanging(path) and _stamp(path) == before):
            return found
    return read(False)


def examined(path: Path) -> Contents:
    """The judgement of the database in `path`. Raises StateRefused: it is not ours, newer than we are, or cannot be read."""
    return undisturbed(path, lambda still: _examined(path, still=still))


def _examined(path: Path, *, still: bool) -> Contents:
    connection = connect(path, still=still)
    try:
        return examine(connection, path)
    finally:
        connection.close()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StateRefused(f"{path}: cannot be read ({error.strerror})") from error
    return found.st_mtime_ns, found.st_size


def examine(connection: apsw.Connection, path: Path) -> Contents:
    """The judgement of an open database."""
    try:
        empty = connection.pragma("schema_version") == 0
        owner, version = connection.pragma("application_id"), connection.pragma("user_version")
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return _nothing(path, 0, f"{error}")
    except apsw.Error as error:
        raise _unreadable(path, error) from error
    if empty:
        return _nothing(path, 0)
    if owner != opening.APPLICATION_ID:
        raise opening.refused(path, "this is the database of another program", "Name a state directory, or a copy, of Tiphys' own.")
    if version > opening.VERSION:
        writer = _written_by(connection)
        repair = f"Use Tiphys {writer} or newer, or put the copy from before the upgrade back with `tiphysd restore FILE`."
        what = f"the journal has version {version}, and this program ({tiphys.__version__}) knows up to {opening.VERSION}"
        raise opening.refused(path, what, repair)
    return _Reading(connection, path, version).all()


def _unreadable(path: Path, error: apsw.Error) -> StateRefused:
    return opening.refused(
        path, f"the journal cannot be read ({error})", "See that this user may read it and write beside it, and the disk."
    )


def _written_by(connection: apsw.Connection) -> str:
    try:
        return str(connection.execute(queries.named()["meta"], ("written_by",)).get or "a newer release")
    except apsw.Error:
        return "a newer release"


def _nothing(path: Path, version: int, *problems: str) -> Contents:
    return Contents(
        version=version,
        written_by="",
        size_bytes=_stamp(path)[1],
        quick=False,
        uids=frozenset(),
        nodes=0,
        events=0,
        items=0,
        archived=0,
        newest=None,
        problems=problems,
        wrong=len(problems),
    )


class _Reading:
    """One pass through all tables; every problem is counted, the first few are kept."""

    def __init__(self, connection: apsw.Connection, path: Path, version: int) -> None:
        self._connection = connection
        self._path = path
        self._version = version
        self._problems: list[str] = []
        self._wrong = 0
        self._newest: datetime | None = None
        self._counts = dict.fromkeys(("nodes", "events", "items", "archive"), 0)
        self._uids: set[str] = set()

    def all(self) -> Contents:
        """Read everything."""
        size_bytes = _stamp(self._path)[1]
        quick = size_bytes > QUICK_BYTES
        steps = [lambda: self._shape(quick=quick), self._runs, self._events, self._orphans]
        if self._version >= 2:
            steps += [self._items, self._archive]
        if self._version >= 3:
            steps += [self._remains]
        if self._version >= 4:
            steps += [self._texts]
        for step in steps:
            try:
                step()
            except apsw.IOError as error:
                raise _unreadable(self._path, error) from error
            except apsw.Error as error:
                self._problem(f"SQLite says: {error}")
        return Contents(
            version=self._version,
            written_by=_written_by(self._connection),
            size_bytes=size_bytes,
            quick=quick,
            uids=frozenset(self._uids),
            nodes=self._counts["nodes"],
            events=self._counts["events"],
            items=self._counts["items"],
            archived=self._counts["archive"],
            newest=self._newest,
            problems=tuple(self._problems),
            wrong=self._wrong,
        )

    def _problem(self, text: str) -> None:
        self._wrong += 1
        if len(self._problems) < MOST_PROBLEMS and text not in self._problems:
            self._problems.append(text)

    def _seen(self, at: datetime | None) -> None:
        if at is not None and (self._newest is None or at > self._newest):
            self._newest = at

    def _shape(self, *, quick: bool) -> None:
        for (line,) in self._rows(f"PRAGMA {'quick_check' if quick else 'integrity_check'}({SHAPE_PROBLEMS})"):
            if line != "ok":
                self._problem(str(line))

    def _runs(self) -> None:
        for run, uid in self._rows("SELECT run, uid FROM workflows ORDER BY run"):
            with self._moment():
                self._run(run, uid)

    def _run(self, run: int, uid: str) -> None:
        """All rows of one run, as they are in one moment. It may have been deleted meanwhile."""
        stored = self._rows("SELECT sum, row FROM workflows WHERE run = ?", run)
        if not stored:
            return
        self._uids.add(uid)
        find = self._find(run)
        record = self._checked(f"workflows, row {run}", rows.run, *stored[0], find=find)
        if record is not None:
            if record.uid != uid:
                self._problem(f"workflows, row {run}: it holds the workflow {record.uid}, not {uid}")
            self._seen(max(record.created_at, record.finished_at or record.created_at))
        definitions = self._rows("SELECT sum, row FROM definitions WHERE run = ?", run)
        if not definitions:
            self._problem(f"workflows, row {run}: its definitions are not there")
        else:
            manifest = self._checked(f"definitions, row {run}", rows.manifest, *definitions[0], find=find)
            if manifest is not None and manifest.uid != uid:
                self._problem(f"definitions, row {run}: they are of the workflow {manifest.uid}, not {uid}")
        self._nodes(run, find)

    def _nodes(self, run: int, find: references.Find) -> None:
        found: dict[str, Node] = {}
        whole = True
        statement = "SELECT number, run, id, sum, row FROM nodes WHERE number BETWEEN ? AND ? ORDER BY number"
        for number, of, node_id, total, row in self._rows(statement, run << RUN_SHIFT, (run + 1 << RUN_SHIFT) - 1):
            self._counts["nodes"] += 1
            node = self._checked(f"nodes, row {number}", rows.node, total, row, find=find)
            if node is None:
                whole = False
                continue
            if node.id != node_id or of != run:
                self._problem(f"nodes, row {number}: it holds the node {node.id} of run {run}, not {node_id} of run {of}")
            found[node.id] = node
            self._seen(node.finished_at or node.started_at)
        if whole:
            for node in found.values():
                if node.owner and node.owner not in found:
                    self._problem(f"nodes, run {run}: {node.id} belongs to {node.owner}, which is not there")

    def _events(self) -> None:
        last = -1
        while True:
            with self._moment():  # the texts that they name go with them
                page = self._rows("SELECT number, sum, event, summary FROM events WHERE number > ? ORDER BY number LIMIT ?", last, PAGE)
                for row in page:
                    self._event(*row)
            if not page:
                return
            last = page[-1][0]

    def _event(self, number: int, total: int, event: bytes, summary: bytes) -> None:
        self._counts["events"] += 1
        # The checksum covers the number too; version 1 left that out.
        more = () if _sum(event, summary) == total else (b"%d" % number,)
        fact = self._checked(f"events, row {number}", rows.event, total, event, summary, *more, find=self._find(number >> RUN_SHIFT))
        if fact is not None:
            self._seen(fact.at)
            self._checked(f"events, row {number}", rows.brief, _sum(summary), summary)

    def _find(self, run: int) -> references.Find:
        """Whether a text that a row names is there; what is in it is looked at once, in `_texts`."""

        def find(name: bytes) -> str:
            if not self._rows("SELECT 1 FROM texts WHERE run = ? AND digest = ?", run, name):
                texts.read(name, None)
            return ""

        return find

    def _texts(self) -> None:
        """The large texts of runs, one at a time."""
        last, statement = -1, "SELECT number, run, digest, text FROM texts WHERE number > ? ORDER BY number LIMIT 1"
        while found := self._rows(statement, last):
            [(last, run, name, text)] = found
            try:
                texts.read(name, text)
            except (rows.Damaged, TypeError, AttributeError) as error:  # a damaged cell may even be of another type
                self._problem(f"texts, row {last} (of run {run}): {error}")

    def _orphans(self) -> None:
        for table, statement in ORPHANS.items():
            if table == "texts" and self._version < 4:
                continue
            for (run,) in self._rows(statement):
                self._problem(f"{table}, run {run}: they belong to no workflow")

    def _items(self) -> None:
        last = ("", "")
        statement = "SELECT kind, key, sum, row FROM items WHERE (kind, key) > (?, ?) ORDER BY kind, key LIMIT ?"
        while page := self._rows(statement, *last, PAGE):
            for kind, key, total, row in page:
                self._counts["items"] += 1
                item = self._checked(f"items, {kind} {key}", rows.item, total, row)
                if item is not None and (type(item).__name__, item.key) != (kind, key):
                    self._problem(f"items, {kind} {key}: it holds {type(item).__name__} {item.key}")
            last = page[-1][:2]

    def _archive(self) -> None:
        last = -1
        statement = "SELECT number, uid, archived_at, sum, row FROM archive WHERE number > ? ORDER BY number LIMIT ?"
        while page := self._rows(statement, last, PAGE // 10):  # a row is a whole Workflow
            for number, uid, archived_at, total, row in page:
                self._counts["archive"] += 1
                workflow = self._judged(f"archive, row {number}", partial(rows.archived, total, row))
                if workflow is not None and workflow.metadata.uid != uid:
                    self._problem(f"archive, row {number}: it holds the workflow {workflow.metadata.uid}, not {uid}")
                self._seen(datetime.fromtimestamp(archived_at, UTC))
            last = page[-1][0]

    def _remains(self) -> None:
        """The rows of archived runs, one run at a time: they are large."""
        last, statement = -1, "SELECT number, uid, size, sum, row FROM remains WHERE number > ? ORDER BY number LIMIT 1"
        while found := self._rows(statement, last):
            [(last, uid, length, total, row)] = found
            try:
                remains.unpacked(uid, total, row)
            except (rows.Damaged, TypeError, AttributeError) as error:  # a damaged cell may even be of another type
                self._problem(f"remains, row {last}: {error}")
            else:
                if length != len(row):
                    self._problem(f"remains, row {last}: it has {len(row)} bytes, not {length}")
        for (uid,) in self._rows("SELECT uid FROM remains WHERE uid NOT IN (SELECT uid FROM archive) LIMIT 5"):
            self._problem(f"remains, {uid}: the archive does not have it")

    def _checked(
        self, what: str, decoder: "rows.Decoder[Result]", total: int, *data: bytes, find: references.Find = rows.no_texts
    ) -> Result | None:
        return self._judged(what, partial(rows.read, decoder, total, *data, find=find))

    def _judged(self, what: str, read: Callable[[], Result]) -> Result | None:
        try:
            return read()
        except (rows.Damaged, TypeError) as error:  # a damaged cell may even be of another type
            self._problem(f"{what}: {error}")
            return None

    def _rows(self, statement: str, *values: object) -> list[Any]:
        """All rows at once: the transaction ends with them."""
        return cast("list[Any]", self._connection.execute(statement, cast("Any", values)).fetchall())

    @contextmanager
    def _moment(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _sum(*parts: bytes) -> int:
    """A checksum; that of what cannot have one is none."""
    try:
        return rows.checksum(*parts)
    except TypeError:
        return -1
