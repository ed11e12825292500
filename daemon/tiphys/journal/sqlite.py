"""The journal on disk: SQLite in WAL mode, one transaction a batch.

With `synchronous: normal` a commit is a write into the page cache (some 20 µs), done on the loop; with `full` it waits for the
disk, so it goes to a thread; so do a large manifest and the deletion of a run.
"""

import functools
import json
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

import anyio
import anyio.to_thread
import apsw
import msgspec

from tiphys import faults
from tiphys.journal import opening, queries, references, remains, rows, texts
from tiphys.journal.batch import OtherChanges, RunChanges, folded
from tiphys.journal.checkpoints import Checkpoints
from tiphys.journal.protocol import ArchivedRun, Entry, Logged, RecordFailed, Rows, RunRows, archived_run
from tiphys.scheduler.decision import Decision, RunRemoved
from tiphys.scheduler.events import Event, Revived, Submitted
from tiphys.scheduler.items import Item
from tiphys.scheduler.records import Manifest, Node, Remains
from tiphys.settings import JournalSettings
from tiphys.spec.workflows import Workflow

RUN_SHIFT = 32
LARGE_TASKS = 1000
LARGE_VALUES = 100_000
LEAST_FREE_PAGES = 1024
PAGE = 5000  # events read in one transaction: a long one would keep the WAL from being begun anew
SQL = queries.named()
SHOWN = ("uid", "name", "namespace", "phase", "created_at", "started_at", "finished_at")
Result = TypeVar("Result")
Cells = tuple[int, int, bytes]


class SQLiteJournal:
    """A Journal in the file `path`, whose folder must be there. An async context manager; one process at a time.

    `synchronous` (full, normal) goes before the settings' own; neither: full.
    Opening raises StateRefused for a database that is in use, foreign, newer or damaged.
    """

    def __init__(self, path: Path, settings: JournalSettings, *, synchronous: str = "") -> None:
        self._path = path
        self._synchronous = opening.SYNCHRONOUS[synchronous or settings.synchronous]
        self._wal_limit = settings.wal_limit_bytes
        self._remains_limit = settings.remains_bytes
        self._opened = ExitStack()
        self._turn = anyio.Lock(fast_acquire=True)
        self._looking = anyio.Lock(fast_acquire=True)
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        """Lock and open the database."""
        await anyio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Empty the WAL into the database and close it."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._opened.close)

    async def record(self, entries: Sequence[Entry]) -> None:
        """Store a batch in one transaction."""
        async with self._turn:
            if self._failure is not None:
                raise RecordFailed(f"{self._path}: the journal failed before") from self._failure
            if self._synchronous == "FULL" or any(map(_is_large, entries)):
                await anyio.to_thread.run_sync(self._record, entries)
            else:
                self._record(entries)
            if self._checkpoints.overdue:
                await anyio.to_thread.run_sync(self._checkpoints.make_room, self._connection)

    async def load(self) -> Rows:
        """All rows, each checked."""
        return await self._read(self._load)

    async def events(self, uid: str, after: int = 0) -> Sequence[Logged]:
        """A run's log, read in pages."""
        run = self._numbers.get(uid)
        if run is None:
            return ()
        found: list[Logged] = []
        while True:
            page = await self._look(lambda: self._page(run, found[-1].number if found else after))
            found.extend(page)
            if len(page) < PAGE:
                return tuple(found)

    # opening

    def _open(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(opening.locked(self._path))
            self._connection = stack.enter_context(closing(opening.opened(self._path, self._synchronous)))
            self._reader = stack.enter_context(closing(opening.connect(self._path)))
            self._execute = self._connection.execute
            self._many = self._connection.executemany
            self._texts = texts.Keeper(self._execute)
            try:
                self._numbers: dict[str, int] = dict(cast("Iterable[tuple[str, int]]", self._execute(SQL["runs"])))
                self._remains_bytes = cast("int", self._execute(SQL["remains_size"]).get)
            except (apsw.CorruptError, UnicodeDecodeError) as error:
                raise opening.damaged(self._path, error) from error
            self._last: dict[int, tuple[int, int]] = {}  # by run: the last numbers given to a node and to an event
            self._checkpoints = Checkpoints(self._path, self._wal_limit, self._connection.pragma("page_size"))
            self._top = max(self._numbers.values(), default=0)
            self._connection.set_wal_hook(self._committed)
            self._checkpoints.start()
            stack.callback(self._checkpoints.close)
            self._opened = stack.pop_all()

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._checkpoints.committed(pages)
        return apsw.SQLITE_OK

    # writing

    def _record(self, entries: Sequence[Entry]) -> None:
        try:
            if self._checkpoints.failure is not None:
                raise self._checkpoints.failure
            changes, others = folded(entries)
            self._execute("BEGIN IMMEDIATE")
            self._store_others(others)  # first: what is archived may be a run that is removed
            for uid, of in changes.items():
                self._store(uid, of)
            faults.point("in-transaction")
            self._execute("COMMIT")
        except Exception as error:
            self._failure = error
            if self._connection.in_transaction:
                with suppress(apsw.Error):  # the error that brought us here says more
                    self._execute("ROLLBACK")
            if isinstance(error, apsw.Error | OSError):
                raise RecordFailed(f"{self._path}: the journal could not be written: {error}") from error
            raise

    def _store(self, uid: str, of: RunChanges) -> None:
        run = self._numbers.get(uid)
        if of.anew and run is not None:
            self._remove(uid, run)
            run = None
        if run is None:
            if of.run is None:
                return
            self._top += 1
            run = self._numbers[uid] = self._top
        if of.manifest is not None:
            data = self._encoded(run, of.manifest)
            self._execute(SQL["put_definitions"], (run, rows.checksum(data), data))
        if of.run is not None:
            data = self._encoded(run, of.run)
            self._execute(SQL["put_workflow"], (run, uid, rows.checksum(data), data))
        last_node, last_event = self._last.get(run) or self._last_of(run)
        if of.removed:
            self._many(SQL["remove_node"], [(run, node_id) for node_id in of.removed])
        if of.nodes:
            self._many(SQL["put_node"], (self._node_row(number, run, node) for number, node in enumerate(of.nodes.values(), last_node + 1)))
            last_node += len(of.nodes)
        if of.entries:
            self._many(SQL["put_event"], (self._event_row(number, run, entry) for number, entry in enumerate(of.entries, last_event + 1)))
            last_event += len(of.entries)
        self._last[run] = last_node, last_event

    def _encoded(self, run: int, record: object) -> bytes:
        data = rows.encode(record)
        return data if len(data) < references.LARGE else self._shortened(run, record, data)

    def _shortened(self, run: int, record: object, data: bytes) -> bytes:
        return references.shortened(record, data, functools.partial(self._texts.keep, run))

    def _node_row(self, number: int, run: int, node: Node) -> tuple[int, int, str, int, bytes]:
        data = rows.encode(node)
        if len(data) >= references.LARGE:
            data = self._shortened(run, node, data)
        return number, run, node.id, rows.checksum_of(data), data

    def _event_row(self, number: int, run: int, entry: Entry) -> tuple[int, int, bytes, bytes]:
        event, summary = rows.logged(entry)
        if len(event) >= references.LARGE:
            event = self._shortened(run, rows.lean(entry), event)
        return number, rows.checksum(event, summary, b"%d" % number), event, summary

    def _store_others(self, others: OtherChanges) -> None:
        for (kind, key), item in others.items.items():
            if item is None:
                self._execute(SQL["remove_item"], (kind, key))
            else:
                data = rows.encode(item)
                self._execute(SQL["put_item"], (kind, key, rows.checksum(data), data))
        for workflow, left in others.archived:
            line = archived_run(workflow)
            run = self._numbers.get(line.uid)
            short = run is not None and self._texts.has(run)
            data = references.packed(workflow) if short else rows.encode(workflow)
            shown = (line.uid, line.name, line.namespace, line.phase, line.created_at, line.started_at, line.finished_at)
            at, labels = time.time(), json.dumps(line.labels)
            self._execute(SQL["put_archive"], (*shown, labels, at, _line(at, labels, *shown), rows.checksum(data), data))
            if left is not None and self._remains_limit:
                self._put_remains(line.uid, remains.packed(left, short=short))

    def _put_remains(self, uid: str, data: bytes) -> None:
        self._execute(SQL["put_remains"], (uid, len(data), remains.checksum(uid, data), data))
        self._remains_bytes += len(data)
        if self._remains_bytes > self._remains_limit:
            self._prune_remains()

    def _prune_remains(self) -> None:
        """Drop what is too much, and what nothing in the archive belongs to."""
        self._execute(SQL["prune_remains"], (self._remains_limit,)).fetchall()
        self._execute(SQL["remove_lone_remains"]).fetchall()
        self._remains_bytes = cast("int", self._execute(SQL["remains_size"]).get)

    def _remove(self, uid: str, run: int) -> None:
        first, last = _range(run)
        self._execute(SQL["remove_workflow"], (run,))
        self._execute(SQL["remove_definitions"], (run,))
        self._execute(SQL["remove_nodes"], (first, last))
        self._execute(SQL["remove_events"], (first, last))
        self._texts.forget(run)
        del self._numbers[uid]
        self._last.pop(run, None)

    def _last_of(self, run: int) -> tuple[int, int]:
        first, last = _range(run)
        (found,) = cast("Iterable[tuple[int | None, int | None]]", self._execute(SQL["last"], (first, last, first, last)))
        return found[0] or first, found[1] or first

    # reading

    async def _read(self, function: Callable[[], Result]) -> Result:
        async with self._turn:
            with self._sound():
                return await anyio.to_thread.run_sync(function)

    async def _look(self, function: Callable[[], Result]) -> Result:
        """Read through a connection of its own: whoever looks back keeps nobody from recording."""
        async with self._looking:
            with self._sound():
                return await anyio.to_thread.run_sync(function)

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """What is read meanwhile is whole: a damaged cell may be no text, or even of another type. Raises StateRefused."""
        try:
            yield
        except (apsw.CorruptError, ValueError, TypeError) as error:
            raise opening.damaged(self._path, error) from error

    def _load(self) -> Rows:
        decode, checksum, share = rows.node.decode, zlib.crc32, rows.Sharing().share  # the loop below runs once for each node
        find = texts.Finder(self._execute).of
        runs = {}
        for number, total, row in cast("Iterable[Cells]", self._execute(SQL["workflows"])):
            runs[number] = _checked("workflows", number, rows.run, total, row, find=find(number))
        manifests = {}
        for number, total, row in cast("Iterable[Cells]", self._execute(SQL["definitions"])):
            manifests[number] = _checked("definitions", number, rows.manifest, total, row, find=find(number))
        if manifests.keys() != runs.keys():
            raise rows.Damaged("workflows and their definitions do not match")
        nodes: dict[int, list[Node]] = {number: [] for number in runs}
        for number, total, row in cast("Iterable[Cells]", self._execute(SQL["nodes"])):
            try:
                if checksum(row) != total:
                    raise msgspec.DecodeError
                node = decode(row)
            except msgspec.DecodeError:  # it is damaged, or there are references in it
                node = _checked("nodes", number, rows.node, total, row, find=find(number >> RUN_SHIFT))
            if number >> RUN_SHIFT not in nodes:
                raise rows.Damaged(f"nodes, row {number}: it belongs to no workflow")
            nodes[number >> RUN_SHIFT].append(share(node))
        items: list[Item] = []
        for kind, key, total, row in cast("Iterable[tuple[str, str, int, bytes]]", self._execute(SQL["items"])):
            item = _checked(f"items ({kind} {key})", 0, rows.item, total, row)
            if (type(item).__name__, item.key) != (kind, key):
                raise rows.Damaged(f"items: {kind} {key} holds another item")
            items.append(item)
        made = (RunRows(manifest=manifests[number], run=run, nodes=tuple(nodes[number])) for number, run in runs.items())
        return Rows(runs=tuple(made), items=tuple(items))

    async def archive(self, look: Callable[[Iterator[ArchivedRun]], Result]) -> Result:
        """What somebody makes of the archive, the newest first, a line at a time."""

        def read() -> Result:
            with closing(self._archive()) as lines:
                return look(lines)

        async with self._looking:
            return await anyio.to_thread.run_sync(read)

    def _archive(self) -> Generator[ArchivedRun, None, None]:
        # A cursor left open would keep what it saw in the WAL; what goes wrong in who asks is not raised in here.
        with self._sound(), closing(self._reader.execute(SQL["archived"])) as cursor:
            for total, at, labels, *shown in cast("Iterable[tuple[int, float, str, str, str, str, str, str, str, str]]", cursor):
                if _line(at, labels, *shown) != total:
                    raise rows.Damaged(f"archive, {shown[0]}: its checksum does not match")
                yield ArchivedRun(**dict(zip(SHOWN, shown, strict=True)), labels=json.loads(labels))

    async def archived(self, uid: str) -> Workflow | None:
        """One archived run."""

        def read() -> Workflow | None:
            for total, row in cast("Iterable[tuple[int, bytes]]", self._reader.execute(SQL["archived_one"], (uid,))):
                try:
                    found = rows.archived(total, row)
                except rows.Damaged as error:
                    raise rows.Damaged(f"archive, {uid}: {error}") from error
                if found.metadata.uid != uid:
                    raise rows.Damaged(f"archive: {uid} is {found.metadata.uid}")
                return found
            return None

        return await self._look(read)

    async def remains(self, uid: str) -> Remains | None:
        """The rows that an archived run left."""

        def read() -> Remains | None:
            for total, row in cast("Iterable[tuple[int, bytes]]", self._reader.execute(SQL["remains_of"], (uid,))):
                try:
                    return remains.unpacked(uid, total, row)
                except rows.Damaged as error:
                    raise rows.Damaged(f"remains, {uid}: {error}") from error
            return None

        return await self._look(read)

    async def forget_archived(self, uid: str) -> None:
        """Take a run out of the archive."""

        def forget() -> None:
            with self._connection:
                self._execute(SQL["remove_archived"], (uid,)).fetchall()
                self._execute(SQL["remove_remains"], (uid,)).fetchall()

        await self._write(forget)

    async def tidy(self, archived_before: float, free_share: float) -> None:
        """Drop old archived runs; make the file smaller where much of it is free."""

        def tidy() -> None:
            with self._connection:
                self._execute(SQL["prune_archive"], (archived_before,)).fetchall()
                self._prune_remains()
            free, pages = self._connection.pragma("freelist_count"), self._connection.pragma("page_count")
            if free > LEAST_FREE_PAGES and free > pages * free_share:
                self._execute("VACUUM").fetchall()

        await self._write(tidy)

    async def _write(self, function: Callable[[], object]) -> None:
        """Do something that is no batch. Raises RecordFailed."""
        async with self._turn:
            try:
                await anyio.to_thread.run_sync(function)
            except apsw.Error as error:
                raise RecordFailed(f"{self._path}: the journal could not be written: {error}") from error

    def _page(self, run: int, after: int) -> list[Logged]:
        page: list[Logged] = []
        with self._reader:  # one moment: the run may be deleted meanwhile
            page.extend(self._logged(run, after))
        return page

    def _logged(self, run: int, after: int) -> Iterator[Logged]:
        first, last = _range(run)
        found = cast("list[tuple[int, int, bytes, bytes]]", self._reader.execute(SQL["events_of"], (first + after, last, PAGE)).fetchall())
        find = texts.Finder(self._reader.execute).of(run)
        definitions: Manifest | None = None
        for number, total, event, summary in found:
            fact = _event(number, total, event, summary, find)
            if rows.is_lean(fact):
                definitions = definitions or self._definitions(run, find)
                fact = rows.whole(fact, definitions)
            yield Logged(number=number - first, event=fact, summary=rows.brief.decode(summary))

    def _definitions(self, run: int, find: references.Find) -> Manifest:
        for total, row in cast("Iterable[tuple[int, bytes]]", self._reader.execute(SQL["definitions_of"], (run,))):
            return _checked("definitions", run, rows.manifest, total, row, find=find)
        raise rows.Damaged(f"definitions, row {run}: it is not there")


def _is_large(entry: Entry) -> bool:
    """Whether to write down what follows from a fact may take long however fast the disk is: a large manifest, or the end of all rows."""
    fact, answer = entry.event, entry.answer
    if type(answer) is Decision and answer.changes and type(answer.changes[-1]) is RunRemoved:
        return True
    if type(fact) is not Submitted and type(fact) is not Revived:
        return False
    spec = fact.manifest.workflow.spec
    tasks = sum(len(template.dag.tasks) if template.dag is not None else len(template.steps or ()) for template in spec.templates)
    given = spec.arguments.parameters if spec.arguments is not None else ()
    return tasks > LARGE_TASKS or sum(len(parameter.value or "") for parameter in given) > LARGE_VALUES


def _line(at: float, *shown: str) -> int:
    """The checksum of what a list shows of an archived run, and of when it was archived."""
    return rows.checksum(repr(at).encode(), *(b"\0" + text.encode() for text in shown))


def _range(run: int) -> tuple[int, int]:
    """The lowest and highest number of a run's rows; the lowest is given to none."""
    return run << RUN_SHIFT, (run + 1 << RUN_SHIFT) - 1


def _event(number: int, total: int, event: bytes, summary: bytes, find: references.Find) -> "Event":
    """A row's event. Its checksum covers its number too; version 1 left that out."""
    more = () if rows.checksum(event, summary) == total else (b"%d" % number,)
    found: Event = _checked("events", number, rows.event, total, event, summary, *more, find=find)
    return found


def _checked(
    table: str, number: int, decoder: "rows.Decoder[Result]", total: int, *data: bytes, find: references.Find = rows.no_texts
) -> Result:
    try:
        return rows.read(decoder, total, *data, find=find)
    except rows.Damaged as error:
        raise rows.Damaged(f"{table}, row {number}: {error}") from error
