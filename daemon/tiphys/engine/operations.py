"""The verbs that every way in speaks: submit, ask, follow, look."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tiphys.engine import judging, masking, submissions
from tiphys.engine.engine import Engine
from tiphys.engine.submissions import Rejected
from tiphys.engine.watching import Change
from tiphys.scheduler import events
from tiphys.scheduler.records import Manifest, Settled
from tiphys.secrets import Secrets
from tiphys.spec.workflows import Document, Workflow

__all__ = ["Folders", "Operations", "Rejected"]


class Folders(Protocol):
    """Where an executor keeps what people may want to look into."""

    def folder(self, order_id: str) -> Path:
        """The attempt's own folder."""
        ...


class Operations:
    """An open engine and what it was opened with. `notices`: what a person should know; a submission may add to them."""

    _cleans = False

    def __init__(
        self,
        engine: Engine,
        chosen: Settled,
        namespace: str,
        folders: Mapping[str, Folders],
        notices: Sequence[str] = (),
        *,
        defaults: Workflow | None = None,
        repositories: Mapping[str, object] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._engine = engine
        self._chosen = chosen
        self._namespace = namespace
        self._folders = folders
        self.notices: list[str] = list(notices)
        self._defaults = defaults
        self._repositories = repositories or {}
        self._secrets = secrets

    def configure(self, chosen: Settled, namespace: str, defaults: Workflow | None) -> None:
        """What runs that begin from now on get of the settings."""
        self._chosen, self._namespace, self._defaults = chosen, namespace, defaults

    def uids(self) -> Sequence[str]:
        """The uids of the runs there are."""
        return self._engine.uids()

    async def submit(self, documents: Sequence[Document]) -> Sequence[str]:
        """Start the Workflows among the documents, the others are there for them; their uids. Raises Rejected, starting none."""
        made = [self._manifest(document, documents) for document in documents if isinstance(document, Workflow)]
        return [await self._engine.submit(manifest) for manifest in made]

    def _manifest(self, submitted: Workflow, documents: Sequence[Document]) -> Manifest:
        made = submissions.manifest(
            submitted, documents, self._chosen, self._namespace, defaults=self._defaults, configured=self._repositories
        )
        self._judge(made)
        return made

    def _judge(self, manifest: Manifest) -> None:
        """Refuse what the executors cannot run. Raises Rejected."""
        refused, notices = judging.judge(manifest, self._engine.executors, cleans=self._cleans)
        if refused:
            raise Rejected("\n".join(refused))
        self.notices += [notice for notice in notices if notice not in self.notices]

    async def ask(self, uid: str, wish: events.Wish, who: str = "") -> None:
        """Steer a run. Raises Refused with one line that says why not."""
        await self._engine.ask(uid, wish, who)

    def changes(self, uid: str) -> AsyncIterator[Change]:
        """Each change from now on, until the run is completed."""
        return self._engine.changes(uid)

    def workflow(self, uid: str) -> Workflow:
        """The run with its whole status."""
        return self._engine.workflow(uid)

    def metrics(self) -> str:
        """The custom metrics of workflows, in Prometheus' text format."""
        return self._engine.measures.text()

    def attempt_folder(self, uid: str, node_id: str) -> Path | None:
        """Where a node's attempt works, or worked."""
        found = self._engine.handle(uid, node_id)
        if found is None or found[0] not in self._folders:
            return None
        return self._folders[found[0]].folder(found[1].text)

    def logs(self, uid: str, node_id: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What a node's attempt printed, in pieces; with `follow` until it ends. Nothing, where it never started. Secrets are masked."""
        return self.masked(uid, self._engine.logs(uid, node_id, follow=follow))

    async def masked(self, uid: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Output of a run's steps with the values of its Secrets masked."""
        named = masking.references(self._engine.manifest(uid)) if self._secrets is not None else set()
        if self._secrets is not None and named:
            run = self._engine.run_of(uid)
            hidden = await masking.values(self._secrets, run.namespace if run is not None else "", named)
            if hidden:
                pieces = masking.masked(pieces, hidden)
        async for piece in pieces:
            yield piece
