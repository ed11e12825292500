"""An engine that plays a piece: it shows what it is told to, and remembers what it was asked."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec

from tiphys.cli.wiring import Wiring
from tiphys.configuration import Configuration
from tiphys.errors import TiphysError
from tiphys.scheduler import events
from tiphys.settings import Settings
from tiphys.spec.status import NodeStatus, Phase, WorkflowStatus
from tiphys.spec.workflows import Workflow


class Rejected(TiphysError):
    """No."""


@dataclass(frozen=True)
class Change:
    node: NodeStatus | None
    phase: Phase = Phase.RUNNING
    message: str = ""


@dataclass
class Played:
    """`piece` is an async generator function of this engine that yields changes; `held` are workflows of an earlier run."""

    piece: Callable[["Played", str], AsyncIterator[Change]]
    notices: Sequence[str] = ()
    held: dict[str, Workflow] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    wishes: list[events.Wish] = field(default_factory=list)
    submitted: list[object] = field(default_factory=list)
    reject: str = ""
    refuse: str = ""
    asked: anyio.Event = field(default_factory=anyio.Event)

    def uids(self) -> list[str]:
        return list(self.held)

    async def submit(self, documents):
        if self.reject:
            raise Rejected(self.reject)
        self.submitted += documents
        made = {f"u{index}": document for index, document in enumerate(documents) if isinstance(document, Workflow)}
        self.held |= {uid: msgspec.structs.replace(flow, status=WorkflowStatus(phase=Phase.RUNNING)) for uid, flow in made.items()}
        return list(made)

    def workflow(self, uid):
        return self.held[uid]

    def put(self, uid: str, node: NodeStatus | None = None, phase: str = "Running", message: str = "") -> Change:
        """The change that a node, or the workflow, makes; and the status after it."""
        status = self.held[uid].status
        nodes = {**(status.nodes or {}), **({node.id: node} if node else {})}
        status = msgspec.structs.replace(status, nodes=nodes, phase=Phase(phase), message=message)
        self.held[uid] = msgspec.structs.replace(self.held[uid], status=status)
        return Change(node, Phase(phase), message)

    async def changes(self, uid):
        yield Change(None)
        async for change in self.piece(self, uid):
            yield change

    async def ask(self, uid, wish, who=""):
        self.wishes.append(wish)
        if self.refuse:
            raise TiphysError(self.refuse)
        self.asked.set()
        self.asked = anyio.Event()

    def attempt_folder(self, uid, node_id):
        return self.folders.get(node_id)

    async def logs(self, uid, node_id, *, follow=False):
        position = 0
        while True:
            data = self.written.get(node_id, b"")[position:]
            if data:
                position += len(data)
                yield data
            node = (self.held[uid].status.nodes or {}).get(node_id)
            if not follow or node is None or node.phase.fulfilled:
                return
            await anyio.sleep(0.02)


def wired(engine: Played, tmp_path: Path, **environ: str) -> Wiring:
    """The wiring around a played engine; state goes below `tmp_path`."""
    opened: list[dict[str, object]] = []

    @asynccontextmanager
    async def open_engine(**how):
        opened.append(how)
        yield engine

    return Wiring(
        environ=environ,
        home=tmp_path,
        root=False,
        load=lambda path: Configuration(settings=Settings(state_directory=str(tmp_path / "state")), file=path),
        open_engine=lambda loaded: open_engine,
        supports=lambda loaded, name: lambda template: (),
        rejected=lambda: Rejected,
        ticks=lambda *asked: (),
    )
