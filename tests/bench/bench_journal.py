"""What recording costs: entries a second for batches of 1, 10 and 100, with either promise (full waits for the disk).

python tests/bench/bench_journal.py [SECONDS]
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tiphys.journal import open_journal
from tiphys.journal.protocol import Entry
from tiphys.scheduler.decision import Decision, ManifestPut, NodePut, RunPut
from tiphys.scheduler.events import Exited, Submitted
from tiphys.scheduler.records import Manifest, Node, Role, Run
from tiphys.settings import JournalSettings
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.work import Outcome, OutcomeKind
from tiphys.spec.workflows import ARGO_API_VERSION, Workflow

AT = datetime(2031, 5, 6, tzinfo=UTC)
UID = "u"


def submitted() -> Entry:
    """The run that the exits belong to."""
    manifest = Manifest(uid=UID, workflow=Workflow(api_version=ARGO_API_VERSION))
    run = Run(uid=UID, name="wf", namespace="default", created_at=AT)
    made = Decision(uid=UID, changes=(ManifestPut(manifest=manifest), RunPut(run=run)))
    return Entry(event=Submitted(at=AT, uid=UID, seed="s", manifest=manifest), answer=made)


def exited(number: int) -> Entry:
    """A node that has ended, as most events are."""
    name = f"wf-{number}"
    node = Node(id=name, name=name, display_name=name, type=NodeType.POD, role=Role.TASK, phase=Phase.SUCCEEDED, started_at=AT)
    event = Exited(at=AT, uid=UID, node_id=name, attempt=0, outcome=Outcome(kind=OutcomeKind.SUCCEEDED, exit_code=0))
    return Entry(event=event, answer=Decision(uid=UID, changes=(NodePut(uid=UID, node=node),)))


async def measure(synchronous: str, size: int, seconds: float) -> None:
    """Record batches of `size` for so long, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_journal(Path(folder) / "journal.db", JournalSettings(), synchronous=synchronous) as journal:
            await journal.record([submitted()])
            batches = 0
            began = time.perf_counter()
            while (taken := time.perf_counter() - began) < seconds:
                await journal.record([exited(batches * size + number) for number in range(size)])
                batches += 1
    print(f"{synchronous:7}{size:6}{batches * size / taken:12,.0f}/s{taken / batches * 1e6:12,.0f} µs a batch")


def main() -> None:
    """Both promises, three sizes."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    for synchronous in ("normal", "full"):
        for size in (1, 10, 100):
            asyncio.run(measure(synchronous, size, seconds))


if __name__ == "__main__":
    main()
