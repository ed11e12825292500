"""A state with many nodes, half of them done, as a daemon leaves it that is killed in the middle."""

import time
from datetime import UTC, datetime
from pathlib import Path

import apsw

from tests.daemon.running import Tiphysd
from tests.scheduler import going
from tiphys import manifests
from tiphys.journal import rows
from tiphys.journal.protocol import Entry
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler import decision, events
from tiphys.scheduler.decide import decide
from tiphys.scheduler.records import Manifest, Settled
from tiphys.scheduler.state import State
from tiphys.settings import JournalSettings, LimitSettings
from tiphys.spec import work

NAME = "wide"
WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wide, namespace: default}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - {name: work, template: work, withSequence: {count: "NODES"}}
    - name: work
      container: {image: busybox, command: ["sleep", "100"]}
"""


async def fill(state: Path, nodes: int) -> None:
    """Record a workflow whose every other node has ended; the rest had no room yet."""
    document = manifests.parse(WORKFLOW.replace("NODES", str(nodes)).encode(), "wide.yaml", LimitSettings()).documents[0].document
    manifest = Manifest(uid=NAME, workflow=document, chosen=Settled())  # type: ignore[arg-type]
    submitted = events.Submitted(at=datetime.now(UTC), uid=NAME, seed="s", manifest=manifest)
    runs = State()
    state.mkdir(parents=True)
    async with SQLiteJournal(state / "journal.db", JournalSettings(), synchronous="normal") as journal:
        launches: list[decision.Launch] = []
        for fact, made in going.entries(runs, submitted):
            await journal.record([Entry(event=fact, answer=made)])
            launches += [command for command in made.commands if isinstance(command, decision.Launch)]
        handle = work.Handle(executor="process", text="gone", host="gone")
        outcome = work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, started_at=datetime.now(UTC), ended_at=datetime.now(UTC))
        batch: list[Entry] = []
        for launch in launches[: nodes // 2]:
            now = datetime.now(UTC)
            batch.append(take(runs, events.Started(at=now, uid=NAME, node_id=launch.node_id, attempt=0, handle=handle)))
            batch.append(take(runs, events.Exited(at=now, uid=NAME, node_id=launch.node_id, attempt=0, outcome=outcome)))
            if len(batch) >= 1000:
                await journal.record(batch)
                batch = []
        await journal.record(batch)


def take(runs: State, event: events.Event) -> Entry:
    """Decide and apply."""
    made = decide(runs, event)
    assert isinstance(made, decision.Decision), made
    runs.apply(made)
    return Entry(event=event, answer=made)


def scan(state: Path) -> float:
    """The limit: seconds for reading and decoding every row."""
    began = time.perf_counter()
    connection = apsw.Connection(str(state / "journal.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    found = [rows.node.decode(row) for (row,) in connection.execute("SELECT row FROM nodes ORDER BY number")]
    assert found
    connection.close()
    return time.perf_counter() - began


def started(daemon: Tiphysd, seconds: float = 120.0) -> float:
    """Start a daemon; seconds until the launcher wrote down the first step it was asked to start."""
    journal = daemon.state / "attempts" / NAME / "journal"
    began = time.monotonic()
    daemon.start(ready=False)
    while not (journal.exists() and journal.stat().st_size):
        assert time.monotonic() < began + seconds, daemon.log
        time.sleep(0.002)
    return time.monotonic() - began
