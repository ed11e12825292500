"""State directories with real journals in them, and a real process that keeps writing one."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import apsw

from tiphys.journal import open_journal
from tiphys.journal.protocol import Entry, RunRows
from tiphys.scheduler.decision import Archived, Change, Decision, ItemPut, ManifestPut, NodePut, RunPut
from tiphys.scheduler.events import Exited, Submitted
from tiphys.scheduler.items import Claim
from tiphys.scheduler.records import Manifest, Node, Remains, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.work import Outcome, OutcomeKind
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow

AT = datetime(2026, 5, 6, tzinfo=UTC)
NORMAL = JournalSettings(synchronous="normal")
NODES = 4
RELEASED = Path(__file__).parents[1] / "journal" / "released"


def submitted(uid: str, at: datetime = AT) -> Entry:
    manifest = Manifest(uid=uid, workflow=Workflow(api_version=ARGO_API_VERSION, metadata=ObjectMeta(name=uid)))
    run = Run(uid=uid, name=uid, namespace="default", created_at=at)
    changes: list[Change] = [ManifestPut(manifest=manifest), RunPut(run=run)]
    changes += [NodePut(uid=uid, node=node(uid, number, "0")) for number in range(NODES)]
    changes.append(ItemPut(item=Claim(key=f"claim-{uid}", uid=uid, at=at)))
    return Entry(event=Submitted(at=at, uid=uid, seed="s", manifest=manifest), answer=Decision(uid=uid, changes=tuple(changes)))


def node(uid: str, number: int, message: str) -> Node:
    name = f"{uid}-{number}"
    return Node(
        id=name,
        name=name,
        display_name=name,
        type=NodeType.POD,
        role=Role.TASK,
        phase=Phase.RUNNING,
        owner=f"{uid}-0" if number else "",
        message=message,
        started_at=AT,
    )


def stepped(uid: str, message: str, at: datetime = AT) -> Entry:
    """All nodes of a run get the same message, in one decision."""
    changes = tuple(NodePut(uid=uid, node=node(uid, number, message)) for number in range(NODES))
    event = Exited(at=at, uid=uid, node_id=f"{uid}-0", attempt=0, outcome=Outcome(kind=OutcomeKind.SUCCEEDED, message=message))
    return Entry(event=event, answer=Decision(uid=uid, changes=changes))


def archived(uid: str) -> Entry:
    meta = ObjectMeta(name=uid, namespace="default", uid=uid)
    run = Run(uid=uid, name=uid, namespace="default", created_at=AT, phase=Phase.FAILED)
    manifest = Manifest(uid=uid, workflow=Workflow(api_version=ARGO_API_VERSION, metadata=meta))
    left = Remains(manifest=manifest, run=run, nodes=tuple(node(uid, number, "0") for number in range(NODES)))
    change = Archived(workflow=manifest.workflow, remains=left)
    return Entry(event=submitted(uid).event, answer=Decision(uid=uid, changes=(change,)))


async def record(state: Path, *entries: Entry) -> None:
    async with open_journal(state / "journal.db", NORMAL) as journal:
        await journal.record(entries)


def filled(state: Path, runs: int = 3, at: datetime = AT) -> Path:
    """A state directory with a journal of some runs, closed in good order; the journal."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = [entry for number in range(runs) for entry in (submitted(f"run{number}", at), stepped(f"run{number}", "1", at))]
    asyncio.run(record(state, *entries, archived("run0")))
    return state / "journal.db"


def loaded(path: Path) -> tuple[RunRows, ...]:
    """The runs of a journal, as a daemon reads them; every log is read too."""

    async def load() -> tuple[RunRows, ...]:
        async with open_journal(path, NORMAL) as journal:
            runs = (await journal.load()).runs
            for run in runs:
                await journal.events(run.run.uid)
            return runs

    return asyncio.run(load())


WRITER = """
import asyncio, pathlib, sys
from tests.care import states
from tiphys.journal import open_journal
async def main(state, runs):
    async with open_journal(state / "journal.db", states.NORMAL) as journal:
        known = {run.run.uid for run in (await journal.load()).runs}
        uids = [f"run{number}" for number in range(runs)]
        await journal.record([states.submitted(uid) for uid in uids if uid not in known])
        print("writing", flush=True)
        count = 1
        while True:
            count += 1
            await journal.record([states.stepped(uid, str(count)) for uid in uids])
            await asyncio.sleep(0.001)
asyncio.run(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
"""


@contextlib.contextmanager
def writing(state: Path, runs: int = 20) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the journal and records in a loop, until it is killed."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    project = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(project / "daemon")])}
    argv = [sys.executable, "-c", WRITER, str(state), str(runs)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def changed(path: Path, statement: str, *values: object) -> None:
    """Change a journal behind its back."""
    connection = apsw.Connection(str(path))
    connection.execute(statement, values)  # type: ignore[arg-type]
    connection.close()


def listing(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, and what is in it."""
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
