"""What every journal promises: a batch is whole, the last state of each row is what is loaded, and the log tells it all in order."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tiphys.journal.memory import MemoryJournal
from tiphys.journal.protocol import Entry, Touched
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler.decision import (
    Adopt,
    Decision,
    Finish,
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
from tiphys.scheduler.events import Asked, DaemonStarted, Exited, Resume, Started, Submitted, TimerFired
from tiphys.scheduler.records import Manifest, Node, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import HTTP, Outputs, Template
from tiphys.spec.work import Handle, Outcome, OutcomeKind, Usage
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow, WorkflowSpec

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
