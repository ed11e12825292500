"""Restart with many live nodes: how long from the daemon's start to the first step that it launches, and where the time goes.

The state is made beforehand: one workflow whose loop has NODES (100,000) pods, all of them recorded as about to be launched. The limit
beside it is a bare scan and decode of the same rows.
"""

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
import apsw

from tests.daemon.running import Tiphysd, until
from tests.scheduler import going
from tiphys import manifests
from tiphys.journal import rows
from tiphys.journal.protocol import Entry
from tiphys.journal.sqlite import SQLiteJournal
from tiphys.scheduler.events import Submitted
from tiphys.scheduler.records import Manifest
from tiphys.scheduler.state import State
from tiphys.settings import JournalSettings, LimitSettings

NODES = int(os.environ.get("NODES", "100000"))
WORKFLOW = f"""
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: wide, namespace: default}}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - {{name: work, template: work, withSequence: {{count: "{NODES}"}}}}
    - name: work
      container: {{image: busybox, command: ["true"]}}
"""


async def fill(state: Path) -> None:
    """Record the workflow as if the daemon had been killed right after its expansion."""
    document = manifests.parse(WORKFLOW.encode(), "wide.yaml", LimitSettings()).documents[0].document
    event = Submitted(at=datetime.now(UTC), uid="wide", seed="s", manifest=Manifest(uid="wide", workflow=document))
    state.mkdir(parents=True)
    async with SQLiteJournal(state / "journal.db", JournalSettings()) as journal:
        await journal.record([Entry(event=fact, answer=made) for fact, made in going.entries(State(), event)])


def limit(state: Path) -> float:
    """Seconds for reading and decoding every row."""
    began = time.perf_counter()
    connection = apsw.Connection(str(state / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = [rows.node.decode(row) for (row,) in connection.execute("SELECT row FROM nodes")]
    assert len(found) > NODES
    connection.close()
    return time.perf_counter() - began


def measure(top: Path) -> dict[str, float]:
    """Start a daemon over a fresh state; the phases of its start in seconds."""
    daemon = Tiphysd(top=top)
    anyio.run(fill, daemon.state)
    bare = limit(daemon.state)
    try:
        began = time.monotonic()
        daemon.start(ready=False)
        first = until(lambda: list((daemon.state / "attempts").glob("wide/journal")), "the first launch", 120)
        launched = time.monotonic() - began
        until(lambda: daemon.told("ready"), "ready", 120)
        ready = time.monotonic() - began
        (line,) = daemon.told("state read")
        del first
        return {"limit": bare, "opening": line["opening_seconds"], "reading": line["reading_seconds"], "launched": launched, "ready": ready}
    finally:
        daemon.clear()


def main() -> int:
    """Print the medians of some rounds."""
    rounds = int(os.environ.get("ROUNDS", "3"))
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as top:
            found.append(measure(Path(top)))
    for name in found[0]:
        values = sorted(one[name] for one in found)
        print(f"{name:10} {values[len(values) // 2]:7.3f} s   ({values[0]:.3f} to {values[-1]:.3f})")
    print(json.dumps({"nodes": NODES, "rounds": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
