"""What the command line asks of the engine. `app` hands in a factory that gives one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from tiphys.scheduler import events
from tiphys.spec.status import NodeStatus, Phase
from tiphys.spec.workflows import Document, Workflow


class Change(Protocol):
    """Something is different: a node, or (node None) the workflow as a whole."""

    @property
    def node(self) -> NodeStatus | None:
        """The node as it is now."""
        ...

    @property
    def phase(self) -> Phase:
        """The workflow's phase."""
        ...

    @property
    def message(self) -> str:
        """The workflow's message."""
        ...


class Engine(Protocol):
    """A running engine."""

    @property
    def notices(self) -> Sequence[str]:
        """What the user should know before the work begins."""
        ...

    def uids(self) -> Sequence[str]:
        """The workflows that its state holds."""
        ...

    async def submit(self, documents: Sequence[Document]) -> Sequence[str]:
        """Start the Workflows among the documents, the others are there for them; their uids. Raises Rejected."""
        ...

    def workflow(self, uid: str) -> Workflow:
        """The workflow with its whole status."""
        ...

    def changes(self, uid: str) -> AsyncIterator[Change]:
        """Each change from now on, until the workflow is completed."""
        ...

    async def ask(self, uid: str, wish: events.Wish, who: str = "") -> None:
        """Steer a workflow; raises a TiphysError that says why where that is refused."""
        ...

    def attempt_folder(self, uid: str, node_id: str) -> Path | None:
        """Where a node's attempt works."""
        ...

    def metrics(self) -> str:
        """The custom metrics of workflows, in Prometheus' text format."""
        ...

    def logs(self, uid: str, node_id: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What a node's attempt printed, in pieces; with `follow` until it ends. Nothing, where it never started."""
        ...


class OpenEngine(Protocol):
    """The factory: an engine on a state directory. `documents` are the file's, for their Secrets, which no state holds."""

    def __call__(self, *, state: Path, executor: str, documents: Sequence[Document]) -> AbstractAsyncContextManager[Engine]:
        """An engine that works while the context is open."""
        ...
