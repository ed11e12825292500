"""What every journal promises: a batch is whole, the last state of each row is what is loaded, and the log tells it all in order."""

import itertools
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import ArchivedRun, Entry, Touched
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler.decision import (
    Adopt,
    Archived,
    Decision,
    Finish,
    ItemPut,
    ItemRemoved,
    Launch,
    ManifestPut,
    NodePut,
    NodeRemoved,
    Refusal,
    RunPut,
    RunRemoved,
    SetTimer,
    StopAttempt,
)
from tiphys.scheduler.events import Asked, DaemonStarted, Defined, Delete, Exited, Resume, Started, Submitted, TimerFired
from tiphys.scheduler.items import Claim, Cron, Definition, Outbox, Tick
from tiphys.scheduler.records import Manifest, Node, Remains, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.notices import Notice
from tiphys.spec.status import NodeType, Phase, WorkflowStatus
from tiphys.spec.templates import HTTP, Outputs, Template
from tiphys.spec.work import Handle, Outcome, OutcomeKind, Usage
from tiphys.spec.workflows import ARGO_API_VERSION, ConfigMap, CronWorkflow, ObjectMeta, Workflow, WorkflowSpec

AT = datetime(2031, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def a_manifest(uid: str = "u1") -> Manifest:
    spec = WorkflowSpec(entrypoint="main", templates=(Template(name="main", http=HTTP(url="http://x/", body='{"ü": "\\u0000"}')),))
    return Manifest(uid=uid, workflow=Workflow(api_version=ARGO_API_VERSION, metadata=ObjectMeta(name="wf"), spec=spec))


def a_run(uid: str = "u1", phase: Phase = Phase.RUNNING, message: str = "") -> Run:
    return Run(uid=uid, name="wf", namespace="default", created_at=AT, phase=phase, message=message, labels={"a": "b"})


def a_node(node_id: str, phase: Phase = Phase.PENDING, **more: object) -> Node:
    return Node(id=node_id, name=f"wf.{node_id}", display_name=node_id, type=NodeType.POD, role=Role.TASK, phase=phase, owner="wf", **more)


def submitted(uid: str = "u1", *changes: object) -> Entry:
    manifest = a_manifest(uid)
    event = Submitted(at=AT, uid=uid, seed="seed", manifest=manifest)
    return Entry(event=event, answer=Decision(uid=uid, changes=(ManifestPut(manifest=manifest), RunPut(run=a_run(uid)), *changes)))


def exited(node: Node, uid: str = "u1", *changes: object) -> Entry:
    event = Exited(at=AT, uid=uid, node_id=node.id, attempt=0, outcome=Outcome(kind=OutcomeKind.SUCCEEDED, exit_code=0, result="r"))
    return Entry(event=event, answer=Decision(uid=uid, changes=(NodePut(uid=uid, node=node), *changes)))


def removed(uid: str = "u1") -> Entry:
    event = Asked(at=AT, uid=uid, wish=Resume(), who="op")
    return Entry(event=event, answer=Decision(uid=uid, changes=(RunRemoved(uid=uid),)))


@asynccontextmanager
async def memory(tmp_path):
    """The twin, opened any number of times."""
    kept = MemoryJournal()

    @asynccontextmanager
    async def open_():
        yield kept

    yield open_


@asynccontextmanager
async def normal(tmp_path):
    yield lambda: SQLiteJournal(tmp_path / "journal.db", JournalSettings(synchronous="normal"))


@asynccontextmanager
async def full(tmp_path):
    yield lambda: SQLiteJournal(tmp_path / "journal.db", JournalSettings(synchronous="full"))


every_journal = pytest.mark.parametrize("kind", [memory, normal, full], ids=lambda kind: kind.__name__)


@every_journal
async def test_nothing_recorded_is_nothing_loaded(kind, tmp_path):
    async with kind(tmp_path) as open_:
        for _ in range(2):
            async with open_() as journal:
                await journal.record([])
                assert (await journal.load()).runs == ()
                assert list(await journal.events("u1")) == []


@every_journal
async def test_every_field_comes_back_after_reopening(kind, tmp_path):
    node = a_node(
        "n1",
        Phase.FAILED,
        message="main: Error (exit code 3)",
        outputs=Outputs(result="line\n\x00ü", exit_code="3"),
        started_at=AT,
        finished_at=AT + timedelta(seconds=1.5),
        wake_at=None,
        attempt=2,
        handle=Handle(executor="process", text="1:2:3"),
        usage=Usage(cpu_seconds=0.25, peak_bytes=1 << 40),
        parents=("a", "b"),
        settled=True,
    )
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u1", NodePut(uid="u1", node=node))])
        async with open_() as journal:
            (rows,) = (await journal.load()).runs
    assert rows.manifest == a_manifest()
    assert rows.run == a_run()
    assert rows.nodes == (node,)


@every_journal
async def test_the_last_state_of_a_row_counts_within_a_batch_and_across_batches(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u1", NodePut(uid="u1", node=a_node("n1"))), exited(a_node("n1", Phase.RUNNING))])
            await journal.record([exited(a_node("n1", Phase.FAILED)), exited(a_node("n1", Phase.SUCCEEDED))])
            await journal.record([Entry(event=DaemonStarted(at=AT, uid="u1"), answer=Decision(changes=(RunPut(run=a_run(message="m")),)))])
        async with open_() as journal:
            (rows,) = (await journal.load()).runs
    assert [node.phase for node in rows.nodes] == [Phase.SUCCEEDED]
    assert rows.run.message == "m"


@every_journal
async def test_nodes_come_in_the_order_of_their_creation(kind, tmp_path):
    names = [f"n{number * 7919 % 100}" for number in range(100)]
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted()])
            for start in range(0, 100, 10):
                batch = [exited(a_node(name)) for name in names[start : start + 10]]
                await journal.record([*batch, exited(a_node(names[0], Phase.RUNNING))])
        async with open_() as journal:
            await journal.record([exited(a_node(names[50], Phase.RUNNING)), exited(a_node("late"))])
            (rows,) = (await journal.load()).runs
    assert [node.id for node in rows.nodes] == [*names, "late"]


@every_journal
async def test_a_removed_node_is_gone_and_comes_back_at_the_end(kind, tmp_path):
    def removal(node_id: str) -> Entry:
        event = Asked(at=AT, uid="u1", wish=Resume())
        return Entry(event=event, answer=Decision(changes=(NodeRemoved(uid="u1", node_id=node_id),)))

    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted(), *(exited(a_node(name)) for name in "abcd")])
            await journal.record([removal("a")])
            await journal.record([removal("b"), exited(a_node("b", Phase.RUNNING))])
            await journal.record([exited(a_node("e")), removal("e"), removal("never")])
            await journal.record([exited(a_node("a"))])
        async with open_() as journal:
            (rows,) = (await journal.load()).runs
    assert [node.id for node in rows.nodes] == ["c", "d", "b", "a"]


@every_journal
async def test_runs_stay_apart_and_in_order(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u2"), submitted("u1")])
            await journal.record([exited(a_node("n", Phase.FAILED), "u1"), exited(a_node("n", Phase.SUCCEEDED), "u2")])
        async with open_() as journal:
            await journal.record([submitted("u0")])
            runs = (await journal.load()).runs
            logs = {uid: [type(logged.event).__name__ for logged in await journal.events(uid)] for uid in ("u0", "u1", "u2")}
    assert [(rows.run.uid, [node.phase for node in rows.nodes]) for rows in runs] == [
        ("u2", [Phase.SUCCEEDED]),
        ("u1", [Phase.FAILED]),
        ("u0", []),
    ]
    assert logs == {"u0": ["Submitted"], "u1": ["Submitted", "Exited"], "u2": ["Submitted", "Exited"]}


@every_journal
async def test_a_removed_run_takes_everything_along_and_may_come_again(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u1"), exited(a_node("n")), submitted("u2")])
            await journal.record(
                [exited(a_node("m")), removed("u1"), Entry(event=DaemonStarted(at=AT, uid="u1"), answer=Refusal(reason="no"))]
            )
            assert [rows.run.uid for rows in (await journal.load()).runs] == ["u2"]
            assert list(await journal.events("u1")) == []
            await journal.record([removed("u2"), submitted("u2"), exited(a_node("k"), "u2")])
        async with open_() as journal:
            (rows,) = (await journal.load()).runs
            assert [node.id for node in rows.nodes] == ["k"]
            assert len(await journal.events("u2")) == 2


@every_journal
async def test_events_come_back_as_they_were_with_what_followed(kind, tmp_path):
    commands = (
        Launch(uid="u1", node_id="n", attempt=0),
        Adopt(uid="u1", node_id="n", attempt=1),
        StopAttempt(uid="u1", node_id="n", attempt=1, grace_seconds=3.0),
        SetTimer(uid="u1", key="", at=AT),
        Finish(uid="u1"),
    )
    entries = [
        submitted("u1", NodePut(uid="u1", node=a_node("n", message="why"))),
        Entry(
            event=Started(at=AT, uid="u1", node_id="n", attempt=0, handle=Handle(executor="e", text="t")),
            answer=Decision(commands=commands),
        ),
        exited(a_node("n", Phase.FAILED, message="main: Error (exit code 1)"), "u1", NodeRemoved(uid="u1", node_id="x")),
        Entry(event=TimerFired(at=AT + timedelta(microseconds=1), uid="u1", key="n"), answer=Refusal(reason="nothing waits for it")),
    ]
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            for entry in entries:
                await journal.record([entry])
        async with open_() as journal:
            log = await journal.events("u1")
    assert [logged.event for logged in log] == [entry.event for entry in entries]
    assert [logged.number for logged in log] == sorted({logged.number for logged in log})
    assert log[0].summary.touched == (Touched("", "Running"), Touched("n", "Pending", "why"))
    assert log[1].summary.commands == ("Launch n/0", "Adopt n/1", "StopAttempt n/1", f"SetTimer deadline {AT.isoformat()}", "Finish")
    assert log[2].summary.touched == (Touched("n", "Failed", "main: Error (exit code 1)"), Touched("x", "removed"))
    assert log[3].summary.refusal == "nothing waits for it"


@every_journal
async def test_an_event_of_an_unknown_run_is_not_kept(kind, tmp_path):
    async with kind(tmp_path) as open_, open_() as journal:
        await journal.record([Entry(event=DaemonStarted(at=AT, uid="nobody"), answer=Refusal(reason="unknown"))])
        assert list(await journal.events("nobody")) == []
        assert (await journal.load()).runs == ()


@every_journal
async def test_a_long_log_comes_whole(kind, tmp_path):
    async with kind(tmp_path) as open_, open_() as journal:
        await journal.record([submitted(), *(exited(a_node(f"n{number}")) for number in range(12_000))])
        log = await journal.events("u1")
        assert len(log) == 12_001
        assert [logged.event.node_id for logged in log[1:]] == [f"n{number}" for number in range(12_000)]


# the rows that belong to no single run


def told(*changes: object) -> Entry:
    return Entry(event=Defined(at=AT, source="f.yaml"), answer=Decision(changes=changes))


def a_config_map(name: str, value: str = "1") -> Definition:
    document = ConfigMap(api_version="v1", metadata=ObjectMeta(name=name, namespace="default"), data={"key": value})
    return Definition(document=document, source="f.yaml", digest="d", at=AT)


def a_tick(minute: int) -> Tick:
    return Tick(namespace="n", name="c", scheduled_at=AT + timedelta(minutes=minute), at=AT, skipped="why")


ITEMS = (
    a_config_map("one"),
    Definition(document=CronWorkflow(api_version=ARGO_API_VERSION, metadata=ObjectMeta(name="c", namespace="n")), source="api", at=AT),
    Cron(namespace="n", name="c", last_scheduled_at=AT, last_used="* * * * *|", succeeded=3, error="why", error_kind="SpecError"),
    a_tick(0),
    Claim(key="k/0", uid="u1", at=AT),
    Outbox(notice=Notice(id="u1/0/Failed/t", target="t", uid="u1", name="wf", namespace="n", phase="Failed", at=AT, created_at=AT)),
)


def by_key(items):
    return {(type(item).__name__, item.key): item for item in items}


@every_journal
async def test_items_come_back_as_they_were(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([told(*(ItemPut(item=item) for item in ITEMS))])
        async with open_() as journal:
            rows = await journal.load()
    assert rows.runs == ()
    assert by_key(rows.items) == by_key(ITEMS)


@every_journal
async def test_the_last_state_of_an_item_counts(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([told(ItemPut(item=a_config_map("a", "1"))), told(ItemPut(item=a_config_map("a", "2")))])
            await journal.record([told(ItemPut(item=a_config_map("b"))), told(ItemRemoved(kind="Definition", key=a_config_map("b").key))])
            await journal.record([told(ItemPut(item=a_config_map("c", "1")))])
            await journal.record(
                [told(ItemRemoved(kind="Definition", key=a_config_map("c").key)), told(ItemPut(item=a_config_map("c", "2")))]
            )
            await journal.record([told(ItemPut(item=a_config_map("a", "3")), ItemRemoved(kind="Claim", key="never"))])
        async with open_() as journal:
            rows = await journal.load()
            await journal.record([told(ItemRemoved(kind="Definition", key=item.key)) for item in rows.items])
            assert (await journal.load()).items == ()
    assert [item.document.data for item in rows.items] == [{"key": "3"}, {"key": "2"}]


@every_journal
async def test_items_come_in_the_order_of_their_kinds_and_keys(kind, tmp_path):
    ticks = [a_tick(minute) for minute in (5, 1, 9, 3)]
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            for item in (*ticks, *ITEMS):
                await journal.record([told(ItemPut(item=item))])
        async with open_() as journal:
            items = (await journal.load()).items
    assert list(by_key(items)) == sorted(by_key((*ticks, *ITEMS)))


@every_journal
async def test_an_item_of_a_run_that_is_removed_stays(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u1", ItemPut(item=ITEMS[4]))])
            await journal.record([removed("u1")])
        async with open_() as journal:
            rows = await journal.load()
    assert (rows.runs, rows.items) == ((), (ITEMS[4],))


# the archive


def an_archived(uid: str, phase: Phase = Phase.SUCCEEDED) -> Workflow:
    return Workflow(
        api_version=ARGO_API_VERSION,
        metadata=ObjectMeta(
            name=f"wf-{uid}", namespace="n", uid=uid, creation_timestamp="2031-05-06T07:08:09Z", labels={"a": "b", "ü": "\u0000"}
        ),
        spec=a_manifest().workflow.spec,
        status=WorkflowStatus(phase=phase, started_at="2031-05-06T07:08:10Z", finished_at="2031-05-06T07:08:11Z", message="m"),
    )


def archived(*workflows: Workflow, remains: Remains | None = None) -> Entry:
    uid = workflows[0].metadata.uid
    changes = (*(Archived(workflow=workflow, remains=remains) for workflow in workflows), RunRemoved(uid=uid))
    return Entry(event=Asked(at=AT, uid=uid, wish=Delete()), answer=Decision(uid=uid, changes=changes))


@every_journal
async def test_the_archive_lists_the_newest_first_and_gives_each_whole(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            assert await journal.archive(list) == []
            assert await journal.archived("u1") is None
            await journal.record([submitted("u1"), submitted("u2"), submitted("u3")])
            await journal.record([archived(an_archived("u2"))])
            await journal.record([archived(an_archived("u1", Phase.ERROR)), archived(an_archived("u3"))])
        async with open_() as journal:
            lines = await journal.archive(list)
            assert (await journal.load()).runs == ()
            assert [await journal.archived(uid) for uid in ("u1", "u2")] == [an_archived("u1", Phase.ERROR), an_archived("u2")]
    assert [line.uid for line in lines] == ["u3", "u1", "u2"]
    assert lines[1] == ArchivedRun(
        uid="u1",
        name="wf-u1",
        namespace="n",
        phase="Error",
        created_at="2031-05-06T07:08:09Z",
        started_at="2031-05-06T07:08:10Z",
        finished_at="2031-05-06T07:08:11Z",
        labels={"a": "b", "ü": "\u0000"},
    )


@every_journal
async def test_who_looks_at_the_archive_may_stop_anywhere_and_his_mistakes_are_his_own(kind, tmp_path):
    async with kind(tmp_path) as open_, open_() as journal:
        await journal.record([archived(an_archived(f"u{number}")) for number in range(10)])
        assert await journal.archive(lambda lines: next(lines).uid) == "u9"
        with pytest.raises(ValueError, match="invalid literal"):
            await journal.archive(lambda lines: [int(line.uid) for line in lines])
        await journal.forget_archived("u9")
        assert await journal.archive(lambda lines: [line.uid for line in itertools.islice(lines, 2)]) == ["u8", "u7"]


@every_journal
async def test_a_run_that_is_archived_again_is_shown_as_it_was_last(kind, tmp_path):
    async with kind(tmp_path) as open_, open_() as journal:
        await journal.record([archived(an_archived("u1", Phase.FAILED)), archived(an_archived("u2"))])
        await journal.record([archived(an_archived("u1"))])
        assert [(line.uid, line.phase) for line in await journal.archive(list)] == [("u2", "Succeeded"), ("u1", "Succeeded")]
        assert await journal.archived("u1") == an_archived("u1")


@every_journal
async def test_what_is_forgotten_is_gone_for_good(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([archived(an_archived("u1")), archived(an_archived("u2"))])
            await journal.forget_archived("u1")
            await journal.forget_archived("never")
        async with open_() as journal:
            assert [line.uid for line in await journal.archive(list)] == ["u2"]
            assert await journal.archived("u1") is None


@every_journal
async def test_tidying_drops_what_was_archived_before_and_nothing_else(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u0", NodePut(uid="u0", node=a_node("n")), *(ItemPut(item=item) for item in ITEMS))])
            await journal.record([archived(an_archived("old"))])
            between = time.time()
            while time.time() <= between:
                pass
            await journal.record([archived(an_archived("new"))])
            await journal.tidy(0.0, 1.0)
            assert len(await journal.archive(list)) == 2
            await journal.tidy(between, 0.0)
            assert [line.uid for line in await journal.archive(list)] == ["new"]
        async with open_() as journal:
            assert [line.uid for line in await journal.archive(list)] == ["new"]
            await journal.tidy(time.time() + 1, 0.0)
            assert await journal.archive(list) == []
            rows = await journal.load()
            await journal.record([exited(a_node("m"), "u0")])
            assert len(await journal.events("u0")) == 2
    assert [node.id for node in rows.runs[0].nodes] == ["n"]
    assert by_key(rows.items) == by_key(ITEMS)


def some_remains(uid: str, nodes: int = 3) -> Remains:
    made = tuple(a_node(f"n{number}", Phase.SUCCEEDED, outputs=Outputs(result=f"ü{number}")) for number in range(nodes))
    return Remains(manifest=a_manifest(uid), run=a_run(uid, Phase.FAILED, "why"), nodes=made)


@every_journal
@pytest.mark.parametrize("nodes", [0, 1, 1234])
async def test_the_rows_of_an_archived_run_come_back_as_they_were(kind, tmp_path, nodes):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([submitted("u1"), submitted("u2")])
            await journal.record([archived(an_archived("u1"), remains=some_remains("u1", nodes)), archived(an_archived("u2"))])
        async with open_() as journal:
            assert await journal.remains("u1") == some_remains("u1", nodes)
            assert await journal.remains("u2") is None
            assert await journal.remains("never") is None
            await journal.record([archived(an_archived("u1"), remains=some_remains("u1", 2))])
            assert await journal.remains("u1") == some_remains("u1", 2)


@every_journal
async def test_the_rows_of_an_archived_run_go_with_its_record(kind, tmp_path):
    async with kind(tmp_path) as open_:
        async with open_() as journal:
            await journal.record([archived(an_archived(uid), remains=some_remains(uid)) for uid in ("u1", "u2")])
            await journal.forget_archived("u1")
            assert await journal.remains("u1") is None
            between = time.time()
            while time.time() <= between:
                pass
            await journal.record([archived(an_archived("u3"), remains=some_remains("u3"))])
            await journal.tidy(between, 1.0)
        async with open_() as journal:
            assert [uid for uid in ("u1", "u2", "u3") if await journal.remains(uid)] == ["u3"]
